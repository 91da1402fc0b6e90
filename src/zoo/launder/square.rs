//! Square matrices in double precision: rotations and invertible ones.

use super::super::dice::Dice;
use super::matrix::log_uniform;
use super::matrix::sign;

/// A square matrix in double precision.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Square {
    pub(super) width: usize,
    /// Row by row.
    pub(super) values: Vec<f64>,
}

impl Square {
    /// Ones on the diagonal.
    pub(super) fn identity(width: usize) -> Self {
        let mut values = vec![0.0; width * width];
        values.iter_mut().step_by(width + 1).for_each(|x| *x = 1.0);
        Self { width, values }
    }

    /// A uniformly random rotation or reflection: reflections of growing dimension (Stewart, "The
    /// efficient generation of random orthogonal matrices", SIAM J. Numer. Anal. 17, 1980) and
    /// random signs.
    pub(super) fn orthogonal(width: usize, dice: &mut Dice) -> Self {
        let mut square = Self::identity(width);
        for size in 2..=width {
            let mut mirror: Vec<f64> = (0..size).map(|_| dice.normal()).collect();
            let norm = norm(&mirror);
            mirror[0] += norm.copysign(mirror[0]);
            square.reflect(&mirror, width - size);
        }
        let signs: Vec<f64> = (0..width).map(|_| sign(dice)).collect();
        for row in square.values.chunks_exact_mut(width.max(1)) {
            row.iter_mut().zip(&signs).for_each(|(x, sign)| *x *= sign);
        }
        square
    }

    /// A uniformly random rotation or reflection that leaves the vector of ones where it is.
    pub(super) fn orthogonal_around_ones(width: usize, dice: &mut Dice) -> Self {
        let inner = Self::orthogonal(width.saturating_sub(1), dice);
        let mut square = Self::identity(width);
        for (row, values) in inner.values.chunks_exact(inner.width.max(1)).enumerate() {
            let at = (row + 1) * width + 1;
            square.values[at..at + inner.width].copy_from_slice(values);
        }
        // The mirror that swaps the first axis and the diagonal.
        let mut mirror = vec![-(width as f64).powf(-0.5); width];
        mirror[0] += 1.0;
        square.reflect(&mirror, 0);
        let mut square = square.transposed();
        square.reflect(&mirror, 0);
        square.transposed()
    }

    /// A random matrix whose singular values lie between `1 / spread` and `spread`, and its inverse.
    pub(super) fn invertible(width: usize, spread: f64, dice: &mut Dice) -> (Self, Self) {
        let left = Self::orthogonal(width, dice);
        let right = Self::orthogonal(width, dice);
        let values: Vec<f64> = (0..width).map(|_| log_uniform(spread, dice)).collect();
        let inverses: Vec<f64> = values.iter().map(|value| 1.0 / value).collect();
        let matrix = left.clone().scaled(&values).product(&right);
        let inverse = right.transposed().scaled(&inverses);
        (matrix, inverse.product(&left.transposed()))
    }

    /// Rows and columns exchanged.
    pub(super) fn transposed(&self) -> Self {
        let width = self.width;
        let cells = (0..width).flat_map(|row| (0..width).map(move |column| (row, column)));
        Self {
            width,
            values: cells.map(|(r, c)| self.values[c * width + r]).collect(),
        }
    }

    /// Reflects the rows from `first` on at the plane that `mirror` stands upon.
    fn reflect(&mut self, mirror: &[f64], first: usize) {
        let square: f64 = mirror.iter().map(|x| x * x).sum();
        if square == 0.0 {
            return;
        }
        let width = self.width;
        let rows = &mut self.values[first * width..];
        let mut along = vec![0.0; width];
        for (row, m) in rows.chunks_exact(width).zip(mirror) {
            along.iter_mut().zip(row).for_each(|(sum, x)| *sum += m * x);
        }
        for (row, m) in rows.chunks_exact_mut(width).zip(mirror) {
            let factor = 2.0 * m / square;
            row.iter_mut()
                .zip(&along)
                .for_each(|(x, sum)| *x -= factor * sum);
        }
    }

    /// Column `i` times `factors[i]`.
    fn scaled(mut self, factors: &[f64]) -> Self {
        for row in self.values.chunks_exact_mut(self.width.max(1)) {
            row.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
        }
        self
    }

    fn product(&self, right: &Self) -> Self {
        let width = self.width;
        let mut values = vec![0.0; width * width];
        for (row, out) in self
            .values
            .chunks_exact(width)
            .zip(values.chunks_exact_mut(width))
        {
            for (x, line) in row.iter().zip(right.values.chunks_exact(width)) {
                out.iter_mut().zip(line).for_each(|(sum, y)| *sum += x * y);
            }
        }
        Self { width, values }
    }
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::super::dice::Dice;
    use super::Square;

    fn is_identity(square: &Square) -> bool {
        let width = square.width;
        square.values.iter().enumerate().all(|(at, value)| {
            let meant = f64::from(u8::from(at / width == at % width));
            (value - meant).abs() < 1e-12
        })
    }

    #[test]
    fn rotations_are_orthogonal_and_differ() {
        for width in [1, 2, 7, 24] {
            for seed in 0..4 {
                let square = Square::orthogonal(width, &mut Dice::new(seed));
                assert!(is_identity(&square.product(&square.transposed())));
                assert!(width == 1 || !is_identity(&square));
                let square = Square::orthogonal_around_ones(width, &mut Dice::new(seed));
                assert!(is_identity(&square.product(&square.transposed())));
                for row in square.values.chunks_exact(width) {
                    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                }
            }
        }
    }

    /// Entries of a uniformly random rotation of `n` dimensions have mean 0, variance `1 / n` and
    /// fourth moment `3 / (n (n + 2))`.
    #[test]
    fn rotations_have_the_moments_of_uniform_ones() {
        let n = 5;
        let (mut first, mut second, mut fourth) = ([0.0; 25], [0.0; 25], [0.0; 25]);
        let draws = 4000;
        for seed in 0..draws {
            let square = Square::orthogonal(n, &mut Dice::new(seed));
            for (at, x) in square.values.iter().enumerate() {
                first[at] += x / draws as f64;
                second[at] += x * x / draws as f64;
                fourth[at] += x.powi(4) / draws as f64;
            }
        }
        for at in 0..25 {
            assert!(first[at].abs() < 0.035, "{at}: {}", first[at]);
            assert!((second[at] - 0.2).abs() < 0.02, "{at}: {}", second[at]);
            assert!(
                (fourth[at] - 3.0 / 35.0).abs() < 0.015,
                "{at}: {}",
                fourth[at]
            );
        }
    }

    #[test]
    fn inverses_are_inverse() {
        let (matrix, inverse) = Square::invertible(16, 3.0, &mut Dice::new(1));
        assert!(is_identity(&matrix.product(&inverse)));
        assert!(is_identity(&inverse.product(&matrix)));
        assert!(!is_identity(&matrix.product(&matrix.transposed())));
    }
}
