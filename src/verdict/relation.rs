//! How two related models are related, as far as the numbers say.

use serde::{Deserialize, Serialize};

use super::Calibration;
use super::judge::Look;
use super::laundering::laundering;
use super::population::INDEPENDENT;

/// What separates one relation from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationScale {
    /// Largest size of what is left of hidden units, as a share of theirs, for a rewriting alone; and of the
    /// heads' products, in which rounding adds up and is multiplied.
    pub rounding: f64,
    /// See `rounding`.
    pub rounding_of_products: f64,
    /// Largest spread of the difference's size between matrices, as a share of it, for one noise.
    pub one_noise_spread: f64,
    /// Largest distance of the difference's kurtosis from the normal law's 3, for one noise.
    pub one_noise_kurtosis: f64,
    /// Largest multiple of noise's own largest singular value, for one noise.
    pub one_noise_top: f64,
    /// Largest mean distance from a grid, in steps, for quantised numbers (0.25 without a grid).
    pub grid_error: f64,
    /// Least share of numbers that one side alone has at zero, for pruning.
    pub zeroed_share: f64,
    /// Least share of a difference's squared sum in the directions that stand out, for a low rank.
    pub low_rank_energy: f64,
    /// Least ratio of the last such direction to the next.
    pub low_rank_cliff: f64,
    /// Largest share in common of matrices of blocks for `continued`; above it is `fine_tuned`.
    pub continued_below: f64,
    /// Largest share in common of embeddings, while blocks have more, for a vocabulary that was replaced.
    pub embedding_replaced_below: f64,
    /// Largest share of the smaller vocabulary that keeps its place, for a vocabulary that was replaced.
    pub vocabulary_kept: f64,
    /// Least mean diagonal of the rotation between residual streams for one basis, and least mean peak of
    /// its rows for coordinates that changed places.
    pub same_basis: f64,
    /// Least share of hidden units with a partner for units to be called permuted, when no more than half of
    /// that share keep their place.
    pub units_partner: f64,
    /// Least share of heads, or of experts, with a partner at another index for them to be called permuted.
    pub heads_moved: f64,
    /// Least size of the logarithm of what the suspect writes more to its residual stream, for a stream that
    /// was scaled as a whole.
    pub residual_scaled: f64,
    /// Least share that heads' products have more in common than their matrices as they are stored, for a
    /// change of basis inside the heads.
    pub heads_rebased: f64,
    /// Least growth of the spread of up rows' lengths for rescaled units.
    pub rescaled: f64,
    /// Origin of the numbers.
    pub because: String,
}

/// A relation with what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    /// The word for it, where there is one.
    pub name: Option<&'static str>,
    pub direction: &'static str,
    pub because: String,
}

const UNKNOWN: &str = "unknown";
const FORWARD: &str = "reference_to_suspect";
const BACKWARD: &str = "suspect_to_reference";

/// What tells whether the blocks of two models correspond at all.
const BLOCKS: &str = "weight.unit_agreement";

/// The most specific relation that the numbers support, if any: changes of construction first, then what
/// was done to the numbers. Where blocks agree no more than those of independent runs, embeddings are
/// all that is left to have been taken over.
pub(super) fn relation(look: &Look<'_>, calibration: &Calibration) -> Option<Relation> {
    let scale = &calibration.relation;
    if let Some(strange) = strange_blocks(look, calibration) {
        return embedding_only(look, scale, &strange);
    }
    let as_stored = laundering(look, calibration).is_empty();
    construction(look, scale).or_else(|| match as_stored {
        true => numbers(look, scale, "weight.difference"),
        false => equivalent(look, scale).or_else(|| numbers(look, scale, RESTORED)),
    })
}

/// What tells how models differ whose weights were rewritten.
pub(super) const RESTORED: &str = "weight.restored_difference";

/// Agreement of blocks that independent runs reach as well.
pub(super) struct Strange {
    agreement: f64,
    highest: f64,
}

/// Blocks that agree no more than those of some pair of independent runs in the tables.
pub(super) fn strange_blocks(look: &Look<'_>, calibration: &Calibration) -> Option<Strange> {
    let (card, finding) = look.measured(BLOCKS)?;
    let tables = calibration.populations.iter();
    let mut tables =
        tables.filter(|table| table.method == card.id && table.version == card.version);
    let strangers = tables.next()?.cells();
    let strangers = strangers.filter(|(_, relation, _)| *relation == INDEPENDENT);
    let scores = strangers.flat_map(|(_, _, by_runs)| by_runs.values().copied());
    let highest = scores.reduce(f64::max)?;
    (finding.statistic <= highest).then_some(Strange {
        agreement: finding.statistic,
        highest,
    })
}

fn embedding_only(look: &Look<'_>, scale: &RelationScale, strange: &Strange) -> Option<Relation> {
    let common = detail(look, "weight.difference", "common_embedding")?;
    (common >= scale.embedding_replaced_below).then(|| Relation {
        name: Some("embedding_shared"),
        direction: UNKNOWN,
        because: format!(
            "Token embeddings have {common:.2} in common; hidden units of corresponding blocks agree in {:.3}, and \
             those of independent runs in up to {:.3}: consistent with a common origin of the embeddings and the \
             residual stream, and blocks that are not each other's.",
            strange.agreement, strange.highest
        ),
    })
}

