//! How much of the answers is copied, and which items say so.

use super::law::PairLaw;
use crate::stat::interval::normal_quantile;

/// The share of its answers that the second model repeats from the first, the rest its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction {
    /// Most likely share.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Level of the interval.
    pub level: f64,
    /// `ln` of the likelihood of the estimate over that of no copying.
    pub ln_ratio: f64,
}

/// An item that speaks for or against copying.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Carrier {
    /// Number of the item.
    pub item: usize,
    /// Probability that an independent model gives the first model's answer.
    pub repeats: f64,
    /// Whether the answer is wrong.
    pub wrong: bool,
    /// `ln` of the item's likelihood ratio at the share that was asked for.
    pub ln_ratio: f64,
}

/// The copied share by maximum likelihood, with the interval of shares whose likelihood is not too low.
///
/// A share `c` of the answers is the first model's, the others are the second's own: equal answers on an
/// item where an independent model repeats the first with probability `q` have likelihood ratio
/// `(c + (1 - c) q) / q` to no copying, different ones `1 - c`. The logarithm is concave in `c`. The
/// interval holds the shares where twice its fall from the top stays below the quantile of chi-squared
/// with one degree of freedom, times `spread` squared: the standard deviation of the panel's own `z`
/// against the same law (1 where the law is taken as it is).
pub fn copied_fraction(pair: &PairLaw, level: f64, spread: f64) -> Fraction {
    let likelihood = Likelihood::new(pair);
    let estimate = likelihood.peak();
    let quantile = normal_quantile(0.5 + level / 2.0) * spread.max(1.0);
    let bar = likelihood.at(estimate) - 0.5 * quantile * quantile;
    Fraction {
        estimate,
        low: likelihood.crossing(bar, 0.0, estimate),
        high: likelihood.crossing(bar, 1.0, estimate),
        level,
        ln_ratio: likelihood.at(estimate),
    }
}

/// The equal answers, rarest first: those with the same wrong answer, then the others; equally rare ones in the
/// order of the items. `fraction` is the copied share that the ratios are for.
pub fn carriers(pair: &PairLaw, fraction: f64) -> Vec<Carrier> {
    let alike = pair.items.iter().filter(|item| item.alike);
    let mut carriers: Vec<Carrier> = alike
        .map(|item| Carrier {
            item: item.item,
            repeats: item.repeats,
            wrong: !item.first_right,
            ln_ratio: ln_match(item.repeats, fraction),
        })
        .collect();
    carriers.sort_by(|a, b| {
        let rarity = a.repeats.total_cmp(&b.repeats);
        b.wrong.cmp(&a.wrong).then(rarity).then(a.item.cmp(&b.item))
    });
    carriers
}

/// How many of the items, heaviest first, carry `share` of what all equal answers carry together.
pub fn carrying(carriers: &[Carrier], share: f64) -> usize {
    let mut weights: Vec<f64> = carriers.iter().map(|carrier| carrier.ln_ratio).collect();
    weights.sort_by(|a, b| b.total_cmp(a));
    let wanted = share * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let short = weights.iter().take_while(|weight| {
        let before = sum;
        sum += **weight;
        before < wanted
    });
    short.count()
}

fn ln_match(repeats: f64, fraction: f64) -> f64 {
    ((fraction + (1.0 - fraction) * repeats) / repeats).ln()
}

/// `ln` of the likelihood ratio to no copying, as a function of the copied share.
struct Likelihood {
    matched: Vec<f64>,
    unmatched: f64,
}

impl Likelihood {
    fn new(pair: &PairLaw) -> Self {
        let alike = pair.items.iter().filter(|item| item.alike);
        Self {
            matched: alike
                .map(|item| item.repeats.max(f64::MIN_POSITIVE))
                .collect(),
            unmatched: pair.items.iter().filter(|item| !item.alike).count() as f64,
        }
    }

    fn at(&self, fraction: f64) -> f64 {
        let matched: f64 = self.matched.iter().map(|q| ln_match(*q, fraction)).sum();
        if self.unmatched == 0.0 {
            matched
        } else {
            matched + self.unmatched * (-fraction).ln_1p()
        }
    }

