//! Exact laws of counts that a random order gives: of small numbers every probability, not a bound.

use std::collections::BTreeMap;

use super::index::order_ln_p;
use super::tails::{ln_choose, ln_factorial, log_sum_exp};

/// Up to so many items the law of the longest increasing subsequence is summed over all shapes; beyond,
/// the shapes are too many and a bound takes its place.
const SHAPES: u64 = 32;

/// Largest value that [`Law::meetings`] gives a probability to.
pub const MEETINGS: usize = 48;

/// A law on 0, 1, 2, …: natural logarithms of the probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Law(Vec<f64>);

impl Law {
    /// Zero, surely.
    pub fn zero() -> Self {
        Self(vec![0.0])
    }

    /// Fixed points of a uniformly random permutation of `n` items (rencontres numbers):
    /// `P(F = k) = 1/k! * sum_{j <= n-k} (-1)^j / j!`.
    pub fn fixed_points(n: u64) -> Self {
        let without = |m: u64| -> f64 {
            let term =
                |j: u64| (-ln_factorial(j)).exp() * if j.is_multiple_of(2) { 1.0 } else { -1.0 };
            // Exactly none: one item alone cannot leave its place.
            if m == 1 { 0.0 } else { (0..=m).map(term).sum() }
        };
        Self(
            (0..=n)
                .map(|k| without(n - k).ln() - ln_factorial(k))
                .collect(),
        )
    }

    /// Longest increasing subsequence of a uniformly random permutation of `n` items: by the
    /// Robinson-Schensted correspondence `P(LIS = k) = sum (f^s)^2 / n!` over the shapes `s` of `n` cells
    /// with a first row of `k`, where `f^s` counts standard tableaux (hook lengths).
    ///
    /// Beyond 32 items the largest law that the bound [`order_ln_p`] allows: tails of it, and of sums
    /// with it, are then too large, never too small.
    pub fn increasing(n: u64) -> Self {
        if n <= SHAPES {
            let mut terms = vec![Vec::new(); n as usize + 1];
            shapes(n, n, &mut Vec::new(), &mut |shape| {
                let first = shape.first().copied().unwrap_or(0) as usize;
                terms[first].push(2.0 * ln_tableaux(shape) - ln_factorial(n));
            });
            return Self(terms.into_iter().map(log_sum_exp).collect());
        }
        let at_least = |k: u64| order_ln_p(k, n);
        let mass = |k: u64| match (at_least(k), at_least(k + 1)) {
            (here, _) if k == n => here,
            (here, next) => here + (-(next - here).exp_m1()).max(0.0).ln(),
        };
        Self((0..=n).map(mass).collect())
    }

    /// Of how many of the things that were mapped to `images` among `units` meet their own index, when the
    /// order of the units is uniformly random and the map, one-to-one or not, does not look at it.
    ///
    /// A unit that is the image of `c` things is met by at most one of them. `k` things with different
    /// images all meet their index with probability `(h-k)!/h!`, and `e_k(c_1, c_2, ...)` sets of `k` have
    /// different images, so that `P(F = j) = sum_{k >= j} (-1)^(k-j) C(k,j) e_k (h-k)!/h!`. Values above 48
    /// are left out: their probability is below `1/48!` under any map.
    pub fn meetings(images: &[usize], units: u64) -> Self {
        let mut fibres: BTreeMap<usize, f64> = BTreeMap::new();
        for image in images {
            *fibres.entry(*image).or_default() += 1.0;
        }
        let most = fibres.len().min(2 * MEETINGS);
        let mut chosen = vec![0.0; most + 1];
        chosen[0] = 1.0;
        for fibre in fibres.values() {
            for k in (1..=most).rev() {
                chosen[k] += chosen[k - 1] * fibre;
            }
        }
        // Binomial moments E[C(F, k)], at most 1/k!.
        let moment = |(k, sets): (usize, &f64)| {
            let k = k as u64;
            sets * (ln_factorial(units - k) - ln_factorial(units)).exp()
        };
        let moments: Vec<f64> = chosen.iter().enumerate().map(moment).collect();
        let mass = |j: usize| {
            let mut left = 0.0;
            for (k, moment) in moments.iter().enumerate().skip(j) {
                let sign = if (k - j).is_multiple_of(2) { 1.0 } else { -1.0 };
                left += sign * moment * ln_choose(k as u64, j as u64).exp();
            }
            // What rounding leaves of nothing.
            if left <= 1e-15 * moments[j] {
                f64::NEG_INFINITY
            } else {
                left.ln()
            }
        };
        Self((0..=most.min(MEETINGS)).map(mass).collect())
    }

    /// Without the values above [`MEETINGS`], which are out of the question for counts of means of a few.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.0.truncate(MEETINGS + 1);
        self
    }

    /// The law of the sum with an independent count.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let most = self.0.len() + other.0.len() - 2;
        let mass = |sum: usize| {
            let from = sum.saturating_sub(other.0.len() - 1);
            let to = sum.min(self.0.len() - 1);
            log_sum_exp((from..=to).map(|k| self.0[k] + other.0[sum - k]))
        };
        Self((0..=most).map(mass).collect())
    }

    /// The law of the sum of `count` independent ones.
    #[must_use]
    pub fn times(&self, count: usize) -> Self {
        let (mut sum, mut power, mut left) = (Self::zero(), self.clone(), count);
        while left > 0 {
            if !left.is_multiple_of(2) {
                sum = sum.plus(&power);
            }
            left /= 2;
            if left > 0 {
                power = power.plus(&power);
            }
        }
        sum
    }

    /// `ln P(X >= k)`; minus infinity beyond the largest value.
    pub fn ln_tail(&self, k: u64) -> f64 {
        let from = (k as usize).min(self.0.len());
        if from == 0 {
            return 0.0;
        }
        log_sum_exp(self.0[from..].iter().copied()).min(0.0)
    }

    /// Mean of the count.
    pub fn mean(&self) -> f64 {
        let terms = self.0.iter().enumerate();
        terms.map(|(k, ln)| k as f64 * ln.exp()).sum()
    }
}

