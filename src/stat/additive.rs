//! A symmetric table whose cells are the sum of what its row and its column bring.

use super::least_squares::Products;

/// What one cell has beyond the rest of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Excess {
    /// What the rest makes of the cell.
    pub expected: f64,
    /// The cell less that, in standard errors of the difference: Student's t.
    pub t: f64,
    /// Its degrees of freedom.
    pub degrees: f64,
}

/// Rows that a table must have for a cell to be held against the rest.
pub const FEWEST: usize = 5;

/// Cell `(a, b)` of a symmetric table `[size, size]`, whose diagonal is not looked at, beside
/// `value(i, j) = bring(i) + bring(j) + noise` fitted to all other cells.
///
/// The externally studentised residual (Cook and Weisberg, Residuals and Influence in Regression, 1982,
/// section 2.2.2), by giving the cell a parameter of its own: of Student's distribution where noise is
/// normal and of one size. `None` for fewer than [`FEWEST`] rows, or numbers that are not finite.
pub fn excess(table: &[f64], size: usize, (a, b): (usize, usize)) -> Option<Excess> {
    if size < FEWEST || table.len() != size * size || a == b || a.max(b) >= size {
        return None;
    }
    let mut products = Products::new(size + 1);
    let mut row = vec![0.0; size + 1];
    for i in 0..size {
        for j in i + 1..size {
            row.fill(0.0);
            (row[i], row[j]) = (1.0, 1.0);
            row[size] = f64::from((i, j) == (a.min(b), a.max(b)));
            products.add(&row, table[i * size + j]);
        }
    }
    let fit = products.fit()?;
    let (beyond, error) = (*fit.coefficients.last()?, *fit.errors.last()?);
    let found = Excess {
        expected: table[a * size + b] - beyond,
        t: beyond / error,
        degrees: products.n - products.len() as f64,
    };
    found.t.is_finite().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::{normal, stream};
    use crate::stat::tails::student_ln_tail;
    use crate::stat::uniform;

    fn symmetric(size: usize, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let cell = |at: usize| {
            let (i, j) = (at / size, at % size);
            value(i.min(j), i.max(j))
        };
        (0..size * size).map(cell).collect()
    }

    /// Without noise the other cells settle every row, so that the cell's own excess is what was added.
    #[test]
    fn what_was_added_to_a_cell_comes_back() {
        let table = symmetric(6, |i, j| {
            let jitter = if (i + j) % 2 == 0 { 1e-6 } else { -1e-6 };
            let own = if (i, j) == (1, 4) { 0.25 } else { 0.0 };
            (i * i) as f64 + (j * j) as f64 + jitter + own
        });
        let found = excess(&table, 6, (4, 1)).unwrap();
        assert!((found.expected - 17.0).abs() < 1e-5, "{found:?}");
        assert!(found.t > 1e4 && found.degrees == 8.0, "{found:?}");
    }

    /// The published form: the fit without the cell, and the error of a prediction from it.
    #[test]
    fn it_is_the_prediction_from_the_other_cells() {
        let mut rng = stream(7, "additive");
        let size = 5;
        let noise: Vec<f64> = (0..size * size).map(|_| normal(&mut rng)).collect();
        let table = symmetric(size, |i, j| noise[i * size + j]);
        let mut without = Products::new(size);
        for (i, j) in (0..size).flat_map(|i| (i + 1..size).map(move |j| (i, j))) {
            if (i, j) != (0, 1) {
                let mut row = vec![0.0; size];
                (row[i], row[j]) = (1.0, 1.0);
                without.add(&row, table[i * size + j]);
            }
        }
        let fit = without.fit().unwrap();
        let found = excess(&table, size, (0, 1)).unwrap();
        assert!((found.expected - fit.coefficients[0] - fit.coefficients[1]).abs() < 1e-9);
        let spread = fit.residual / (9.0 - 5.0);
        // The error of bring(0) + bring(1) is what a fit gives that has this sum for a coefficient.
        let mut turned = Products::new(size);
        for (i, j) in (0..size).flat_map(|i| (i + 1..size).map(move |j| (i, j))) {
            if (i, j) != (0, 1) {
                let mut row = vec![0.0; size];
                (row[i], row[j]) = (1.0, 1.0);
                // bring(1) = sum - bring(0).
                let (zero, one) = (row[0], row[1]);
                (row[0], row[1]) = (zero - one, one);
                turned.add(&row, table[i * size + j]);
            }
        }
        let of_sum = turned.fit().unwrap().errors[1];
        let t = (table[1] - found.expected) / (spread + of_sum * of_sum).sqrt();
        assert!(
            (found.t - t).abs() < 1e-9 && found.degrees == 4.0,
            "{found:?} {t}"
        );
    }

    #[test]
    fn strangers_reach_a_level_as_often_as_it_says() {
        let size = 8;
        let p: Vec<f64> = (0..2000)
            .map(|seed| {
                let mut rng = stream(seed, "additive null");
                let bring: Vec<f64> = (0..size).map(|_| 3.0 * normal(&mut rng)).collect();
                let noise: Vec<f64> = (0..size * size).map(|_| normal(&mut rng)).collect();
                let table = symmetric(size, |i, j| bring[i] + bring[j] + noise[i * size + j]);
                let found = excess(&table, size, (2, 5)).unwrap();
                student_ln_tail(found.t, found.degrees).exp()
            })
            .collect();
        assert!(uniform::kolmogorov_smirnov(&p).1 > 0.01);
    }

    #[test]
    fn too_little_is_refused() {
        assert_eq!(excess(&[0.0; 16], 4, (0, 1)), None);
        assert_eq!(excess(&[0.0; 25], 5, (1, 1)), None);
        assert_eq!(excess(&[f64::NAN; 25], 5, (0, 1)), None);
    }
}
