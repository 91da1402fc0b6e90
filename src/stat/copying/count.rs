//! Exact tails of a sum of independent counts, each with its own law.

use crate::stat::tails::log_sum_exp;

/// A number of things that happened, with its law.
pub trait Tail {
    /// Number of counts that are added.
    fn len(&self) -> usize;

    /// Mean of the sum.
    fn mean(&self) -> f64;

    /// Variance of the sum.
    fn variance(&self) -> f64;

    /// `ln P(sum >= at_least)`; minus infinity where it is impossible.
    fn ln_tail(&self, at_least: usize) -> f64;

    /// Whether there is nothing to count.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Standard deviations that `observed` lies above the mean; `None` where the sum cannot vary.
    fn z(&self, observed: f64) -> Option<f64> {
        let variance = self.variance();
        (variance > 0.0).then(|| (observed - self.mean()) / variance.sqrt())
    }
}

/// Cells below this share of all are left out at the ends of a law while it is summed up.
const NOTHING: f64 = 1e-30;

/// A sum of independent counts: the compound binomial law where every count is 0 or 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Count {
    /// Probabilities of 0, 1, 2, … of each.
    laws: Vec<Vec<f64>>,
}

impl Count {
    /// Trials that succeed with these probabilities, taken into `[0, 1]`.
    pub fn of_trials(probabilities: impl IntoIterator<Item = f64>) -> Self {
        let law = |p: f64| vec![1.0 - p.clamp(0.0, 1.0), p.clamp(0.0, 1.0)];
        Self::of_laws(probabilities.into_iter().map(law))
    }

    /// Counts with these laws: probabilities of 0, 1, 2, …, each adding to 1.
    pub fn of_laws(laws: impl IntoIterator<Item = Vec<f64>>) -> Self {
        Self {
            laws: laws.into_iter().collect(),
        }
    }

    /// The tilt, at least 0, at which the mean is within half a count of `wanted`, by Newton's steps
    /// between bounds; any tilt gives the same tail, this one without loss.
    fn tilt(&self, wanted: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1024.0);
        let mut tilt = 0.0;
        for _ in 0..100 {
            let (mut mean, mut variance) = (0.0, 0.0);
            for law in &self.laws {
                let (_, first, second) = moments(law, tilt);
                mean += first;
                variance += second;
            }
            if (mean - wanted).abs() < 0.5 || (tilt == 0.0 && mean > wanted) {
                break;
            }
            if mean < wanted {
                low = tilt;
            } else {
                high = tilt;
            }
            let step = tilt + (wanted - mean) / variance;
            tilt = if step > low && step < high {
                step
            } else {
                (low + high) / 2.0
            };
        }
        tilt
    }
}

impl Tail for Count {
    fn len(&self) -> usize {
        self.laws.len()
    }

    fn mean(&self) -> f64 {
        self.laws.iter().map(|law| moments(law, 0.0).1).sum()
    }

    fn variance(&self) -> f64 {
        self.laws.iter().map(|law| moments(law, 0.0).2).sum()
    }

    /// `ln P(sum >= at_least)`, exact to rounding however small; minus infinity where it is impossible.
    ///
    /// By dynamic programming over the counts, after tilting every law by `e^(t k)` with `t` such that
    /// the tilted mean is `at_least`: the tail is then where the tilted law has its weight, so that
    /// plain numbers do not run out, and `P(sum = k) = e^(psi - t k) P_tilted(sum = k)`, `psi` the sum of
    /// the logarithms of the laws' generating functions at `t`. All terms are positive: nothing cancels.
    fn ln_tail(&self, at_least: usize) -> f64 {
        let most: usize = self.laws.iter().map(|law| largest(law)).sum();
        if at_least == 0 {
            return 0.0;
        }
        if at_least > most {
            return f64::NEG_INFINITY;
        }
        let tilt = self.tilt(at_least as f64);
        let psi: f64 = self.laws.iter().map(|law| moments(law, tilt).0).sum();
        let sum = Window::sum(&self.laws, tilt);
        let terms = sum.cells.iter().enumerate().filter_map(|(at, mass)| {
            let k = sum.from + at;
            (k >= at_least && *mass > 0.0).then(|| mass.ln() - tilt * (k - at_least) as f64)
        });
        (psi - tilt * at_least as f64 + log_sum_exp(terms)).min(0.0)
    }
}

/// The largest value with a probability.
fn largest(law: &[f64]) -> usize {
    law.iter().rposition(|p| *p > 0.0).unwrap_or(0)
}

/// `ln sum p_k e^(t k)`, and mean and variance of the tilted law.
fn moments(law: &[f64], tilt: f64) -> (f64, f64, f64) {
    let top = tilt * largest(law) as f64;
    let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
    for (k, p) in law.iter().enumerate().filter(|(_, p)| **p > 0.0) {
        let k = k as f64;
        let weight = if tilt == 0.0 {
            *p
        } else {
            p * (tilt * k - top).exp()
        };
        total += weight;
        first += weight * k;
        second += weight * k * k;
    }
    let mean = first / total;
    (
        total.ln() + top,
        mean,
        (second / total - mean * mean).max(0.0),
    )
}

