//! A report whose every stated number is finite.

use super::data::{EvidenceRow, Report};

/// `report` with each non-finite number turned into words.
///
/// Numbers in JSON are finite, and a missing number is a word with a reason. A statistic that is not
/// finite makes its row `failed`; a p-value, likelihood ratio, interval or control that is not finite
/// is dropped with a caveat. Values inside figures stay: they are drawn as gaps and stored as `null`.
pub(super) fn finite(report: &Report) -> Report {
    let mut report = report.clone();
    let mut lost = Vec::new();
    let findings = &mut report.findings;
    for (name, value) in [
        ("lineage log10_lr", &mut findings.lineage.log10_lr),
        ("lineage log10_p", &mut findings.lineage.log10_p),
        ("behaviour log10_p", &mut findings.behaviour.log10_p),
    ] {
        if drop_unless_finite(value) {
            lost.push(format!("{name} was not a finite number and is left out"));
        }
    }
    report.warnings.extend(lost);
    report.evidence.iter_mut().for_each(row);
    report
}

fn row(row: &mut EvidenceRow) {
    if drop_unless_finite(&mut row.statistic) {
        row.status = "failed";
        row.supports = "descriptive";
        row.reason = Some("the statistic was not a finite number".to_owned());
    }
    for (name, value) in [
        ("log10 p", &mut row.log10_p),
        ("log10 LR", &mut row.log10_lr),
    ] {
        if drop_unless_finite(value) {
            row.caveats
                .push(format!("{name} was not a finite number and is left out"));
        }
    }
    if row.interval.is_some_and(|interval| {
        [interval.low, interval.high, interval.level]
            .iter()
            .any(|end| !end.is_finite())
    }) {
        row.interval = None;
        row.caveats
            .push("the interval was not finite and is left out".to_owned());
    }
    let before = row.controls.len();
    row.controls.retain(|control| control.statistic.is_finite());
    let dropped = before - row.controls.len();
    if dropped > 0 {
        row.caveats.push(format!(
            "{dropped} of {before} controls had no finite value and are left out"
        ));
    }
}

/// Whether a number was there and had to go.
fn drop_unless_finite(value: &mut Option<f64>) -> bool {
    let drop = value.is_some_and(|x| !x.is_finite());
    if drop {
        *value = None;
    }
    drop
}
