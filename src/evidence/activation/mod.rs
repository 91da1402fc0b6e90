//! Activations: how the same inputs are represented.

mod attention_difference;
mod beside;
mod blocks;
mod combined;
mod deconfounded_cka;
mod gradient_gram;
mod inside;
mod key_value;
mod layered;
mod linear_cka;
mod logit_lens;
mod massive_activations;
mod mutual_neighbours;
mod procrustes;
mod published;
mod residual_order;
mod rows;
mod seed_prints;
mod topological_similarity;
#[cfg(test)]
mod toys;
mod unit_match;
mod unit_order;
mod unit_relations;
mod unit_signs;
mod value_spaces;
mod vision_patches;

use super::Evidence;
pub use inside::Heard;
use inside::Inside;
pub use inside::assess_heard;
pub(in crate::evidence) use published::METHODS as PUBLISHED;

/// The methods, as what they read and as what a report asks for; after them those that need more of a model or
/// independent ones too.
macro_rules! methods {
    ($(&$method:path),* ; $(&$beside:path),* $(,)?) => {
        pub(super) static METHODS: &[&dyn Evidence] = &[$(&$method,)* $(&$beside),*];

        /// The same for models of which nothing but activations is at hand.
        static INSIDE: &[&dyn Inside] = &[$(&$method),*];
    };
}

methods![
    &combined::Combined,
    &residual_order::ResidualOrder,
    &unit_order::UnitOrder,
    &unit_relations::UnitRelations,
    &unit_signs::UnitSigns,
    &unit_match::UnitMatch,
    &seed_prints::SeedPrints,
    &linear_cka::LinearCka,
    &mutual_neighbours::MutualNeighbours,
    &procrustes::Procrustes,
    &topological_similarity::TopologicalSimilarity,
    &key_value::KeyValue,
    &value_spaces::ValueSpaces,
    &massive_activations::MassiveActivations,
    &logit_lens::LogitLens,
    &attention_difference::AttentionDifference,
    &gradient_gram::GradientGram;
    &deconfounded_cka::DeconfoundedCka,
    &vision_patches::VisionPatches,
];
