//! Trials whose probabilities all have one factor that is known with an error.

use super::count::{Count, Tail};
use crate::stat::tails::log_sum_exp;

/// A number that is at least 1, known up to a normal error of its logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    /// What it is held to be, before it is taken to be at least 1.
    pub mean: f64,
    /// Standard deviation of its logarithm.
    pub sd: f64,
}

/// A count of independent trials, all of whose probabilities grow or shrink with one [`Factor`]: its law is
/// the mean of compound binomial laws over what the factor may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    trials: Vec<Trial>,
    factor: Factor,
}

/// One trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Probability at the factor's [`Factor::value`].
    pub probability: f64,
    /// The largest probability that it can have.
    pub at_most: f64,
}

/// Standard deviations below the mean at which what the factor may be begins.
const FIRST: i32 = -5;
/// Those at which it ends: twelve of them are of probability 1e-33.
const LAST: i32 = 12;
/// `ln` of the share of a tail that is not worth another law.
const NOTHING: f64 = -35.0;

impl Default for Factor {
    /// One, for certain.
    fn default() -> Self {
        Self { mean: 1.0, sd: 0.0 }
    }
}

impl Factor {
    /// What it is held to be.
    pub fn value(&self) -> f64 {
        self.mean.max(1.0)
    }

    /// `ln` of the weight, and the factor in units of its value, where it is `FIRST`, … standard deviations
    /// above. Sums over steps of one standard deviation are integrals over the normal law up to 1e-8.
    fn nodes(self) -> impl Iterator<Item = (f64, f64)> {
        let total = f64::ln((FIRST..=LAST).map(|z| weight(z).exp()).sum());
        let last = if self.sd > 0.0 { LAST } else { FIRST };
        (FIRST..=last).map(move |z| {
            if self.sd > 0.0 {
                let factor = self.mean * (self.sd * f64::from(z) - self.sd * self.sd / 2.0).exp();
                (weight(z) - total, factor.max(1.0) / self.value())
            } else {
                (0.0, 1.0)
            }
        })
    }
}

/// `ln` of the normal density at `z`, up to a constant.
fn weight(z: i32) -> f64 {
    -f64::from(z * z) / 2.0
}

impl Scaled {
    /// Trials at the factor's value, and the factor.
    pub fn new(trials: impl IntoIterator<Item = Trial>, factor: Factor) -> Self {
        Self {
            trials: trials.into_iter().collect(),
            factor,
        }
    }

    fn probabilities(&self, relative: f64) -> impl Iterator<Item = f64> {
        let trials = self.trials.iter();
        trials.map(move |trial| (trial.probability * relative).min(trial.at_most))
    }

    /// Means over the factor of the mean, and of the mean square of the count.
    fn moments(&self) -> (f64, f64) {
        let of = |(weight, relative): (f64, f64)| {
            let (mut mean, mut variance) = (0.0, 0.0);
            for p in self.probabilities(relative) {
                mean += p;
                variance += p * (1.0 - p);
            }
            let weight = weight.exp();
            (weight * mean, weight * (variance + mean * mean))
        };
        let nodes = self.factor.nodes().map(of);
        nodes.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl Tail for Scaled {
    fn len(&self) -> usize {
        self.trials.len()
    }

    fn mean(&self) -> f64 {
        self.moments().0
    }

    fn variance(&self) -> f64 {
        let (mean, square) = self.moments();
        (square - mean * mean).max(0.0)
    }

    /// The mean of the tails over what the factor may be; laws that cannot add to it are not summed.
    fn ln_tail(&self, at_least: usize) -> f64 {
        if at_least == 0 {
            return 0.0;
        }
        let mut sum = f64::NEG_INFINITY;
        for (weight, relative) in self.factor.nodes() {
            if weight < sum + NOTHING {
                continue;
            }
            let tail = Count::of_trials(self.probabilities(relative)).ln_tail(at_least);
            sum = log_sum_exp([sum, weight + tail]);
        }
        sum.min(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::{normal, stream, unit};

    fn trials(count: usize) -> Vec<Trial> {
        let trial = |at: usize| Trial {
            probability: 0.01 + 0.02 * (at % 5) as f64,
            at_most: 0.3,
        };
        (0..count).map(trial).collect()
    }

    #[test]
    fn a_certain_factor_changes_nothing() {
        let scaled = Scaled::new(trials(60), Factor::default());
        let plain = Count::of_trials(trials(60).iter().map(|trial| trial.probability));
        for at_least in 0..12 {
            assert!((scaled.ln_tail(at_least) - plain.ln_tail(at_least)).abs() < 1e-12);
        }
        assert!((scaled.mean() - plain.mean()).abs() < 1e-12);
        assert!((scaled.variance() - plain.variance()).abs() < 1e-9);
    }

    /// Factor first, trials then, a hundred thousand times.
    #[test]
    fn it_is_the_law_of_drawing_the_factor_first() {
        let factor = Factor { mean: 1.3, sd: 0.4 };
        let scaled = Scaled::new(trials(60), factor);
        let mut rng = stream(1, "scaled");
        let mut seen = [0usize; 61];
        let draws = 100_000;
        for _ in 0..draws {
            let drawn = 1.3 * (0.4 * normal(&mut rng) - 0.08f64).exp();
            let relative = drawn.max(1.0) / 1.3;
            let hits = trials(60)
                .into_iter()
                .filter(|trial| unit(&mut rng) < (trial.probability * relative).min(trial.at_most));
            seen[hits.count()] += 1;
        }
        for at_least in [1, 3, 6, 9] {
            let drawn = seen[at_least..].iter().sum::<usize>() as f64 / f64::from(draws);
            let error = (drawn / f64::from(draws)).sqrt();
            let found = scaled.ln_tail(at_least).exp();
            assert!(
                (found - drawn).abs() < 5.0 * error,
                "{at_least}: {found} {drawn}"
            );
        }
        let mean: f64 = seen.iter().enumerate().map(|(k, n)| (k * n) as f64).sum();
        assert!((scaled.mean() - mean / f64::from(draws)).abs() < 0.05);
    }

    #[test]
    fn what_cannot_be_has_no_tail() {
        let scaled = Scaled::new(trials(6), Factor { mean: 2.0, sd: 0.5 });
        assert_eq!(scaled.ln_tail(7), f64::NEG_INFINITY);
        assert_eq!(scaled.ln_tail(0), 0.0);
        assert!(scaled.ln_tail(6) < scaled.ln_tail(5));
    }
}
