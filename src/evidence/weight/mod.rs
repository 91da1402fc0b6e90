//! Weights: what is stored, layer by layer.

mod bias_profile;
mod curves;
mod identical_tensors;
mod mlp_profile;
mod nearest;
mod norm_gain;
mod residual_index;
mod row_matching;
mod row_order;
mod shared_start;
mod std_profile;
mod tensor_cosine;
mod tokens;
mod units;

use super::Evidence;

pub(super) static METHODS: &[&dyn Evidence] = &[
    &row_matching::RowMatching,
    &row_order::RowOrder,
    &residual_index::ResidualIndex,
    &identical_tensors::IdenticalTensors,
    &tensor_cosine::TensorCosine,
    &shared_start::SharedStart,
    &norm_gain::NormGain,
    &std_profile::StdProfile,
    &bias_profile::BiasProfile,
    &mlp_profile::MlpProfile,
];
