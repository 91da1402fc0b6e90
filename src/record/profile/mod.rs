//! One streamed pass over a model's weights: a hash of every stored tensor, moments of every role.

mod moments;
mod pass;

use std::collections::BTreeMap;

use rayon::prelude::*;

use pass::Scratch;

use super::Error;
use super::Moments;
use super::WeightProfile;
use crate::model;
use crate::model::Model;
use crate::model::Role;
use crate::model::TensorInfo;
use crate::source::Progress;

/// Reads all of a model's weights once (of a sampled model, what is in the sample), tensors in
/// parallel, and keeps what evidence is drawn from.
///
/// Memory is bounded by threads, not by the model: each thread holds one block of one tensor. The
/// result does not depend on the number of threads, since the blocks of a tensor are always the same
/// and are put together in order; nor on the processor.
///
/// # Errors
/// A weight file that cannot be read any more.
pub fn profile(model: &Model, progress: &dyn Progress) -> Result<WeightProfile, Error> {
    let weights = &model.weights;
    let mut of_tensor: BTreeMap<&str, Vec<Role>> = BTreeMap::new();
    for role in weights.roles() {
        if let Some(binding) = weights.binding(role) {
            of_tensor.entry(&binding.tensor).or_default().push(*role);
        }
    }
    let wanted = |name: &str| weights.reads(name) || of_tensor.contains_key(name);
    let tensors = weights.store().iter().filter(|(name, _)| wanted(name));
    let tensors: Vec<(&str, &TensorInfo)> = tensors.collect();
    let whole = tensors.iter().filter(|(name, _)| weights.reads(name));
    let bytes = whole.map(|(_, info)| info.size as u64).sum();
    let task = progress.start("weights", bytes);
    let read: Result<Vec<_>, model::tensors::Error> = tensors
        .par_iter()
        .map_init(Scratch::default, |scratch, (name, info)| {
            let roles = of_tensor.get(name).map(Vec::as_slice).unwrap_or_default();
            let read = pass::tensor(weights, (*name, *info), roles, scratch, task.as_ref());
            let (facts, moments) = read?;
            Ok((*name, facts, moments))
        })
        .collect();
    let mut profile = WeightProfile {
        tensors: BTreeMap::new(),
        roles: BTreeMap::new(),
    };
    for (name, facts, moments) in read.map_err(model::Error::from)? {
        profile
            .tensors
            .extend(facts.map(|facts| (name.to_owned(), facts)));
        profile.roles.extend(moments);
    }
    Ok(profile)
}

/// The profile of the same stored tensors under the roles that `model` has now: what was read of the
/// tensors is kept, moments of roles are taken anew.
///
/// # Errors
/// A weight file that cannot be read any more.
pub fn with_roles(profile: &WeightProfile, model: &Model) -> Result<WeightProfile, Error> {
    let roles: Vec<&Role> = model.weights.roles().collect();
    let read: Result<BTreeMap<Role, Moments>, model::tensors::Error> = roles
        .par_iter()
        .map(|role| Ok((**role, pass::of_role(&model.weights, role)?)))
        .collect();
    Ok(WeightProfile {
        tensors: profile.tensors.clone(),
        roles: read.map_err(model::Error::from)?,
    })
}

/// The profile of a test model, without a progress bar.
#[cfg(test)]
pub(crate) fn of_test_model(model: &Model) -> WeightProfile {
    profile(model, &crate::source::Silent).unwrap()
}

#[cfg(test)]
mod tests;
