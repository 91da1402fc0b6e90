//! A model with the roles that a mapping gave it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{Mapping, bindings, has_unclaimed, map};
use crate::model::arch::{self, Description, Readings};
use crate::model::config::RawConfig;
use crate::model::role::{Part, Role};
use crate::model::spec::DecoderSpec;
use crate::model::tensors::Error;
use crate::model::vision::Sight;
use crate::model::weights::{Binding, Weights};
use crate::model::{Family, Model};

/// Whether `model` cannot be read by its names, holds tensors that no role claims, and `other` has roles
/// for such.
pub fn lacks_roles(model: &Model, other: &Model) -> bool {
    let lacking = |role: &Role| !model.weights.has(role);
    model.plan.is_err()
        && other.plan.is_ok()
        && other.weights.roles().any(lacking)
        && has_unclaimed(&model.weights)
}

/// `model` with the roles of `other`, where it lacks them and has tensors for them.
///
/// # Errors
/// A weight file that cannot be read any more.
pub fn with_roles_of(model: &Model, other: &Model) -> Result<Option<Model>, Error> {
    if !lacks_roles(model, other) {
        return Ok(None);
    }
    let mapping = map(&model.weights, &other.weights)?;
    let found = !mapping.pairs.is_empty();
    Ok(found.then(|| bind(model, other, &mapping)))
}

/// `suspect` with the roles of `mapping`, read as its own config says where that fits the weights, else as
/// `reference` is. A caveat says so.
///
/// Where the suspect has fewer layers than the reference, its layers are numbered in the order of those
/// that they were assigned to.
pub fn bind(suspect: &Model, reference: &Model, mapping: &Mapping) -> Model {
    let bindings = renumbered(bindings(mapping));
    let (weights, _) = suspect.weights.rebound(&bindings);
    // A vision part that has no counterpart leaves a model that reads text.
    let sight = Sight::beside(suspect, reference).ok();
    let own = own_reading(suspect, &weights, &bindings);
    let (family, readings, whose) = match own {
        Some((family, readings)) => (Some(family), readings, None),
        None => {
            let (family, readings) = their_reading(reference, &weights, &bindings);
            (family, readings, Some("it is read with the other's config"))
        }
    };
    let borrowed = readings.spec.as_ref().ok().filter(|_| whose.is_some());
    let identity = identity(&bindings, sight.as_ref(), borrowed);
    let mut caveats = suspect.caveats.clone();
    let mut caveat = format!(
        "its tensor roles were assigned onto those of the other model: {}",
        mapping.summary()
    );
    if let Some(whose) = whose.filter(|_| readings.plan.is_ok()) {
        caveat.push_str("; ");
        caveat.push_str(whose);
    }
    caveats.push(caveat);
    Model {
        family: suspect.family.or(family),
        spec: readings.spec,
        plan: readings.plan,
        weights,
        caveats,
        mapped: Some(identity),
        sight,
        reader: suspect.reader.clone(),
        label: suspect.label.clone(),
        artefacts: suspect.artefacts.clone(),
        config: suspect.config.clone(),
        tokenizer: suspect.tokenizer.clone(),
        parameters: suspect.parameters,
    }
}

/// Layers in their order without gaps.
fn renumbered(bindings: BTreeMap<Role, Binding>) -> BTreeMap<Role, Binding> {
    let layers: BTreeSet<u32> = bindings.keys().filter_map(|role| role.layer).collect();
    let places: BTreeMap<u32, u32> = layers.into_iter().zip(0..).collect();
    let bindings = bindings.into_iter().map(|(role, binding)| {
        let layer = role.layer.and_then(|layer| places.get(&layer).copied());
        (Role { layer, ..role }, binding)
    });
    bindings.collect()
}

/// The suspect's own family and config, where the weights are what they ask for.
fn own_reading(
    suspect: &Model,
    weights: &Weights,
    bindings: &BTreeMap<Role, Binding>,
) -> Option<(&'static str, Readings)> {
    let config = RawConfig::new(suspect.config.clone());
    let family = arch::family(&config)?;
    let spec = (family.spec)(&config).ok()?;
    let readings = describe(family, spec, bindings).readings(weights, &[]);
    readings.plan.is_ok().then_some((family.id, readings))
}

/// As the reference is read, with as many tokens and layers as the suspect has.
fn their_reading(
    reference: &Model,
    weights: &Weights,
    bindings: &BTreeMap<Role, Binding>,
) -> (Option<&'static str>, Readings) {
    let known = |family: &&&'static Family| Some(family.id) == reference.family;
    let family = arch::FAMILIES.iter().find(known).copied();
    let (Some(family), Ok(spec)) = (family, &reference.plan) else {
        let why = "the roles of the other model are not complete".to_owned();
        let readings = Readings {
            spec: Err(why.clone()),
            plan: Err(why),
        };
        return (reference.family, readings);
    };
    let mut spec = spec.clone();
    if let Some((rows, _)) = weights.shape(&Role::model(Part::Embed)) {
        spec.vocab_size = rows;
    }
    let layers = weights.roles().filter_map(|role| role.layer).max();
    let layers = layers.map_or(0, |last| last as usize + 1);
    if layers < spec.layers.len() {
        spec.layers.truncate(layers);
        spec.num_hidden_layers = layers;
    }
    let readings = describe(family, spec, bindings).readings(weights, &[]);
    (Some(family.id), readings)
}

fn describe(
    family: &'static Family,
    spec: DecoderSpec,
    bindings: &BTreeMap<Role, Binding>,
) -> Description {
    Description {
        family,
        spec,
        bindings: bindings.clone(),
    }
}

/// Hash of what each role, and each tensor of the vision part, is made of, and of a config that is the other's.
fn identity(
    bindings: &BTreeMap<Role, Binding>,
    sight: Option<&Sight>,
    borrowed: Option<&DecoderSpec>,
) -> String {
    let mut hash = Sha256::new();
    if let Some(spec) = borrowed {
        hash.update(format!("{spec:?}\n"));
    }
    for (name, stored) in sight.into_iter().flat_map(|sight| &sight.names) {
        hash.update(format!("{name} {} {}\n", stored.tensor, stored.turned));
    }
    for (role, binding) in bindings {
        hash.update(format!(
            "{role} {} {:?}\n",
            binding.tensor,
            binding.view.steps()
        ));
    }
    let hex = hash.finalize();
    hex.iter().map(|byte| format!("{byte:02x}")).collect()
}
