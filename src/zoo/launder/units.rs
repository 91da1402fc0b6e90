//! What can be done to the hidden units of an MLP.

use crate::model::DecoderSpec;
use crate::model::Param;
use crate::model::Part;
use crate::model::Role;
use crate::model::spec::Activation;

use super::Error;
use super::draft::Draft;
use super::matrix::log_uniform;
use super::matrix::shuffled;
use super::matrix::sign;
use super::place::mlp_of;
use super::place::units;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Hidden units in another order.
pub(super) static PERMUTE_UNITS: Laundering = Laundering {
    name: "permute-units",
    does: "reorders the hidden units of every MLP and expert",
    strength: Strength::None,
    kind: Kind::Exact,
    apply: permute,
};

/// Up and down projections rescaled against each other.
pub(super) static RESCALE_UP_DOWN: Laundering = Laundering {
    name: "rescale-up-down",
    does: "scales each hidden unit's row of up and its column of down inversely, signs included",
    strength: Strength::Number {
        meaning: "factors lie between 1/x and x",
        default: Some(4.0),
        range: (1.001, 1e4),
        whole: false,
    },
    kind: Kind::Exact,
    apply: rescale,
};

/// Fewer hidden units.
pub(super) static PRUNE_UNITS: Laundering = Laundering {
    name: "prune-units",
    does: "removes the hidden units of smallest norm from every MLP; the width shrinks",
    strength: Strength::Number {
        meaning: "share of the units",
        default: None,
        range: (0.0, 0.99),
        whole: false,
    },
    kind: Kind::Lossy,
    apply: prune,
};

fn permute<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let (spec, work) = (draft.spec.clone(), *work);
    draft.alter(move |role, weight| {
        if let Some(mlp) = mlp_of(role) {
            let order = shuffled(units(&spec, role), &mut work.dice(&mlp));
            match (role.part, role.param) {
                (Part::Down, Param::Weight) => weight.take_columns(&order),
                (Part::Down, Param::Bias) => {}
                _ => weight.take_rows(&order),
            }
        }
        Ok(())
    });
    Ok(())
}

fn rescale<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let spec = draft.spec.clone();
    let sparse_or_gated = spec.gated_mlp || spec.layers.iter().all(|layer| layer.sparse);
    if !sparse_or_gated && spec.hidden_act != Activation::Relu {
        return Err("without a gate, the activation between up and down is not linear".into());
    }
    // The rectifier passes positive factors through, and a gate stands aside of up altogether.
    let signed = sparse_or_gated;
    let work = *work;
    draft.computes();
    draft.alter(move |role, weight| {
        if let Some(mlp) = mlp_of(role)
            && role.part != Part::Gate
        {
            let mut dice = work.dice(&mlp);
            let factors = (0..units(&spec, role)).map(|_| {
                let size = log_uniform(work.number(), &mut dice);
                if signed { size * sign(&mut dice) } else { size }
            });
            match (role.part, role.param) {
                (Part::Up, _) => weight.scale_rows(&factors.collect::<Vec<_>>()),
                (_, Param::Weight) => {
                    weight.scale_columns(&factors.map(f64::recip).collect::<Vec<_>>());
                }
                _ => {}
            }
        }
        Ok(())
    });
    Ok(())
}

fn prune<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let share = work.number();
    let kept = |width: usize| width - ((width as f64 * share).round() as usize).min(width - 1);
    let before = draft.spec.clone();
    let mut after = before.clone();
    let mut entries = Vec::new();
    let has = |key: &str| draft.config.contains_key(key);
    let key = if has("n_embd") {
        "n_inner"
    } else {
        "intermediate_size"
    };
    after.intermediate_size = kept(before.intermediate_size);
    entries.push((key, after.intermediate_size.into()));
    if let Some(moe) = &mut after.moe {
        moe.moe_intermediate_size = kept(moe.moe_intermediate_size);
        if has("moe_intermediate_size") {
            entries.push(("moe_intermediate_size", moe.moe_intermediate_size.into()));
        }
        if let Some(width) = &mut moe.shared_expert_intermediate_size {
            *width = kept(*width);
            entries.push(("shared_expert_intermediate_size", (*width).into()));
        }
    }
    draft.configure(&entries, &after)?;
    draft.wrap(move |inner, role| {
        let mut weight = inner(role)?;
        if mlp_of(role).is_none() || (role.part == Part::Down && role.param == Param::Bias) {
            return Ok(weight);
        }
        let keep = largest(&before, role, units(&after, role), inner)?;
        if role.part == Part::Down {
            weight.take_columns(&keep);
        } else {
            weight.take_rows(&keep);
        }
        Ok(weight)
    });
    Ok(())
}

/// The `count` units of the role's MLP whose rows and columns have the largest squared norm
/// together, in their old order.
fn largest(
    spec: &DecoderSpec,
    role: &Role,
    count: usize,
    inner: &super::Source<'_>,
) -> Result<Vec<usize>, Error> {
    let width = units(spec, role);
    let mut norms = vec![0.0f64; width];
    for part in [Part::Gate, Part::Up, Part::Down] {
        let dense_without_gate = role.expert.is_none() && !spec.gated_mlp;
        if part == Part::Gate && dense_without_gate {
            continue;
        }
        let matrix = Role {
            part,
            param: Param::Weight,
            ..*role
        };
        let weight = inner(&matrix)?;
        let columns = weight.columns();
        for (at, value) in weight.values.iter().enumerate() {
            let unit = if part == Part::Down {
                at % columns
            } else {
                at / columns
            };
            norms[unit] += f64::from(*value).powi(2);
        }
    }
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| norms[b].total_cmp(&norms[a]).then(a.cmp(&b)));
    order.truncate(count);
    order.sort_unstable();
    Ok(order)
}
