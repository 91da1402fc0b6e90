//! Whether p-values of exact tests are uniform between models that have nothing in common.
//!
//! Pairs of random models, each model in one pair only, and the pairs of independent runs of the zoo. A
//! discrete p-value cannot be uniform; where a method says how likely its very value is, a number drawn
//! between this p-value and the next smaller one is exactly uniform if the test is exact
//! (`P(T > t) + U P(T = t)`), and Kolmogorov and Smirnov's test sees any departure. Where it only bounds
//! its p-value from above, too small ones alone are a fault, and the one-sided test looks for those.

mod plan;
mod row;

use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use super::error::Error;
use crate::evidence::Evidence;
use crate::source::Progress;
use crate::stat::uniform;
use plan::Place;
pub use row::{Row, to_csv};

/// Schema tag of the summary.
pub const SCHEMA: &str = "kinprobe/bench-null/v1";

/// What is drawn and how it is measured.
pub struct Work {
    /// Folder of the zoo: recipes, list of members, members.
    pub zoo: PathBuf,
    /// Exact tests.
    pub methods: Vec<&'static dyn Evidence>,
    /// Pairs of one construction, and as many of two.
    pub pairs: usize,
    /// Random models lie below it while they are measured.
    pub folder: PathBuf,
    /// Of every random choice.
    pub seed: u64,
    /// Threads; all cores when absent.
    pub jobs: Option<usize>,
    /// Who is told how far it is.
    pub progress: Arc<dyn Progress>,
}

/// What was found, method by method.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Program name and version.
    pub tool: String,
    /// Of every random choice.
    pub seed: u64,
    /// Pairs of random models.
    pub random_pairs: usize,
    /// Pairs of independent runs of the zoo.
    pub trained_pairs: usize,
    /// In the order of a report.
    pub methods: Vec<Method>,
}

/// One method.
#[derive(Debug, Clone, Serialize)]
pub struct Method {
    /// Id.
    pub id: String,
    /// What its p-value is.
    pub law: Law,
    /// On pairs of random models.
    pub random: Checked,
    /// On pairs of independent runs of the zoo.
    pub trained: Checked,
    /// On both.
    pub all: Checked,
}

/// What is known of a test's p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// The probability itself, drawn between its steps.
    Exact,
    /// An upper bound of it: conservative by construction.
    Bound,
}

/// P-values of one kind of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Checked {
    /// Pairs on which the method applies.
    pub pairs: usize,
    /// Kolmogorov and Smirnov's p-value: two-sided for [`Law::Exact`], one-sided (too small ones) for
    /// [`Law::Bound`].
    pub uniform_p: f64,
    /// Share of the reported p-values, as they are printed for a pair, at or below 0.05.
    pub at_most_5_percent: f64,
    /// As many at or below 0.01.
    pub at_most_1_percent: f64,
}

/// Draws, measures, counts.
///
/// # Errors
/// Recipes or models that cannot be read, models that cannot be written to the temporary folder.
pub fn run(work: &Work, tool: String) -> Result<(Summary, Vec<Row>), Error> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(jobs) = work.jobs {
        pool = pool.num_threads(jobs);
    }
    let places = plan::places(work)?;
    let bar = work
        .progress
        .start("independent pairs", places.len() as u64);
    let measured = |place: &Place| {
        let rows = row::measure(place, work);
        bar.advance(1);
        rows
    };
    let rows: Result<Vec<Vec<Row>>, Error> = pool
        .build()?
        .install(|| places.par_iter().map(measured).collect());
    let rows: Vec<Row> = rows?.into_iter().flatten().collect();
    let trained = places.iter().filter(|place| place.is_trained()).count();
    let summary = Summary {
        schema: SCHEMA,
        tool,
        seed: work.seed,
        random_pairs: places.len() - trained,
        trained_pairs: trained,
        methods: work
            .methods
            .iter()
            .map(|method| Method::of(method.card().id, &rows))
            .collect(),
    };
    Ok((summary, rows))
}

impl Method {
    fn of(id: &str, rows: &[Row]) -> Self {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.method == id).collect();
        // A test whose value has an exact law on some pairs is checked on those.
        let exact = rows.iter().any(|row| row.uniform.is_some());
        let law = if exact { Law::Exact } else { Law::Bound };
        let of = |wanted: &dyn Fn(&Row) -> bool| {
            let chosen: Vec<&Row> = rows.iter().copied().filter(|row| wanted(row)).collect();
            Checked::of(law, &chosen)
        };
        Self {
            id: id.to_owned(),
            law,
            random: of(&|row| !row.trained),
            trained: of(&|row| row.trained),
            all: of(&|_| true),
        }
    }
}

impl Checked {
    fn of(law: Law, rows: &[&Row]) -> Self {
        let reported: Vec<f64> = rows.iter().map(|row| 10f64.powf(row.log10_p)).collect();
        let drawn: Vec<f64> = rows.iter().filter_map(|row| row.uniform).collect();
        let share = |level: f64| {
            let below = reported.iter().filter(|p| **p <= level).count();
            below as f64 / reported.len().max(1) as f64
        };
        let (pairs, uniform_p) = match law {
            Law::Exact => (drawn.len(), uniform::kolmogorov_smirnov(&drawn).1),
            Law::Bound => (reported.len(), uniform::too_small(&reported).1),
        };
        Self {
            pairs,
            uniform_p,
            at_most_5_percent: share(0.05),
            at_most_1_percent: share(0.01),
        }
    }
}

#[cfg(test)]
mod tests;
