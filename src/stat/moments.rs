//! Mean, spread and range of a stream.

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

#[cfg(test)]
mod tests {
    use super::Running;

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
