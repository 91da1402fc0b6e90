//! A model as its family stores it: from weights by role to named tensors, streamed into files.
//!
//! This is the inverse of [`crate::model::Weights`]: what a [`View`](crate::model::View) undoes on
//! reading (transposed matrices, fused rows, stacks of experts, gains less one) is done here again.

mod error;
mod files;
mod folder;
mod original;
mod plan;

pub use error::Error;
pub use files::Files;
pub use folder::Partial;
pub use original::format_of;
pub use original::plain_config;
pub use original::sidecars;
pub use plan::StoredTensor;
pub use plan::plan;

use half::bf16;
use half::f16;
use serde::Deserialize;
use serde::Serialize;

/// Number formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberFormat {
    /// Single precision.
    F32,
    /// Brain float: the range of single precision with 8 bits of mantissa.
    Bf16,
    /// Half precision.
    F16,
}

impl NumberFormat {
    /// What `config.json` calls it in `torch_dtype`.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    /// What a safetensors header calls it.
    pub fn header_name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
        }
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// Little-endian, rounded to nearest even.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        let values = values.iter();
        match self {
            Self::F32 => values.flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bf16 => values
                .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
                .collect(),
            Self::F16 => values
                .flat_map(|&value| f16::from_f32(value).to_le_bytes())
                .collect(),
        }
    }
}
