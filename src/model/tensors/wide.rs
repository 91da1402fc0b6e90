//! Decoding the common float types with the widest vectors that the processor has.

use pulp::{Arch, Simd, WithSimd};

/// Little-endian numbers.
pub(super) enum Source<'b> {
    /// Four bytes each.
    F32(&'b [u8]),
    /// Two bytes each: IEEE 754 half precision.
    F16(&'b [u8]),
    /// Two bytes each: the upper half of an f32.
    Bf16(&'b [u8]),
}

/// Appends the numbers to `out`.
pub(super) fn append(source: Source<'_>, out: &mut Vec<f32>) {
    Arch::new().dispatch(Decode { source, out });
}

/// A pass over numbers, compiled once for each instruction set.
struct Decode<'b, 'o> {
    source: Source<'b>,
    out: &'o mut Vec<f32>,
}

impl WithSimd for Decode<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.source {
            Source::F32(bytes) => each(bytes, self.out, f32::from_le_bytes),
            Source::F16(bytes) => each(bytes, self.out, |raw| f16(u16::from_le_bytes(raw))),
            Source::Bf16(bytes) => each(bytes, self.out, |raw| {
                f32::from_bits(u32::from(u16::from_le_bytes(raw)) << 16)
            }),
        }
    }
}

#[inline(always)]
fn each<const WIDTH: usize>(bytes: &[u8], out: &mut Vec<f32>, value: impl Fn([u8; WIDTH]) -> f32) {
    out.extend(bytes.as_chunks::<WIDTH>().0.iter().map(|raw| value(*raw)));
}

/// Half precision as f32, without a jump: exponent and mantissa are moved into place and the bias is made
/// good by a multiplication, which also normalises what is subnormal.
#[inline(always)]
fn f16(bits: u16) -> f32 {
    // 2^(127 - 15): the difference of the biases.
    const REBIASED: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(bits);
    let magnitude = (f32::from_bits((bits & 0x7fff) << 13) * REBIASED).to_bits();
    let odd = if bits & 0x7c00 == 0x7c00 {
        f32::INFINITY.to_bits()
    } else {
        0
    };
    f32::from_bits(magnitude | odd | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_sixteen_bits_is_what_it_stands_for() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let (mut halves, mut brains) = (vec![7.0], vec![7.0]);
        append(Source::F16(&bytes), &mut halves);
        append(Source::Bf16(&bytes), &mut brains);
        assert_eq!((halves.len(), brains.len()), (1 + (1 << 16), 1 + (1 << 16)));
        for bits in 0..=u16::MAX {
            let at = 1 + usize::from(bits);
            let same = |x: f32, y: f32| x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
            assert!(
                same(halves[at], half::f16::from_bits(bits).to_f32()),
                "{bits:x}"
            );
            assert!(
                same(brains[at], half::bf16::from_bits(bits).to_f32()),
                "{bits:x}"
            );
        }
    }
}
