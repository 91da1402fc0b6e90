//! Storage types: how many bytes, and how they become f32.

use std::borrow::Cow;

use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use half::f16;

use super::wide;

/// How one tensor's numbers are stored: blocks of `block_elements` numbers in `block_bytes` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype {
    /// Name in its format (`BF16`, `F8_E4M3`, `Q4_1`).
    pub name: &'static str,
    /// Numbers per block; 1 for plain types.
    pub block_elements: usize,
    /// Bytes per block.
    pub block_bytes: usize,
    codec: Codec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    F32,
    F16,
    Bf16,
    F64,
    F8E4M3,
    F8E5M2,
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Ggml(GgmlDType),
    /// Known by size only (complex numbers, microscaling formats).
    Opaque,
}

const fn plain(name: &'static str, bytes: usize, codec: Codec) -> Dtype {
    packed(name, 1, bytes, codec)
}

const fn packed(name: &'static str, elements: usize, bytes: usize, codec: Codec) -> Dtype {
    Dtype {
        name,
        block_elements: elements,
        block_bytes: bytes,
        codec,
    }
}

/// Types of the safetensors format, by the names in its header.
const SAFETENSORS: &[Dtype] = &[
    plain("F32", 4, Codec::F32),
    plain("F16", 2, Codec::F16),
    plain("BF16", 2, Codec::Bf16),
    plain("F64", 8, Codec::F64),
    plain("F8_E4M3", 1, Codec::F8E4M3),
    plain("F8_E5M2", 1, Codec::F8E5M2),
    plain("F8_E8M0", 1, Codec::Opaque),
    plain("F8_E4M3FNUZ", 1, Codec::Opaque),
    plain("F8_E5M2FNUZ", 1, Codec::Opaque),
    packed("F6_E2M3", 4, 3, Codec::Opaque),
    packed("F6_E3M2", 4, 3, Codec::Opaque),
    packed("F4", 2, 1, Codec::Opaque),
    plain("BOOL", 1, Codec::Bool),
    plain("I8", 1, Codec::I8),
    plain("U8", 1, Codec::U8),
    plain("I16", 2, Codec::I16),
    plain("U16", 2, Codec::U16),
    plain("I32", 4, Codec::I32),
    plain("U32", 4, Codec::U32),
    plain("I64", 8, Codec::I64),
    plain("U64", 8, Codec::U64),
    plain("C64", 8, Codec::Opaque),
];

/// Types of the GGUF format that are not blocks, by their number in `ggml.h`.
const GGUF_PLAIN: &[(u32, Dtype)] = &[
    (0, plain("F32", 4, Codec::F32)),
    (1, plain("F16", 2, Codec::F16)),
    (24, plain("I8", 1, Codec::I8)),
    (25, plain("I16", 2, Codec::I16)),
    (26, plain("I32", 4, Codec::I32)),
    (27, plain("I64", 8, Codec::I64)),
    (28, plain("F64", 8, Codec::F64)),
    (30, plain("BF16", 2, Codec::Bf16)),
];

/// Block types that candle decodes, by their number in `ggml.h`.
const GGUF_BLOCKS: &[(u32, &str, GgmlDType)] = &[
    (2, "Q4_0", GgmlDType::Q4_0),
    (3, "Q4_1", GgmlDType::Q4_1),
    (6, "Q5_0", GgmlDType::Q5_0),
    (7, "Q5_1", GgmlDType::Q5_1),
    (8, "Q8_0", GgmlDType::Q8_0),
    (9, "Q8_1", GgmlDType::Q8_1),
    (10, "Q2_K", GgmlDType::Q2K),
    (11, "Q3_K", GgmlDType::Q3K),
    (12, "Q4_K", GgmlDType::Q4K),
    (13, "Q5_K", GgmlDType::Q5K),
    (14, "Q6_K", GgmlDType::Q6K),
    (15, "Q8_K", GgmlDType::Q8K),
];

