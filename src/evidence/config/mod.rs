//! Configuration: the construction plans side by side.

mod diff;
mod plan;

use super::Evidence;

pub(super) static METHODS: &[&dyn Evidence] = &[&diff::Diff];
