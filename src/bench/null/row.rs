//! One p-value of one pair.

use std::path::PathBuf;

use serde::Serialize;

use super::Work;
use super::plan::Place;
use crate::bench::error::Error;
use crate::evidence::{Evidence, Finding, Memo, Outcome, Pair, Subject};
use crate::model::Model;
use crate::source::{self, OpenOptions};
use crate::stat::random;

/// What a method gave on a pair, as `null.csv` lists it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Id.
    pub method: &'static str,
    /// First model.
    pub reference: String,
    /// Second model.
    pub suspect: String,
    /// Whether the models were trained.
    pub trained: bool,
    /// Its value.
    pub statistic: f64,
    /// As a report prints it.
    pub log10_p: f64,
    /// `P(T >= t)`, where the method knows it and not only a bound.
    pub exact_log10_p: Option<f64>,
    /// `P(T > t)`; empty where no larger value exists.
    pub exact_log10_p_next: Option<f64>,
    /// Drawn between the two.
    pub uniform: Option<f64>,
}

/// Every method that applies.
pub(super) fn measure(place: &Place, work: &Work) -> Result<Vec<Row>, Error> {
    match place {
        Place::Random {
            constructions,
            seeds,
        } => {
            let folder = Scratch(work.folder.join(seeds[0].to_string()));
            let draw = |at: usize| {
                let place = folder.0.join(at.to_string());
                constructions[at].draw(seeds[at], &place)
            };
            rows([&draw(0)?, &draw(1)?], seeds[0], false, work)
        }
        Place::Trained(references) => {
            let open = |at: usize| -> Result<Model, Error> {
                let artefacts = source::open(&references[at], &OpenOptions::default())?;
                let name = references[at].label.as_deref();
                Ok(Model::open(artefacts, name.unwrap_or_default())?)
            };
            rows([&open(0)?, &open(1)?], work.seed, true, work)
        }
    }
}

/// A folder that goes with its models.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing is lost when it stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn rows(models: [&Model; 2], seed: u64, trained: bool, work: &Work) -> Result<Vec<Row>, Error> {
    let subject = |model| Subject {
        model,
        profile: None,
        recordings: &[],
        activations: None,
        patches: Err("not run"),
        missing: None,
    };
    let pair = Pair {
        reference: subject(models[0]),
        suspect: subject(models[1]),
        population: &[],
        derived: None,
        references: &[],
        seed,
        memo: Memo::default(),
    };
    let labels = models.map(|model| model.label.clone());
    let mut rows = Vec::new();
    for method in &work.methods {
        if let Outcome::Measured(finding) = method.assess(&pair)? {
            rows.extend(row(*method, &finding, &labels, trained, seed));
        }
    }
    Ok(rows)
}

fn row(
    method: &dyn Evidence,
    finding: &Finding,
    labels: &[String; 2],
    trained: bool,
    seed: u64,
) -> Option<Row> {
    let id = method.card().id;
    let log10_p = finding.log10_p?;
    let exact = finding.details.get("exact_log10_p").copied();
    let next = finding.details.get("exact_log10_p_next").copied();
    let purpose = format!("{id} {} {}", labels[0], labels[1]);
    let share = random::unit(&mut random::stream(seed, &purpose));
    let plain = |log10: f64| 10f64.powf(log10);
    let uniform = exact.map(|log10| {
        let below = next.map_or(0.0, plain);
        below + share * (plain(log10) - below)
    });
    Some(Row {
        method: id,
        reference: labels[0].clone(),
        suspect: labels[1].clone(),
        trained,
        statistic: finding.statistic,
        log10_p,
        exact_log10_p: exact,
        exact_log10_p_next: next,
        uniform,
    })
}

/// `null.csv`: a row per method and pair.
///
/// # Errors
/// Only what the CSV writer reports.
pub fn to_csv(rows: &[Row]) -> Result<String, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
