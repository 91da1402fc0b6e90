//! Exact moments of 16-bit floats: how often each bit pattern occurs says all about them.

use half::bf16;
use half::f16;

use super::moments::Accumulator;

/// Bit patterns of 16 bits.
const PATTERNS: usize = 1 << 16;

/// Numbers counted before the counts are moved on, so that none overflows.
const MOST: usize = 1 << 31;

/// How often each bit pattern occurred.
pub(super) struct Histogram {
    /// Two tables in turn, so that equal neighbours do not wait for each other.
    counts: Vec<[u32; 2]>,
    counted: usize,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![[0; 2]; PATTERNS],
            counted: 0,
        }
    }
}

impl Histogram {
    /// What a bit pattern of a storage type stands for, if the type has 16 bits.
    pub fn value_of(dtype: &str) -> Option<fn(u16) -> f32> {
        match dtype {
            "BF16" => Some(|bits| bf16::from_bits(bits).to_f32()),
            "F16" => Some(|bits| f16::from_bits(bits).to_f32()),
            _ => None,
        }
    }

    /// Counts little-endian numbers.
    pub fn count(&mut self, bytes: &[u8]) {
        let counts: &mut [[u32; 2]] = &mut self.counts;
        let Ok(counts) = <&mut [[u32; 2]; PATTERNS]>::try_from(counts) else {
            return;
        };
        let mut one = |bits: u16, table: usize| {
            let count = &mut counts[usize::from(bits)][table];
            // `MOST` keeps it from overflowing.
            *count = count.wrapping_add(1);
        };
        let (fours, rest) = bytes.as_chunks::<8>();
        for four in fours {
            let four = u64::from_le_bytes(*four);
            one(four as u16, 0);
            one((four >> 16) as u16, 1);
            one((four >> 32) as u16, 0);
            one((four >> 48) as u16, 1);
        }
        for bits in rest.as_chunks::<2>().0 {
            one(u16::from_le_bytes(*bits), 0);
        }
        self.counted += bytes.len() / 2;
    }

    /// Whether the counts should be moved on before a block more is counted.
    pub fn is_full(&self) -> bool {
        self.counted >= MOST
    }

    /// Moves the finite numbers on into `sum`, and starts anew.
    ///
    /// Mean and squared deviations are sums over at most 65,536 products in f64, in the order of the bit
    /// patterns: they are more exact than a sum over the numbers, and equal whatever the order was.
    pub fn empty_into(&mut self, value: fn(u16) -> f32, sum: &mut Accumulator) {
        let mut found: Vec<(f64, f64)> = Vec::new();
        for (bits, counts) in self.counts.iter_mut().enumerate() {
            let count = u64::from(counts[0]) + u64::from(counts[1]);
            if count > 0 {
                *counts = [0; 2];
                let value = value(bits as u16);
                if value.is_finite() {
                    found.push((f64::from(value), count as f64));
                }
            }
        }
        self.counted = 0;
        let count: f64 = found.iter().map(|(_, count)| count).sum();
        if count == 0.0 {
            return;
        }
        let mean = found
            .iter()
            .map(|(value, count)| value * count)
            .sum::<f64>()
            / count;
        let squares = found
            .iter()
            .map(|(value, count)| count * (value - mean).powi(2));
        let values = || found.iter().map(|(value, _)| *value);
        sum.add(&Accumulator {
            count: count as u64,
            mean,
            deviation: squares.sum(),
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_give_the_moments_of_the_numbers() {
        for (dtype, encode) in [
            ("BF16", (|x| bf16::from_f32(x).to_bits()) as fn(f32) -> u16),
            ("F16", |x| f16::from_f32(x).to_bits()),
        ] {
            let value = Histogram::value_of(dtype).unwrap();
            let odd = [f32::NAN, f32::INFINITY, -0.0, 0.0, 1e-7];
            let drawn = (0..30_001u32).map(|i| 3.0 + (i * 7919 % 1013) as f32 / 997.0);
            let bits: Vec<u16> = drawn.chain(odd).map(encode).collect();
            let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            let mut histogram = Histogram::default();
            let mut sum = Accumulator::default();
            histogram.count(&bytes[..2002]);
            histogram.count(&bytes[2002..]);
            histogram.empty_into(value, &mut sum);
            let values: Vec<f32> = bits.iter().map(|bits| value(*bits)).collect();
            let plain = Accumulator::of(&values);
            let (ours, plain) = (sum.moments(), plain.moments());
            assert_eq!(
                (ours.count, ours.min, ours.max),
                (plain.count, plain.min, plain.max)
            );
            assert!((ours.mean - plain.mean).abs() < 1e-12 * plain.mean.abs());
            assert!((ours.std - plain.std).abs() < 1e-12 * plain.std);
            // Nothing is left over.
            let mut empty = Accumulator::default();
            histogram.empty_into(value, &mut empty);
            assert_eq!(empty.count, 0);
        }
        assert!(Histogram::value_of("F32").is_none());
    }
}
