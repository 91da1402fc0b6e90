//! Singular values, eigenvalues and polar factors, in double precision.
//!
//! Matrices are row-major slices. Everything runs on one thread, so that a result does not depend on
//! how many there are. `None` means that the factorisation did not converge or a number was not finite.

use faer::{Mat, MatRef, Side};

/// A thin singular value decomposition `left * diag(values) * right^T`.
#[derive(Debug, Clone, PartialEq)]
pub struct Svd {
    /// `[rows, k]`, `k = min(rows, columns)`.
    pub left: Vec<f64>,
    /// Descending.
    pub values: Vec<f64>,
    /// `[columns, k]`.
    pub right: Vec<f64>,
}

/// Singular values of `[rows, columns]`, descending.
pub fn singular_values(values: &[f64], rows: usize, columns: usize) -> Option<Vec<f64>> {
    let matrix = view(values, rows, columns)?;
    let mut found = matrix.singular_values().ok()?;
    found.sort_by(|a, b| b.total_cmp(a));
    Some(found)
}

/// Thin singular value decomposition of `[rows, columns]`.
pub fn svd(values: &[f64], rows: usize, columns: usize) -> Option<Svd> {
    let found = view(values, rows, columns)?.thin_svd().ok()?;
    Some(Svd {
        left: flat(found.U()),
        values: found.S().column_vector().iter().copied().collect(),
        right: flat(found.V()),
    })
}

/// The orthogonal matrix (or partial isometry) nearest to `[rows, columns]`: `U V^T` of its singular
/// value decomposition.
///
/// Of `A^T B` it is the rotation that carries the rows of `A` as near as can be to those of `B`
/// (Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31, 1966).
pub fn polar(values: &[f64], rows: usize, columns: usize) -> Option<Vec<f64>> {
    let found = view(values, rows, columns)?.thin_svd().ok()?;
    Some(flat((found.U() * found.V().transpose()).as_ref()))
}

/// Eigenvalues of a symmetric `[n, n]`, descending, with eigenvectors as the columns of `[n, n]`.
pub fn symmetric(values: &[f64], n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let found = view(values, n, n)?.self_adjoint_eigen(Side::Lower).ok()?;
    let ascending: Vec<f64> = found.S().column_vector().iter().copied().collect();
    let vectors = found.U();
    let turned = Mat::from_fn(n, n, |row, column| vectors[(row, n - 1 - column)]);
    Some((ascending.into_iter().rev().collect(), flat(turned.as_ref())))
}

/// An orthonormal basis `[rows, k]` of the span of the columns of `[rows, columns]`, without
/// directions shorter than `tolerance` times the longest.
pub fn basis(
    values: &[f64],
    rows: usize,
    columns: usize,
    tolerance: f64,
) -> Option<(Vec<f64>, usize)> {
    let found = svd(values, rows, columns)?;
    let all = found.values.len();
    let least = found.values.first().copied().unwrap_or(0.0) * tolerance;
    let kept = found.values.iter().filter(|value| **value > least).count();
    let rows = found.left.chunks_exact(all.max(1));
    Some((rows.flat_map(|row| row[..kept].to_vec()).collect(), kept))
}

fn view(values: &[f64], rows: usize, columns: usize) -> Option<MatRef<'_, f64>> {
    let fits = values.len() == rows * columns && values.iter().all(|value| value.is_finite());
    fits.then(|| MatRef::from_row_major_slice(values, rows, columns))
}

fn flat(matrix: MatRef<'_, f64>) -> Vec<f64> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| matrix[(row, column)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    fn gaussian(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = random::stream(seed, "spectral");
        (0..n).map(|_| random::normal(&mut rng)).collect()
    }

    fn product(a: &[f64], b: &[f64], inner: usize, columns: usize) -> Vec<f64> {
        a.chunks_exact(inner)
            .flat_map(|row| {
                (0..columns).map(move |column| {
                    row.iter()
                        .enumerate()
                        .map(|(at, x)| x * b[at * columns + column])
                        .sum()
                })
            })
            .collect()
    }

    fn transposed(a: &[f64], columns: usize) -> Vec<f64> {
        let rows = a.len() / columns;
        (0..columns)
            .flat_map(|column| (0..rows).map(move |row| a[row * columns + column]))
            .collect()
    }

    fn gap(a: &[f64], b: &[f64]) -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn factors_multiply_to_the_matrix() {
        for (rows, columns) in [(7, 4), (4, 7), (5, 5)] {
            let matrix = gaussian(rows * columns, 1);
            let svd = svd(&matrix, rows, columns).unwrap();
            let k = rows.min(columns);
            let scaled: Vec<f64> = svd
                .left
                .chunks_exact(k)
                .flat_map(|row| {
                    row.iter()
                        .zip(&svd.values)
                        .map(|(x, s)| x * s)
                        .collect::<Vec<_>>()
                })
                .collect();
            let back = product(&scaled, &transposed(&svd.right, k), k, columns);
            assert!(gap(&back, &matrix) < 1e-12);
            assert!(svd.values.windows(2).all(|pair| pair[0] >= pair[1]));
            let alone = singular_values(&matrix, rows, columns).unwrap();
            assert!(gap(&alone, &svd.values) < 1e-12);
        }
    }

    /// The polar factor of a rotation times a positive matrix is the rotation.
    #[test]
    fn polar_finds_the_rotation() {
        let n = 6;
        let rotation = polar(&gaussian(n * n, 2), n, n).unwrap();
        let root = gaussian(n * n, 3);
        let positive = product(&root, &transposed(&root, n), n, n);
        let found = polar(&product(&rotation, &positive, n, n), n, n).unwrap();
        assert!(gap(&found, &rotation) < 1e-9);
        let square = product(&rotation, &transposed(&rotation, n), n, n);
        let identity: Vec<f64> = (0..n * n)
            .map(|at| f64::from(u8::from(at / n == at % n)))
            .collect();
        assert!(gap(&square, &identity) < 1e-12);
    }

    #[test]
    fn eigenvectors_are_eigenvectors() {
        let n = 5;
        let root = gaussian(n * n, 4);
        let matrix = product(&root, &transposed(&root, n), n, n);
        let (values, vectors) = symmetric(&matrix, n).unwrap();
        let left = product(&matrix, &vectors, n, n);
        let right: Vec<f64> = vectors
            .chunks_exact(n)
            .flat_map(|row| {
                row.iter()
                    .zip(&values)
                    .map(|(x, s)| x * s)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(gap(&left, &right) < 1e-10);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn a_basis_has_the_rank() {
        let (left, right) = (gaussian(8 * 2, 5), gaussian(2 * 5, 6));
        let (basis, rank) = basis(&product(&left, &right, 2, 5), 8, 5, 1e-9).unwrap();
        assert_eq!((rank, basis.len()), (2, 16));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        assert!(singular_values(&[1.0, f64::NAN], 1, 2).is_none());
        assert!(polar(&[1.0, 2.0], 2, 2).is_none());
    }
}
