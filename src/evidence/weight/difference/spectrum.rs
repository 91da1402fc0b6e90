//! Singular values of a difference, against those of pure noise.

use crate::evidence::Error;
use crate::model::{Role, Weights};
use crate::stat::{random, spectral};

/// Rows and columns looked at, at most. A random block of a matrix of low rank has that rank too.
const MOST: usize = 1024;

/// What stands out of a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spectrum {
    /// Largest singular value over the largest that noise of the same size has, `s (sqrt(m) + sqrt(n))`.
    pub top_over_edge: f64,
    /// Singular values before the steepest fall among those above the optimal hard threshold for unknown
    /// noise.
    pub rank: usize,
    /// Their share of the squared sum.
    pub energy: f64,
    /// The last of them over the next one.
    pub cliff: f64,
}

impl Spectrum {
    /// Of `b - a` at `role`; `None` when there is no difference or a number is not finite.
    pub fn of(
        a: &Weights,
        b: &Weights,
        role: &Role,
        (rows, columns): (usize, usize),
        seed: u64,
    ) -> Result<Option<Self>, Error> {
        let mut rng = random::stream(seed, &format!("spectrum of {role}"));
        let wanted = random::subset(&mut rng, rows, rows.min(MOST));
        let kept = random::subset(&mut rng, columns, columns.min(MOST));
        let mut values = Vec::with_capacity(wanted.len() * kept.len());
        let mut next = 0;
        for (ours, theirs) in a.chunks(role, 1 << 22).zip(b.chunks(role, 1 << 22)) {
            let ((range, ours), (_, theirs)) = (ours?, theirs?);
            while let Some(row) = wanted.get(next).filter(|row| range.contains(row)) {
                let from = (row - range.start) * columns;
                let difference =
                    |at: &usize| f64::from(theirs[from + at]) - f64::from(ours[from + at]);
                values.extend(kept.iter().map(difference));
                next += 1;
            }
        }
        Ok(Self::of_values(&values, wanted.len(), kept.len()))
    }

    /// Of a row-major difference; `None` when it is nothing or a number is not finite.
    pub fn of_values(difference: &[f64], rows: usize, columns: usize) -> Option<Self> {
        let found = spectral::singular_values(difference, rows, columns)?;
        Self::from_values(&found, rows, columns)
    }

    /// From singular values in falling order.
    fn from_values(values: &[f64], rows: usize, columns: usize) -> Option<Self> {
        let total: f64 = values.iter().map(|x| x * x).sum();
        let top = *values.first()?;
        if total <= 0.0 || !total.is_finite() {
            return None;
        }
        let (m, n) = (rows as f64, columns as f64);
        let size = (total / (m * n)).sqrt();
        let middle = values[values.len() / 2];
        let threshold = factor(m.min(n) / m.max(n)) * middle;
        let most = values.iter().filter(|value| **value > threshold).count();
        // What is left of a low rank need not be noise: the steepest fall ends it.
        let fall = |rank: usize| match values.get(rank) {
            Some(next) if *next > 0.0 => values[rank - 1] / next,
            _ => f64::MAX,
        };
        let steepest = (1..=most).max_by(|a, b| fall(*a).total_cmp(&fall(*b)));
        let (rank, cliff) = steepest.map_or((0, 1.0), |rank| (rank, fall(rank)));
        let energy = values[..rank].iter().fold(0.0, |sum, x| sum + x * x) / total;
        Some(Self {
            top_over_edge: top / (size * (m.sqrt() + n.sqrt())),
            rank,
            energy,
            cliff,
        })
    }
}

/// The optimal hard threshold as a multiple of the median singular value, by the shape's ratio (Gavish
/// and Donoho 2014, equation 5, good to 0.02).
fn factor(ratio: f64) -> f64 {
    0.56 * ratio.powi(3) - 0.95 * ratio.powi(2) + 1.82 * ratio + 1.43
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussian(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = random::stream(seed, "spectrum test");
        (0..n).map(|_| random::normal(&mut rng)).collect()
    }

    #[test]
    fn noise_has_no_direction_and_low_rank_has_its_own() {
        let (m, n) = (90, 60);
        let noise = gaussian(m * n, 1);
        let values = spectral::singular_values(&noise, m, n).unwrap();
        let found = Spectrum::from_values(&values, m, n).unwrap();
        assert!((found.top_over_edge - 1.0).abs() < 0.05, "{found:?}");
        assert_eq!(found.rank, 0);
        for rank in [1, 4, 8] {
            let (left, right) = (gaussian(m * rank, 2), gaussian(rank * n, 3));
            let low: Vec<f64> = (0..m * n)
                .map(|at| {
                    let dot: f64 = (0..rank)
                        .map(|k| left[at / n * rank + k] * right[k * n + at % n])
                        .sum();
                    dot + 0.01 * noise[at]
                })
                .collect();
            let values = spectral::singular_values(&low, m, n).unwrap();
            let found = Spectrum::from_values(&values, m, n).unwrap();
            assert_eq!(found.rank, rank);
            assert!(found.energy > 0.99 && found.cliff > 5.0, "{found:?}");
        }
    }

    #[test]
    fn nothing_has_no_spectrum() {
        assert_eq!(Spectrum::from_values(&[0.0, 0.0], 2, 2), None);
    }
}
