//! Per-layer profiles: two curves over relative depth with the population's band.

use crate::evidence::Figure;
use crate::report::data::{EvidenceRow, Report};
use crate::report::number;

use super::Limits;
use super::page::{anchor, sentence, shown};
use super::scale::{Scale, path};

const LEFT: f64 = 44.0;
const RIGHT: f64 = 232.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 150.0;
/// Above this many layers the marks would touch, and the lines alone are drawn.
const MOST_MARKS: usize = 40;

/// All curves of one method.
pub(super) struct CurveGroup {
    pub anchor: String,
    pub title: String,
    pub id: String,
    pub statistic: String,
    pub null: String,
    pub curves: Vec<Curves>,
}

/// One picture.
pub(super) struct Curves {
    pub key: String,
    pub title: String,
    pub description: String,
    pub band_note: String,
    pub band: String,
    pub reference: String,
    pub suspect: String,
    pub reference_marks: Vec<(String, String)>,
    pub suspect_marks: Vec<(String, String)>,
    pub ticks: Vec<(String, String)>,
    pub layers: Vec<[String; 3]>,
    pub band_rows: Vec<[String; 3]>,
    pub rows_left: usize,
}

/// The groups of `report`, in registry order.
pub(super) fn groups(report: &Report, limits: Limits) -> Vec<CurveGroup> {
    report
        .evidence
        .iter()
        .filter_map(|row| {
            let curves: Vec<_> = row
                .figures
                .iter()
                .enumerate()
                .filter_map(|(i, figure)| {
                    Curves::new(&anchor(&format!("c{i}"), &row.id), figure, limits)
                })
                .collect();
            (!curves.is_empty()).then(|| group(row, curves))
        })
        .collect()
}

fn group(row: &EvidenceRow, curves: Vec<Curves>) -> CurveGroup {
    CurveGroup {
        anchor: anchor("e", &row.id),
        title: shown(&row.title),
        id: shown(&row.id),
        statistic: row
            .statistic
            .map_or_else(|| "no number".to_owned(), number::statistic),
        null: row.null.as_deref().map(sentence).unwrap_or_default(),
        curves,
    }
}

impl Curves {
    fn new(key: &str, figure: &Figure, limits: Limits) -> Option<Self> {
        let Figure::Curves {
            title,
            reference,
            suspect,
            band,
            band_models,
        } = figure
        else {
            return None;
        };
        let edges = band.iter().flat_map(|&(low, high)| [low, high]);
        let values = reference.iter().chain(suspect).copied().chain(edges);
        let y = Scale::covering(values, BOTTOM, TOP)?;
        let (layers, rows_left) = layer_rows(reference, suspect, limits.cells / 3);
        Some(Self {
            key: key.to_owned(),
            title: shown(title),
            description: describe(reference, suspect, *band_models, band.is_empty()),
            band_note: band_note(*band_models, band.is_empty()),
            band: band_path(band, &y),
            reference: path(points(reference, &y)),
            suspect: path(points(suspect, &y)),
            reference_marks: marks(reference, &y),
            suspect_marks: marks(suspect, &y),
            ticks: y
                .ticks()
                .into_iter()
                .map(|(at, text)| (format!("{at:.1}"), text))
                .collect(),
            layers,
            band_rows: band_rows(band, limits.cells / 3),
            rows_left,
        })
    }
}

/// Relative depth of entry `i` of `count`, as a pixel.
fn x(i: usize, count: usize) -> f64 {
    let depth = i as f64 / count.saturating_sub(1).max(1) as f64;
    LEFT + depth * (RIGHT - LEFT)
}

fn points<'a>(values: &'a [f64], y: &'a Scale) -> impl Iterator<Item = Option<(f64, f64)>> + 'a {
    values
        .iter()
        .enumerate()
        .map(|(i, &value)| value.is_finite().then(|| (x(i, values.len()), y.at(value))))
}

fn marks(values: &[f64], y: &Scale) -> Vec<(String, String)> {
    if values.len() > MOST_MARKS {
        return Vec::new();
    }
    points(values, y)
        .flatten()
        .map(|(x, y)| (format!("{x:.1}"), format!("{y:.1}")))
        .collect()
}

/// Out along the upper edge, back along the lower.
fn band_path(band: &[(f64, f64)], y: &Scale) -> String {
    let edge = |i: usize, value: f64| (x(i, band.len()), y.at(value));
    let finite: Vec<(usize, f64, f64)> = band
        .iter()
        .enumerate()
        .filter(|(_, (low, high))| low.is_finite() && high.is_finite())
        .map(|(i, &(low, high))| (i, low, high))
        .collect();
    let upper = finite.iter().map(|&(i, _, high)| Some(edge(i, high)));
    let lower = finite.iter().rev().map(|&(i, low, _)| Some(edge(i, low)));
    let data = path(upper.chain(lower));
    if data.is_empty() { data } else { data + "Z" }
}

fn band_note(models: usize, empty: bool) -> String {
    match (models, empty) {
        (_, true) => "no null band: no population for this profile".to_owned(),
        (1, _) => "band: 1 independent model".to_owned(),
        (n, _) => format!("band: {n} independent models"),
    }
}

fn describe(reference: &[f64], suspect: &[f64], models: usize, no_band: bool) -> String {
    format!(
        "Line chart over relative depth. Reference: {}. Suspect: {}. {}.",
        range(reference),
        range(suspect),
        band_note(models, no_band)
    )
}

fn range(values: &[f64]) -> String {
    let finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    let low = finite.iter().copied().reduce(f64::min);
    let high = finite.iter().copied().reduce(f64::max);
    match (low, high) {
        (Some(low), Some(high)) => format!(
            "{} layers, from {} to {}",
            values.len(),
            number::statistic(low),
            number::statistic(high)
        ),
        _ => format!("{} layers without a value", values.len()),
    }
}

/// Layer, reference, suspect; and how many rows were left out.
fn layer_rows(reference: &[f64], suspect: &[f64], most: usize) -> (Vec<[String; 3]>, usize) {
    let all = reference.len().max(suspect.len());
    let cell = |values: &[f64], i: usize| {
        values
            .get(i)
            .map_or_else(|| "no layer".to_owned(), |&x| number::statistic(x))
    };
    let rows: Vec<_> = (0..all.min(most))
        .map(|i| [i.to_string(), cell(reference, i), cell(suspect, i)])
        .collect();
    let left = all - rows.len();
    (rows, left)
}

fn band_rows(band: &[(f64, f64)], most: usize) -> Vec<[String; 3]> {
    let last = band.len().saturating_sub(1).max(1) as f64;
    band.iter()
        .take(most)
        .enumerate()
        .map(|(i, &(low, high))| {
            [
                format!("{:.2}", i as f64 / last),
                number::statistic(low),
                number::statistic(high),
            ]
        })
        .collect()
}
