//! How two related models are related, as far as the numbers say.

use serde::{Deserialize, Serialize};

use super::Calibration;
use super::judge::Look;
use super::population::INDEPENDENT;

/// What separates one relation from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationScale {
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
    /// Least growth of the spread of up rows' lengths for rescaled units.
    pub rescaled: f64,
    /// Origin of the numbers.
    pub because: String,
}

/// A relation with what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    pub name: &'static str,
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
    match strange_blocks(look, calibration) {
        None => construction(look, scale).or_else(|| numbers(look, scale)),
        Some(strange) => embedding_only(look, scale, &strange),
    }
}

/// Agreement of blocks that independent runs reach as well.
struct Strange {
    agreement: f64,
    highest: f64,
}

/// Blocks that agree no more than those of some pair of independent runs in the tables.
fn strange_blocks(look: &Look<'_>, calibration: &Calibration) -> Option<Strange> {
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
        name: "embedding_shared",
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
            name: "moe_upcycled",
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
            name: "depth_changed",
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
            name: "width_changed",
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
        name: "tokenizer_swapped",
        direction: UNKNOWN,
        because: format!(
            "Blocks have {body:.2} in common, embeddings {embedding:.2}, and {kept:.2} of the smaller vocabulary kept \
             its place."
        ),
    })
}

/// From the difference, which exists where basis and order of units were kept.
fn numbers(look: &Look<'_>, scale: &RelationScale) -> Option<Relation> {
    let of = |name: &str| detail(look, "weight.difference", name);
    let sigma = of("sigma")?;
    let found = |name, direction, because| {
        Some(Relation {
            name,
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

/// What was done to the suspect that leaves its function as it is.
pub(super) fn laundering(look: &Look<'_>, calibration: &Calibration) -> Vec<&'static str> {
    // Between blocks that do not correspond there is no basis to have been changed.
    if strange_blocks(look, calibration).is_some() {
        return Vec::new();
    }
    let scale = &calibration.relation;
    let of = |name: &str| detail(look, "weight.unit_agreement", name);
    let mut names = Vec::new();
    if let (Some(a), Some(b)) = (of("constant_gains_reference"), of("constant_gains_suspect")) {
        // Every gain of one side, none of the other.
        if (a > 0.5) != (b > 0.5) {
            names.push("gains_folded");
        }
    }
    if let (Some(kept), Some(peak)) = (of("basis_kept"), of("basis_peak"))
        && kept < scale.same_basis
    {
        names.push(if peak >= scale.same_basis {
            "residual_permuted"
        } else {
            "residual_rotated"
        });
    }
    let partners = look.finding("weight.unit_agreement");
    let in_place = look.finding("weight.aligned_rows");
    if let (Some(partners), Some(in_place)) = (partners, in_place)
        && partners.statistic >= scale.units_partner
        && in_place.statistic < partners.statistic / 2.0
    {
        names.push("units_permuted");
    }
    for (moved, name) in [
        ("heads_moved", "heads_permuted"),
        ("experts_moved", "experts_permuted"),
    ] {
        let share = detail(look, "weight.head_index", moved);
        if share.is_some_and(|share| share >= scale.heads_moved) {
            names.push(name);
        }
    }
    if let (Some(a), Some(b)) = (of("up_spread_reference"), of("up_spread_suspect"))
        && (a - b).abs() >= scale.rescaled
    {
        names.push("units_rescaled");
    }
    names
}

fn detail(look: &Look<'_>, id: &str, name: &str) -> Option<f64> {
    look.finding(id)?.details.get(name).copied()
}
