//! Norm gains moved into the matrices behind them.

use crate::model::DecoderSpec;
use crate::model::Param;
use crate::model::Part;
use crate::model::Role;
use crate::model::spec::Norm;

use super::super::checkpoint::Matrix;
use super::Error;
use super::draft::Draft;
use super::draft::Source;
use super::place::norm_before;
use super::place::readers_have_biases;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;

/// Norm gains of one.
pub(super) static FOLD_GAINS: Laundering = Laundering {
    name: "fold-gains",
    does: "moves norm gains (and layer norms' biases) into the matrices that follow; unties the head",
    strength: Strength::None,
    kind: Kind::Exact,
    apply: |draft, _| apply(draft),
};

/// Sets every gain in front of a matrix to one. Of a layer norm with gain `g` and bias `b` the
/// matrix behind reads `W (g z + b) + c = (W g) z + (W b + c)`; where there is no `c` to take it up,
/// as in the head, `b` becomes `b / g`. Norms behind attention and MLP act in the residual stream's
/// own coordinates and have nothing behind them to move into: they stay.
pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.spec.normalised_head {
        return Err("a head of rows of norm one cannot take up the last gain".into());
    }
    check_division(draft)?;
    draft.untie()?;
    draft.computes();
    if draft.spec.norm_place.behind() {
        let note = "the gains of norms behind attention and MLP stay where they are";
        draft.notes.push(note.to_owned());
    }
    let spec = draft.spec.clone();
    draft.wrap(move |inner, role| folded(&spec, inner, role));
    Ok(())
}

/// A gain of zero hides a bias that no other place could hold.
fn check_division(draft: &Draft<'_>) -> Result<(), Refusal> {
    if draft.spec.norm == Norm::Rms {
        return Ok(());
    }
    for (role, _) in draft.spec.roles() {
        let divides = is_before_matrix(&role)
            && role.param == Param::Weight
            && !readers_have_biases(&draft.spec, &role);
        if divides && draft.weight(&role)?.values.contains(&0.0) {
            let reason = format!("{role} has a gain of zero and no bias follows it");
            return Err(reason.into());
        }
    }
    Ok(())
}

fn folded(spec: &DecoderSpec, inner: &Source<'_>, role: &Role) -> Result<Matrix, Error> {
    let mut weight = inner(role)?;
    if is_before_matrix(role) {
        match role.param {
            Param::Weight => weight.values.fill(1.0),
            Param::Bias => {
                let gain = Role {
                    param: Param::Weight,
                    ..*role
                };
                if readers_have_biases(spec, &gain) {
                    weight.values.fill(0.0);
                } else {
                    weight.scale_rows(&inverse(&doubles(&inner(&gain)?)));
                }
            }
        }
        return Ok(weight);
    }
    let Some(norm) = norm_before(spec, role) else {
        return Ok(weight);
    };
    match role.param {
        Param::Weight => weight.scale_columns(&doubles(&inner(&norm)?)),
        Param::Bias if spec.norm == Norm::Layer && readers_have_biases(spec, &norm) => {
            let bias = doubles(&inner(&norm.bias())?);
            let matrix = inner(&Role {
                param: Param::Weight,
                ..*role
            })?;
            let rows = matrix.values.chunks_exact(matrix.columns());
            for (value, row) in weight.values.iter_mut().zip(rows) {
                let read: f64 = row.iter().zip(&bias).map(|(w, b)| f64::from(*w) * b).sum();
                *value = (f64::from(*value) + read) as f32;
            }
        }
        Param::Bias => {}
    }
    Ok(weight)
}

/// Whether it belongs to a norm that a matrix follows.
fn is_before_matrix(role: &Role) -> bool {
    matches!(
        role.part,
        Part::AttentionNorm | Part::MlpNorm | Part::FinalNorm
    )
}

fn doubles(vector: &Matrix) -> Vec<f64> {
    vector
        .values
        .iter()
        .map(|&value| f64::from(value))
        .collect()
}

fn inverse(vector: &[f64]) -> Vec<f64> {
    vector.iter().map(|value| value.recip()).collect()
}
