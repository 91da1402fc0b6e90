//! The vision part of a model whose tensors have other names: found as its language part is found, by
//! names and by content beside a model of the family ([`mapping`]).

use std::collections::BTreeMap;

use super::named::{Names, Stored};
use super::siglip::BLOCKS;
use super::{Error, VisionSpec};
use crate::model::Model;
use crate::model::config::RawConfig;
use crate::model::mapping;
use crate::model::role::{Expert, Part, Role};
use crate::model::weights::{Binding, Step, View, Weights};

/// A vision part whose names do not say where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// How it is run.
    pub spec: VisionSpec,
    /// Where its tensors are.
    pub names: Names,
}

impl Sight {
    /// That of `model`, beside a model of the family. Where the model's own config says nothing of images,
    /// it is read with the other's.
    ///
    /// # Errors
    /// A reference that sees no images, a weight file that cannot be read any more, a tensor without a
    /// counterpart.
    pub fn beside(model: &Model, reference: &Model) -> Result<Self, Error> {
        let read = |model: &Model| VisionSpec::new(&RawConfig::new(model.config.clone()));
        let theirs = read(reference)?;
        let spec = match read(model) {
            Err(Error::Blind(_)) => theirs,
            spec => spec?,
        };
        let names = names_beside(&model.weights, &reference.weights, &spec)?;
        Ok(Self { spec, names })
    }
}

/// Where `suspect` stores each tensor that `reference`, a model of the family, has under the family's own
/// names.
///
/// # Errors
/// A weight file that cannot be read any more, a tensor without a counterpart.
pub fn names_beside(
    suspect: &Weights,
    reference: &Weights,
    spec: &VisionSpec,
) -> Result<Names, Error> {
    let names = family_names(spec);
    let here = |name: &String| suspect.store().info(name).is_some();
    if names.iter().all(|(name, _)| here(name)) {
        return Ok(Names::new());
    }
    let bindings = places(&names, reference);
    let (reference, _) = reference.rebound(&bindings);
    let mapping = mapping::map(suspect, &reference)?;
    let turned = |view: &View| view.steps().first() == Some(&Step::Transposed);
    let found = mapping.pairs.into_iter().map(|pair| {
        let stored = Stored {
            tensor: pair.tensor,
            turned: pair.roles.values().any(turned),
        };
        (pair.reference, stored)
    });
    let found: Names = found.collect();
    let missing = names
        .into_iter()
        .find(|(name, _)| !found.contains_key(name));
    match missing {
        Some((tensor, _)) => Err(Error::Missing { tensor }),
        None => Ok(found),
    }
}

/// Each tensor by the family's name, with the block it belongs to.
fn family_names(spec: &VisionSpec) -> Vec<(String, Option<u32>)> {
    let layer = |name: &str| {
        let rest = name.strip_prefix(BLOCKS)?;
        rest.split_once('.')?.0.parse().ok()
    };
    let tensors = spec.tensors().into_iter();
    tensors
        .map(|(name, _)| {
            let layer = layer(&name);
            (name, layer)
        })
        .collect()
}

/// A place of its own for each tensor, which is all that mapping asks of a role.
///
/// The places are among experts, which no language model of this family has, so that none is taken by one
/// of its own; the part says nothing.
fn places(names: &[(String, Option<u32>)], reference: &Weights) -> BTreeMap<Role, Binding> {
    let place = |(at, (name, layer)): (usize, &(String, Option<u32>))| {
        let role = Role {
            layer: *layer,
            ..Role::model(Part::Router).of_expert(Expert::Routed(at as u32))
        };
        // A role is a matrix; what has more axes is held by the first of them.
        let axes = reference
            .store()
            .info(name)
            .map_or(0, |info| info.shape.len());
        let view = (2..axes).fold(View::whole(), |view, _| view.slice(0));
        (role, Binding::new(name.clone(), view))
    };
    names.iter().enumerate().map(place).collect()
}
