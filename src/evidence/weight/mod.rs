//! Weights: what is stored, layer by layer.

mod aligned_attention;
mod aligned_rows;
mod alignment;
mod bias_profile;
mod curves;
mod difference;
mod exact;
mod head_angles;
mod head_index;
mod identical_tensors;
mod inner_copies;
mod mlp_profile;
mod nearest;
mod norm_gain;
mod published;
mod residual_index;
mod row_matching;
mod row_order;
mod shared_start;
mod std_profile;
mod tensor_cosine;
mod tokens;
mod unit_agreement;
mod units;

pub use alignment::{Memo, layers_in_words};
pub use inner_copies::{InnerPair, inner_pairs};

use super::Evidence;

pub(in crate::evidence) use published::METHODS as PUBLISHED;

pub(super) static METHODS: &[&dyn Evidence] = &[
    &row_matching::RowMatching,
    &row_order::RowOrder,
    &residual_index::ResidualIndex,
    &aligned_rows::AlignedRows,
    &head_index::HeadIndex,
    &unit_agreement::UnitAgreement,
    &aligned_attention::QUERY_KEY,
    &aligned_attention::VALUE_OUTPUT,
    &head_angles::HeadAngles,
    &identical_tensors::IdenticalTensors,
    &tensor_cosine::TensorCosine,
    &difference::Difference,
    difference::RESTORED,
    &shared_start::SharedStart,
    &norm_gain::NormGain,
    &std_profile::StdProfile,
    &bias_profile::BiasProfile,
    &mlp_profile::MlpProfile,
];
