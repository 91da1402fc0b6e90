//! The vision part of a model whose tensors have other names: found as its language part is found, by
//! names and by content beside a model of the family ([`mapping`]).

use std::collections::BTreeMap;

use super::named::{Names, Stored};
use super::{Error, VisionSpec};
use crate::model::mapping;
use crate::model::role::{Expert, Part, Role};
use crate::model::weights::{Binding, Step, View, Weights};

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
    let both = |stem: String| ["weight", "bias"].map(|param| format!("{stem}.{param}"));
    let mut names = Vec::new();
    let mut of_model = vec!["vpm.embeddings.position_embedding.weight".to_owned()];
    of_model.extend(both("vpm.embeddings.patch_embedding".to_owned()));
    of_model.extend(both("vpm.post_layernorm".to_owned()));
    of_model.extend(
        ["attn.in_proj_weight", "attn.in_proj_bias", "query", "proj"]
            .map(|name| format!("resampler.{name}")),
    );
    for norm in ["attn.out_proj", "ln_q", "ln_kv", "ln_post"] {
        of_model.extend(both(format!("resampler.{norm}")));
    }
    if spec.resampler.kv_dim != spec.resampler.embed_dim {
        of_model.push("resampler.kv_proj.weight".to_owned());
    }
    names.extend(of_model.into_iter().map(|name| (name, None)));
    let parts = [
        "layer_norm1",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "layer_norm2",
        "mlp.fc1",
        "mlp.fc2",
    ];
    for layer in 0..spec.tower.num_hidden_layers {
        for part in parts {
            let stem = format!("vpm.encoder.layers.{layer}.{part}");
            names.extend(both(stem).map(|name| (name, Some(layer as u32))));
        }
    }
    names
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
