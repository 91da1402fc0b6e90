//! A difference in words and as a table.

use std::collections::BTreeMap;

use super::Change;
use crate::evidence::control::Controls;
use crate::evidence::{Finding, Table};

/// The difference in words.
pub(super) fn words(details: &BTreeMap<&'static str, f64>) -> Vec<String> {
    let get = |name: &str| details.get(name).copied();
    let mut words = Vec::new();
    if let (Some(sigma), Some(low), Some(high), Some(share)) = (
        get("sigma"),
        get("sigma_low"),
        get("sigma_high"),
        get("sigma_share"),
    ) {
        words.push(format!(
            "The difference has a standard deviation of {sigma:.3e} ({low:.3e} to {high:.3e} if it is normal), {share:.4} \
             of the weights' own"
        ));
    }
    if let (Some(spread), Some(kurtosis)) = (get("sigma_spread"), get("kurtosis")) {
        words.push(format!(
            "it varies by {spread:.3} of itself between matrices, with a kurtosis of {kurtosis:.2} (3 is normal)"
        ));
    }
    if let (Some(top), Some(rank), Some(energy)) =
        (get("top_over_edge"), get("rank"), get("rank_energy"))
    {
        words.push(format!(
            "its largest singular value is {top:.2} times what pure noise has, and {rank:.0} directions stand out with \
             {energy:.2} of it"
        ));
    }
    words
}

pub(super) fn finding(
    common: f64,
    changes: &[Change],
    controls: &Controls,
    details: BTreeMap<&'static str, f64>,
    story: &[String],
) -> Finding {
    let mut explanation = format!(
        "{} matrices of the same role and shape have {common:.4} in common (1 is all, 0 is nothing).",
        changes.len()
    );
    if !story.is_empty() {
        explanation += &format!(" {}.", story.join("; "));
    }
    let n = changes.len() as u64;
    described(common, n, controls, details, explanation, changes)
}

/// A finding that describes and supports nothing.
pub(super) fn described(
    statistic: f64,
    n: u64,
    controls: &Controls,
    details: BTreeMap<&'static str, f64>,
    explanation: String,
    changes: &[Change],
) -> Finding {
    Finding {
        statistic,
        n,
        null: format!("none; {}", controls.words(statistic)),
        log10_p: None,
        interval: None,
        details,
        explanation,
        caveats: vec![
            "it describes how related models differ and is no evidence of kinship".to_owned(),
        ],
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(table(changes)),
    }
}

fn table(changes: &[Change]) -> Table {
    let columns = [
        "matrix",
        "std of difference",
        "low",
        "high",
        "share of own",
        "equal",
    ];
    let row = |change: &Change| {
        let (sigma, half) = (change.sigma(), 1.96 / (2.0 * change.n.max(1.0)).sqrt());
        vec![
            change.role.to_string(),
            format!("{sigma:.3e}"),
            format!("{:.3e}", sigma * (1.0 - half)),
            format!("{:.3e}", sigma * (1.0 + half)),
            format!(
                "{:.4}",
                (change.d2 / change.xx.max(f64::MIN_POSITIVE)).sqrt()
            ),
            format!("{:.3}", change.equal / change.n.max(1.0)),
        ]
    };
    Table {
        columns: columns.map(str::to_owned).to_vec(),
        rows: changes.iter().map(row).collect(),
    }
}
