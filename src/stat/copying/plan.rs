//! How many items a test of shared wrong answers needs.

use serde::Serialize;

use crate::stat::tails::{binomial_ln_tail, ln_choose};

/// Beyond so many items no plan is made.
const MOST: u64 = 1 << 16;

/// Shares of same wrong answers among shared errors for which a plan is stated; 0.65 is what the 2024
/// comparison of MiniCPM-Llama3-V 2.5 and Llama3-V found.
pub const SHARES: [f64; 3] = [0.35, 0.5, 0.65];

/// The power for which a number of items is stated.
pub const POWER: f64 = 0.9;

/// What a number of items can show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outlook {
    /// Share of same wrong answers among shared errors that is to be seen.
    pub share: f64,
    /// Items that both must get wrong for [`POWER`]; absent where no number does.
    pub both_wrong_needed: Option<u64>,
    /// Of the items at hand.
    pub power: f64,
}

/// What `items` items show of each of [`SHARES`], where both models are wrong on `both_wrong_rate` of
/// them and independent ones would give `independent` of those the same answer.
pub fn outlooks(
    independent: f64,
    ln_level: f64,
    items: u64,
    both_wrong_rate: f64,
) -> [Outlook; SHARES.len()] {
    SHARES.map(|share| {
        let plan = Plan {
            independent,
            related: share,
            ln_level,
        };
        Outlook {
            share,
            both_wrong_needed: plan.both_wrong_needed(POWER),
            power: plan.power_at(items, both_wrong_rate),
        }
    })
}

/// A binomial test of the share of same wrong answers, of independent models against relatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Share among items that both get wrong, for independent models: the panel's.
    pub independent: f64,
    /// The share that is to be seen.
    pub related: f64,
    /// `ln` of the largest p-value that counts.
    pub ln_level: f64,
}

impl Plan {
    /// Probability that the test on `both_wrong` items rejects where the share is `related`.
    pub fn power(&self, both_wrong: u64) -> f64 {
        let Some(critical) = self.critical(both_wrong) else {
            return 0.0;
        };
        binomial_ln_tail(critical, both_wrong, self.related).exp()
    }

    /// The smallest number of items that both get wrong with at least this power. The power of an exact
    /// test rises in a saw-tooth: some larger numbers may have a little less. `None` where 65,536 items
    /// are too few.
    pub fn both_wrong_needed(&self, power: f64) -> Option<u64> {
        if self.related <= self.independent {
            return None;
        }
        let enough = |n: &u64| self.power(*n) >= power;
        let high = (0..)
            .map(|at| 1u64 << at)
            .take_while(|n| *n <= MOST)
            .find(enough)?;
        // A tooth is far narrower than half of all; and one more item moves the critical number by one
        // at most.
        let mut critical = self.critical(high / 4).unwrap_or(high / 4 + 1);
        (high / 4..=high).find(|n| {
            critical += u64::from(!self.is_rare(critical, *n));
            binomial_ln_tail(critical, *n, self.related) >= power.ln()
        })
    }

    /// Items to ask for that many that both get wrong, on average, when they get this share both wrong;
    /// `None` where they never do.
    pub fn items_needed(both_wrong: u64, both_wrong_rate: f64) -> Option<u64> {
        (both_wrong_rate > 0.0).then(|| (both_wrong as f64 / both_wrong_rate).ceil() as u64)
    }

    /// Probability to reject after `items` items, whose number that both get wrong is itself chance.
    pub fn power_at(&self, items: u64, both_wrong_rate: f64) -> f64 {
        let rate = both_wrong_rate.clamp(0.0, 1.0);
        let mean = items as f64 * rate;
        // Ten standard deviations hold all but 1e-20.
        let reach = 10.0 * (mean * (1.0 - rate)).sqrt() + 10.0;
        let from = (mean - reach).max(0.0) as u64;
        let to = ((mean + reach) as u64).min(items);
        let term = |k: u64| {
            let ln = |count: u64, p: f64| {
                if count == 0 {
                    0.0
                } else {
                    count as f64 * p.ln()
                }
            };
            let weight = ln_choose(items, k) + ln(k, rate) + ln(items - k, 1.0 - rate);
            weight.exp() * self.power(k)
        };
        (from..=to).map(term).sum::<f64>().min(1.0)
    }

