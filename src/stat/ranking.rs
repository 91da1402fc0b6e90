//! How alike two rankings, or two laws over the same things, are.

use std::collections::BTreeSet;

/// Extrapolated rank-biased overlap of two rankings without ties: 1 for equal ones, 0 for disjoint ones,
/// the top weighing most (Webber, Moffat and Zobel, ACM Transactions on Information Systems 28, 2010,
/// equation 32).
///
/// `persistence` `p` in `(0, 1)`: depth `d` weighs `(1 - p) p^(d-1)`. Agreement beyond the lists is
/// taken to go on as it ended. `None` for an empty list, a thing that occurs twice in one, or another `p`.
pub fn rank_biased_overlap<T: Ord>(first: &[T], second: &[T], persistence: f64) -> Option<f64> {
    let distinct = |list: &[T]| list.iter().collect::<BTreeSet<&T>>().len() == list.len();
    let inside = persistence > 0.0 && persistence < 1.0;
    if !inside || first.is_empty() || second.is_empty() || !distinct(first) || !distinct(second) {
        return None;
    }
    let (short, long) = if first.len() <= second.len() {
        (first, second)
    } else {
        (second, first)
    };
    let (mut seen_short, mut seen_long) = (BTreeSet::new(), BTreeSet::new());
    let (mut overlap, mut at_short) = (0.0, 0.0);
    let (mut sum, mut weight) = (0.0, 1.0 - persistence);
    let mut agreement = 0.0;
    for depth in 1..=long.len() {
        overlap += f64::from(u8::from(long.get(depth - 1) == short.get(depth - 1)));
        if long.get(depth - 1) != short.get(depth - 1) {
            overlap += f64::from(u8::from(
                long.get(depth - 1).is_some_and(|x| seen_short.contains(x)),
            ));
            overlap += f64::from(u8::from(
                short.get(depth - 1).is_some_and(|x| seen_long.contains(x)),
            ));
        }
        seen_long.extend(long.get(depth - 1));
        seen_short.extend(short.get(depth - 1));
        if depth == short.len() {
            at_short = overlap;
        }
        // Of what the shorter list does not reach, as large a part is taken to be shared as of the rest.
        let beyond = depth.saturating_sub(short.len()) as f64;
        agreement = (overlap + at_short * beyond / short.len() as f64) / depth as f64;
        sum += weight * agreement;
        weight *= persistence;
    }
    Some(sum + agreement * persistence.powi(i32::try_from(long.len()).unwrap_or(i32::MAX)))
}

/// Jensen and Shannon's divergence in bits, 0 for equal laws and 1 for disjoint ones (Lin, IEEE
/// Transactions on Information Theory 37, 1991).
///
/// Weights over the same things in the same order, each taken as shares of its sum. `None` when the
/// lengths differ, a weight is negative or no number, or a sum is 0.
pub fn jensen_shannon(first: &[f64], second: &[f64]) -> Option<f64> {
    let total = |weights: &[f64]| {
        let fine = weights
            .iter()
            .all(|weight| weight.is_finite() && *weight >= 0.0);
        Some(weights.iter().sum::<f64>()).filter(|total| fine && *total > 0.0)
    };
    let (p_total, q_total) = (total(first)?, total(second)?);
    if first.len() != second.len() {
        return None;
    }
    let part = |p: f64, middle: f64| {
        if p > 0.0 {
            0.5 * p * (p / middle).log2()
        } else {
            0.0
        }
    };
    let terms = first.iter().zip(second).map(|(p, q)| {
        let (p, q) = (p / p_total, q / q_total);
        let middle = (p + q) / 2.0;
        part(p, middle) + part(q, middle)
    });
    Some(terms.sum::<f64>().clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By its definition: agreement at every depth, the overlap of sets counted anew, to depth 3,000.
    fn listed(first: &[u32], second: &[u32], p: f64) -> f64 {
        let (short, long) = if first.len() <= second.len() {
            (first, second)
        } else {
            (second, first)
        };
        let overlap = |depth: usize| {
            let head = |list: &[u32]| {
                list[..depth.min(list.len())]
                    .iter()
                    .copied()
                    .collect::<BTreeSet<u32>>()
            };
            head(short).intersection(&head(long)).count() as f64
        };
        let s = short.len();
        let agreement = |depth: usize| {
            let at = depth.min(long.len());
            (overlap(at) + overlap(s) * at.saturating_sub(s) as f64 / s as f64) / at as f64
        };
        (1..3000)
            .map(|depth| (1.0 - p) * p.powi(depth as i32 - 1) * agreement(depth))
            .sum()
    }

    proptest! {
        #[test]
        fn overlap_equals_its_definition(
            first in Just((0u32..12).collect::<Vec<_>>()).prop_shuffle(),
            second in Just((4u32..16).collect::<Vec<_>>()).prop_shuffle(),
            lengths in (1usize..12, 1usize..12),
            p in 0.05f64..0.97,
        ) {
            let (first, second) = (&first[..lengths.0], &second[..lengths.1]);
            let found = rank_biased_overlap(first, second, p).unwrap();
            prop_assert!((found - listed(first, second, p)).abs() < 1e-9);
            let turned = rank_biased_overlap(second, first, p).unwrap();
            prop_assert!((found - turned).abs() < 1e-12);
        }
    }

    #[test]
    fn ends_of_the_overlap() {
        assert!((rank_biased_overlap(&[1, 2, 3], &[1, 2, 3], 0.9).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(rank_biased_overlap(&[1, 2], &[3, 4], 0.9), Some(0.0));
        assert_eq!(rank_biased_overlap(&[1, 1], &[3, 4], 0.9), None);
        assert_eq!(rank_biased_overlap::<u32>(&[], &[3], 0.9), None);
        assert_eq!(rank_biased_overlap(&[1], &[1], 1.0), None);
    }

    #[test]
    fn divergences_by_hand() {
        let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-12, "{a:?} {b}");
        close(jensen_shannon(&[0.5, 0.5], &[2.0, 2.0]), 0.0);
        close(jensen_shannon(&[1.0, 0.0], &[0.0, 3.0]), 1.0);
        // Half of (1, 0) to (3/4, 1/4), half of (1/2, 1/2) to the same.
        let by_hand = 0.5 * (4.0f64 / 3.0).log2() + 0.5 * (0.5 * (2.0f64 / 3.0).log2() + 0.5);
        close(jensen_shannon(&[1.0, 0.0], &[0.5, 0.5]), by_hand);
        assert_eq!(jensen_shannon(&[1.0], &[0.5, 0.5]), None);
        assert_eq!(jensen_shannon(&[0.0], &[1.0]), None);
        assert_eq!(jensen_shannon(&[f64::NAN, 1.0], &[1.0, 1.0]), None);
    }
}
