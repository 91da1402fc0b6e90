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

/// Numbers of one lane that are added up in f32, in pairs, before the sum goes on in f64.
const IN_PAIRS: usize = 8;

impl Accumulator {
    /// One pass over one chunk, around its first number: what cancels is no larger than the spread.
    ///
    /// A distance, its square and three additions are rounded to f32, all else is f64: the sum of squared
    /// deviations is off by at most 14 * 2^-24 (8e-7) of the squared distances from that number, the mean
    /// by 4 * 2^-24 of the mean distance. Where f32 has no room for the squares, all of it is f64.
    ///
    /// With the widest vectors that the processor has (chosen when it runs); no product is fused into a
    /// sum, so that the result is the same with all of them.
    pub fn of(values: &[f32]) -> Self {
        Arch::new()
            .dispatch(Narrow(values))
            .unwrap_or_else(|| in_double(values))
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

/// Every step in f64; numbers that are none are left out.
fn in_double(values: &[f32]) -> Accumulator {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let Some(shift) = finite().next().map(f64::from) else {
        return Accumulator::default();
    };
    let (mut count, mut sum, mut square) = (0, 0.0, 0.0);
    for value in finite() {
        let distance = f64::from(value) - shift;
        count += 1;
        sum += distance;
        square += distance * distance;
    }
    let offset = sum / count as f64;
    Accumulator {
        count,
        mean: shift + offset,
        deviation: (square - sum * offset).max(0.0),
        min: finite().fold(f32::INFINITY, f32::min).into(),
        max: finite().fold(f32::NEG_INFINITY, f32::max).into(),
    }
}

/// A pass over numbers whose squared distances f32 can hold, compiled once for each instruction set; it
/// says none where it cannot or where one of them is no number.
struct Narrow<'v>(&'v [f32]);

impl WithSimd for Narrow<'_> {
    type Output = Option<Accumulator>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<Accumulator> {
        let Some(shift) = self.0.first().copied() else {
            return Some(Accumulator::default());
        };
        let mut sums = Sums::around(shift);
        let (blocks, rest) = self.0.as_chunks::<{ LANES * IN_PAIRS }>();
        for block in blocks {
            sums.take(block);
        }
        // The last few are filled up with the first number, which is at no distance from itself.
        let mut last = [shift; LANES * IN_PAIRS];
        last[..rest.len()].copy_from_slice(rest);
        sums.take(&last);
        sums.over(self.0.len())
    }
}

/// Running sums of the distances from `shift`, one per lane.
struct Sums {
    shift: f32,
    sum: [f64; LANES],
    square: [f64; LANES],
    min: [f32; LANES],
    max: [f32; LANES],
}

impl Sums {
    #[inline(always)]
    fn around(shift: f32) -> Self {
        Self {
            shift,
            sum: [0.0; LANES],
            square: [0.0; LANES],
            min: [f32::INFINITY; LANES],
            max: [f32::NEG_INFINITY; LANES],
        }
    }

    #[inline(always)]
    fn take(&mut self, values: &[f32; LANES * IN_PAIRS]) {
        for lane in 0..LANES {
            let mut of_lane = [0.0; IN_PAIRS];
            for (part, value) in of_lane.iter_mut().enumerate() {
                *value = values[part * LANES + lane];
            }
            let distances = of_lane.map(|value| value - self.shift);
            self.sum[lane] += f64::from(in_pairs(distances, |a, b| a + b));
            let squares = distances.map(|distance| distance * distance);
            self.square[lane] += f64::from(in_pairs(squares, |a, b| a + b));
            self.min[lane] = smaller(in_pairs(of_lane, smaller), self.min[lane]);
            self.max[lane] = larger(in_pairs(of_lane, larger), self.max[lane]);
        }
    }

    /// Of `count` numbers.
    fn over(&self, count: usize) -> Option<Accumulator> {
        let (sum, square): (f64, f64) = (self.sum.iter().sum(), self.square.iter().sum());
        let min = self.min.into_iter().fold(f32::INFINITY, f32::min);
        let max = self.max.into_iter().fold(f32::NEG_INFINITY, f32::max);
        // Below, what a square loses as a subnormal number can be more than its rounding.
        let room = 2.0 * count as f64 * f64::from(f32::MIN_POSITIVE);
        if !square.is_finite() || (square < room && min < max) {
            return None;
        }
        let offset = sum / count as f64;
        Some(Accumulator {
            count: count as u64,
            mean: f64::from(self.shift) + offset,
            deviation: (square - sum * offset).max(0.0),
            min: min.into(),
            max: max.into(),
        })
    }
}

/// Neighbours first, then neighbouring pairs, and so on.
#[inline(always)]
fn in_pairs(of: [f32; IN_PAIRS], both: impl Fn(f32, f32) -> f32) -> f32 {
    let [a, b, c, d, e, f, g, h] = of;
    both(both(both(a, b), both(c, d)), both(both(e, f), both(g, h)))
}

/// A comparison, which is one instruction where `f32::min` is several.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stat::random::{stream, unit};

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let values: Vec<f32> = (0..5_003u32)
            .map(|i| ((i * 7919 % 4001) as f32 - 2000.0) / 997.0)
            .collect();
        let wide = Accumulator::of(&values);
        let plain = Narrow(&values).with_simd(pulp::Scalar).unwrap();
        assert_eq!(wide.mean.to_bits(), plain.mean.to_bits());
        assert_eq!(wide.deviation.to_bits(), plain.deviation.to_bits());
    }

    proptest! {
        #[test]
        fn sums_in_f32_are_as_near_as_they_say(
            seed in 0u64..1000, count in 1usize..3000, scale in -30i32..30, offset in -3.0f64..3.0,
        ) {
            let mut random = stream(seed, "moments");
            let values: Vec<f32> = (0..count)
                .map(|_| ((unit(&mut random) - 0.5 + offset) * 2f64.powi(4 * scale)) as f32)
                .collect();
            let (found, exact) = (Accumulator::of(&values), in_double(&values));
            let shift = f64::from(values[0]);
            let distances = || values.iter().map(|&value| f64::from(value) - shift);
            let squares: f64 = distances().map(|distance| distance * distance).sum();
            let distance = distances().map(f64::abs).sum::<f64>() / count as f64;
            let unit = 2f64.powi(-24);
            prop_assert!((found.deviation - exact.deviation).abs() <= 14.0 * unit * squares);
            // The second term is what f64 rounds.
            let allowed = 4.0 * unit * distance + 1e-15 * shift.abs();
            prop_assert!((found.mean - exact.mean).abs() <= allowed);
            prop_assert_eq!((found.min, found.max, found.count), (exact.min, exact.max, exact.count));
        }
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
