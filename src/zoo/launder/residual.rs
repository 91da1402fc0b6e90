//! Other coordinates for the residual stream.

use crate::model::DecoderSpec;
use crate::model::Part;
use crate::model::spec::Norm;

use super::draft::Draft;
use super::fold;
use super::matrix::shuffled;
use super::matrix::sign;
use super::place::Residual;
use super::place::residual;
use super::square::Square;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Coordinates in another order, with other signs.
pub(super) static PERMUTE_RESIDUAL: Laundering = Laundering {
    name: "permute-residual",
    does: "reorders the residual stream's coordinates and flips their signs (layer norms: all or none)",
    strength: Strength::None,
    kind: Kind::Exact,
    apply: permute,
};

/// Rotated coordinates.
pub(super) static ROTATE_RESIDUAL: Laundering = Laundering {
    name: "rotate-residual",
    does: "folds gains, then turns the residual stream by a random rotation",
    strength: Strength::None,
    kind: Kind::Exact,
    apply: rotate,
};

/// A larger stream.
pub(super) static SCALE_RESIDUAL: Laundering = Laundering {
    name: "scale-residual",
    does: "scales the residual stream, and the norms' epsilon by the square",
    strength: Strength::Number {
        meaning: "the factor",
        default: Some(4.0),
        range: (1e-3, 1e3),
        whole: false,
    },
    kind: Kind::Exact,
    apply: scale,
};

/// An RMS norm commutes with every signed permutation of its gain's coordinates; so does a layer
/// norm, which subtracts the mean, if all signs are the same.
fn permute<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let width = draft.spec.hidden_size;
    let mut dice = work.dice("order");
    let order = shuffled(width, &mut dice);
    let one = sign(&mut dice);
    let signs: Vec<f64> = (0..width)
        .map(|_| match draft.spec.norm {
            Norm::Rms => sign(&mut dice),
            Norm::Layer => one,
        })
        .collect();
    draft.alter(move |role, weight| {
        match residual(role) {
            Residual::Columns => {
                weight.take_columns(&order);
                weight.scale_columns(&signs);
            }
            Residual::Rows | Residual::NormBias => {
                weight.take_rows(&order);
                weight.scale_rows(&signs);
            }
            Residual::Gain => weight.take_rows(&order),
            Residual::None => {}
        }
        Ok(())
    });
    Ok(())
}

/// With gains of one, an RMS norm commutes with every rotation (Ashkboos et al., "SliceGPT", ICLR
/// 2024), and a layer norm with every rotation that leaves the vector of ones where it is.
fn rotate<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    if draft.spec.norm_place.behind() {
        let reason = "norms behind attention and MLP have gains in the stream's own coordinates, \
                      which a rotation would mix; permute-residual is exact here";
        return Err(reason.into());
    }
    fold::apply(draft)?;
    let width = draft.spec.hidden_size;
    let mut dice = work.dice("rotation");
    let turn = match draft.spec.norm {
        Norm::Rms => Square::orthogonal(width, &mut dice),
        Norm::Layer => Square::orthogonal_around_ones(width, &mut dice),
    };
    let back = turn.transposed();
    draft.alter(move |role, weight| {
        match residual(role) {
            Residual::Columns => weight.times(&back)?,
            Residual::Rows | Residual::NormBias => {
                let rows = weight.rows();
                let vector = weight.shape.len() == 1;
                if vector {
                    weight.shape = vec![rows, 1];
                }
                weight.times_from_left(&turn)?;
                if vector {
                    weight.shape = vec![rows];
                }
            }
            Residual::Gain | Residual::None => {}
        }
        Ok(())
    });
    Ok(())
}

/// `norm(c x)` with `c² eps` is `norm(x)` with `eps`. A norm behind attention or MLP gives its gain
/// the factor; a norm of queries and keys, whose epsilon is the same entry, wants them scaled, too;
/// a head that is the embedding has the factor taken back by the last norm.
fn scale<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let factor = work.number();
    if factor == 1.0 {
        return Err("a factor of 1 changes nothing".into());
    }
    let before = draft.spec.clone();
    if !before.norm_place.before() {
        return Err("attention and MLP read the stream without a norm".into());
    }
    let norm_eps = before.norm_eps * factor * factor;
    let expected = DecoderSpec {
        norm_eps,
        ..before.clone()
    };
    let key = match before.norm {
        Norm::Rms => "rms_norm_eps",
        Norm::Layer if draft.config.contains_key("layer_norm_eps") => "layer_norm_eps",
        Norm::Layer => "layer_norm_epsilon",
    };
    draft.configure(&[(key, norm_eps.into())], &expected)?;
    draft.computes();
    draft.alter(move |role, weight| {
        let scaled = match role.part {
            Part::Embed | Part::PositionEmbed | Part::Output | Part::Down => factor,
            Part::PostAttentionNorm | Part::PostMlpNorm => factor,
            Part::Query | Part::Key if before.qk_norm.is_some() => factor,
            Part::FinalNorm if before.tie_word_embeddings => factor.recip(),
            _ => return Ok(()),
        };
        weight.scale(scaled);
        Ok(())
    });
    Ok(())
}
