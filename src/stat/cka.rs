//! Debiased linear centred kernel alignment (Kornblith et al. 2019; the unbiased estimator of Song
//! et al. 2012, as in Nguyen et al. 2021 and Murphy et al. 2024).

pub mod consensus;
pub mod layers;
mod triangle;

use super::gram;

/// A U-centred Gram matrix of `n` rows, scaled to unit length.
///
/// Off the diagonal `K_ij - r_i/(n-2) - r_j/(n-2) + s/((n-1)(n-2))` with row sums `r` and total `s`
/// over the off-diagonal of `K`; zero on it. The unbiased HSIC of two representations is the inner
/// product of two of them over `n(n-3)`, so that the debiased CKA is their cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct CentredGram {
    rows: usize,
    /// Row-major `[rows, rows]`.
    values: Vec<f64>,
}

/// Fewest rows for which the estimator exists.
pub const LEAST_ROWS: usize = 4;

impl CentredGram {
    /// Of row-major `values` `[rows, width]`.
    ///
    /// `None` with fewer than [`LEAST_ROWS`] rows, for values that are not finite or do not fill the
    /// shape, and when no row differs from another.
    pub fn new(values: &[f32], rows: usize) -> Option<Self> {
        if rows < LEAST_ROWS || values.is_empty() || !values.len().is_multiple_of(rows) {
            return None;
        }
        let width = values.len() / rows;
        // The estimator does not change without the means, the digits do.
        let centred = gram::centred(values, width)?;
        Self::of_gram(gram::products(&centred, rows, width), rows)
    }

    /// Of a Gram matrix, row-major `[rows, rows]`, of values centred over the rows.
    ///
    /// `None` as for [`CentredGram::new`].
    pub fn of_gram(mut gram: Vec<f64>, rows: usize) -> Option<Self> {
        if rows < LEAST_ROWS || gram.len() != rows * rows || gram.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let n = rows as f64;
        for i in 0..rows {
            gram[i * rows + i] = 0.0;
        }
        let sums: Vec<f64> = gram.chunks(rows).map(|row| row.iter().sum()).collect();
        let total: f64 = sums.iter().sum();
        let scale: f64 = gram.iter().map(|x| x * x).sum();
        for (i, row) in gram.chunks_mut(rows).enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                if i != j {
                    *cell += total / ((n - 1.0) * (n - 2.0)) - (sums[i] + sums[j]) / (n - 2.0);
                }
            }
        }
        let square: f64 = gram.iter().map(|x| x * x).sum();
        // What is left of equal rows after centring is rounding.
        if !square.is_finite() || square <= scale * (n * f64::EPSILON).powi(2) || square == 0.0 {
            return None;
        }
        let length = square.sqrt();
        for cell in &mut gram {
            *cell /= length;
        }
        Some(Self { rows, values: gram })
    }

    /// Debiased linear CKA with another representation of the same items, in `[-1, 1]`; `None` for
    /// another number of rows.
    pub fn cka(&self, other: &Self) -> Option<f64> {
        (self.rows == other.rows).then(|| {
            let dot: f64 = self
                .values
                .iter()
                .zip(&other.values)
                .map(|(a, b)| a * b)
                .sum();
            dot.clamp(-1.0, 1.0)
        })
    }
}