fn construction(look: &Look<'_>, scale: &RelationScale) -> Option<Relation> {
    let of = |name: &str| detail(look, "weight.unit_agreement", name);
    let (experts, others) = (of("experts_reference")?, of("experts_suspect")?);
    if (experts > 1.0) != (others > 1.0) {
        return Some(Relation {
            name: Some("moe_upcycled"),
            direction: if others > 1.0 { FORWARD } else { BACKWARD },
            because: format!(
                "One side has {} experts per layer whose units have partners in the other's dense MLPs.",
                experts.max(others)
            ),
        });
    }
    let (rows, columns) = (of("reference_layers")?, of("suspect_layers")?);
    let repeated = of("repeated_layers")?;
    if rows != columns || repeated > 0.0 || of("matched_layers")? < columns {
        return Some(Relation {
            name: Some("depth_changed"),
            direction: if repeated > 0.0 { FORWARD } else { UNKNOWN },
            because: format!(
                "Of {columns} layers {} have a counterpart among {rows}, {repeated} of them one that another has too.",
                of("matched_layers")?
            ),
        });
    }
    let (units, other) = (of("units_reference")?, of("units_suspect")?);
    if units != other {
        return Some(Relation {
            name: Some("width_changed"),
            direction: UNKNOWN,
            because: format!("{units} and {other} hidden units per layer."),
        });
    }
    let of = |name: &str| detail(look, "weight.difference", name);
    let body = of("common_body")?;
    // Without a row in common the two embeddings are not even of one shape.
    let embedding = of("common_embedding").unwrap_or(0.0);
    let kept = detail(look, "tokenizer.overlap", "smaller_kept")?;
    let replaced = embedding < scale.embedding_replaced_below && body > embedding;
    (replaced && kept < scale.vocabulary_kept).then(|| Relation {
        name: Some("tokenizer_swapped"),
        direction: UNKNOWN,
        because: format!(
            "Blocks have {body:.2} in common, embeddings {embedding:.2}, and {kept:.2} of the smaller vocabulary kept \
             its place."
        ),
    })
}

/// Nothing is left of the difference once the rewriting is undone but what storing rounds away.
fn equivalent(look: &Look<'_>, scale: &RelationScale) -> Option<Relation> {
    let of = |name: &str| detail(look, RESTORED, name);
    let units = of("sigma_share")?;
    // Of d^2 = |A|^2 + |B|^2 - 2 <A,B> against the mean of |A|^2 and |B|^2.
    let change = |common: f64| (2.0 * (1.0 - common)).max(0.0).sqrt();
    let heads = change(of("common_query_key")?).max(change(of("common_value_output")?));
    (units <= scale.rounding && heads <= scale.rounding_of_products).then(|| Relation {
        name: Some("equivalent"),
        direction: UNKNOWN,
        because: format!(
            "In one basis and order hidden units differ by {units:.4} of their size and the products of heads by \
             {heads:.4}: no more than rounding leaves of a rewriting that keeps the function."
        ),
    })
}

/// From the difference that the method `id` found: of the numbers as they are stored, or of what is left of
/// it once rewritings are undone.
fn numbers(look: &Look<'_>, scale: &RelationScale, id: &str) -> Option<Relation> {
    let of = |name: &str| detail(look, id, name);
    let sigma = of("sigma")?;
    let found = |name, direction, because| {
        Some(Relation {
            name: Some(name),
            direction,
            because,
        })
    };
    // A coarse grid has zeros of its own, so that it is asked first.
    let grids = [of("grid_error_reference")?, of("grid_error_suspect")?];
    if (grids[0] < scale.grid_error) != (grids[1] < scale.grid_error) {
        let suspect = grids[1] < scale.grid_error;
        let bits = of(if suspect {
            "grid_bits_suspect"
        } else {
            "grid_bits_reference"
        })?;
        return found(
            "quantised",
            if suspect { FORWARD } else { BACKWARD },
            format!("One side's numbers stand on a grid of {bits} bits, the other's do not."),
        );
    }
    let (zeroed, unzeroed) = (of("zeroed_share")?, of("unzeroed_share")?);
    if zeroed.max(unzeroed) >= scale.zeroed_share {
        let direction = if zeroed > unzeroed { FORWARD } else { BACKWARD };
        let share = zeroed.max(unzeroed);
        return found(
            "pruned",
            direction,
            format!("{share:.2} of the numbers are zero on one side alone."),
        );
    }
    let (spread, kurtosis) = (of("sigma_spread")?, of("kurtosis")?);
    let top = of("top_over_edge")?;
    if spread <= scale.one_noise_spread
        && (kurtosis - 3.0).abs() <= scale.one_noise_kurtosis
        && top <= scale.one_noise_top
    {
        return found(
            "noised",
            UNKNOWN,
            format!(
                "Normal noise of one standard deviation, {sigma:.3e}, explains the difference of every matrix."
            ),
        );
    }
    if top <= scale.one_noise_top {
        return Some(Relation {
            name: None,
            direction: UNKNOWN,
            because: format!(
                "No direction stands out of the difference (its largest singular value is {top:.2} times that of noise), as \
                 training would leave some: consistent with noise or rounding of more than one size, {share:.3} of the \
                 weights' own.",
                share = of("sigma_share")?
            ),
        });
    }
    let body = of("common_body")?;
    let low_rank =
        of("rank_energy")? >= scale.low_rank_energy && of("rank_cliff")? >= scale.low_rank_cliff;
    let how = if low_rank {
        format!(
            " The difference has rank {} in most matrices that changed, as low-rank adapters leave.",
            of("rank")?
        )
    } else {
        String::new()
    };
    let name = if body < scale.continued_below {
        "continued"
    } else {
        "fine_tuned"
    };
    found(
        name,
        UNKNOWN,
        format!(
            "Matrices have {body:.3} in common: one was trained on from the other, or both from a third.{how}"
        ),
    )
}

pub(super) fn detail(look: &Look<'_>, id: &str, name: &str) -> Option<f64> {
    look.finding(id)?.details.get(name).copied()
}

#[cfg(test)]
mod tests;
