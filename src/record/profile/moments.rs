//! Moments of numbers that pass by in pieces.

use crate::record::Moments;

/// Count, mean and sum of squared deviations, which merge without cancellation.
///
/// Reference: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
/// sample variances", 1982.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accumulator {
    pub count: u64,
    pub mean: f64,
    pub deviation: f64,
    pub min: f64,
    pub max: f64,
}

impl Default for Accumulator {
    fn default() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            deviation: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

/// Sums kept side by side, so that one addition need not wait for the last.
const LANES: usize = 8;

/// Running sums of the distances from `shift`, one per lane.
struct Sums {
    shift: f64,
    count: [u64; LANES],
    sum: [f64; LANES],
    square: [f64; LANES],
    min: [f32; LANES],
    max: [f32; LANES],
}

impl Sums {
    /// A number that is none adds nothing; the choices compile to selects, not jumps.
    fn take(&mut self, values: &[f32]) {
        for (lane, value) in values.iter().enumerate() {
            let finite = value.is_finite();
            let distance = if finite {
                f64::from(*value) - self.shift
            } else {
                0.0
            };
            self.count[lane] += u64::from(finite);
            self.sum[lane] += distance;
            self.square[lane] += distance * distance;
            self.min[lane] = if finite {
                self.min[lane].min(*value)
            } else {
                self.min[lane]
            };
            self.max[lane] = if finite {
                self.max[lane].max(*value)
            } else {
                self.max[lane]
            };
        }
    }
}

impl Accumulator {
    /// One pass over one chunk, in f64, around its first number: what cancels is no larger than the
    /// spread.
    pub fn of(values: &[f32]) -> Self {
        let shift = values.iter().find(|value| value.is_finite());
        let Some(shift) = shift else {
            return Self::default();
        };
        let mut sums = Sums {
            shift: f64::from(*shift),
            count: [0; LANES],
            sum: [0.0; LANES],
            square: [0.0; LANES],
            min: [f32::INFINITY; LANES],
            max: [f32::NEG_INFINITY; LANES],
        };
        let (blocks, rest) = values.as_chunks::<LANES>();
        blocks.iter().for_each(|block| sums.take(block));
        sums.take(rest);
        let count: u64 = sums.count.iter().sum();
        let sum: f64 = sums.sum.iter().sum();
        let square: f64 = sums.square.iter().sum();
        let offset = sum / count as f64;
        Self {
            count,
            mean: sums.shift + offset,
            deviation: (square - sum * offset).max(0.0),
            min: sums
                .min
                .iter()
                .copied()
                .fold(f32::INFINITY, f32::min)
                .into(),
            max: sums
                .max
                .iter()
                .copied()
                .fold(f32::NEG_INFINITY, f32::max)
                .into(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let total = ours + theirs;
        let shift = other.mean - self.mean;
        self.mean += shift * theirs / total;
        self.deviation += other.deviation + shift * shift * ours * theirs / total;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub fn moments(&self) -> Moments {
        if self.count == 0 {
            return Moments {
                count: 0,
                mean: 0.0,
                std: 0.0,
                min: 0.0,
                max: 0.0,
            };
        }
        Moments {
            count: self.count,
            mean: self.mean,
            std: (self.deviation / self.count as f64).sqrt(),
            min: self.min,
            max: self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Accumulator;

    #[test]
    fn chunks_add_up_to_the_whole() {
        // A large offset: naive sums of squares in f32 lose everything here.
        let values: Vec<f32> = (0..10_000)
            .map(|i| 1000.0 + (i % 7) as f32 * 0.25)
            .collect();
        let whole = Accumulator::of(&values).moments();
        let mut parts = Accumulator::default();
        for chunk in values.chunks(333) {
            parts.add(&Accumulator::of(chunk));
        }
        let parts = parts.moments();
        assert_eq!(
            (whole.count, whole.min, whole.max),
            (10_000, 1000.0, 1001.5)
        );
        assert!((whole.mean - parts.mean).abs() < 1e-9);
        assert!((whole.std - parts.std).abs() < 1e-9);
        assert!((whole.std - 0.5).abs() < 1e-3, "{}", whole.std);
    }

    #[test]
    fn numbers_that_are_none_are_left_out() {
        let moments = Accumulator::of(&[1.0, f32::NAN, 3.0, f32::INFINITY]).moments();
        assert_eq!((moments.count, moments.mean, moments.std), (2, 2.0, 1.0));
        assert_eq!(Accumulator::of(&[]).moments().count, 0);
    }
}
