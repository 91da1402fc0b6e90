//! MLPs and experts of one model that are copies of one another, without any parent at hand.
//!
//! Depth is scaled up by repeating layers, dense models become mixtures by copying their MLP into every
//! expert. Layers and experts that were drawn apart keep no order of hidden units in common, so that the
//! test of `weight.row_matching` holds between any two of them.

use super::units::{Mlp, Rows};
use crate::evidence::Error;
use crate::model::{Expert, Part, Role, Weights};
use crate::stat::index::{self, Group};
use crate::stat::{random, tails};

/// Hidden units looked up per MLP.
const QUERIES: usize = 128;

/// Two MLPs of one model, held against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct InnerPair {
    /// Which MLPs: layer, and expert where there are several.
    pub places: [(u32, Option<Expert>); 2],
    /// Hidden units looked up.
    pub queries: u64,
    /// Of which the most similar unit of the other stands at the same index.
    pub kept: u64,
    /// Of which gate row and up row point to one unit, wherever it stands; without a gate unknown.
    pub agree: Option<u64>,
    /// Of `kept` by the exact test, times the number of pairs that were looked at.
    pub log10_p: f64,
}

/// Every two dense MLPs of the model, and every two experts of one layer, of equal shape.
///
/// Null: initialised apart and trained by a rule that treats units alike.
///
/// # Errors
/// Weights that cannot be read.
pub fn inner_pairs(weights: &Weights, seed: u64) -> Result<Vec<InnerPair>, Error> {
    let mlps = mlps(weights);
    let comparable = |a: &Mlp, b: &Mlp| {
        let one_kind = a.up.expert.is_some() == b.up.expert.is_some();
        let near = a.up.expert.is_none() || a.layer == b.layer;
        one_kind && near && (a.units, a.width) == (b.units, b.width)
    };
    let mut pairs = Vec::new();
    for (at, target) in mlps.iter().enumerate() {
        let others: Vec<&Mlp> = mlps[..at]
            .iter()
            .filter(|other| comparable(other, target))
            .collect();
        let mut rng = random::stream(seed, &format!("copies of {}", target.up));
        let mut queries = Vec::with_capacity(others.len());
        for other in &others {
            let chosen = random::subset(&mut rng, other.units, QUERIES.min(other.units));
            queries.push(Rows::of(weights, other, &chosen)?);
        }
        let sets: Vec<&Rows> = queries.iter().collect();
        if sets.is_empty() {
            continue;
        }
        let found = Rows::nearest(&sets, weights, target, &mut rng)?;
        for ((other, rows), found) in others.iter().zip(&queries).zip(found) {
            let kept = found.iter().zip(&rows.units);
            let kept = kept.filter(|(n, own)| n.unit == **own).count() as u64;
            let group = Group {
                queries: rows.units.len() as u64,
                units: target.units as u64,
            };
            pairs.push(InnerPair {
                places: [other, target].map(|mlp| (mlp.layer, mlp.up.expert)),
                queries: group.queries,
                kept,
                agree: found.iter().map(|n| n.agree.map(u64::from)).sum(),
                log10_p: tails::log10(index::fixed_points_ln_p(kept, &[group])),
            });
        }
    }
    let looks = (pairs.len().max(1) as f64).log10();
    for pair in &mut pairs {
        pair.log10_p = (pair.log10_p + looks).min(0.0);
    }
    Ok(pairs)
}

/// Dense MLPs and routed experts, by layer.
fn mlps(weights: &Weights) -> Vec<Mlp> {
    let mut found: Vec<Mlp> = weights
        .roles()
        .filter(|role| role.part == Part::Up && role.param == crate::model::Param::Weight)
        .filter(|role| matches!(role.expert, None | Some(Expert::Routed(_))))
        .filter_map(|up| {
            let (units, width) = weights.shape(up)?;
            let gate = Role {
                part: Part::Gate,
                ..*up
            };
            Some(Mlp {
                layer: up.layer?,
                gate: (weights.shape(&gate) == Some((units, width))).then_some(gate),
                up: *up,
                units,
                width,
            })
        })
        .collect();
    found.sort_by_key(|mlp| (mlp.layer, mlp.up.expert));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::toy::{Dims, Toy};

    fn dims() -> Dims {
        Dims {
            units: 96,
            ..Dims::default()
        }
    }

    fn found(toy: &Toy) -> Vec<InnerPair> {
        let (model, _folder) = toy.open();
        inner_pairs(&model.weights, 7).unwrap()
    }

    #[test]
    fn a_repeated_layer_is_found_and_others_are_not() {
        let plain = Toy::new(1, dims());
        let pairs = found(&plain);
        assert_eq!(pairs.len(), 6, "four layers");
        assert!(pairs.iter().all(|pair| pair.log10_p > -3.0), "{pairs:?}");
        let mut repeated = plain.noised(0.0, 1);
        for (role, tensor) in &plain.tensors {
            if role.layer == Some(1) {
                let copy = Role {
                    layer: Some(3),
                    ..*role
                };
                repeated.tensors.insert(copy, tensor.clone());
            }
        }
        let pairs = found(&repeated.noised(0.5, 3));
        let alarms: Vec<_> = pairs.iter().filter(|pair| pair.log10_p < -20.0).collect();
        assert_eq!(alarms.len(), 1, "{pairs:?}");
        assert_eq!(alarms[0].places, [(1, None), (3, None)]);
    }

    #[test]
    fn experts_that_share_units_are_copies_and_parts_of_one_mlp_are_not() {
        let parts = Toy::new(1, dims()).with_experts(3, 5);
        let pairs = found(&parts);
        assert_eq!(pairs.len(), 4 * 3, "three experts in each of four layers");
        assert!(pairs.iter().all(|pair| pair.log10_p > -3.0), "{pairs:?}");
        let mut copied = parts.clone();
        for (role, tensor) in &parts.tensors {
            if role.expert == Some(Expert::Routed(0)) {
                let copy = role.of_expert(Expert::Routed(2));
                copied.tensors.insert(copy, tensor.clone());
            }
        }
        for pair in found(&copied.noised(0.3, 3)) {
            let [one, other] = pair.places;
            assert_eq!(one.0, other.0);
            let same = (one.1, other.1) == (Some(Expert::Routed(0)), Some(Expert::Routed(2)));
            assert_eq!(same, pair.log10_p < -10.0, "{pair:?}");
        }
    }
}
