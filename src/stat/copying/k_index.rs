//! The K-index: same wrong answers against models that make as many mistakes.

use super::answers::Answers;
use crate::stat::tails::binomial_ln_tail;

/// What the test's p-value is the probability of.
pub const NULL: &str = "as many of the first model's wrong answers given by a second model that gives each with the \
                        probability at which panel members with as many mistakes do";

/// The K-index of a second model against a first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KIndex {
    /// Items that the first gets wrong and both answered.
    pub items: usize,
    /// Of which the second gives the same wrong answer.
    pub observed: usize,
    /// Panel members with as many mistakes as the second.
    pub group: usize,
    /// Holland's K: `ln` of the binomial tail with that group's share; `None` without such members.
    pub ln_p: Option<f64>,
    /// The same with the share that a straight line through all members gives at the second's number of
    /// mistakes; `None` when all members make the same number of mistakes, or there are fewer than two.
    pub line_ln_p: Option<f64>,
}

/// Holland's index (ETS Research Report 96-7, 1996), and its variant K1 that smooths over groups of
/// members by a regression on the share of mistakes (Sotaridona and Meijer, Journal of Educational
/// Measurement 39, 2002).
///
/// One probability for all items: a sum of unequal trials varies less than the binomial law says. The
/// share itself is taken as known, which it is not for a group of few.
pub fn k_index(answers: &Answers, first: usize, second: usize, panel: &[usize]) -> KIndex {
    let suspect = mistakes(answers, first, second);
    let members = panel
        .iter()
        .filter(|member| ![first, second].contains(member));
    let members: Vec<Mistakes> = members
        .map(|member| mistakes(answers, first, *member))
        .collect();
    let members: Vec<Mistakes> = members.into_iter().filter(|one| one.items > 0).collect();
    let group: Vec<f64> = members
        .iter()
        .filter(|member| member.wrong == suspect.wrong)
        .map(Mistakes::share)
        .collect();
    let tail = |p: f64| binomial_ln_tail(suspect.alike as u64, suspect.items as u64, p);
    KIndex {
        items: suspect.items,
        observed: suspect.alike,
        group: group.len(),
        ln_p: (!group.is_empty()).then(|| {
            let share = group.iter().sum::<f64>() / group.len() as f64;
            tail(share.max(0.5 / (group.len() * suspect.items.max(1)) as f64))
        }),
        line_ln_p: line(&members, suspect.wrong).map(tail),
    }
}

/// A model beside the first model's mistakes.
struct Mistakes {
    /// Mistakes on items with a truth, per item answered.
    wrong: Share,
    items: usize,
    alike: usize,
}

/// Two counts, compared as a fraction.
#[derive(Clone, Copy)]
struct Share(usize, usize);

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.0 * other.1 == other.0 * self.1
    }
}

impl Share {
    fn value(self) -> f64 {
        self.0 as f64 / self.1.max(1) as f64
    }
}

impl Mistakes {
    fn share(&self) -> f64 {
        self.alike as f64 / self.items as f64
    }
}

fn mistakes(answers: &Answers, first: usize, model: usize) -> Mistakes {
    let (right, answered) = answers.score(model);
    let (mut items, mut alike) = (0, 0);
    for (item, a, b) in answers.shared(first, model) {
        if answers.has_truth(item) && !answers.is_right(item, a) {
            items += 1;
            alike += usize::from(a == b);
        }
    }
    Mistakes {
        wrong: Share(answered - right, answered),
        items,
        alike,
    }
}

/// The share of the first's wrong answers at so many mistakes, by least squares over members.
fn line(members: &[Mistakes], at: Share) -> Option<f64> {
    let n = members.len() as f64;
    let x: Vec<f64> = members.iter().map(|one| one.wrong.value()).collect();
    let y: Vec<f64> = members.iter().map(Mistakes::share).collect();
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let spread: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let together: f64 = x
        .iter()
        .zip(&y)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let share = mean_y + together / spread * (at.value() - mean_x);
    // No share is exactly none: half a match among all members' chances.
    let least = 0.5 / members.iter().map(|one| one.items as f64).sum::<f64>();
    (members.len() > 1 && spread > 0.0).then(|| share.clamp(least, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six items; the first model is wrong on items 0 to 3.
    fn answers() -> Answers {
        let mut answers = Answers::of_items([(0, 0); 6]);
        for codes in [
            [1, 2, 1, 3, 0, 0], // the first model
            [1, 2, 1, 0, 0, 5], // the suspect: four mistakes, three of them the first's
            [1, 0, 0, 2, 4, 1], // four mistakes, one the first's
            [2, 2, 1, 1, 0, 0], // four mistakes, two the first's
            [0, 0, 0, 0, 0, 0], // none
            [1, 2, 1, 3, 1, 1], // six, four the first's
        ] {
            answers.push(codes.to_vec()).unwrap();
        }
        answers
    }

    /// Against every outcome of four trials.
    #[test]
    fn a_small_case_by_hand() {
        let found = k_index(&answers(), 0, 1, &[2, 3, 4, 5]);
        assert_eq!((found.items, found.observed, found.group), (4, 3, 2));
        let listed = |p: f64| -> f64 {
            let outcomes = 0u32..16;
            let hits = outcomes.filter(|outcome| outcome.count_ones() >= 3);
            let of = |outcome: u32| {
                let k = outcome.count_ones() as i32;
                p.powi(k) * (1.0 - p).powi(4 - k)
            };
            hits.map(of).sum()
        };
        // Members with four mistakes share 1/4 and 2/4 of the first's wrong answers.
        assert!((found.ln_p.unwrap() - listed(0.375).ln()).abs() < 1e-12);
        // Least squares through (4/6, .25), (4/6, .5), (0, 0), (1, 1): mean (7/12, 7/16), slope 69/76.
        let slope = 69.0 / 76.0;
        let line = 0.4375 + slope * (4.0 / 6.0 - 7.0 / 12.0);
        assert!((found.line_ln_p.unwrap() - listed(line).ln()).abs() < 1e-12);
    }

    #[test]
    fn without_members_there_is_no_tail() {
        let found = k_index(&answers(), 0, 1, &[0, 1, 4]);
        assert_eq!((found.group, found.ln_p, found.line_ln_p), (0, None, None));
        // No member gives any of the first's answers: rare, not impossible.
        let mut answers = answers();
        let lonely = answers.push(vec![7, 7, 7, 0, 0, 7]).unwrap();
        let found = k_index(&answers, 0, 1, &[lonely]);
        assert!(found.ln_p.unwrap().is_finite() && found.ln_p.unwrap() < -4.0);
    }
}
