//! Layers and experts of one model that are copies of one another.

use anyhow::Result;
use serde::Serialize;

use crate::evidence::{InnerPair, inner_pairs};
use crate::model::{Expert, Model};
use crate::verdict::Calibration;

/// The exact test that holds within one model as it does between two.
const TEST: &str = "weight.row_matching";

/// Lines for a reader.
const MOST_LINES: usize = 20;

/// What was found in one model.
#[derive(Debug, Serialize)]
pub(super) struct Copies {
    /// Pairs of MLPs held against each other.
    compared: usize,
    null: &'static str,
    /// Pairs at or below this are called copies.
    decides_at_log10_p: f64,
    /// Every pair, the clearest first.
    pairs: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    a: String,
    b: String,
    queries: u64,
    kept: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    agree: Option<u64>,
    log10_p: f64,
    copies: bool,
}

impl Copies {
    pub fn of(model: &Model, calibration: &Calibration, seed: u64) -> Result<Self> {
        let level = calibration
            .exact
            .get(TEST)
            .map(|test| test.decides_at_log10_p);
        let level = level.unwrap_or(f64::NEG_INFINITY);
        let mut pairs: Vec<Row> = inner_pairs(&model.weights, seed)?
            .into_iter()
            .map(|pair| row(&pair, level))
            .collect();
        pairs.sort_by(|a, b| a.log10_p.total_cmp(&b.log10_p));
        Ok(Self {
            compared: pairs.len(),
            null: "exact: layers and experts initialised apart keep no order of hidden units in common; p times the \
                   number of pairs",
            decides_at_log10_p: level,
            pairs,
        })
    }

    pub fn lines(&self) -> Vec<String> {
        let copies = || self.pairs.iter().filter(|row| row.copies);
        let summary = match (self.compared, copies().count()) {
            (0, _) => "the model has no two MLPs or experts of one shape known by role".to_owned(),
            (n, 0) => format!(
                "none among {n} pairs of layers or experts (hidden units in another order are not seen)"
            ),
            (n, found) => format!(
                "{found} of {n} pairs of layers or experts keep one order of hidden units, which is consistent with one \
                 made from the other or both from a third"
            ),
        };
        let shown = copies().take(MOST_LINES).map(|row| {
            format!(
                "{} and {}: {} of {} hidden units at the same index, log10 p = {:.1}",
                row.a, row.b, row.kept, row.queries, row.log10_p
            )
        });
        std::iter::once(summary).chain(shown).collect()
    }
}

fn row(pair: &InnerPair, level: f64) -> Row {
    let [a, b] = pair.places.map(|(layer, expert)| match expert {
        Some(Expert::Routed(expert)) => format!("layer {layer} expert {expert}"),
        _ => format!("layer {layer}"),
    });
    Row {
        a,
        b,
        queries: pair.queries,
        kept: pair.kept,
        agree: pair.agree,
        log10_p: pair.log10_p,
        copies: pair.log10_p <= level,
    }
}
