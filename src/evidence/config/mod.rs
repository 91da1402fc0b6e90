//! config.
use super::Evidence;

pub(super) static METHODS: &[&dyn Evidence] = &[];
