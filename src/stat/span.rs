//! The space that some columns span over the rows that they were measured on, whatever basis they are given in.

/// A column is in the span of those before it when less than this share of its length is left: columns come from
/// f32.
const ROUNDING: f64 = 1e-5;

/// Columns of `rows` numbers at length 1 and at right angles to each other and to the constant column.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    rows: usize,
    basis: Vec<Vec<f64>>,
}

impl Span {
    /// Of row-major `values` of `width` columns, each without its mean.
    ///
    /// `None` for values that are not finite or do not fill rows of `width`, and when no column varies.
    pub fn new(values: &[f32], width: usize) -> Option<Self> {
        if width == 0 || values.is_empty() || !values.len().is_multiple_of(width) {
            return None;
        }
        if values.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let rows = values.len() / width;
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for at in 0..width {
            let column = values.iter().skip(at).step_by(width);
            let mut column: Vec<f64> = column.map(|x| f64::from(*x)).collect();
            let given = dot(&column, &column).sqrt();
            let mean = column.iter().sum::<f64>() / rows as f64;
            column.iter_mut().for_each(|x| *x -= mean);
            // Twice is enough (Giraud, Langou and Rozloznik, 2005).
            for direction in basis.iter().chain(&basis) {
                let along = dot(&column, direction);
                let pairs = column.iter_mut().zip(direction);
                pairs.for_each(|(x, q)| *x -= along * q);
            }
            let left = dot(&column, &column).sqrt();
            if left > ROUNDING * given {
                column.iter_mut().for_each(|x| *x /= left);
                basis.push(column);
            }
        }
        (!basis.is_empty()).then_some(Self { rows, basis })
    }

    /// Dimensions.
    pub fn rank(&self) -> usize {
        self.basis.len()
    }

    /// Trace of the product of the two projectors (sum of squared canonical correlations), without what
    /// spaces in random directions have on average, over the most it can be without that: 1 where one space lies in
    /// the other, 0 by chance.
    ///
    /// `None` for other numbers of rows, and where both fill so much of them that nothing can be said.
    pub fn overlap(&self, other: &Self) -> Option<f64> {
        if self.rows != other.rows {
            return None;
        }
        let squares = self
            .basis
            .iter()
            .flat_map(|x| other.basis.iter().map(move |y| dot(x, y).powi(2)));
        let trace: f64 = squares.sum();
        let (a, b) = (self.rank() as f64, other.rank() as f64);
        // The constant column is in neither.
        let chance = a * b / (self.rows - 1) as f64;
        let most = a.min(b) - chance;
        (most > 0.0).then(|| (trace - chance) / most)
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    const ROWS: usize = 60;
    const WIDTH: usize = 5;

    fn gaussian(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = random::stream(seed, "span test");
        (0..count)
            .map(|_| random::normal(&mut rng) as f32)
            .collect()
    }

    fn mixed(values: &[f32], by: &[f32], shift: f32) -> Vec<f32> {
        let row = |row: &[f32]| -> Vec<f32> {
            let of = |j: usize| (0..WIDTH).map(|k| row[k] * by[k * WIDTH + j]).sum::<f32>() + shift;
            (0..WIDTH).map(of).collect()
        };
        values.chunks(WIDTH).flat_map(row).collect()
    }

    #[test]
    fn another_basis_is_the_same_space() {
        let x = gaussian(ROWS * WIDTH, 1);
        let y = mixed(&x, &gaussian(WIDTH * WIDTH, 2), 3.0);
        let [x, y] = [x, y].map(|values| Span::new(&values, WIDTH).unwrap());
        assert_eq!((x.rank(), y.rank()), (WIDTH, WIDTH));
        assert!((x.overlap(&y).unwrap() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn strangers_are_at_zero_on_average() {
        let of = |seed| Span::new(&gaussian(ROWS * WIDTH, seed), WIDTH).unwrap();
        let all = (0..200).map(|at| of(2 * at + 10).overlap(&of(2 * at + 11)).unwrap());
        let mean = all.sum::<f64>() / 200.0;
        assert!(mean.abs() < 0.01, "{mean}");
    }

    #[test]
    fn columns_that_say_nothing_new_do_not_count() {
        let x = gaussian(ROWS, 1);
        let twice: Vec<f32> = x.iter().flat_map(|x| [*x, 2.0 * x, 7.0]).collect();
        assert_eq!(Span::new(&twice, 3).unwrap().rank(), 1);
        assert_eq!(Span::new(&[1.0; 12], 3), None);
        assert_eq!(Span::new(&[1.0, f32::NAN, 2.0], 1), None);
        let full = Span::new(&gaussian(6 * 5, 4), 5).unwrap();
        assert_eq!(full.overlap(&full), None);
    }
}