/// Types of `ggml.h` that nothing here decodes: named, so that an error can say which it was.
const GGUF_FOREIGN: &[(u32, &str)] = &[
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

impl Dtype {
    /// The type a safetensors header names, if it is one.
    pub(super) fn safetensors(name: &str) -> Option<Self> {
        SAFETENSORS.iter().find(|known| known.name == name).copied()
    }

    /// The type with number `id` in `ggml.h`.
    ///
    /// # Errors
    /// The type's name where `ggml.h` has one that cannot be decoded here, else `None`.
    pub(super) fn ggml(id: u32) -> Result<Self, Option<&'static str>> {
        if let Some((_, dtype)) = GGUF_PLAIN.iter().find(|(known, _)| *known == id) {
            return Ok(*dtype);
        }
        GGUF_BLOCKS
            .iter()
            .find(|(known, ..)| *known == id)
            .map(|(_, name, ggml)| {
                packed(
                    name,
                    ggml.block_size(),
                    ggml.type_size(),
                    Codec::Ggml(*ggml),
                )
            })
            .ok_or_else(|| {
                let foreign = GGUF_FOREIGN.iter().find(|(known, _)| *known == id);
                foreign.map(|(_, name)| *name)
            })
    }

    /// Bytes that `elements` numbers take; `None` on overflow or a broken block.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        elements
            .is_multiple_of(self.block_elements)
            .then(|| (elements / self.block_elements).checked_mul(self.block_bytes))?
    }

    /// Whether it can be turned into numbers.
    pub fn is_decodable(self) -> bool {
        self.codec != Codec::Opaque
    }

    /// Whether it holds real numbers, and not integers or truth values.
    pub fn is_float(self) -> bool {
        use Codec::{Bool, I8, I16, I32, I64, U8, U16, U32, U64};
        !matches!(
            self.codec,
            Bool | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64
        )
    }

    /// Whether it is a block format of GGUF (lossy).
    pub fn is_quantised(self) -> bool {
        matches!(self.codec, Codec::Ggml(_))
    }

    /// candle's name for a block format of GGUF.
    pub(in crate::model) fn block_type(self) -> Option<GgmlDType> {
        match self.codec {
            Codec::Ggml(ggml) => Some(ggml),
            _ => None,
        }
    }

    /// Appends the numbers in `bytes` (whole blocks) to `out` as f32; 64-bit types are rounded.
    ///
    /// # Errors
    /// When the type is known by size only.
    pub(super) fn decode(self, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), Undecodable> {
        macro_rules! each {
            ($width:literal, $convert:expr) => {
                out.extend(
                    bytes
                        .as_chunks::<$width>()
                        .0
                        .iter()
                        .map(|raw| $convert(*raw)),
                )
            };
        }
        match self.codec {
            Codec::F32 => wide::append(wide::Source::F32(bytes), out),
            Codec::F16 => wide::append(wide::Source::F16(bytes), out),
            Codec::Bf16 => wide::append(wide::Source::Bf16(bytes), out),
            Codec::F64 => each!(8, |raw| f64::from_le_bytes(raw) as f32),
            Codec::F8E4M3 => each!(1, |[raw]: [u8; 1]| f8_e4m3(raw)),
            Codec::F8E5M2 => each!(1, |[raw]: [u8; 1]| f16::from_bits(u16::from(raw) << 8)
                .to_f32()),
            Codec::Bool => each!(1, |[raw]: [u8; 1]| f32::from(raw != 0)),
            Codec::I8 => each!(1, |raw| f32::from(i8::from_le_bytes(raw))),
            Codec::U8 => each!(1, |[raw]: [u8; 1]| f32::from(raw)),
            Codec::I16 => each!(2, |raw| f32::from(i16::from_le_bytes(raw))),
            Codec::U16 => each!(2, |raw| f32::from(u16::from_le_bytes(raw))),
            Codec::I32 => each!(4, |raw| i32::from_le_bytes(raw) as f32),
            Codec::U32 => each!(4, |raw| u32::from_le_bytes(raw) as f32),
            Codec::I64 => each!(8, |raw| i64::from_le_bytes(raw) as f32),
            Codec::U64 => each!(8, |raw| u64::from_le_bytes(raw) as f32),
            Codec::Ggml(ggml) => return decode_blocks(ggml, bytes, out),
            Codec::Opaque => return Err(Undecodable),
        }
        Ok(())
    }
}

/// Nothing here turns this storage type into numbers.
#[derive(Debug)]
pub(super) struct Undecodable;

/// Largest alignment of any block type (`Q8_K` starts with an f32).
const BLOCK_ALIGNMENT: usize = 8;

/// candle reinterprets the bytes as blocks and asserts their alignment, so they are moved to an
/// aligned place first where they are not already on one.
fn decode_blocks(ggml: GgmlDType, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), Undecodable> {
    let elements = bytes.len() / ggml.type_size() * ggml.block_size();
    if elements == 0 {
        return Ok(());
    }
    let decoded = with_alignment(bytes, |aligned| {
        ggml.from_data(Cow::Borrowed(aligned)).dequantize(elements)
    });
    match decoded {
        Some(Ok(CpuStorage::F32(values))) => out.extend_from_slice(&values),
        _ => return Err(Undecodable),
    }
    Ok(())
}

