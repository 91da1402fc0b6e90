//! Which wrong answer is given, from the wrong answers of others.

use super::answers::Answers;

/// Concentrations that an item can have: from one wrong answer for all to a different one for each.
const CONCENTRATIONS: [f64; 11] = [
    0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 10.0, 30.0, 100.0, 1000.0,
];
/// Rounds of estimation of how common each of them is.
const ROUNDS: usize = 60;

/// Polya's urn for wrong answers: the next one repeats a wrong answer that `c` of `m` gave with
/// probability `(c + s / K) / (m + s)`, `K` the number of wrong options; where `K` is not known, with
/// `c / (m + s)`, and is a new one with `s / (m + s)` (Ewens, Theoretical Population Biology 3, 1972).
///
/// The concentration `s` differs between items; how common each value is is estimated from the panel,
/// and an item's own value is nowhere replaced by one number.
#[derive(Debug, Clone)]
pub(super) struct Distractor {
    items: Vec<Urn>,
}

/// One item's wrong answers.
#[derive(Debug, Clone)]
struct Urn {
    /// Code and how many members gave it.
    counts: Vec<(u32, u32)>,
    options: Option<u32>,
    /// Of each concentration, given the counts.
    weights: [f64; CONCENTRATIONS.len()],
}

/// Wrong answers of one item without those of a pair.
#[derive(Debug, Clone)]
pub(super) struct Others(Urn);

impl Distractor {
    /// From the wrong answers of `members`.
    pub(super) fn fit(answers: &Answers, members: &[usize]) -> Self {
        let mut items: Vec<Urn> = (0..answers.items())
            .map(|item| Urn::new(answers, members, item))
            .collect();
        let likelihoods: Vec<_> = items.iter().map(Urn::likelihoods).collect();
        let mut prior = [1.0 / CONCENTRATIONS.len() as f64; CONCENTRATIONS.len()];
        for _ in 0..ROUNDS {
            // A hundredth of an item on each keeps all of them possible.
            let mut sums = [0.01; CONCENTRATIONS.len()];
            for likelihood in &likelihoods {
                for (sum, weight) in sums.iter_mut().zip(posterior(&prior, likelihood)) {
                    *sum += weight;
                }
            }
            let total: f64 = sums.iter().sum();
            prior = sums.map(|sum| sum / total);
        }
        for (urn, likelihood) in items.iter_mut().zip(&likelihoods) {
            urn.weights = posterior(&prior, likelihood);
        }
        Self { items }
    }

    /// One item without one wrong answer each of the members among a pair.
    pub(super) fn without(&self, item: usize, gone: &[u32]) -> Others {
        let mut urn = self.items[item].clone();
        for code in gone {
            urn.remove(*code);
        }
        Others(urn)
    }
}

impl Others {
    /// Probability that two further wrong answers are equal.
    pub(super) fn two_alike(&self) -> f64 {
        let urn = &self.0;
        urn.mean(|s| {
            let total = urn.total() + s;
            let seen = urn.counts.iter().map(|(_, count)| {
                let mass = f64::from(*count) + urn.share(s);
                mass * (mass + 1.0)
            });
            let unseen = match urn.options {
                None => s,
                Some(options) => {
                    let left = f64::from(options) - urn.counts.len() as f64;
                    left.max(0.0) * urn.share(s) * (urn.share(s) + 1.0)
                }
            };
            (seen.sum::<f64>() + unseen) / (total * (total + 1.0))
        })
    }

    /// Probability that a further wrong answer is `code`, which one model outside gave.
    pub(super) fn repeats(&self, code: u32) -> f64 {
        let mut urn = self.0.clone();
        urn.insert(code);
        urn.mean(|s| (f64::from(urn.count(code)) + urn.share(s)) / (urn.total() + s))
    }

    /// Probabilities of the wrong answers that were given, and of all others together.
    pub(super) fn law(&self) -> (Vec<(u32, f64)>, f64) {
        let urn = &self.0;
        let of = |count: u32| urn.mean(|s| (f64::from(count) + urn.share(s)) / (urn.total() + s));
        let given: Vec<(u32, f64)> = urn.counts.iter().map(|(code, c)| (*code, of(*c))).collect();
        let rest = 1.0 - given.iter().map(|(_, p)| p).sum::<f64>();
        (given, rest.max(0.0))
    }
}

impl Urn {
    fn new(answers: &Answers, members: &[usize], item: usize) -> Self {
        let mut counts: Vec<(u32, u32)> = Vec::new();
        let given = members
            .iter()
            .filter_map(|member| answers.get(*member, item));
        for code in given.filter(|code| !answers.is_right(item, *code)) {
            match counts.iter_mut().find(|(known, _)| *known == code) {
                Some((_, count)) => *count += 1,
                None => counts.push((code, 1)),
            }
        }
        // More different answers than options: the options are not what they were said to be.
        let options = answers
            .wrong_options(item)
            .filter(|options| *options as usize >= counts.len());
        Self {
            counts,
            options,
            weights: [1.0 / CONCENTRATIONS.len() as f64; CONCENTRATIONS.len()],
        }
    }

    /// Prior mass of one option.
    fn share(&self, concentration: f64) -> f64 {
        self.options
            .map_or(0.0, |options| concentration / f64::from(options.max(1)))
    }

    fn total(&self) -> f64 {
        self.counts.iter().map(|(_, count)| f64::from(*count)).sum()
    }

    fn count(&self, code: u32) -> u32 {
        let found = self.counts.iter().find(|(known, _)| *known == code);
        found.map_or(0, |(_, count)| *count)
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        let terms = CONCENTRATIONS.iter().zip(&self.weights);
        terms.map(|(s, weight)| weight * of(*s)).sum()
    }

