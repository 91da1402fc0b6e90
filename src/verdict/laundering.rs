//! Which rewritings that keep a model's function lie between two models.

use super::Calibration;
use super::judge::Look;
use super::relation::{RESTORED, detail, strange_blocks};

/// Rewritings after which a head's matrices are not where they were.
pub const MOVES_HEADS: [&str; 5] = [
    "gains_folded",
    "residual_permuted",
    "residual_rotated",
    "residual_scaled",
    "heads_permuted",
];

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
    if detail(look, RESTORED, "residual_scale")
        .is_some_and(|times| times.ln().abs() >= scale.residual_scaled)
    {
        names.push("residual_scaled");
    }
    // In another basis or order nothing stands in its place, and heads cannot be told apart from it.
    let in_place = !names.iter().any(|name| MOVES_HEADS.contains(name));
    for (common, name) in [
        ("common_query_key", "query_key_rotated"),
        ("common_value_output", "value_output_rescaled"),
    ] {
        let stored = detail(look, "weight.difference", common);
        let product = detail(look, RESTORED, common);
        if let (true, Some(stored), Some(product)) = (in_place, stored, product)
            && product - stored >= scale.heads_rebased
        {
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
