//! What `accept` and `check` share: one model asked anew, never from the cache.

use std::process::Command;

use anyhow::Context;
use anyhow::Result;

use crate::baseline;
use crate::baseline::Accepted;
use crate::baseline::Baseline;
use crate::baseline::check::Gate;
use crate::baseline::check::Tier;
use crate::cli::Global;
use crate::cli::endpoint::Asking;
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
use crate::text::ModelText;

/// Where baselines lie unless a flag says otherwise.
pub const FOLDER: &str = "tests/baselines";

/// Most characters of a reason or a name.
const WORDS: usize = 200;

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
pub fn open(global: &Global, reference: &ModelRef, label: &str, asking: &Asking) -> Result<Model> {
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.endpoint = Some(asking.options()?);
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

/// Who takes responsibility, when and why.
///
/// # Errors
/// A reason without words.
pub fn accepted(reason: &str) -> Result<Accepted> {
    let reason = words(reason)
        .ok_or_else(|| exit::usage("--reason is empty: say why this behaviour is right"))?;
    Ok(Accepted {
        by: name(),
        date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
        reason,
    })
}

/// Refuses to write a baseline where nobody looks at it.
///
/// # Errors
/// Where the variable `CI` is set.
pub fn for_people() -> Result<()> {
    match is_ci(std::env::var("CI").ok().as_deref()) {
        true => Err(exit::usage(
            "CI is set and a baseline is for a person to accept: run `kinprobe check` here, or say \
             `kinprobe accept … --even-in-ci`",
        )),
        false => Ok(()),
    }
}

/// Of whoever accepts: as version control knows them, else as the system does.
fn name() -> Option<String> {
    let git = Command::new("git").args(["config", "user.name"]).output();
    let git = git.ok().filter(|output| output.status.success());
    let git = git.and_then(|output| String::from_utf8(output.stdout).ok());
    let user = || std::env::var("USER").ok();
    git.as_deref()
        .and_then(words)
        .or_else(|| user().as_deref().and_then(words))
}

/// One harmless line, unless it is empty.
fn words(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| ModelText::new(text).clipped(WORDS))
}

/// Whether the variable `CI` says so: `CI=false` and `CI=0` do not.
fn is_ci(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value, "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::is_ci;
    use super::words;

    #[test]
    fn false_is_not_true() {
        assert!(is_ci(Some("true")) && is_ci(Some("1")));
        assert!(!is_ci(Some("false")) && !is_ci(Some("0")) && !is_ci(Some("")) && !is_ci(None));
    }

    #[test]
    fn words_are_one_harmless_line() {
        assert_eq!(words(" a\n\u{1b}b "), Some("a\\n\\u{1b}b".to_owned()));
        assert_eq!(words(" \n"), None);
    }
}
