//! The evidence ledger: every method, with its null and its controls beside it.

use crate::evidence::{Control, Figure, Interval, Known, Table};
use crate::report::data::{EvidenceRow, Report};
use crate::report::number::{self, PValue};
use crate::report::words::{self, Marked};

use super::Limits;
use super::page::{anchor, sentence, shown};
use super::strip::Strip;

/// A method with a number.
pub(super) struct Measured {
    pub anchor: String,
    pub id: String,
    pub version: u32,
    pub family: String,
    pub title: String,
    pub supports: Marked,
    pub statistic: String,
    pub interval: Option<String>,
    pub n: String,
    pub log10_p: Option<String>,
    pub p: Option<PValue>,
    pub likelihood: Option<(String, String)>,
    pub independent: String,
    pub derived: String,
    pub strip: Option<Strip>,
    pub null: String,
    pub explanation: String,
    pub caveats: Vec<String>,
    pub controls: Vec<[String; 3]>,
    pub controls_left: usize,
    pub table: Option<Detail>,
    pub pictures: Vec<(&'static str, &'static str)>,
}

/// A method without one.
pub(super) struct Absent {
    pub anchor: String,
    pub id: String,
    pub title: String,
    pub status: &'static str,
    pub reason: String,
}

/// Detail rows that fit.
pub(super) struct Detail {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub left: usize,
}

/// A method's entry in the glossary.
pub(super) struct Measure {
    pub id: String,
    pub title: String,
    pub measures: String,
    pub fooled_by: String,
    pub reference: String,
}

/// Methods with a number, in registry order.
pub(super) fn measured(report: &Report, limits: Limits) -> Vec<Measured> {
    report
        .evidence
        .iter()
        .filter(|row| words::measured(row))
        .map(|row| Measured::new(row, limits))
        .collect()
}

/// Methods without a number, in registry order.
pub(super) fn absent(report: &Report) -> Vec<Absent> {
    report
        .evidence
        .iter()
        .filter(|row| !words::measured(row))
        .map(|row| Absent {
            anchor: anchor("e", &row.id),
            id: shown(&row.id),
            title: shown(&row.title),
            status: if row.status == "failed" {
                "failed"
            } else {
                "not applicable"
            },
            reason: sentence(words::reason(row)),
        })
        .collect()
}

/// Every method of the report, explained.
pub(super) fn glossary(report: &Report) -> Vec<Measure> {
    report
        .evidence
        .iter()
        .map(|row| Measure {
            id: shown(&row.id),
            title: shown(&row.title),
            measures: sentence(&row.measures),
            fooled_by: sentence(&row.fooled_by),
            reference: sentence(&row.reference),
        })
        .collect()
}

impl Measured {
    fn new(row: &EvidenceRow, limits: Limits) -> Self {
        let controls: Vec<_> = row.controls.iter().take(limits.rows).map(control).collect();
        Self {
            anchor: anchor("e", &row.id),
            id: shown(&row.id),
            version: row.version,
            family: shown(&row.family),
            title: shown(&row.title),
            supports: words::supports(row),
            statistic: row.statistic.map_or_else(String::new, number::statistic),
            interval: row.interval.map(interval),
            n: row.n.map_or_else(|| "not stated".to_owned(), number::count),
            log10_p: row.log10_p.map(number::log10),
            p: row.log10_p.map(number::p_value),
            likelihood: row
                .log10_lr
                .map(|lr| (number::log10(lr), words::likelihood_ratio(lr))),
            independent: words::controls(row, Known::Independent),
            derived: words::controls(row, Known::Derived),
            strip: Strip::new(row),
            null: row
                .null
                .as_deref()
                .map_or_else(|| "not stated".to_owned(), sentence),
            explanation: sentence(&row.explanation),
            caveats: row
                .caveats
                .iter()
                .take(limits.rows)
                .map(|caveat| sentence(caveat))
                .collect(),
            controls_left: row.controls.len() - controls.len(),
            controls,
            table: row.table.as_ref().map(|table| detail(table, limits.rows)),
            pictures: pictures(row),
        }
    }
}

fn interval(interval: Interval) -> String {
    format!(
        "{} to {} ({} % interval)",
        number::statistic(interval.low),
        number::statistic(interval.high),
        number::statistic(interval.level * 100.0)
    )
}

fn control(control: &Control) -> [String; 3] {
    let known = match control.relation {
        Known::Independent => "independent",
        Known::Derived => "derived",
    };
    [
        shown(&control.pair),
        known.to_owned(),
        number::statistic(control.statistic),
    ]
}

fn detail(table: &Table, most: usize) -> Detail {
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .take(most)
        .map(|row| row.iter().take(12).map(|cell| shown(cell)).collect())
        .collect();
    Detail {
        columns: table.columns.iter().take(12).map(|c| shown(c)).collect(),
        left: table.rows.len() - rows.len(),
        rows,
    }
}

/// Sections that draw this row.
fn pictures(row: &EvidenceRow) -> Vec<(&'static str, &'static str)> {
    let mut list = Vec::new();
    for figure in &row.figures {
        let link = match figure {
            Figure::Curves { .. } => ("profiles", "profile curves"),
            Figure::Heatmap { .. } => ("heatmaps", "heatmap"),
            Figure::Overlap { .. } => ("errors", "error overlap"),
        };
        if !list.contains(&link) {
            list.push(link);
        }
    }
    list
}
