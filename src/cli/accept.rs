//! `kinprobe accept`: what a model answers now is what it shall answer.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::baseline;
use crate::baseline::Accepted;
use crate::baseline::Baseline;
use crate::baseline::SELF_RUN_ITEMS;
use crate::baseline::check::Gate;
use crate::baseline::check::Settings;
use crate::baseline::check::Tier;
use crate::cli::Global;
use crate::cli::baseline::FOLDER;
use crate::cli::baseline::GateArgs;
use crate::cli::baseline::ask;
use crate::cli::baseline::made;
use crate::cli::baseline::open;
use crate::cli::baseline::suites;
use crate::cli::baseline::today;
use crate::cli::exit;
use crate::cli::memory::Memory;
use crate::cli::run;
use crate::probe::Suite;
use crate::record;
use crate::record::Record;
use crate::record::RecordingStore;
use crate::record::Runner;
use crate::source::ModelRef;
use crate::source::Silent;
use crate::text::ModelText;

/// Most characters of a reason or a name.
const WORDS: usize = 200;

/// Flags of `accept`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model; its label names the file
    model: ModelRef,
    /// Suites, by id or by the path of a YAML file
    #[arg(short, long, required = true, num_args = 1.., value_name = "SUITE")]
    suite: Vec<String>,
    /// Why this behaviour is right; kept in the baseline
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Folder of the baselines
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    to: PathBuf,
    /// Write even where the variable CI is set
    #[arg(long)]
    even_in_ci: bool,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    memory: Memory,
}

/// One file that was written.
#[derive(Debug, Serialize)]
struct Row {
    suite: String,
    label: String,
    baseline: String,
    items: usize,
    right: usize,
    errors: usize,
    noise_floor: f64,
    /// What it does to the baseline that was there, in words.
    replaces: Option<String>,
    changed: Option<usize>,
}

/// Asks, measures the noise of asking, writes.
///
/// # Errors
/// A run in CI; a model that cannot be asked or has more errors than answers; a file that cannot be written.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if is_ci(std::env::var("CI").ok().as_deref()) && !args.even_in_ci {
        return Err(exit::usage(
            "CI is set and a baseline is for a person to accept: run `kinprobe check` here, or say --even-in-ci",
        ));
    }
    let reason = words(&args.reason)
        .ok_or_else(|| exit::usage("--reason is empty: say why this behaviour is right"))?;
    let gate = args.gate.gate(Gate::default())?;
    let suites = suites(global, &args.suite)?;
    let label = run::label(&args.model);
    let model = open(global, &args.model, &label)?;
    let runner = run::load(global, &model, args.memory.limit())?;
    let mut rows = Vec::new();
    for suite in &suites {
        let asked = ask(global, &*runner, suite)
            .with_context(|| format!("suite {} on {}", suite.id, ModelText::new(label.as_str())))?;
        answered(suite, &asked.0.records)?;
        let floor = match args.gate.noise_floor {
            Some(floor) => floor,
            None => noise_floor(&*runner, suite, &asked.0.records)?,
        };
        let accepted = Accepted {
            by: name(),
            date: today(),
            reason: reason.clone(),
        };
        let baseline = made(&model, suite, &asked, accepted, (gate, floor));
        let path = baseline::path(&args.to, &suite.id, &label);
        let (replaces, changed) = blast_radius(&path, &baseline);
        baseline::write(&path, &baseline)?;
        rows.push(row(&label, &path, &baseline, (replaces, changed)));
    }
    print(global, &rows)
}

fn row(
    label: &str,
    path: &Path,
    baseline: &Baseline,
    (replaces, changed): (Option<String>, Option<usize>),
) -> Row {
    let aggregate = &baseline.head.aggregate;
    Row {
        suite: baseline.head.bound.suite.clone(),
        label: label.to_owned(),
        baseline: path.display().to_string(),
        items: aggregate.items,
        right: aggregate.right,
        errors: aggregate.errors,
        noise_floor: baseline.head.noise_floor,
        replaces,
        changed,
    }
}

fn print(global: &Global, rows: &[Row]) -> Result<()> {
    if global.json {
        return global.json_result(&json!({ "schema": "kinprobe/accept/v1", "baselines": rows }));
    }
    let mut text = String::new();
    for row in rows {
        let label = ModelText::new(row.label.as_str()).clipped(40);
        text += &format!(
            "{label}  {}: {} items accepted, {} right, {} without an answer; noise floor {:.4} nats\n",
            row.suite, row.items, row.right, row.errors, row.noise_floor
        );
        if let Some(replaces) = &row.replaces {
            text += &format!("    {replaces}\n");
        }
        text += &format!("    {}\n", ModelText::new(row.baseline.as_str()));
    }
    global.result(&text)
}

/// What accepting does to the baseline that is there, and how many answers it changes.
fn blast_radius(path: &Path, now: &Baseline) -> (Option<String>, Option<usize>) {
    let before = match baseline::read(path) {
        Ok(before) => before,
        Err(baseline::Error::Missing { .. }) => return (None, None),
        Err(_) => {
            return (
                Some("replaces a file that was no baseline".to_owned()),
                None,
            );
        }
    };
    let settings = Settings {
        gate: Gate {
            tier: Tier::Exact,
            ..now.head.gate
        },
        noise_floor: None,
        strict: false,
    };
    match baseline::check(&before, now, &settings) {
        Ok(outcome) => {
            let changed = outcome.changed.len();
            let verb = if changed == 1 { "changes" } else { "change" };
            let of = outcome.compared;
            (
                Some(format!("{changed} of {of} answers {verb}")),
                Some(changed),
            )
        }
        Err(reason) => (
            Some(format!("replaces a baseline of other conditions: {reason}")),
            None,
        ),
    }
}

/// Asks some items again on another number of threads.
fn noise_floor(runner: &dyn Runner, suite: &Suite, first: &[Record]) -> Result<f64> {
    let threads = match rayon::current_num_threads() {
        1 => 2,
        _ => 1,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.context("no threads for a second run")?;
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let store = RecordingStore::keyed(folder.path());
    let some = suite.reduced(SELF_RUN_ITEMS);
    let again = pool.install(|| record::run_suite(runner, &some, &store, &Silent));
    Ok(baseline::noise_floor(first, &again?.0.records))
}

/// Refuses to make a baseline of failures.
fn answered(suite: &Suite, records: &[Record]) -> Result<()> {
    let errors = records.iter().filter_map(|record| record.error.as_deref());
    let count = errors.clone().count();
    if 2 * count <= records.len() {
        return Ok(());
    }
    let first = ModelText::new(errors.clone().next().unwrap_or_default()).clipped(120);
    Err(exit::coded(
        exit::ITEM_ERRORS,
        format!(
            "{count} of {} items of {} have no answer ({first}); nothing was accepted",
            records.len(),
            suite.id
        ),
    ))
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
