//! `kinprobe check`: does a model still answer as was accepted.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;

use crate::baseline;
use crate::baseline::Accepted;
use crate::baseline::Baseline;
use crate::baseline::check::Settings;
use crate::baseline::check::Verdict;
use crate::cli::Global;
use crate::cli::against::Against;
use crate::cli::assemble;
use crate::cli::baseline::FOLDER;
use crate::cli::baseline::GateArgs;
use crate::cli::baseline::open;
use crate::cli::baseline::suites;
use crate::cli::ci;
use crate::cli::endpoint::Asking;
use crate::cli::exit;
use crate::cli::memory::Memory;
use crate::cli::run;
use crate::cli::was;
use crate::probe::Suite;
use crate::report;
use crate::report::check::Checked;
use crate::report::check::Document;
use crate::source::Locator;
use crate::source::ModelRef;

/// Flags of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model; its label names the baseline (`name=MODEL` to check another one against it)
    model: ModelRef,
    /// Suites, by id or by the path of a YAML file
    #[arg(short, long, required = true, num_args = 1.., value_name = "SUITE")]
    suite: Vec<String>,
    /// Folder of the baselines; nothing is written there
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    baseline: PathBuf,
    /// Fail also where items vanished or are new
    #[arg(long)]
    strict: bool,
    /// Write the result as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write what changed as SARIF 2.1.0, too, at its lines of the baselines
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Append a summary in Markdown to this file, too
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Annotate the workflow of a GitHub action (on stderr), and add to the summary of its step
    #[arg(long)]
    github: bool,
    /// The model that was accepted, if it is at hand: what was done to it is read off its weights
    #[arg(long, value_name = "MODEL")]
    was: Option<ModelRef>,
    /// Ask in random order and stop when it is decided; a fifth of `--alpha` is spent on the way
    #[arg(long)]
    early: bool,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    asking: Asking,
}

/// Reads the baselines, asks, compares.
///
/// # Errors
/// A baseline that is missing, broken or not comparable; a model that cannot be asked; and, once the result is
/// printed, a gate that failed or could not decide.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let suites = suites(global, &args.suite)?;
    let label = run::label(&args.model);
    let place = |suite: &Suite| baseline::path(&args.baseline, &suite.id, &label);
    // All of them before any model is asked.
    let accepted = suites.iter().map(|suite| baseline::read(&place(suite)));
    let accepted = accepted.collect::<Result<Vec<Baseline>, _>>()?;
    if args.was.is_some() && matches!(args.model.locator, Locator::Endpoint { .. }) {
        return Err(exit::usage(
            "--was reads off weights what was done to them, and an endpoint shows none: leave it out",
        ));
    }
    let model = open(global, &args.model, &label, &args.asking)?;
    let runner = run::load(global, &model, args.memory.limit())?;
    let mut checked = Vec::new();
    for (suite, before) in suites.iter().zip(&accepted) {
        let against = Against {
            global,
            model: &model,
            runner: &*runner,
            suite,
            before,
            place: place(suite),
        };
        let settings = Settings {
            gate: args.gate.gate(before.head.gate)?,
            noise_floor: args.gate.noise_floor,
            strict: args.strict,
            alpha_share: 1.0,
        };
        checked.push(Checked {
            label: label.clone(),
            suite: suite.id.clone(),
            suite_version: suite.version,
            baseline: against.place.display().to_string(),
            accepted: words(&before.head.accepted),
            outcome: match args.early {
                true => against.until_decided(&settings)?,
                false => against.all(&settings)?.1,
            },
        });
    }
    let weights = args
        .was
        .as_ref()
        .map(|was| was::lineage(global, was, &args.model, &accepted));
    let weights = weights.transpose()?;
    let document = Document {
        tool: assemble::tool(),
        weights,
        suites: checked,
    };
    match global.json {
        true => global.result(&report::check::json(&document)?)?,
        false => global.result(&report::check::terminal(&document, global.style()))?,
    }
    if let Some(file) = &args.junit {
        write_junit(file, &document)?;
    }
    if let Some(file) = &args.sarif {
        ci::write_sarif(file, &document, suites.iter().map(place))?;
    }
    ci::write_summary(global, args.summary.as_deref(), args.github, &document)?;
    if args.github {
        std::io::stderr().write_all(report::check::annotations(&document).as_bytes())?;
    }
    decided(&document)
}

fn write_junit(file: &Path, document: &Document) -> Result<()> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| exit::usage("--junit: name a file"))?;
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let xml = report::check::junit(document)?;
    Ok(report::write_named(folder, &[(name, &xml)])?)
}

fn words(accepted: &Accepted) -> String {
    let by = accepted.by.as_deref();
    let by = by.map_or_else(String::new, |by| format!(" by {by}"));
    format!("{}{by}: {}", accepted.date, accepted.reason)
}

/// A gate that did not pass, as an exit code.
fn decided(document: &Document) -> Result<()> {
    let named = |verdict| {
        let those = document
            .suites
            .iter()
            .filter(|one| one.outcome.verdict == verdict);
        those
            .map(|one| one.suite.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match document.verdict() {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(exit::coded(
            exit::GATE_FAILED,
            format!(
                "not as accepted: {}; correct the model, or accept what it does now with `kinprobe accept`",
                named(Verdict::Fail)
            ),
        )),
        Verdict::Inconclusive => Err(exit::coded(
            exit::INCONCLUSIVE,
            format!(
                "not decided: {}; take a larger suite, wider limits or another --tier",
                named(Verdict::Inconclusive)
            ),
        )),
    }
}
