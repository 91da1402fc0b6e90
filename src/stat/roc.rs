//! How well a score tells two groups apart.
//!
//! A score that does not exist (a method that does not apply) is passed as minus infinity: it detects
//! nothing, and ties with others of its kind.

/// Probability that a random related pair scores higher than a random independent one, ties counting
/// one half (Mann and Whitney 1947). `None` when either group is empty.
pub fn auc(related: &[f64], independent: &[f64]) -> Option<f64> {
    if related.is_empty() || independent.is_empty() {
        return None;
    }
    let sorted = sorted(independent);
    let wins: f64 = related
        .iter()
        .map(|score| {
            let below = sorted.partition_point(|other| other.total_cmp(score).is_lt());
            let upto = sorted.partition_point(|other| other.total_cmp(score).is_le());
            (below + upto) as f64 / 2.0
        })
        .sum();
    Some(wins / (related.len() as f64 * independent.len() as f64))
}

/// Power at a false-positive rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operating {
    /// Scores strictly above this are called.
    pub above: f64,
    /// Related ones called.
    pub detected: u64,
    /// Independent ones called; at most `rate` of them.
    pub called: u64,
    /// Whether there are enough independent scores (`1 / rate`) to tell this rate from zero.
    pub resolved: bool,
}

/// The lowest threshold that calls at most a share `rate` of the independent scores, and what it
/// detects. `None` when there are no independent scores.
///
/// A score of minus infinity is never called, whatever the threshold.
pub fn at_rate(related: &[f64], independent: &[f64], rate: f64) -> Option<Operating> {
    let sorted = sorted(independent);
    if sorted.is_empty() {
        return None;
    }
    let allowed = (rate * sorted.len() as f64 + 1e-9).floor() as usize;
    // One more than allowed from the top: what does not exceed it is not called.
    let above = sorted[sorted.len() - 1 - allowed.min(sorted.len() - 1)];
    let count = |scores: &[f64]| scores.iter().filter(|score| **score > above).count() as u64;
    Some(Operating {
        above,
        detected: count(related),
        called: count(independent),
        resolved: sorted.len() as f64 * rate >= 1.0 - 1e-9,
    })
}

/// Points `(false-positive rate, true-positive rate)` from `(0, 0)` to `(1, 1)`, one per distinct
/// score; empty when either group is.
pub fn curve(related: &[f64], independent: &[f64]) -> Vec<(f64, f64)> {
    if related.is_empty() || independent.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<(f64, bool)> = related.iter().map(|score| (*score, true)).collect();
    all.extend(independent.iter().map(|score| (*score, false)));
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut points = vec![(0.0, 0.0)];
    for (at, (score, is_related)) in all.iter().enumerate() {
        if *is_related {
            hits += 1.0 / related.len() as f64;
        } else {
            alarms += 1.0 / independent.len() as f64;
        }
        let last_of_ties = all
            .get(at + 1)
            .is_none_or(|(next, _)| next.total_cmp(score).is_ne());
        if last_of_ties {
            points.push((f64::min(alarms, 1.0), f64::min(hits, 1.0)));
        }
    }
    points
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    const NONE: f64 = f64::NEG_INFINITY;

    /// Draws with many ties and some missing scores.
    fn draws(seed: u64, n: usize, shift: usize) -> Vec<f64> {
        let mut rng = random::stream(seed, "roc");
        (0..n)
            .map(|_| match random::below(&mut rng, 8) {
                0 => NONE,
                k => (k + shift) as f64,
            })
            .collect()
    }

    #[test]
    fn auc_equals_counting_all_pairs() {
        for seed in 0..30 {
            let (related, independent) = (draws(seed, 17, 2), draws(seed + 100, 23, 0));
            let mut wins = 0.0;
            for a in &related {
                for b in &independent {
                    wins += if a > b {
                        1.0
                    } else if a == b {
                        0.5
                    } else {
                        0.0
                    };
                }
            }
            let auc = auc(&related, &independent).unwrap();
            assert!((auc - wins / (17.0 * 23.0)).abs() < 1e-12);
            // The area under the drawn curve is the same number.
            let area: f64 = curve(&related, &independent)
                .windows(2)
                .map(|w| (w[1].0 - w[0].0) * (w[0].1 + w[1].1) / 2.0)
                .sum();
            assert!((auc - area).abs() < 1e-12, "{auc} {area}");
        }
        assert_eq!(auc(&[], &[1.0]), None);
        assert_eq!(auc(&[1.0], &[]), None);
    }

    #[test]
    fn power_at_a_rate_equals_trying_every_threshold() {
        for seed in 0..30 {
            let (related, independent) = (draws(seed, 40, 1), draws(seed + 100, 60, 0));
            for rate in [0.0, 0.01, 0.05, 0.3] {
                let got = at_rate(&related, &independent, rate).unwrap();
                let best = independent
                    .iter()
                    .filter(|t| {
                        let called = independent.iter().filter(|s| s > t).count() as f64;
                        called <= rate * 60.0 + 1e-9
                    })
                    .map(|t| related.iter().filter(|s| *s > t).count() as u64)
                    .max();
                assert_eq!(Some(got.detected), best, "seed {seed} rate {rate}");
                assert!(got.called as f64 <= rate * 60.0 + 1e-9);
            }
        }
    }

    #[test]
    fn few_negatives_cannot_resolve_a_small_rate() {
        let independent: Vec<f64> = (0..99).map(f64::from).collect();
        assert!(!at_rate(&[1e3], &independent, 0.01).unwrap().resolved);
        let independent: Vec<f64> = (0..100).map(f64::from).collect();
        let at = at_rate(&[1e3, 98.5], &independent, 0.01).unwrap();
        assert!(at.resolved);
        assert_eq!((at.above, at.called, at.detected), (98.0, 1, 2));
        assert!(at_rate(&[1.0], &[], 0.01).is_none());
    }

    #[test]
    fn what_has_no_score_is_never_called() {
        let at = at_rate(&[NONE, NONE, 1.0], &[NONE, NONE], 0.01).unwrap();
        assert_eq!((at.detected, at.called), (1, 0));
    }
}
