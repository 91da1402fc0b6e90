//! Moments of numbers that pass by in pieces.

use pulp::{Arch, Simd, WithSimd};

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

/// Sums kept side by side, so that one addition need not wait for the last: whole vectors of any
/// instruction set. What is added to what depends on this number alone.
const LANES: usize = 16;

impl Accumulator {
    /// One pass over one chunk, in f64, around its first number: what cancels is no larger than the
    /// spread.
    ///
    /// With the widest vectors that the processor has (chosen when it runs); no product is fused into a
    /// sum, so that the result is the same with all of them.
    pub fn of(values: &[f32]) -> Self {
        let found = Arch::new().dispatch(Finite(values));
        if found.deviation.is_finite() {
            return found;
        }
        let finite = values.iter().copied().filter(|value| value.is_finite());
        Arch::new().dispatch(Finite(&finite.collect::<Vec<f32>>()))
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

/// A pass over numbers of which all should be finite, compiled once for each instruction set: one that is
/// not leaves a deviation that is none.
struct Finite<'v>(&'v [f32]);

impl WithSimd for Finite<'_> {
    type Output = Accumulator;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Accumulator {
        let Some(shift) = self.0.first().copied() else {
            return Accumulator::default();
        };
        let mut sums = Sums::around(shift);
        let (blocks, rest) = self.0.as_chunks::<LANES>();
        for block in blocks {
            sums.take(block);
        }
        // The last few are filled up with the first number, which is at no distance from itself.
        let mut last = [shift; LANES];
        last[..rest.len()].copy_from_slice(rest);
        sums.take(&last);
        let (sum, square): (f64, f64) = (sums.sum.iter().sum(), sums.square.iter().sum());
        let offset = sum / self.0.len() as f64;
        Accumulator {
            count: self.0.len() as u64,
            mean: sums.shift + offset,
            deviation: match square.is_finite() {
                true => (square - sum * offset).max(0.0),
                false => f64::NAN,
            },
            min: sums.min.into_iter().fold(f32::INFINITY, f32::min).into(),
            max: sums
                .max
                .into_iter()
                .fold(f32::NEG_INFINITY, f32::max)
                .into(),
        }
    }
}

/// Running sums of the distances from `shift`, one per lane.
struct Sums {
    shift: f64,
    sum: [f64; LANES],
    square: [f64; LANES],
    min: [f32; LANES],
    max: [f32; LANES],
}

impl Sums {
    #[inline(always)]
    fn around(shift: f32) -> Self {
        Self {
            shift: f64::from(shift),
            sum: [0.0; LANES],
            square: [0.0; LANES],
            min: [f32::INFINITY; LANES],
            max: [f32::NEG_INFINITY; LANES],
        }
    }

    #[inline(always)]
    fn take(&mut self, values: &[f32; LANES]) {
        for (lane, &value) in values.iter().enumerate() {
            let distance = f64::from(value) - self.shift;
            self.sum[lane] += distance;
            self.square[lane] += distance * distance;
            // Comparisons, which are one instruction where `f32::min` is several.
            self.min[lane] = if value < self.min[lane] {
                value
            } else {
                self.min[lane]
            };
            self.max[lane] = if value > self.max[lane] {
                value
            } else {
                self.max[lane]
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let values: Vec<f32> = (0..5_003u32)
            .map(|i| ((i * 7919 % 4001) as f32 - 2000.0) / 997.0)
            .collect();
        let (wide, plain) = (
            Accumulator::of(&values),
            Finite(&values).with_simd(pulp::Scalar),
        );
        assert_eq!(wide.mean.to_bits(), plain.mean.to_bits());
        assert_eq!(wide.deviation.to_bits(), plain.deviation.to_bits());
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 5003.0;
        assert!((wide.mean - mean).abs() < 1e-12);
        let squares = values.iter().map(|&x| (f64::from(x) - mean).powi(2));
        assert!((wide.deviation / squares.sum::<f64>() - 1.0).abs() < 1e-12);
    }

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
        let few = [1.0, f32::NAN, 3.0, f32::INFINITY];
        // As many as fill whole lanes, between blocks that hold numbers only.
        let many: Vec<f32> = few
            .repeat(16)
            .into_iter()
            .chain([1.0, 3.0].repeat(32))
            .collect();
        for (values, count) in [(&few[..], 2), (&many, 96)] {
            let moments = Accumulator::of(values).moments();
            assert_eq!(
                (moments.count, moments.mean, moments.std),
                (count, 2.0, 1.0)
            );
            assert_eq!((moments.min, moments.max), (1.0, 3.0));
        }
        assert_eq!(Accumulator::of(&[]).moments().count, 0);
    }
}
