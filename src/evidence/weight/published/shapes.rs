//! Moments of a model's matrices up to the fourth, by role.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::evidence::Error;
use crate::model::{Model, Role};
use crate::stat::moments::Shape;

/// Numbers decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// The shape of every bound role that `wanted` accepts.
pub(super) fn of(
    model: &Model,
    wanted: impl Fn(&Role) -> bool,
) -> Result<BTreeMap<Role, Shape>, Error> {
    let weights = &model.weights;
    let roles: Vec<Role> = weights
        .roles()
        .filter(|role| wanted(role))
        .copied()
        .collect();
    let one = |role: &Role| -> Result<(Role, Shape), Error> {
        let mut shape = Shape::default();
        for block in weights.chunks(role, BLOCK_ELEMENTS) {
            shape.extend(&block?.1);
        }
        Ok((*role, shape))
    };
    roles.par_iter().map(one).collect()
}
