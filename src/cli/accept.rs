//! `kinprobe accept`: what a model answers now is what it shall answer.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::baseline;
use crate::baseline::Baseline;
use crate::baseline::SELF_RUN_ITEMS;
use crate::baseline::check::Gate;
use crate::baseline::check::Settings;
use crate::baseline::check::Tier;
use crate::cli::Global;
use crate::cli::baseline::FOLDER;
use crate::cli::baseline::GateArgs;
use crate::cli::baseline::accepted;
use crate::cli::baseline::ask;
use crate::cli::baseline::for_people;
use crate::cli::baseline::made;
use crate::cli::baseline::open;
use crate::cli::baseline::suites;
use crate::cli::endpoint::Asking;
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
    #[command(flatten)]
    asking: Asking,
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
    if !args.even_in_ci {
        for_people()?;
    }
    let accepted = accepted(&args.reason)?;
    let gate = args.gate.gate(Gate::default())?;
    let suites = suites(global, &args.suite)?;
    let label = run::label(&args.model);
    let model = open(global, &args.model, &label, &args.asking)?;
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
        let baseline = made(&model, suite, &asked, accepted.clone(), (gate, floor));
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
        alpha_share: 1.0,
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
