//! Confidence intervals.

use super::random;
use super::tails;

/// The `p`-quantile of the standard normal distribution, for `p` in `(0, 1)`.
pub fn normal_quantile(p: f64) -> f64 {
    // Bisection on the distribution function: forty digits are not needed, sixty halvings are cheap.
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        if below < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Wilson's score interval for a proportion; `(0, 1)` of nothing.
pub fn wilson(successes: u64, n: u64, level: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let z = normal_quantile(0.5 + level / 2.0);
    let (n, p) = (n as f64, successes as f64 / n as f64);
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let reach = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let low = if successes == 0 { 0.0 } else { centre - reach };
    let high = if p >= 1.0 { 1.0 } else { centre + reach };
    (low.max(0.0), high.min(1.0))
}

/// Exact interval for a proportion (Clopper and Pearson 1934); `(0, 1)` of nothing.
///
/// Never covers less than `level`; with no successes its upper end is `1 - (tail)^(1/n)`.
pub fn clopper_pearson(successes: u64, n: u64, level: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let successes = successes.min(n);
    let tail = ((1.0 - level) / 2.0).ln();
    // P(X >= k) rises with p: bisect for the p at which it equals the tail.
    let solve = |ln_tail: &dyn Fn(f64) -> f64| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if ln_tail(middle) < tail {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low + high) / 2.0
    };
    let low = match successes {
        0 => 0.0,
        k => solve(&|p| tails::binomial_ln_tail(k, n, p)),
    };
    // P(X <= k) is the probability of at least n - k failures.
    let high = match n - successes {
        0 => 1.0,
        k => 1.0 - solve(&|q| tails::binomial_ln_tail(k, n, q)),
    };
    (low, high)
}

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Resamples.
    pub draws: usize,
    /// For instance 0.95.
    pub level: f64,
    /// Makes it repeatable.
    pub seed: u64,
}

impl Bootstrap {
    /// Percentile interval of `statistic` when the items of each stratum (sizes in `strata`) are drawn
    /// with replacement.
    ///
    /// `statistic` gets the drawn indices per stratum. `None` when it is undefined on a half or more
    /// of the resamples.
    pub fn interval(
        &self,
        strata: &[usize],
        statistic: impl Fn(&[Vec<usize>]) -> Option<f64>,
    ) -> Option<(f64, f64)> {
        let mut rng = random::stream(self.seed, "bootstrap");
        let mut values: Vec<f64> = (0..self.draws)
            .filter_map(|_| {
                let drawn: Vec<Vec<usize>> = strata
                    .iter()
                    .map(|&n| (0..n).map(|_| random::below(&mut rng, n)).collect())
                    .collect();
                statistic(&drawn)
            })
            .collect();
        if values.is_empty() || values.len() * 2 <= self.draws {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Some((quantile(&values, tail), quantile(&values, 1.0 - tail)))
    }
}

/// The `p`-quantile of sorted values, linear between order statistics.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len().saturating_sub(1));
    match (sorted.get(low), sorted.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * (place - low as f64),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal() {
        for (p, z) in [(0.975, 1.959_963_985), (0.5, 0.0), (1e-9, -5.997_807_015)] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
        }
    }

    /// Published intervals of the rare-script case: 182/194 and 182/236, level 0.95.
    #[test]
    fn wilson_equals_published_intervals() {
        for (x, n, low, high) in [(182, 194, 0.895, 0.964), (182, 236, 0.714, 0.820)] {
            let (a, b) = wilson(x, n, 0.95);
            assert!((a - low).abs() < 6e-4 && (b - high).abs() < 6e-4, "{a} {b}");
        }
        let (low, high) = wilson(0, 10, 0.95);
        assert!(low == 0.0 && (high - 0.2775).abs() < 1e-3);
        assert_eq!(wilson(10, 10, 0.95).1, 1.0);
        assert_eq!(wilson(0, 0, 0.95), (0.0, 1.0));
    }

    /// Closed forms at the ends, and a published table value (Clopper and Pearson: 4 of 10, 95 %).
    #[test]
    fn clopper_pearson_equals_published_intervals() {
        let (low, high) = clopper_pearson(4, 10, 0.95);
        assert!((low - 0.1216).abs() < 1e-4 && (high - 0.7376).abs() < 1e-4);
        for n in [1u64, 6, 55, 435] {
            let (low, high) = clopper_pearson(0, n, 0.95);
            assert!(low == 0.0 && (high - (1.0 - 0.025_f64.powf(1.0 / n as f64))).abs() < 1e-9);
            let (low, high) = clopper_pearson(n, n, 0.95);
            assert!(high == 1.0 && (low - 0.025_f64.powf(1.0 / n as f64)).abs() < 1e-9);
        }
        assert_eq!(clopper_pearson(0, 0, 0.95), (0.0, 1.0));
    }

    /// The exact coverage of every true rate on a grid is at least the level.
    #[test]
    fn clopper_pearson_never_covers_less() {
        let n = 20u64;
        let intervals: Vec<_> = (0..=n).map(|k| clopper_pearson(k, n, 0.9)).collect();
        for step in 1..50 {
            let p = f64::from(step) / 50.0;
            let covered: f64 = (0..=n)
                .filter(|k| {
                    let (low, high) = intervals[*k as usize];
                    low <= p && p <= high
                })
                .map(|k| {
                    (tails::ln_choose(n, k) + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p())
                        .exp()
                })
                .sum();
            assert!(covered >= 0.9 - 1e-9, "{p}: {covered}");
        }
    }

    /// Coverage of the mean of a stratified sample is near its level, and the seed repeats it.
    #[test]
    fn bootstrap_covers_the_mean() {
        let mut rng = random::stream(1, "bootstrap test");
        let mut covered = 0;
        let trials = 300;
        for trial in 0..trials {
            let data: Vec<f64> = (0..60).map(|_| random::normal(&mut rng)).collect();
            let boot = Bootstrap {
                draws: 300,
                level: 0.9,
                seed: trial,
            };
            let mean = |drawn: &[Vec<usize>]| {
                let values = drawn[0].iter().map(|&i| data[i]);
                Some(values.sum::<f64>() / data.len() as f64)
            };
            let (low, high) = boot.interval(&[60], mean).unwrap();
            assert_eq!(boot.interval(&[60], mean), Some((low, high)));
            covered += usize::from(low <= 0.0 && 0.0 <= high);
        }
        let share = covered as f64 / trials as f64;
        assert!((0.83..0.96).contains(&share), "{share}");
    }

    #[test]
    fn undefined_statistics_have_no_interval() {
        let boot = Bootstrap {
            draws: 50,
            level: 0.95,
            seed: 0,
        };
        assert_eq!(boot.interval(&[5], |_| None), None);
    }
}
