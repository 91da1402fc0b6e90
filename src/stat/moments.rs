//! Mean, spread, range and shape of a stream.

/// Running moments (Welford's update, Chan's merge), in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Running {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Running {
    /// Takes in a block: two passes over the block, then a merge, which is as exact as one value at
    /// a time and faster.
    pub fn extend(&mut self, block: &[f32]) {
        if block.is_empty() {
            return;
        }
        let count = block.len() as f64;
        let mean = block.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let mut own = Self {
            count: block.len() as u64,
            mean,
            ..Self::default()
        };
        for &x in block {
            let x = f64::from(x);
            own.squares += (x - mean) * (x - mean);
            own.min = own.min.min(x);
            own.max = own.max.max(x);
        }
        self.merge(&own);
    }

    /// Takes in another stream.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * b / (a + b);
        self.squares += other.squares + delta * delta * a * b / (a + b);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Values taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean; 0 of nothing.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Population standard deviation; 0 of nothing.
    pub fn std(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        (self.squares / self.count as f64).sqrt()
    }

    /// Smallest value; plus infinity of nothing.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Largest value; minus infinity of nothing.
    pub fn max(&self) -> f64 {
        self.max
    }
}

/// The first four moments of a stream's finite numbers, in f64.
///
/// Reference: Pebay, "Formulas for robust, one-pass parallel computation of covariances and
/// arbitrary-order statistical moments" (SAND2008-6212, 2008).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shape {
    count: f64,
    mean: f64,
    /// Sums of the second, third and fourth powers of deviations from the mean.
    powers: [f64; 3],
}

impl Shape {
    /// Takes in a block: two passes over the block, then a merge.
    pub fn extend(&mut self, block: &[f32]) {
        let finite = || {
            block
                .iter()
                .filter(|x| x.is_finite())
                .map(|x| f64::from(*x))
        };
        let count = finite().count() as f64;
        if count == 0.0 {
            return;
        }
        let mean = finite().sum::<f64>() / count;
        let mut powers = [0.0; 3];
        for x in finite() {
            let d = x - mean;
            let square = d * d;
            powers[0] += square;
            powers[1] += square * d;
            powers[2] += square * square;
        }
        self.merge(&Self {
            count,
            mean,
            powers,
        });
    }

    /// Takes in another stream.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        let (a, b) = (self.count, other.count);
        let n = a + b;
        let d = other.mean - self.mean;
        let ([a2, a3, a4], [b2, b3, b4]) = (self.powers, other.powers);
        self.powers = [
            a2 + b2 + d * d * a * b / n,
            a3 + b3 + d.powi(3) * a * b * (a - b) / (n * n) + 3.0 * d * (a * b2 - b * a2) / n,
            a4 + b4
                + d.powi(4) * a * b * (a * a - a * b + b * b) / n.powi(3)
                + 6.0 * d * d * (a * a * b2 + b * b * a2) / (n * n)
                + 4.0 * d * (a * b3 - b * a3) / n,
        ];
        self.mean += d * b / n;
        self.count = n;
    }

    /// Population standard deviation; 0 of nothing.
    pub fn std(&self) -> f64 {
        if self.count == 0.0 {
            return 0.0;
        }
        (self.powers[0] / self.count).sqrt()
    }

    /// Third moment of the standardised numbers; `None` without spread.
    pub fn skewness(&self) -> Option<f64> {
        let spread = self.powers[0] / self.count;
        (spread > 0.0).then(|| self.powers[1] / self.count / spread.powf(1.5))
    }

    /// Fourth moment of the standardised numbers less 3; `None` without spread.
    pub fn excess_kurtosis(&self) -> Option<f64> {
        let spread = self.powers[0] / self.count;
        (spread > 0.0).then(|| self.powers[2] / self.count / (spread * spread) - 3.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Running, Shape};

    #[test]
    fn shapes_of_known_values() {
        // 0 four times and 5 once: mean 1, deviations -1 (four times) and 4.
        let mut shape = Shape::default();
        shape.extend(&[0.0, 0.0, f32::NAN, 5.0, 0.0, 0.0]);
        assert!((shape.std() - 2.0).abs() < 1e-12);
        assert!((shape.skewness().unwrap() - 12.0 / 8.0).abs() < 1e-12);
        assert!((shape.excess_kurtosis().unwrap() - (52.0 / 16.0 - 3.0)).abs() < 1e-12);
        assert_eq!(Shape::default().skewness(), None);
        let mut constant = Shape::default();
        constant.extend(&[2.0; 4]);
        assert_eq!((constant.std(), constant.excess_kurtosis()), (0.0, None));
    }

    #[test]
    fn parts_have_the_shape_of_the_whole() {
        let values: Vec<f32> = (0..999u16)
            .map(|i| f32::from(i * 37 % 101).powi(2) / 64.0 - f32::from(i) / 50.0)
            .collect();
        let (mut whole, mut parts) = (Shape::default(), Shape::default());
        whole.extend(&values);
        for block in values.chunks(70) {
            parts.extend(block);
        }
        assert!((whole.std() / parts.std() - 1.0).abs() < 1e-12);
        let gap = |of: fn(&Shape) -> Option<f64>| (of(&whole).unwrap() - of(&parts).unwrap()).abs();
        assert!(gap(Shape::skewness) < 1e-10 && gap(Shape::excess_kurtosis) < 1e-10);
    }

    #[test]
    fn blocks_give_what_one_pass_gives() {
        let values: Vec<f32> = (0..1000u16)
            .map(|i| 1e4 + f32::from(i * 37 % 101) / 8.0)
            .collect();
        let mut whole = Running::default();
        whole.extend(&values);
        let mut parts = Running::default();
        for block in values.chunks(77) {
            parts.extend(block);
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let var = values
            .iter()
            .map(|&x| (f64::from(x) - mean).powi(2))
            .sum::<f64>()
            / n;
        for stream in [whole, parts] {
            assert_eq!(stream.count(), 1000);
            assert!((stream.mean() - mean).abs() < 1e-8);
            assert!((stream.std() - var.sqrt()).abs() < 1e-8);
            assert_eq!((stream.min(), stream.max()), (1e4, 1e4 + 12.5));
        }
        assert_eq!(Running::default().std(), 0.0);
    }
}
