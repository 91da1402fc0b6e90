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
    /// Of each item, what [`Others::two_alike`] gives when nobody is left out: most of what is asked.
    alike: Vec<f64>,
}

/// One item's wrong answers.
#[derive(Debug, Clone)]
struct Urn {
    /// Code and how many members gave it.
    counts: Vec<(u32, u32)>,
    options: Option<u32>,
    /// Of each concentration, given the counts.
    weights: Weights,
}

/// Wrong answers of one item without those of a pair: sums over the answers that are left.
#[derive(Debug, Clone)]
pub(super) struct Others<'u> {
    urn: &'u Urn,
    gone: Gone,
    total: f64,
    squares: f64,
    weights: Weights,
}

/// Of each concentration.
type Weights = [f64; CONCENTRATIONS.len()];
/// Wrong answers of at most two models.
pub(super) type Gone = [Option<u32>; 2];

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
        let alike = items.iter().map(|urn| Others::new(urn).two_alike());
        Self {
            alike: alike.collect(),
            items,
        }
    }

    /// Probability that two further wrong answers are equal, without these of members.
    pub(super) fn two_alike(&self, item: usize, gone: Gone) -> f64 {
        match gone {
            [None, None] => self.alike[item],
            gone => self.without(item, gone).two_alike(),
        }
    }

    /// One item without these wrong answers of members.
    pub(super) fn without(&self, item: usize, gone: Gone) -> Others<'_> {
        let mut others = Others::new(&self.items[item]);
        for code in gone.into_iter().flatten() {
            others.remove(code);
        }
        others
    }
}

impl<'u> Others<'u> {
    fn new(urn: &'u Urn) -> Self {
        let counts = || urn.counts.iter().map(|(_, count)| f64::from(*count));
        Self {
            urn,
            gone: [None; 2],
            total: counts().sum(),
            squares: counts().map(|count| count * count).sum(),
            weights: urn.weights,
        }
    }

    /// See [`Distractor::two_alike`]: with `h` the prior mass of an option,
    /// `sum (c + h) (c + h + 1)` over all options, by the sums of `c` and its square.
    fn two_alike(&self) -> f64 {
        let base = self.squares + self.total;
        mean(&self.weights, |s| {
            let all = self.total + s;
            let alike = match self.urn.options {
                None => base + s,
                Some(options) => {
                    let h = self.urn.share(s);
                    base + h * (2.0 * self.total + f64::from(options) * (h + 1.0))
                }
            };
            alike / (all * (all + 1.0))
        })
    }

    /// Probability that a further wrong answer is `code`, which one model outside gave.
    pub(super) fn repeats(&self, code: u32) -> f64 {
        let before = self.count(code);
        let seen = |s: f64| self.urn.mass(s, before) / (self.total + s);
        let weights = reweighed(self.weights, seen);
        let after = f64::from(before) + 1.0;
        mean(&weights, |s| {
            (after + self.urn.share(s)) / (self.total + 1.0 + s)
        })
    }

    /// Probabilities of the wrong answers that were given, and of all others together.
    pub(super) fn law(&self) -> (Vec<(u32, f64)>, f64) {
        let left = self
            .urn
            .counts
            .iter()
            .map(|(code, _)| (*code, self.count(*code)));
        let given: Vec<(u32, f64)> = left
            .filter(|(_, count)| *count > 0)
            .map(|(code, count)| {
                let mass = |s: f64| (f64::from(count) + self.urn.share(s)) / (self.total + s);
                (code, mean(&self.weights, mass))
            })
            .collect();
        let rest = 1.0 - given.iter().map(|(_, p)| p).sum::<f64>();
        (given, rest.max(0.0))
    }

    fn count(&self, code: u32) -> u32 {
        let gone = self.gone.iter().filter(|gone| **gone == Some(code)).count() as u32;
        self.urn.count(code) - gone
    }

    /// The order of answers does not matter: the last one is taken back.
    fn remove(&mut self, code: u32) {
        let count = self.count(code);
        if count == 0 {
            return;
        }
        let total = self.total;
        let unseen = |s: f64| (total - 1.0 + s) / self.urn.mass(s, count - 1);
        self.weights = reweighed(self.weights, unseen);
        self.total -= 1.0;
        self.squares -= 2.0 * f64::from(count) - 1.0;
        let free = self.gone.iter_mut().find(|gone| gone.is_none());
        if let Some(free) = free {
            *free = Some(code);
        }
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

    fn count(&self, code: u32) -> u32 {
        let found = self.counts.iter().find(|(known, _)| *known == code);
        found.map_or(0, |(_, count)| *count)
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
}

fn mean(weights: &Weights, of: impl Fn(f64) -> f64) -> f64 {
    let terms = CONCENTRATIONS.iter().zip(weights);
    terms.map(|(s, weight)| weight * of(*s)).sum()
}

fn reweighed(mut weights: Weights, factor: impl Fn(f64) -> f64) -> Weights {
    let mut total = 0.0;
    for (weight, s) in weights.iter_mut().zip(CONCENTRATIONS) {
        *weight *= factor(s);
        total += *weight;
    }
    weights.map(|weight| weight / total)
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
                let others = fitted.without(item, [None; 2]);
                let alike = |code: u32| {
                    let before = others.count(code);
                    let first = mean(&others.weights, |s| {
                        others.urn.mass(s, before) / (others.total + s)
                    });
                    first * others.repeats(code)
                };
                let codes = if options == 0 {
                    vec![1, 2, 3, 77]
                } else {
                    vec![1, 2, 3, 4]
                };
                let seen: Vec<u32> = others.urn.counts.iter().map(|(code, _)| *code).collect();
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
        let all = urn_of(&[0, 1, 2, 3, 4]);
        let mut fewer = Others::new(&all);
        fewer.remove(1);
        fewer.remove(3);
        fewer.remove(9);
        let direct = urn_of(&[1, 2, 3]);
        for (a, b) in fewer.weights.iter().zip(direct.weights) {
            assert!((a - b).abs() < 1e-12);
        }
        assert!((fewer.two_alike() - Others::new(&direct).two_alike()).abs() < 1e-12);
        assert!((fewer.repeats(1) - Others::new(&direct).repeats(1)).abs() < 1e-12);
        let law = fewer.law();
        assert_eq!(law.0.len(), 2);
        let (one, two) = (law.0[0].1, law.0[1].1);
        assert!(law.0[0].0 == 1 && one > two && law.1 > 0.0);
        let all = fitted.without(0, [None; 2]).law();
        assert!((all.0.iter().map(|(_, p)| p).sum::<f64>() + all.1 - 1.0).abs() < 1e-12);
    }

    /// Rare answers are repeated less often than common ones; with one option left, always.
    #[test]
    fn repeats_follow_how_many_gave_it() {
        let (_, fitted) = urn(0);
        let others = fitted.without(0, [None; 2]);
        assert!(others.repeats(1) > others.repeats(2) && others.repeats(2) > others.repeats(50));
        let mut answers = Answers::of_items([(0, 2)]);
        answers.push(vec![1]).unwrap();
        let fitted = Distractor::fit(&answers, &[0]);
        assert!((fitted.without(0, [None; 2]).repeats(1) - 1.0).abs() < 1e-12);
        assert!((fitted.without(0, [Some(1), None]).two_alike() - 1.0).abs() < 1e-12);
    }
}
