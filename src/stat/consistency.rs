//! Two columns of right and wrong answers to the same items.

use super::interval;
use super::tails;

/// How many items both, either or neither got right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consistency {
    /// Right in both.
    pub both_right: u64,
    /// Wrong in the first only.
    pub first_wrong: u64,
    /// Wrong in the second only.
    pub second_wrong: u64,
    /// Wrong in both.
    pub both_wrong: u64,
}

/// A ratio with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether half an item was added to each count, because one of them is 0.
    pub corrected: bool,
}

impl FromIterator<(bool, bool)> for Consistency {
    fn from_iter<T: IntoIterator<Item = (bool, bool)>>(items: T) -> Self {
        let mut counts = Self::default();
        for (first, second) in items {
            *counts.cell(first, second) += 1;
        }
        counts
    }
}

impl Consistency {
    /// The count of one kind of item.
    pub fn cell(&mut self, first_right: bool, second_right: bool) -> &mut u64 {
        match (first_right, second_right) {
            (true, true) => &mut self.both_right,
            (false, true) => &mut self.first_wrong,
            (true, false) => &mut self.second_wrong,
            (false, false) => &mut self.both_wrong,
        }
    }

    /// Items.
    pub fn n(&self) -> u64 {
        self.both_right + self.first_wrong + self.second_wrong + self.both_wrong
    }

    /// Errors of the first, and of the second.
    pub fn errors(&self) -> (u64, u64) {
        (
            self.first_wrong + self.both_wrong,
            self.second_wrong + self.both_wrong,
        )
    }

    /// Shares of right answers; not a number of no items.
    pub fn accuracies(&self) -> (f64, f64) {
        let n = self.n() as f64;
        let (a, b) = self.errors();
        (1.0 - a as f64 / n, 1.0 - b as f64 / n)
    }

    /// Share of items that both got right or both got wrong.
    pub fn observed(&self) -> f64 {
        (self.both_right + self.both_wrong) as f64 / self.n() as f64
    }

    /// The same for independent answers of these accuracies.
    pub fn expected(&self) -> f64 {
        let (a, b) = self.accuracies();
        a * b + (1.0 - a) * (1.0 - b)
    }

    /// Error consistency, Cohen's kappa of right and wrong (Geirhos, Meding, Wichmann 2020); `None`
    /// when one is always right or always wrong, since agreement then says nothing.
    pub fn kappa(&self) -> Option<f64> {
        let varies = |errors: u64| errors > 0 && errors < self.n();
        let (a, b) = self.errors();
        (varies(a) && varies(b))
            .then(|| (self.observed() - self.expected()) / (1.0 - self.expected()))
    }

    /// The largest kappa that two columns of these accuracies can have.
    pub fn most(&self) -> f64 {
        let (a, b) = self.accuracies();
        let most = a.min(b) + (1.0 - a).min(1.0 - b);
        (most - self.expected()) / (1.0 - self.expected())
    }

    /// Copy probability (Klein et al., NeurIPS 2025): the share of answers that the less accurate
    /// would have to take over from the more accurate, were all other errors independent.
    ///
    /// If `c` of the answers are taken over, the observed agreement is `c + (1 - c) e` with `e` the
    /// agreement of what is left; solved for `c` with the accuracies held, that is kappa times
    /// `(1 - expected) / (1 - expected of the better one with itself)`.
    pub fn copy_probability(&self) -> Option<f64> {
        let (a, b) = self.accuracies();
        let best = a.max(b);
        let itself = best * best + (1.0 - best) * (1.0 - best);
        Some((self.kappa()? * (1.0 - self.expected()) / (1.0 - itself)).clamp(0.0, 1.0))
    }

    /// Shared errors over all errors of the two; `None` without errors.
    pub fn jaccard(&self) -> Option<f64> {
        let all = self.first_wrong + self.second_wrong + self.both_wrong;
        (all > 0).then(|| self.both_wrong as f64 / all as f64)
    }

    /// Odds ratio of being wrong together, with Woolf's interval: the logarithm is normal with
    /// variance the sum of the reciprocal counts. `None` of no items.
    pub fn odds_ratio(&self, level: f64) -> Option<Ratio> {
        let counts = [
            self.both_right,
            self.both_wrong,
            self.first_wrong,
            self.second_wrong,
        ];
        if self.n() == 0 {
            return None;
        }
        let corrected = counts.contains(&0);
        let [right, wrong, first, second] =
            counts.map(|count| count as f64 + if corrected { 0.5 } else { 0.0 });
        let log = (right * wrong / (first * second)).ln();
        let variance = 1.0 / right + 1.0 / wrong + 1.0 / first + 1.0 / second;
        let reach = interval::normal_quantile(0.5 + level / 2.0) * variance.sqrt();
        Some(Ratio {
            value: log.exp(),
            low: (log - reach).exp(),
            high: (log + reach).exp(),
            corrected,
        })
    }

