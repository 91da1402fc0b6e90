//! How each weight touches the residual stream.

use crate::model::DecoderSpec;
use crate::model::Param;
use crate::model::Part;
use crate::model::Role;

/// Where the axis of `hidden_size` lies in a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Residual {
    /// In its columns: embeddings, and matrices that read the stream.
    Columns,
    /// In its rows: what is added to the stream, biases included.
    Rows,
    /// It is a norm's gain.
    Gain,
    /// It is a layer norm's bias.
    NormBias,
    /// It has none.
    None,
}

/// Where the residual axis of `role` lies.
pub(super) fn residual(role: &Role) -> Residual {
    match (role.part, role.param) {
        (Part::QueryNorm | Part::KeyNorm, _) => Residual::None,
        (Part::QueryDownNorm | Part::KvDownNorm, _) => Residual::None,
        (Part::QueryUp | Part::KeyUp | Part::ValueUp | Part::RouterScale, _) => Residual::None,
        (part, Param::Weight) if part.is_norm() => Residual::Gain,
        (part, Param::Bias) if part.is_norm() => Residual::NormBias,
        (Part::Output | Part::Down, _) => Residual::Rows,
        (_, Param::Weight) => Residual::Columns,
        (_, Param::Bias) => Residual::None,
    }
}

/// The norm in front of a matrix that reads the stream through one; its weight's role.
pub(super) fn norm_before(spec: &DecoderSpec, role: &Role) -> Option<Role> {
    if role.layer.is_some() && !spec.norm_place.before() {
        return None;
    }
    let part = match role.part {
        Part::Query | Part::Key | Part::Value => Part::AttentionNorm,
        Part::QueryDown | Part::KvDown | Part::KeyRotary => Part::AttentionNorm,
        Part::Gate | Part::Up | Part::Router | Part::SharedExpertGate => Part::MlpNorm,
        Part::Unembed => return Some(Role::model(Part::FinalNorm)),
        _ => return None,
    };
    role.layer.map(|layer| Role::layer(layer as usize, part))
}

/// Whether every matrix behind the norm `norm` has a bias that can take up the norm's own.
pub(super) fn readers_have_biases(spec: &DecoderSpec, norm: &Role) -> bool {
    let sparse = norm
        .layer
        .and_then(|layer| spec.layers.get(layer as usize))
        .is_some_and(|layer| layer.sparse);
    match norm.part {
        Part::AttentionNorm => spec.biases.qkv,
        Part::MlpNorm => spec.biases.mlp && !sparse,
        _ => false,
    }
}

/// `Some` name of the MLP that a role belongs to, one for all its weights: the stream of dice that
/// concerns its hidden units.
pub(super) fn mlp_of(role: &Role) -> Option<String> {
    let down = Role {
        part: Part::Down,
        param: Param::Weight,
        ..*role
    };
    match role.part {
        Part::Gate | Part::Up | Part::Down => Some(down.to_string()),
        _ => None,
    }
}

/// Hidden units of the MLP that `role` belongs to.
pub(super) fn units(spec: &DecoderSpec, role: &Role) -> usize {
    use crate::model::Expert;
    let moe = spec.moe.as_ref();
    match role.expert {
        None => spec.intermediate_size,
        Some(Expert::Routed(_)) => moe.map_or(0, |moe| moe.moe_intermediate_size),
        Some(Expert::Shared) => moe
            .and_then(|moe| moe.shared_expert_intermediate_size)
            .unwrap_or(0),
    }
}