    /// Where the slope, which falls all the way, is zero; an end of `[0, 1]` where it never is.
    fn peak(&self) -> f64 {
        let slope = |c: f64| -> f64 {
            let matched = self.matched.iter().map(|q| (1.0 - q) / (c + (1.0 - c) * q));
            matched.sum::<f64>() - self.unmatched / (1.0 - c)
        };
        if slope(0.0) <= 0.0 {
            return 0.0;
        }
        if self.unmatched == 0.0 {
            return 1.0;
        }
        bisect(0.0, 1.0, |c| slope(c) > 0.0)
    }

    /// Where it falls to `bar` between the peak and an end; the end when it never does.
    fn crossing(&self, bar: f64, end: f64, peak: f64) -> f64 {
        if self.at(end) >= bar {
            return end;
        }
        bisect(peak, end, |c| self.at(c) >= bar)
    }
}

/// Where `holds`, true at `from` and not at `to`, ends.
fn bisect(from: f64, to: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (from, to);
    for _ in 0..60 {
        let middle = (inside + outside) / 2.0;
        if holds(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    (inside + outside) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::copying::law::PairItem;
    use crate::stat::random::{stream, unit};

    fn pair(items: &[(f64, bool, bool)]) -> PairLaw {
        let item = |(item, (repeats, alike, wrong)): (usize, &(f64, bool, bool))| PairItem {
            item,
            first_right: !wrong,
            second_right: !wrong && *alike,
            alike: *alike,
            both_right: 0.0,
            wrong_alike: 0.0,
            alike_if_wrong: 0.0,
            repeats: *repeats,
        };
        PairLaw {
            items: items.iter().enumerate().map(item).collect(),
            ..PairLaw::default()
        }
    }

    /// Of 400 intervals about as many hold the truth as they say, and the estimate is the grid's best.
    #[test]
    fn intervals_cover_the_share() {
        let mut rng = stream(4, "copied share");
        for truth in [0.1, 0.5] {
            let mut covered = 0;
            for round in 0..400 {
                let items: Vec<(f64, bool, bool)> = (0..250)
                    .map(|_| {
                        let q = 0.02 + 0.6 * unit(&mut rng).powi(2);
                        (q, unit(&mut rng) < truth + (1.0 - truth) * q, true)
                    })
                    .collect();
                let pair = pair(&items);
                let found = copied_fraction(&pair, 0.9, 1.0);
                covered += i32::from(found.low <= truth && truth <= found.high);
                if round == 0 {
                    let likelihood = Likelihood::new(&pair);
                    let grid = (0..1000).map(|at| likelihood.at(f64::from(at) / 1000.0));
                    let best = grid.fold(f64::NEG_INFINITY, f64::max);
                    assert!(found.ln_ratio >= best && found.ln_ratio - best < 1e-2);
                    let wide = copied_fraction(&pair, 0.9, 2.0);
                    assert!(wide.low < found.low && wide.high > found.high);
                }
            }
            // 90 % of 400 with a standard deviation of 6.
            assert!((336..=384).contains(&covered), "{truth}: {covered}");
        }
    }

    #[test]
    fn the_ends_are_reached_and_not_passed() {
        let none = copied_fraction(&pair(&[(0.5, false, true); 20]), 0.95, 1.0);
        assert_eq!((none.estimate, none.low, none.ln_ratio), (0.0, 0.0, 0.0));
        assert!(none.high > 0.05 && none.high < 0.3);
        let all = copied_fraction(&pair(&[(0.5, true, true); 20]), 0.95, 1.0);
        assert_eq!((all.estimate, all.high), (1.0, 1.0));
        assert!((all.ln_ratio - 20.0 * 2f64.ln()).abs() < 1e-9 && all.low > 0.7);
        let nothing = copied_fraction(&pair(&[]), 0.95, 1.0);
        assert_eq!((nothing.low, nothing.high), (0.0, 1.0));
    }

    #[test]
    fn rare_shared_wrong_answers_come_first() {
        let pair = pair(&[
            (0.9, true, false),
            (0.2, true, true),
            (0.01, false, true),
            (0.01, true, true),
            (0.2, true, true),
        ]);
        let found = carriers(&pair, 0.3);
        let order: Vec<usize> = found.iter().map(|carrier| carrier.item).collect();
        assert_eq!(order, [3, 1, 4, 0]);
        assert!((found[0].ln_ratio - (0.307f64 / 0.01).ln()).abs() < 1e-12);
        // 3.42, 0.79, 0.79 and 0.03: the first carries two thirds, two more nearly all.
        assert_eq!(
            [0.0, 0.5, 0.7, 0.99].map(|share| carrying(&found, share)),
            [0, 1, 2, 3]
        );
    }
}
