//! Exact tests on indices: what permuting one model's units cannot fake.
//!
//! Hidden units of an MLP carry no meaning in their order. If two models were initialised
//! independently and trained by a rule that treats units alike, then the order of one model's
//! units, given everything else, is uniformly random. A map from units of one model to their nearest
//! units in the other then meets its own index only by chance. Bounds, not simulations: both
//! tests below follow from counting (Markov's inequality on the number of `k`-subsets) and hold for
//! any map that does not look at the index, one-to-one or not.

use super::tails::ln_choose;
use super::tails::ln_factorial;

/// One group of interchangeable units: how many of how many were looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Units looked up.
    pub queries: u64,
    /// Units there are (in either model).
    pub units: u64,
}

/// `ln` of a bound on `P(F >= hits)`, `F` the number of queries mapped to their own index, summed over
/// independent groups.
///
/// For one group, `k` queries are all fixed by a uniformly random permutation with probability
/// `(h-k)!/h!` if their images differ and 0 otherwise, hence
/// `P(F >= k) <= E[C(F, k)] <= C(m, k) (h-k)!/h!` (`1/k!` when every unit is looked up). For several
/// groups with independent permutations the same count gives
/// `sum_{k1+...=k} prod C(m_l, k_l) (h_l-k_l)!/h_l!`, which is at most `(sum m_l/h_l)^k / k!` since
/// `m!/(m-k)! * (h-k)!/h! <= (m/h)^k`.
pub fn fixed_points_ln_p(hits: u64, groups: &[Group]) -> f64 {
    let bound = match groups {
        [one] => {
            let (m, h) = (one.queries.min(one.units), one.units);
            ln_choose(m, hits) - ln_choose(h, hits.min(h)) - ln_factorial(hits)
        }
        many => hits as f64 * expected_hits(many).ln() - ln_factorial(hits),
    };
    if hits == 0 { 0.0 } else { bound.min(0.0) }
}

/// Mean number of queries that a random order maps to their own index: `sum m/h`.
pub fn expected_hits(groups: &[Group]) -> f64 {
    groups
        .iter()
        .filter(|group| group.units > 0)
        .map(|group| group.queries as f64 / group.units as f64)
        .sum()
}

/// Length of the longest strictly increasing subsequence.
pub fn longest_increasing(sequence: &[usize]) -> usize {
    let mut ends: Vec<usize> = Vec::new();
    for &value in sequence {
        let place = ends.partition_point(|end| *end < value);
        match ends.get_mut(place) {
            Some(end) => *end = value,
            None => ends.push(value),
        }
    }
    ends.len()
}

/// `ln` of a bound on `P(longest increasing subsequence >= length)` of the images of `queries` units,
/// taken in their own order, in a randomly ordered model.
///
/// `k` chosen queries with different images come out in increasing order with probability `1/k!`,
/// hence `P(LIS >= k) <= C(n, k)/k!`; the best `k` up to `length` is taken (the bound first rises).
pub fn order_ln_p(length: u64, queries: u64) -> f64 {
    (0..=length)
        .map(|k| ln_choose(queries, k) - ln_factorial(k))
        .fold(0.0, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::every::orders;
    use crate::stat::random;

    /// Calls `visit` with every permutation of `0..n`.
    /// Every permutation of 7 units under several maps (one-to-one, with a hub, constant) and query
    /// counts: the true tail never exceeds the bound.
    #[test]
    fn fixed_point_bound_holds_over_all_orders() {
        let h = 7;
        let maps = [
            [0, 1, 2, 3, 4, 5, 6],
            [3, 3, 3, 3, 1, 0, 6],
            [2, 2, 2, 2, 2, 2, 2],
            [5, 0, 0, 1, 1, 6, 6],
        ];
        for map in maps {
            for m in 1..=h {
                let mut counts = vec![0u64; m + 1];
                orders(h, &mut |order| {
                    counts[(0..m).filter(|&i| order[map[i]] == i).count()] += 1;
                });
                let all: u64 = counts.iter().sum();
                for k in 0..=m {
                    let tail = counts[k..].iter().sum::<u64>() as f64 / all as f64;
                    let group = Group {
                        queries: m as u64,
                        units: h as u64,
                    };
                    let bound = fixed_points_ln_p(k as u64, &[group]).exp();
                    assert!(tail <= bound * (1.0 + 1e-9), "{map:?} m={m} k={k}");
                }
            }
        }
    }

    /// Two groups with independent orders, all pairs of permutations.
    #[test]
    fn fixed_point_bound_holds_for_sums() {
        let (h, m) = (5, 3);
        let group = Group {
            queries: m as u64,
            units: h as u64,
        };
        let mut one = vec![0u64; m + 1];
        orders(h, &mut |order| {
            one[(0..m).filter(|&i| order[i] == i).count()] += 1;
        });
        let all = one.iter().sum::<u64>().pow(2) as f64;
        for k in 0..=2 * m {
            let mut hits = 0;
            for (a, x) in one.iter().enumerate() {
                for (b, y) in one.iter().enumerate() {
                    hits += if a + b >= k { x * y } else { 0 };
                }
            }
            let bound = fixed_points_ln_p(k as u64, &[group, group]).exp();
            assert!(hits as f64 / all <= bound * (1.0 + 1e-9), "k={k}");
        }
    }

    #[test]
    fn whole_groups_give_the_factorial() {
        let group = Group {
            queries: 512,
            units: 512,
        };
        for k in [1, 7, 400] {
            assert!((fixed_points_ln_p(k, &[group]) + ln_factorial(k)).abs() < 1e-6);
        }
        assert_eq!(fixed_points_ln_p(0, &[group]), 0.0);
        let two = fixed_points_ln_p(9, &[group, group]);
        assert!((two - (9.0 * 2f64.ln() - ln_factorial(9))).abs() < 1e-9);
    }

    #[test]
    fn order_bound_holds_over_all_orders() {
        let (h, queries) = (7usize, [0usize, 2, 3, 4, 6]);
        for map in [[0, 1, 2, 3, 4, 5, 6], [6, 6, 0, 1, 0, 5, 5]] {
            let mut counts = vec![0u64; queries.len() + 1];
            orders(h, &mut |order| {
                let images: Vec<usize> = queries.iter().map(|&i| order[map[i]]).collect();
                counts[longest_increasing(&images)] += 1;
            });
            let all: u64 = counts.iter().sum();
            for k in 0..counts.len() {
                let tail = counts[k..].iter().sum::<u64>() as f64 / all as f64;
                let bound = order_ln_p(k as u64, queries.len() as u64).exp();
                assert!(tail <= bound * (1.0 + 1e-9), "{map:?} k={k}");
            }
        }
        // 14,336 units: 332 in order already reach 1e-10, while chance gives about 239.
        assert!(order_ln_p(332, 14_336) < -10.0 * std::f64::consts::LN_10);
        assert_eq!(order_ln_p(239, 14_336), 0.0);
    }

    #[test]
    fn longest_increasing_equals_brute_force() {
        let mut rng = random::stream(3, "lis");
        for _ in 0..200 {
            let sequence: Vec<usize> = (0..9).map(|_| random::below(&mut rng, 7)).collect();
            let best = (0u32..512)
                .filter(|mask| {
                    let chosen: Vec<usize> = (0..9)
                        .filter(|i| mask >> i & 1 == 1)
                        .map(|i| sequence[i])
                        .collect();
                    chosen.windows(2).all(|pair| pair[0] < pair[1])
                })
                .map(u32::count_ones)
                .max();
            assert_eq!(Some(longest_increasing(&sequence) as u32), best);
        }
    }
}