/// Gives `f` the bytes at an address where candle may see blocks in them.
pub(in crate::model) fn with_alignment<T>(bytes: &[u8], f: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if bytes.as_ptr().align_offset(BLOCK_ALIGNMENT) == 0 {
        return Some(f(bytes));
    }
    let mut moved = vec![0; bytes.len() + BLOCK_ALIGNMENT];
    let start = moved.as_ptr().align_offset(BLOCK_ALIGNMENT);
    let place = moved.get_mut(start..start + bytes.len())?;
    place.copy_from_slice(bytes);
    Some(f(place))
}

/// FP8 E4M3 (Micikevicius et al. 2022, arXiv 2209.05433): bias 7, no infinities, 0x7f is NaN.
fn f8_e4m3(raw: u8) -> f32 {
    let sign = if raw & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(raw >> 3 & 0x0f);
    let mantissa = f32::from(raw & 0x07);
    match (exponent, raw & 0x07) {
        (15, 7) => f32::NAN,
        (0, _) => sign * mantissa * 2f32.powi(-9),
        _ => sign * (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    }
}

#[cfg(test)]
mod tests {
    use super::{Dtype, SAFETENSORS, f8_e4m3};

    fn decoded(name: &str, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        let dtype = Dtype::safetensors(name).expect("known");
        dtype.decode(bytes, &mut out).expect("decodable");
        out
    }

    #[test]
    fn sizes_agree_with_the_reference_crate() {
        use safetensors::Dtype as Reference;
        for (reference, name) in [
            (Reference::F4, "F4"),
            (Reference::F6_E2M3, "F6_E2M3"),
            (Reference::F8_E8M0, "F8_E8M0"),
            (Reference::BF16, "BF16"),
            (Reference::C64, "C64"),
            (Reference::U64, "U64"),
            (Reference::BOOL, "BOOL"),
        ] {
            let ours = Dtype::safetensors(name).expect("known");
            assert_eq!(reference.to_string(), ours.name);
            assert_eq!(
                reference.bitsize() * ours.block_elements,
                ours.block_bytes * 8,
                "{name}"
            );
        }
        assert_eq!(SAFETENSORS.len(), 22);
    }

    #[test]
    fn eight_bit_floats_follow_their_paper() {
        assert_eq!(f8_e4m3(0x7e), 448.0);
        assert_eq!(f8_e4m3(0x08), 2f32.powi(-6));
        assert_eq!(f8_e4m3(0x01), 2f32.powi(-9));
        assert_eq!(f8_e4m3(0xb8), -1.0);
        assert!(f8_e4m3(0x7f).is_nan() && f8_e4m3(0xff).is_nan());
        assert_eq!(
            decoded("F8_E5M2", &[0x3c, 0xc0, 0x7b]),
            [1.0, -2.0, 57344.0]
        );
    }

    #[test]
    fn integers_and_wide_floats() {
        assert_eq!(decoded("I16", &[0xff, 0xff, 2, 0]), [-1.0, 2.0]);
        assert_eq!(decoded("F64", &0.25f64.to_le_bytes()), [0.25]);
        assert_eq!(decoded("BOOL", &[0, 1]), [0.0, 1.0]);
        assert_eq!(decoded("I64", &(-3i64).to_le_bytes()), [-3.0]);
    }

    #[test]
    fn opaque_types_have_a_size_but_no_numbers() {
        let f4 = Dtype::safetensors("F4").expect("known");
        assert_eq!(f4.bytes_for(6), Some(3));
        assert_eq!(f4.bytes_for(5), None);
        assert!(f4.decode(&[0; 3], &mut Vec::new()).is_err());
        assert!(!f4.is_decodable());
        assert_eq!(Dtype::safetensors("F31"), None);
    }

    #[test]
    fn ggml_types_are_named_even_when_they_cannot_be_read() {
        assert_eq!(Dtype::ggml(20), Err(Some("IQ4_NL")));
        assert_eq!(Dtype::ggml(4_000), Err(None));
        let q4_1 = Dtype::ggml(3).expect("known");
        assert_eq!((q4_1.block_elements, q4_1.block_bytes), (32, 20));
        assert!(q4_1.is_quantised());
    }
}
