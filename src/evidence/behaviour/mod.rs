//! Behaviour: what the models answer to the same prompts, and what they expect along them.

mod error_consistency;
mod error_overlap;
mod exact_match;
mod field_overlap;
mod items;
mod jensen_shannon;
mod model_equality;
mod places;
mod provenance;
mod rank_biased_overlap;
mod shared_answers;
mod shared_expectations;
mod surprisal_residual;
mod top1_agreement;
mod whole_laws;

use super::Evidence;

pub use items::alike;

pub(super) static METHODS: &[&dyn Evidence] = &[
    &exact_match::ExactMatch,
    &error_overlap::ErrorOverlap,
    &error_consistency::ErrorConsistency,
    &shared_answers::SharedAnswers,
    &field_overlap::FieldOverlap,
    &top1_agreement::Top1Agreement,
    &jensen_shannon::JensenShannon,
    &rank_biased_overlap::RankBiasedOverlap,
    &surprisal_residual::SurprisalResidual,
    &shared_expectations::SharedExpectations,
    &model_equality::ModelEquality,
    &provenance::Provenance,
];