fn tilted(law: &[f64], tilt: f64) -> Vec<f64> {
    let top = tilt * largest(law) as f64;
    let weights = law.iter().enumerate();
    let weights: Vec<f64> = weights
        .map(|(k, p)| p * (tilt * k as f64 - top).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The part of a law on 0, 1, 2, … that is not nothing.
struct Window {
    from: usize,
    cells: Vec<f64>,
}

impl Window {
    /// The law of the sum of tilted counts. Halves are summed apart: their windows are narrow.
    fn sum(laws: &[Vec<f64>], tilt: f64) -> Self {
        if laws.len() <= 64 {
            let mut sum = Self {
                from: 0,
                cells: vec![1.0],
            };
            for law in laws {
                sum.add(&tilted(law, tilt));
            }
            return sum;
        }
        let (left, right) = laws.split_at(laws.len() / 2);
        let (mut left, right) = (Self::sum(left, tilt), Self::sum(right, tilt));
        left.from += right.from;
        left.add(&right.cells);
        left
    }

    /// The law of the sum with one more count.
    fn add(&mut self, law: &[f64]) {
        if let [miss, hit] = law {
            let mut below = 0.0;
            for cell in &mut self.cells {
                let here = *cell;
                *cell = here * miss + below * hit;
                below = here;
            }
            self.cells.push(below * hit);
        } else {
            let old = std::mem::take(&mut self.cells);
            self.cells = vec![0.0; old.len() + law.len() - 1];
            for (k, p) in law.iter().enumerate() {
                for (cell, mass) in self.cells[k..].iter_mut().zip(&old) {
                    *cell += p * mass;
                }
            }
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.cells.last().is_some_and(|mass| *mass < NOTHING) {
            self.cells.pop();
        }
        let nothing = self
            .cells
            .iter()
            .take_while(|mass| **mass < NOTHING)
            .count();
        if nothing > 0 {
            self.cells.drain(..nothing);
            self.from += nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stat::tails::binomial_ln_tail;

    /// The law of the sum by listing every outcome.
    fn listed(laws: &[Vec<f64>]) -> Vec<f64> {
        let mut all = vec![(0usize, 1.0f64)];
        for law in laws {
            let extended = all.iter().flat_map(|(sum, p)| {
                let more = law.iter().enumerate();
                more.map(move |(k, q)| (sum + k, p * q))
            });
            all = extended.collect();
        }
        let most = laws.iter().map(|law| law.len() - 1).sum::<usize>();
        let mut sums = vec![0.0; most + 1];
        for (sum, p) in all {
            sums[sum] += p;
        }
        sums
    }

    fn check(laws: Vec<Vec<f64>>) {
        let sums = listed(&laws);
        let count = Count::of_laws(laws);
        let mean: f64 = sums.iter().enumerate().map(|(k, p)| k as f64 * p).sum();
        assert!((count.mean() - mean).abs() < 1e-12);
        for at_least in 0..=sums.len() {
            let truth: f64 = sums[at_least..].iter().sum();
            let found = count.ln_tail(at_least);
            if truth < 1e-280 {
                assert!(found < -600.0, "{at_least}: {found}");
            } else {
                assert!(
                    (found - truth.ln()).abs() < 1e-9,
                    "{at_least}: {found} {}",
                    truth.ln()
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn trials_equal_a_list_of_all_outcomes(
            exponents in prop::collection::vec((-8i32..1, 1u32..10), 1..9)
        ) {
            let p = |(e, x): &(i32, u32)| f64::from(*x) / 10.0 * 10f64.powi(*e);
            check(exponents.iter().map(|e| vec![1.0 - p(e), p(e)]).collect());
        }

        #[test]
        fn counts_equal_a_list_of_all_outcomes(
            weights in prop::collection::vec(prop::collection::vec(1u32..50, 1..5), 1..6)
        ) {
            let law = |weights: &Vec<u32>| {
                let total = weights.iter().sum::<u32>();
                weights.iter().map(|w| f64::from(*w) / f64::from(total)).collect::<Vec<f64>>()
            };
            check(weights.iter().map(law).collect());
        }
    }

    #[test]
    fn sure_and_impossible_trials_are_counted() {
        let count = Count::of_trials([1.0, 0.0, 0.5, 1.0, -3.0]);
        assert!(count.ln_tail(2).abs() < 1e-12);
        assert!((count.ln_tail(3) - 0.5f64.ln()).abs() < 1e-12);
        assert_eq!(count.ln_tail(4), f64::NEG_INFINITY);
        assert_eq!(count.ln_tail(0), 0.0);
        assert_eq!(Count::of_trials([1.0]).z(1.0), None);
    }

    /// Far beyond where plain numbers end, and over more trials than cells are kept for.
    #[test]
    fn equal_trials_are_the_binomial_law() {
        for (n, p, k) in [
            (1000u64, 0.01, 700u64),
            (20_000, 0.3, 6_500),
            (5_000, 0.9, 4_000),
            (300, 1e-6, 300),
        ] {
            let found = Count::of_trials((0..n).map(|_| p)).ln_tail(k as usize);
            let truth = binomial_ln_tail(k, n, p);
            assert!(
                (found - truth).abs() < 1e-9 * truth.abs().max(1.0),
                "{n} {p} {k}: {found} {truth}"
            );
        }
    }
}
