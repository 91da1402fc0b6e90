//! Activations: how the same inputs are represented.

mod linear_cka;

use super::Evidence;

pub(super) static METHODS: &[&dyn Evidence] = &[&linear_cka::LinearCka];