    /// Likelihood of the wrong answers, one after the other, under each concentration; the largest is 1.
    fn likelihoods(&self) -> [f64; CONCENTRATIONS.len()] {
        let logs = CONCENTRATIONS.map(|s| {
            let (mut ln, mut before) = (0.0, 0.0);
            for (_, count) in &self.counts {
                for repeat in 0..*count {
                    ln += (self.mass(s, repeat) / (before + s)).ln();
                    before += 1.0;
                }
            }
            ln
        });
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        logs.map(|ln: f64| (ln - top).exp())
    }

    /// Mass that the next answer has if so many gave it before; of a new one in an open urn, all the new.
    fn mass(&self, s: f64, before: u32) -> f64 {
        match (self.options, before) {
            (None, 0) => s,
            _ => f64::from(before) + self.share(s),
        }
    }

    fn insert(&mut self, code: u32) {
        let (before, total) = (self.count(code), self.total());
        self.reweigh(|urn, s| urn.mass(s, before) / (total + s));
        match self.counts.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((code, 1)),
        }
    }

    /// The order of answers does not matter: the last one is taken back.
    fn remove(&mut self, code: u32) {
        let (count, total) = (self.count(code), self.total());
        if count == 0 {
            return;
        }
        self.reweigh(|urn, s| (total - 1.0 + s) / urn.mass(s, count - 1));
        for (known, count) in &mut self.counts {
            if *known == code {
                *count -= 1;
            }
        }
        self.counts.retain(|(_, count)| *count > 0);
    }

    fn reweigh(&mut self, factor: impl Fn(&Self, f64) -> f64) {
        let mut weights = self.weights;
        for (weight, s) in weights.iter_mut().zip(CONCENTRATIONS) {
            *weight *= factor(self, s);
        }
        let total: f64 = weights.iter().sum();
        self.weights = weights.map(|weight| weight / total);
    }
}

fn posterior<const N: usize>(prior: &[f64; N], likelihood: &[f64; N]) -> [f64; N] {
    let mut weights = *prior;
    for (weight, factor) in weights.iter_mut().zip(likelihood) {
        *weight *= factor;
    }
    let total: f64 = weights.iter().sum();
    if total > 0.0 {
        weights.map(|weight| weight / total)
    } else {
        *prior
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five members' wrong answers to one item, of four wrong options or of unknown many.
    fn urn(options: u32) -> (Answers, Distractor) {
        let mut answers = Answers::of_items([(0, options), (0, options)]);
        for codes in [[1, 1], [1, 2], [2, 0], [1, 3], [3, 3], [0, 4]] {
            answers.push(codes.to_vec()).unwrap();
        }
        let fitted = Distractor::fit(&answers, &[0, 1, 2, 3, 4]);
        (answers, fitted)
    }

    /// The probability of a code, then of the same code again, summed over all codes one by one; a new
    /// answer in an open urn is one that nobody gave.
    #[test]
    fn two_alike_is_the_sum_over_answers() {
        for options in [5, 0] {
            let (_, fitted) = urn(options);
            for item in [0, 1] {
                let others = fitted.without(item, &[]);
                let alike = |code: u32| {
                    let first = others.0.mean(|s| {
                        let before = others.0.count(code);
                        others.0.mass(s, before) / (others.0.total() + s)
                    });
                    first * others.repeats(code)
                };
                let codes = if options == 0 {
                    vec![1, 2, 3, 77]
                } else {
                    vec![1, 2, 3, 4]
                };
                let seen: Vec<u32> = others.0.counts.iter().map(|(code, _)| *code).collect();
                let codes = codes
                    .into_iter()
                    .filter(|c| options > 0 || *c == 77 || seen.contains(c));
                let sum: f64 = codes.map(alike).sum();
                assert!((others.two_alike() - sum).abs() < 1e-12, "{options}: {sum}");
            }
        }
    }

    /// Taking an answer back leaves what was known without it, given how common concentrations are.
    #[test]
    fn removing_is_never_having_seen() {
        let (answers, fitted) = urn(5);
        let urn_of = |members: &[usize]| {
            let mut urn = Urn::new(&answers, members, 0);
            let flat = [1.0; CONCENTRATIONS.len()];
            urn.weights = posterior(&flat, &urn.likelihoods());
            urn
        };
        let mut fewer = urn_of(&[0, 1, 2, 3, 4]);
        fewer.remove(1);
        fewer.remove(3);
        fewer.remove(9);
        let direct = urn_of(&[1, 2, 3]);
        for (a, b) in fewer.weights.iter().zip(direct.weights) {
            assert!((a - b).abs() < 1e-12);
        }
        let law = Others(fewer).law();
        assert_eq!(law.0.len(), 2);
        let (one, two) = (law.0[0].1, law.0[1].1);
        assert!(law.0[0].0 == 1 && one > two && law.1 > 0.0);
        let all = fitted.without(0, &[]).law();
        assert!((all.0.iter().map(|(_, p)| p).sum::<f64>() + all.1 - 1.0).abs() < 1e-12);
    }

    /// Rare answers are repeated less often than common ones; with one option left, always.
    #[test]
    fn repeats_follow_how_many_gave_it() {
        let (_, fitted) = urn(0);
        let others = fitted.without(0, &[]);
        assert!(others.repeats(1) > others.repeats(2) && others.repeats(2) > others.repeats(50));
        let mut answers = Answers::of_items([(0, 2)]);
        answers.push(vec![1]).unwrap();
        let fitted = Distractor::fit(&answers, &[0]);
        assert!((fitted.without(0, &[]).repeats(1) - 1.0).abs() < 1e-12);
        assert!((fitted.without(0, &[1]).two_alike() - 1.0).abs() < 1e-12);
    }
}