    /// McNemar's exact test of equal accuracy on the same items, two-sided, as a natural logarithm:
    /// of the items that only one got wrong, each is as likely to be the first's as the second's.
    pub fn mcnemar_ln(&self) -> f64 {
        let most = self.first_wrong.max(self.second_wrong);
        let apart = self.first_wrong + self.second_wrong;
        (tails::binomial_ln_tail(most, apart, 0.5) + std::f64::consts::LN_2).min(0.0)
    }

    /// What independent errors of these numbers would make of `both_wrong`: standard deviations above
    /// the mean, and the natural logarithm of the upper tail (hypergeometric).
    ///
    /// Not evidence of anything: hard items are hard for all. `None` where the overlap cannot vary.
    pub fn against_independence(&self) -> Option<(f64, f64)> {
        let (n, (a, b)) = (self.n(), self.errors());
        let (total, first, second) = (n as f64, a as f64, b as f64);
        let mean = first * second / total;
        let variance = mean * (total - first) / total * (total - second) / (total - 1.0);
        (n > 1 && variance > 0.0).then(|| {
            let z = (self.both_wrong as f64 - mean) / variance.sqrt();
            (z, tails::hypergeometric_ln_tail(self.both_wrong, n, a, b))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RARE_SCRIPT: Consistency = Consistency {
        both_right: 752,
        first_wrong: 54,
        second_wrong: 12,
        both_wrong: 182,
    };

    fn near(value: f64, wanted: f64, digit: f64) {
        assert!(
            (value - wanted).abs() <= digit / 2.0,
            "{value} is not {wanted}"
        );
    }

    /// 182 shared of 236 and 194 errors in 1,000.
    #[test]
    fn the_rare_script_case() {
        near(RARE_SCRIPT.kappa().unwrap(), 0.804_98, 1e-5);
        near(RARE_SCRIPT.most(), 0.876, 1e-3);
        near(RARE_SCRIPT.copy_probability().unwrap(), 0.871_15, 1e-5);
        near(RARE_SCRIPT.jaccard().unwrap(), 0.734, 1e-3);
        let odds = RARE_SCRIPT.odds_ratio(0.95).unwrap();
        near(odds.value, 211.0, 1.0);
        near(odds.low, 111.0, 1.0);
        near(odds.high, 403.0, 1.0);
        let (z, ln_p) = RARE_SCRIPT.against_independence().unwrap();
        near(z, 25.64, 0.01);
        near(tails::log10(ln_p), -132.4, 0.1);
        near(RARE_SCRIPT.mcnemar_ln().exp(), 1.7e-7, 1e-8);
    }

    /// A share `c` copied and the rest independent gives `c` back.
    #[test]
    fn the_copy_probability_is_the_share_that_was_copied() {
        // The better is right on 80 %; of the other's answers 30 % are copies, the rest right on half.
        let (best, copied, own) = (0.8, 0.3, 0.5);
        let n = 1e6;
        let cell = |a: f64, b_copy: f64, b_own: f64| {
            (n * a * (copied * b_copy + (1.0 - copied) * b_own)).round() as u64
        };
        let counts = Consistency {
            both_right: cell(best, 1.0, own),
            second_wrong: cell(best, 0.0, 1.0 - own),
            first_wrong: cell(1.0 - best, 0.0, own),
            both_wrong: cell(1.0 - best, 1.0, 1.0 - own),
        };
        near(counts.copy_probability().unwrap(), copied, 1e-5);
    }

    #[test]
    fn what_cannot_vary_says_nothing() {
        let always_right: Consistency = [(true, true), (true, false)].into_iter().collect();
        assert_eq!(always_right.kappa(), None);
        assert_eq!(always_right.against_independence(), None);
        assert!(always_right.odds_ratio(0.95).unwrap().corrected);
        assert_eq!(Consistency::default().odds_ratio(0.95), None);
        assert_eq!(Consistency::default().kappa(), None);
        assert_eq!(Consistency::default().mcnemar_ln(), 0.0);
    }
}
