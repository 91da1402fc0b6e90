//! What `accept` and `check` share: one model asked anew, never from the cache.

use anyhow::Context;
use anyhow::Result;

use crate::baseline;
use crate::baseline::Accepted;
use crate::baseline::Baseline;
use crate::baseline::check::Gate;
use crate::baseline::check::Tier;
use crate::cli::Global;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::probe;
use crate::probe::Suite;
use crate::record;
use crate::record::Activations;
use crate::record::Recording;
use crate::record::RecordingStore;
use crate::record::Runner;
use crate::source;
use crate::source::ModelRef;
use crate::source::OpenOptions;

/// Where baselines lie unless a flag says otherwise.
pub const FOLDER: &str = "tests/baselines";

/// Tier and limits.
#[derive(Debug, clap::Args)]
pub struct GateArgs {
    /// What decides: `exact` (bytes and tokens), `answer` (as scored), `tolerance` (log-probabilities of the
    /// first token), `statistical` (accuracy)
    #[arg(long, value_name = "TIER", value_parser = tier)]
    tier: Option<Tier>,
    /// With `tolerance`: how far a log-probability may move, in nats
    #[arg(long, value_name = "NATS")]
    abs: Option<f64>,
    /// With `statistical`: how far accuracy may drop, as a share of the items
    #[arg(long, value_name = "SHARE")]
    max_drop: Option<f64>,
    /// How often a gate may err by chance
    #[arg(long, value_name = "P")]
    alpha: Option<f64>,
    /// Margins below this are within noise, in nats [default: measured when accepting, kept in the baseline]
    #[arg(long, value_name = "NATS", value_parser = floor)]
    pub noise_floor: Option<f64>,
}

impl GateArgs {
    /// What the flags say, and `otherwise` where they say nothing.
    ///
    /// # Errors
    /// Limits that make no sense.
    pub fn gate(&self, otherwise: Gate) -> Result<Gate> {
        let gate = Gate {
            abs: self.abs.unwrap_or(otherwise.abs),
            alpha: self.alpha.unwrap_or(otherwise.alpha),
            max_drop: self.max_drop.unwrap_or(otherwise.max_drop),
            tier: self.tier.unwrap_or(otherwise.tier),
        };
        gate.checked().map_err(exit::usage)
    }
}

fn tier(text: &str) -> Result<Tier, String> {
    let all = [
        Tier::Exact,
        Tier::Answer,
        Tier::Tolerance,
        Tier::Statistical,
    ];
    all.into_iter()
        .find(|tier| tier.name() == text)
        .ok_or_else(|| "one of exact, answer, tolerance, statistical".to_owned())
}

fn floor(text: &str) -> Result<f64, String> {
    let nats: Option<f64> = text.parse().ok();
    nats.filter(|nats| *nats >= 0.0 && nats.is_finite())
        .ok_or_else(|| "a number of nats from 0".to_owned())
}

/// The suites that were named.
///
/// # Errors
/// Suites that are not there or not valid.
pub fn suites(global: &Global, named: &[String]) -> Result<Vec<Suite>> {
    let root = source::data_root(global.data.as_deref())?;
    Ok(probe::select(&root, named)?)
}

/// Opens the model.
///
/// # Errors
/// A model that cannot be opened.
pub fn open(global: &Global, reference: &ModelRef, label: &str) -> Result<Model> {
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.data_root = Some(source::data_root(global.data.as_deref())?);
    options.progress = Some(Bars::shared(global));
    Ok(Model::open(source::open(reference, &options)?, label)?)
}

/// Asks all of `suite`, into a folder that is thrown away.
///
/// # Errors
/// A model that fails, or that answers fewer items than it fails on.
pub fn ask(
    global: &Global,
    runner: &dyn Runner,
    suite: &Suite,
) -> Result<(Recording, Option<Activations>)> {
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let store = RecordingStore::keyed(folder.path());
    let bars = Bars::shared(global);
    Ok(record::run_suite(runner, suite, &store, &*bars)?)
}

/// A recording as a baseline of `model`.
pub fn made(
    model: &Model,
    suite: &Suite,
    (recording, activations): &(Recording, Option<Activations>),
    accepted: Accepted,
    gate: (Gate, f64),
) -> Baseline {
    let bound = baseline::bound(model, &recording.header);
    let answers = (&recording.records[..], activations.as_ref());
    baseline::make(answers, &suite.score, bound, accepted, gate)
}

/// Today, UTC.
pub fn today() -> String {
    chrono::Utc::now().format("%Y-%m-%d").to_string()
}