/// `values` (row-major, `width` columns) with every column scaled to unit spread; columns without
/// spread become zero.
///
/// A few columns of a residual stream can be a hundred times larger than the rest and alone decide
/// a CKA; on standardised columns they count like any other. It is no longer the same under
/// rotation of the columns.
pub fn standardise_columns(values: &[f32], width: usize) -> Vec<f32> {
    if width == 0 {
        return Vec::new();
    }
    let rows = (values.len() / width).max(1) as f64;
    let mut mean = vec![0.0; width];
    let mut square = vec![0.0; width];
    for row in values.chunks(width) {
        for (m, &x) in mean.iter_mut().zip(row) {
            *m += f64::from(x) / rows;
        }
    }
    for row in values.chunks(width) {
        for ((s, m), &x) in square.iter_mut().zip(&mean).zip(row) {
            *s += (f64::from(x) - m).powi(2) / rows;
        }
    }
    values
        .chunks(width)
        .flat_map(|row| {
            row.iter().zip(&mean).zip(&square).map(|((&x, m), s)| {
                let std = s.sqrt();
                if std > 0.0 {
                    ((f64::from(x) - m) / std) as f32
                } else {
                    0.0
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    fn gaussian(rows: usize, width: usize, seed: u64) -> Vec<f32> {
        let mut rng = random::stream(seed, "cka test");
        (0..rows * width)
            .map(|_| random::normal(&mut rng) as f32)
            .collect()
    }

    fn cka(a: &[f32], b: &[f32], rows: usize) -> f64 {
        let gram = |x: &[f32]| CentredGram::new(x, rows).unwrap();
        gram(a).cka(&gram(b)).unwrap()
    }

    /// The unbiased HSIC by its definition: a sum over all quadruples of different items.
    fn hsic_by_definition(a: &[f32], b: &[f32], n: usize) -> f64 {
        let gram = |x: &[f32]| {
            let width = x.len() / n;
            let row = |i: usize| &x[i * width..(i + 1) * width];
            let dot = |p: &[f32], q: &[f32]| -> f64 {
                p.iter()
                    .zip(q)
                    .map(|(s, t)| f64::from(*s) * f64::from(*t))
                    .sum()
            };
            let mut k = vec![vec![0.0; n]; n];
            for (i, line) in k.iter_mut().enumerate() {
                for (j, cell) in line.iter_mut().enumerate() {
                    *cell = dot(row(i), row(j));
                }
            }
            k
        };
        let (k, l) = (gram(a), gram(b));
        let (mut pairs, mut quads, mut triples) = ((0.0, 0u32), (0.0, 0u32), (0.0, 0u32));
        for i in 0..n {
            for j in (0..n).filter(|&j| j != i) {
                pairs = (pairs.0 + k[i][j] * l[i][j], pairs.1 + 1);
                for q in (0..n).filter(|&q| q != i && q != j) {
                    triples = (triples.0 + k[i][j] * l[i][q], triples.1 + 1);
                    for r in (0..n).filter(|&r| r != i && r != j && r != q) {
                        quads = (quads.0 + k[i][j] * l[q][r], quads.1 + 1);
                    }
                }
            }
        }
        let mean = |(sum, count): (f64, u32)| sum / f64::from(count);
        mean(pairs) + mean(quads) - 2.0 * mean(triples)
    }

    #[test]
    fn equals_the_u_statistic() {
        let n = 7;
        let (a, b) = (gaussian(n, 5, 1), gaussian(n, 3, 2));
        let h = |x: &[f32], y: &[f32]| hsic_by_definition(x, y, n);
        let expected = h(&a, &b) / (h(&a, &a) * h(&b, &b)).sqrt();
        assert!((cka(&a, &b, n) - expected).abs() < 1e-10);
    }

    /// 200 items, width 4,096, independent: 0.953 by the biased estimator, about 0 by this one.
    #[test]
    fn wide_independent_data_have_none() {
        let (a, b) = (gaussian(200, 4096, 3), gaussian(200, 4096, 4));
        assert!(cka(&a, &b, 200).abs() < 0.03);
        assert!((cka(&a, &a, 200) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn is_unmoved_by_shift_scale_and_rotation() {
        let (n, w) = (40, 6);
        let (a, b) = (gaussian(n, w, 5), gaussian(n, w, 6));
        let turned: Vec<f32> = a
            .chunks(w)
            .flat_map(|row| {
                let (c, s) = (0.6, 0.8);
                let mut out = row.to_vec();
                out[0] = c * row[0] - s * row[1];
                out[1] = s * row[0] + c * row[1];
                out.into_iter().map(|x| 3.0 * x + 100.0)
            })
            .collect();
        assert!((cka(&a, &b, n) - cka(&turned, &b, n)).abs() < 1e-5);
    }

    #[test]
    fn what_has_no_spread_has_no_gram() {
        assert_eq!(CentredGram::new(&[1.5; 40], 10), None);
        assert_eq!(CentredGram::new(&gaussian(3, 4, 1), 3), None);
        assert_eq!(CentredGram::new(&[f32::NAN; 40], 10), None);
        assert_eq!(CentredGram::new(&[1.0; 41], 10), None);
    }

    #[test]
    fn standard_columns_have_unit_spread() {
        let scaled = standardise_columns(&[1.0, 5.0, 3.0, 5.0], 2);
        assert_eq!(scaled, vec![-1.0, 0.0, 1.0, 0.0]);
    }
}