    /// Items that both get wrong after which a sequential test is expected to stop: the level's
    /// logarithm over the divergence of the two shares (Wald).
    pub fn sequential_items(&self) -> Option<f64> {
        let (p, q) = (self.related, self.independent);
        let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
        let divergence = part(p, q) + part(1.0 - p, 1.0 - q);
        (p > q && q > 0.0).then(|| -self.ln_level / divergence)
    }

    /// The smallest number of same wrong answers that is rare enough; `None` when all are not.
    fn critical(&self, both_wrong: u64) -> Option<u64> {
        if !self.is_rare(both_wrong, both_wrong) {
            return None;
        }
        let (mut common, mut rare_at) = (0, both_wrong);
        while rare_at - common > 1 {
            let middle = common + (rare_at - common) / 2;
            if self.is_rare(middle, both_wrong) {
                rare_at = middle;
            } else {
                common = middle;
            }
        }
        Some(rare_at)
    }

    fn is_rare(&self, alike: u64, both_wrong: u64) -> bool {
        binomial_ln_tail(alike, both_wrong, self.independent) <= self.ln_level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::{stream, unit};

    fn plan(independent: f64, related: f64, level: f64) -> Plan {
        Plan {
            independent,
            related,
            ln_level: level.ln(),
        }
    }

    #[test]
    fn numbers_of_items_equal_the_table() {
        let related = [0.20, 0.35, 0.50, 0.65, 0.80, 0.95];
        let table: [(f64, [u64; 6]); 5] = [
            (0.01, [51, 25, 14, 10, 6, 5]),
            (0.05, [143, 48, 26, 16, 11, 7]),
            (0.10, [436, 87, 39, 23, 13, 8]),
            (0.20, [0, 310, 85, 39, 23, 14]),
            (1.0 / 3.0, [0, 0, 314, 90, 40, 19]),
        ];
        let check = |plan: Plan, n: u64| {
            let found = plan.both_wrong_needed(0.9).unwrap();
            assert!(plan.power(found) >= 0.9 && plan.power(found - 1) < 0.9);
            // Of large numbers the table has the start of a later tooth.
            let apart = n.abs_diff(found) as f64;
            assert!(
                apart <= if n < 100 { 0.0 } else { 0.02 * n as f64 },
                "{plan:?}: {found}"
            );
        };
        for (independent, row) in table {
            for (related, n) in related.into_iter().zip(row).filter(|(_, n)| *n > 0) {
                check(plan(independent, related, 1e-6), n);
            }
        }
        check(plan(0.6, 0.65, 1e-6), 3447);
        check(plan(0.05, 0.65, 1e-9), 23);
        assert_eq!(plan(0.5, 0.4, 1e-6).both_wrong_needed(0.9), None);
        assert_eq!(plan(0.5, 0.5001, 1e-6).both_wrong_needed(0.9), None);
    }

    #[test]
    fn sequential_numbers_equal_the_divergence() {
        for (independent, related, n) in [
            (0.05, 0.65, 10.5),
            (1.0 / 3.0, 0.65, 66.0),
            (0.6, 0.8, 151.0),
        ] {
            let found = plan(independent, related, 1e-6).sequential_items().unwrap();
            assert!((found / n - 1.0).abs() < 0.01, "{found}");
        }
        assert_eq!(plan(0.5, 0.5, 1e-6).sequential_items(), None);
    }

    /// Against simulated tests: items that both get wrong come by chance too.
    #[test]
    fn power_equals_simulated_tests() {
        let plan = plan(0.2, 0.5, 1e-3);
        let mut rng = stream(1, "plan");
        let (items, rate, rounds) = (200, 0.15, 4000);
        let mut rejected = 0;
        for _ in 0..rounds {
            let wrong = (0..items).filter(|_| unit(&mut rng) < rate).count() as u64;
            let alike = (0..wrong).filter(|_| unit(&mut rng) < 0.5).count() as u64;
            rejected += i32::from(binomial_ln_tail(alike, wrong, 0.2) <= plan.ln_level);
        }
        let found = plan.power_at(items, rate);
        assert!(
            (f64::from(rejected) / f64::from(rounds) - found).abs() < 0.03,
            "{found}"
        );
        assert_eq!(Plan::items_needed(16, 0.168), Some(96));
        assert_eq!(Plan::items_needed(16, 0.0), None);
        assert!(plan.power_at(100_000, 0.5) > 0.999_999);
    }
}
