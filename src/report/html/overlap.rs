//! Error overlap: which items each model got wrong.

use crate::evidence::Figure;
use crate::report::data::{EvidenceRow, Report};
use crate::report::number;

use super::page::{anchor, shown};

/// Segments narrower than this share of the bar carry no number.
const LEAST_LABELLED: f64 = 0.07;

/// One picture.
pub(super) struct Overlap {
    pub anchor: String,
    pub key: String,
    pub method: String,
    pub title: String,
    pub description: String,
    pub total: String,
    pub segments: Vec<Segment>,
    pub both_right: String,
    pub reference_wrong: String,
    pub suspect_wrong: String,
    pub both_wrong: String,
    pub alike: String,
}

/// One part of the bar.
pub(super) struct Segment {
    pub class: &'static str,
    pub name: &'static str,
    pub count: String,
    pub share: String,
    pub start: String,
    pub width: String,
    pub middle: String,
    pub labelled: bool,
}

/// The overlaps of `report`, in registry order; suites without an answered item have none.
pub(super) fn overlaps(report: &Report) -> Vec<Overlap> {
    let of_row = |row: &EvidenceRow| -> Vec<Overlap> {
        row.figures
            .iter()
            .enumerate()
            .filter_map(|(i, figure)| Overlap::new(row, i, figure))
            .collect()
    };
    report.evidence.iter().flat_map(of_row).collect()
}

impl Overlap {
    fn new(row: &EvidenceRow, index: usize, figure: &Figure) -> Option<Self> {
        let Figure::Overlap {
            title,
            both_right,
            reference_wrong,
            suspect_wrong,
            both_wrong_differently,
            both_wrong_alike,
        } = figure
        else {
            return None;
        };
        let counts = [
            ("right", "both right", *both_right),
            ("reference", "only the reference wrong", *reference_wrong),
            ("suspect", "only the suspect wrong", *suspect_wrong),
            (
                "apart",
                "both wrong, different answers",
                *both_wrong_differently,
            ),
            ("alike", "both wrong, same answer", *both_wrong_alike),
        ];
        let total = counts
            .iter()
            .fold(0_u64, |sum, (_, _, n)| sum.saturating_add(*n));
        if total == 0 {
            return None;
        }
        let segments = segments(&counts, total);
        let description = segments
            .iter()
            .map(|s| format!("{}: {} ({})", s.name, s.count, s.share))
            .collect::<Vec<_>>()
            .join("; ");
        let both_wrong = both_wrong_differently.saturating_add(*both_wrong_alike);
        Some(Self {
            anchor: anchor("e", &row.id),
            key: anchor(&format!("o{index}"), &row.id),
            method: shown(&row.id),
            title: shown(title),
            description: format!("Bar of {total} items. {description}."),
            total: number::count(total),
            segments,
            both_right: number::count(*both_right),
            reference_wrong: number::count(*reference_wrong),
            suspect_wrong: number::count(*suspect_wrong),
            both_wrong: number::count(both_wrong),
            alike: number::count(*both_wrong_alike),
        })
    }
}

fn segments(counts: &[(&'static str, &'static str, u64)], total: u64) -> Vec<Segment> {
    let mut before = 0.0;
    counts
        .iter()
        .map(|&(class, name, n)| {
            let share = n as f64 / total as f64;
            let start = before;
            before += share;
            Segment {
                class,
                name,
                count: number::count(n),
                share: format!("{:.1} %", share * 100.0),
                start: format!("{:.3}%", start * 100.0),
                width: format!("{:.3}%", share * 100.0),
                middle: format!("{:.3}%", (start + share / 2.0) * 100.0),
                labelled: share >= LEAST_LABELLED,
            }
        })
        .collect()
}
