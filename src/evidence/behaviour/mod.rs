//! Behaviour: what the models answer to the same prompts.

mod error_consistency;
mod error_overlap;
mod exact_match;
mod items;
mod shared_answers;

use super::Evidence;

pub use items::alike;

pub(super) static METHODS: &[&dyn Evidence] = &[
    &exact_match::ExactMatch,
    &error_overlap::ErrorOverlap,
    &error_consistency::ErrorConsistency,
    &shared_answers::SharedAnswers,
];
