//! Evidence that may be looked at after every item: e-values.

use crate::stat::tails::log_sum_exp;

/// What a p-value of the process is the probability of.
pub const NULL: &str = "evidence that ever grows as large, however long one goes on, from a second model that answers \
                        each item independently of the first, as the panel's law has it";

/// Bets on the next item being answered alike, at the odds of the panel's law: capital that starts at 1
/// and, if the law holds, has mean 1 at every time, whatever made one stop there. It ever reaches `1/a`
/// with probability at most `a` (Ville 1939; Ramdas et al., Statistical Science 38, 2023).
///
/// For a copied share `c`, equal answers multiply the capital by `(c + (1 - c) q) / q` and different
/// ones by `1 - c`, `q` the law's probability of equal answers given all that came before: the
/// likelihood ratio of copying, whose mean is `c + (1 - c) q + (1 - q) (1 - c) = 1`. It is less where
/// the true probability is below `q`. The process is the mean over several shares, so that none need
/// be guessed.
#[derive(Debug, Clone, PartialEq)]
pub struct EProcess {
    /// Shares and the logarithm of what a unit bet on each has become.
    bets: Vec<(f64, f64)>,
    power: f64,
    items: usize,
    best: f64,
}

impl EProcess {
    /// Bets in equal parts on these copied shares, those in `(0, 1)`. Every factor is taken to the power
    /// `1 / spread^2`, at most 1: the mean of a power below 1 of a number of mean 1 is at most 1, so that
    /// a panel whose own pairs spread more than its law says slows the process and never breaks it.
    pub fn new(shares: &[f64], spread: f64) -> Self {
        let inside = shares.iter().filter(|share| **share > 0.0 && **share < 1.0);
        Self {
            bets: inside.map(|share| (*share, 0.0)).collect(),
            power: 1.0 / spread.max(1.0).powi(2),
            items: 0,
            best: 0.0,
        }
    }

    /// One more item: whether it was answered alike, and the law's probability of that, given what came
    /// before. Returns `ln` of the capital. Items where the law leaves nothing open are no bet.
    pub fn add(&mut self, alike: bool, probability: f64) -> f64 {
        self.items += 1;
        if probability > 0.0 && probability < 1.0 {
            for (share, ln) in &mut self.bets {
                let factor = if alike {
                    (*share + (1.0 - *share) * probability) / probability
                } else {
                    1.0 - *share
                };
                *ln += self.power * factor.ln();
            }
        }
        let now = self.ln_e();
        self.best = self.best.max(now);
        now
    }

    /// `ln` of the capital: the e-value so far.
    pub fn ln_e(&self) -> f64 {
        if self.bets.is_empty() {
            return 0.0;
        }
        log_sum_exp(self.bets.iter().map(|(_, ln)| *ln)) - (self.bets.len() as f64).ln()
    }

    /// `ln` of the p-value that is valid at every time: one over the largest capital so far.
    pub fn ln_p(&self) -> f64 {
        -self.best
    }

    /// Items so far.
    pub fn items(&self) -> usize {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::{stream, unit};

    const SHARES: [f64; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];

    /// Streams of up to `items` items with `q` between 0.02 and 0.62; the last tells whether the level
    /// was ever reached and after how many items.
    fn reached(copied: f64, spread: f64, level: f64, items: usize, seed: u64) -> Option<usize> {
        let mut rng = stream(seed, "sequential");
        let mut process = EProcess::new(&SHARES, spread);
        (0..items).find_map(|_| {
            let q = 0.02 + 0.6 * unit(&mut rng).powi(2);
            let alike = unit(&mut rng) < copied + (1.0 - copied) * q;
            process.add(alike, q);
            (process.ln_p() <= level.ln()).then(|| process.items())
        })
    }

    /// Whoever stops at the best moment of 1,000 is still wrong at most as often as the level says.
    #[test]
    fn peeking_does_not_spoil_the_level() {
        for spread in [1.0, 1.5] {
            let rounds = 1500;
            let wrong =
                (0..rounds).filter(|seed| reached(0.0, spread, 0.05, 1000, *seed).is_some());
            // 5 % of 1,500 are 75, with a standard deviation of 8.4.
            let wrong = wrong.count();
            assert!(wrong <= 92, "{spread}: {wrong}");
        }
    }

    /// Copying is found, in about the number of items that the mean gain per item says.
    #[test]
    fn copies_are_found_early() {
        let stops: Vec<usize> = (0..200)
            .filter_map(|seed| reached(0.4, 1.0, 1e-6, 2000, seed))
            .collect();
        assert_eq!(stops.len(), 200);
        let mean = stops.iter().sum::<usize>() as f64 / 200.0;
        // The gain of the right bet, by integration over q.
        let gain: f64 = (0..1000)
            .map(|at| {
                let q = 0.02 + 0.6 * ((f64::from(at) + 0.5) / 1000.0).powi(2);
                let p = 0.4 + 0.6 * q;
                (p * (p / q).ln() + (1.0 - p) * 0.6f64.ln()) / 1000.0
            })
            .sum();
        let due = (1e6f64.ln() + 5f64.ln()) / gain;
        assert!(mean < 1.2 * due && mean > 0.7 * due, "{mean} {due}");
        let slow = reached(0.4, 2.0, 1e-6, 2000, 0).unwrap();
        assert!(slow > stops[0]);
    }

    /// Over all outcomes of four items the mean capital is 1, or less with a spread.
    #[test]
    fn the_mean_capital_is_one() {
        let q = [0.3, 0.01, 0.9, 0.5];
        for (spread, low, high) in [(1.0, 1.0 - 1e-12, 1.0 + 1e-12), (1.7, 0.3, 1.0)] {
            let mut mean = 0.0;
            for outcome in 0u32..16 {
                let (mut process, mut p) = (EProcess::new(&SHARES, spread), 1.0);
                for (at, q) in q.into_iter().enumerate() {
                    let alike = outcome >> at & 1 == 1;
                    p *= if alike { q } else { 1.0 - q };
                    process.add(alike, q);
                }
                mean += p * process.ln_e().exp();
            }
            assert!(mean >= low && mean <= high, "{mean}");
        }
        let mut none = EProcess::new(&[0.0, 1.0], 1.0);
        assert_eq!((none.add(true, 0.5), none.ln_p()), (0.0, 0.0));
    }
}