/// Calls `visit` with every partition of `cells` into rows of at most `widest`, longest first.
fn shapes(cells: u64, widest: u64, rows: &mut Vec<u64>, visit: &mut impl FnMut(&[u64])) {
    if cells == 0 {
        return visit(rows);
    }
    for row in 1..=widest.min(cells) {
        rows.push(row);
        shapes(cells - row, row, rows, visit);
        rows.pop();
    }
}

/// `ln` of the number of standard tableaux of a shape: `n!` over the product of hook lengths.
fn ln_tableaux(rows: &[u64]) -> f64 {
    let mut ln = ln_factorial(rows.iter().sum());
    for (at, row) in rows.iter().enumerate() {
        for column in 0..*row {
            let below = rows[at + 1..]
                .iter()
                .filter(|other| **other > column)
                .count() as u64;
            ln -= (((row - column) + below) as f64).ln();
        }
    }
    ln
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::every::all_orders;
    use crate::stat::index::longest_increasing;

    /// Every permutation of `0..n`.
    fn counted(n: usize, count: impl Fn(&[usize]) -> usize) -> Vec<f64> {
        let all = all_orders(n);
        let mut counts = vec![0.0; n + 1];
        for order in &all {
            counts[count(order)] += 1.0 / all.len() as f64;
        }
        counts
    }

    fn fixed(order: &[usize]) -> usize {
        order.iter().enumerate().filter(|(i, x)| i == *x).count()
    }

    fn close(law: &Law, counts: &[f64]) {
        assert_eq!(law.0.len(), counts.len());
        for (ln, count) in law.0.iter().zip(counts) {
            assert!((ln.exp() - count).abs() < 1e-12, "{law:?} {counts:?}");
        }
    }

    #[test]
    fn laws_equal_a_count_over_all_permutations() {
        for n in 0..=7 {
            close(&Law::fixed_points(n as u64), &counted(n, fixed));
            close(&Law::increasing(n as u64), &counted(n, longest_increasing));
        }
    }

    /// Two permutations of four items and one of three, all of them.
    #[test]
    fn sums_equal_a_count_over_all_tuples() {
        let (four, three) = (all_orders(4), all_orders(3));
        let mut counts = vec![0.0; 12];
        let all = (four.len() * four.len() * three.len()) as f64;
        for a in &four {
            for b in &four {
                for c in &three {
                    counts[fixed(a) + fixed(b) + longest_increasing(c)] += 1.0 / all;
                }
            }
        }
        let law = Law::fixed_points(4).times(2).plus(&Law::increasing(3));
        close(&law, &counts);
        for k in 0..=11 {
            let tail: f64 = counts[k..].iter().sum();
            assert!((law.ln_tail(k as u64).exp() - tail).abs() < 1e-12);
        }
        assert_eq!(law.ln_tail(12), f64::NEG_INFINITY);
        assert!((law.mean() - 2.0 - Law::increasing(3).mean()).abs() < 1e-12);
    }

    /// Every order of seven units under maps one-to-one, with hubs, and constant, some things left out.
    #[test]
    fn meetings_equal_a_count_over_all_orders() {
        let maps: [&[usize]; 5] = [
            &[0, 1, 2, 3, 4, 5, 6],
            &[3, 3, 3, 3, 1, 0, 6],
            &[2, 2, 2, 2, 2, 2, 2],
            &[5, 0, 0, 1],
            &[6],
        ];
        let orders = all_orders(7);
        for map in maps {
            let mut counts = vec![0.0; map.len() + 1];
            for order in &orders {
                let met = map
                    .iter()
                    .enumerate()
                    .filter(|(i, image)| order[**image] == *i);
                counts[met.count()] += 1.0 / orders.len() as f64;
            }
            let law = Law::meetings(map, 7);
            for (j, count) in counts.iter().enumerate() {
                let p = law.0.get(j).map_or(0.0, |ln| ln.exp());
                assert!(
                    (p - count).abs() < 1e-12,
                    "{map:?} {j}: {p} against {count}"
                );
            }
        }
        // All of a hundred looked up once: the rencontres numbers, up to where they are cut off.
        let all: Vec<usize> = (0..100).collect();
        let (met, fixed) = (Law::meetings(&all, 100), Law::fixed_points(100));
        for k in 0..=30 {
            let gap = (met.ln_tail(k) - fixed.ln_tail(k)).abs();
            assert!(gap < 1e-6, "{k}: {gap}");
        }
    }

    #[test]
    fn tails_of_many_stay_exact_where_plain_numbers_end() {
        // All of 64 heads in place in each of 80 layers.
        let ln = Law::fixed_points(64).times(80).ln_tail(64 * 80);
        assert!(
            (ln + 80.0 * ln_factorial(64)).abs() < 1e-6 * ln.abs(),
            "{ln}"
        );
    }

    #[test]
    fn beyond_the_shapes_the_law_is_the_bound() {
        let law = Law::increasing(100);
        for k in [10, 25, 40, 100] {
            assert!((law.ln_tail(k) - order_ln_p(k, 100)).abs() < 1e-9, "{k}");
        }
        assert!(Law::increasing(SHAPES).ln_tail(14) <= order_ln_p(14, SHAPES));
        assert!((law.ln_tail(0)).abs() < 1e-12);
    }
}
