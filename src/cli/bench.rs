//! `kinprobe bench`: every method against pairs whose relation is known.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;

use crate::bench;
use crate::bench::Work;
use crate::bench::change::Change;
use crate::bench::plan::Plan;
use crate::bench::settings::Settings;
use crate::bench::settings::Tier;
use crate::bench::summary::Frame;
use crate::bench::summary::Summary;
use crate::bench::tables;
use crate::bench::verdicts;
use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::probe;
use crate::probe::Suite;
use crate::report;
use crate::report::Style;
use crate::source;
use crate::source::OpenOptions;
use crate::verdict::Calibration;

/// Flags of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How much is measured, as datasets/bench.yaml says: `quick` or `full`
    #[arg(long, default_value = "quick")]
    tier: String,
    /// Only these methods [default: all]
    #[arg(long, value_name = "ID", num_args = 1..)]
    methods: Vec<String>,
    /// Only these changes: launderings joined by `+` [default: those of the tier]
    #[arg(long, value_name = "CHANGE", num_args = 1..)]
    changes: Vec<Change>,
    /// Suites to ask, as `id=items` [default: those of the tier; `none` for none]
    #[arg(long, value_name = "SUITE", num_args = 1..)]
    suites: Vec<String>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Folders of further models, compared unchanged; `runs.csv` (model,run) in one names kin. With
    /// `--calibrate` their pairs of independent runs are in the tables
    #[arg(long, value_name = "DIR", num_args = 1..)]
    real: Vec<PathBuf>,
    /// Write the calibration tables that likelihood ratios come from (full tier only)
    #[arg(long)]
    calibrate: bool,
    /// Instead: p-values of the exact tests on N pairs of random models of one construction, N of two, and
    /// the zoo's independent runs; writes null.csv
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        conflicts_with_all = ["tier", "changes", "suites", "real", "calibrate", "keep_models", "simulate"])]
    null: Option<u32>,
    /// Instead: how often tests of shared answers call simulated strangers alike; writes overlap.csv
    #[arg(long, value_name = "WHAT", value_enum,
        conflicts_with_all = ["tier", "methods", "changes", "suites", "real", "calibrate", "keep_models"])]
    simulate: Option<Simulation>,
    /// Keep the changed models below the output folder
    #[arg(long)]
    keep_models: bool,
    /// Report folder; a run that was cut off goes on in the same one
    #[arg(short, long, value_name = "DIR", default_value = "reports/bench")]
    out: PathBuf,
}

/// What can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Simulation {
    /// Shared answers of independent models and of copies
    Overlap,
}

/// Plan, measure, make tables, judge, report.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let data = source::data_root(global.data.as_deref())?;
    if let Some(pairs) = args.null {
        return null(args, global, &data, pairs);
    }
    let mut settings = Settings::load(&data)?;
    if args.simulate == Some(Simulation::Overlap) {
        return overlap(args, global, settings);
    }
    if !args.changes.is_empty() {
        let changes = args.changes.iter().filter(|change| !change.is_none());
        settings.changes = changes.cloned().collect();
    }
    let mut tier = tier(&settings, &args.tier)?.clone();
    if !args.changes.is_empty() {
        tier.changes.clear();
    }
    let tier = &tier;
    let restricted = !args.methods.is_empty() || !args.changes.is_empty();
    let restricted = restricted || !tier.methods.is_empty();
    if args.calibrate && (tier.pairs_of_each_relation.is_some() || restricted) {
        return Err(exit::usage(
            "--calibrate needs every pair, method and change: use --tier full without --methods and \
             --changes",
        ));
    }
    let suites = suites(args, tier, &data)?;
    let mut options = OpenOptions::from_env();
    options.offline = true;
    options.data_root = Some(data.clone());
    let plan = Plan::new(&data, &settings, tier, &args.real)?;
    let methods = Work::methods(match args.methods.is_empty() {
        true => &tier.methods,
        false => &args.methods,
    })?;
    let work = Work {
        options,
        folder: args.out.join("work"),
        taps: tier.load_taps(&data, &methods)?,
        methods,
        suites,
        seed: args.seed,
        jobs: args.jobs.map(usize::from),
        keep_models: args.keep_models,
        progress: Bars::shared(global),
    };
    let measured = bench::measure(&plan, &work)?;
    let mut calibration = Calibration::load(&data)?;
    if args.calibrate {
        let made = tables::to_calibrate(&plan, &measured, &assemble::tool(), args.seed);
        tables::write(&data, &made)?;
        calibration = calibration.with(made);
    }
    let judged = verdicts::judge(&plan, &measured.measured, &calibration);
    let frame = Frame {
        tool: assemble::tool(),
        tier: args.tier.clone(),
        seed: args.seed,
        suites: work
            .suites
            .iter()
            .map(|suite| (suite.id.clone(), suite.items.len()))
            .collect(),
        taps: work
            .taps
            .iter()
            .map(|one| (one.method.to_owned(), one.words()))
            .collect(),
        bars: settings.bars,
        reproduce: reproduce(args),
    };
    let summary = Summary::new(&plan, &measured, &judged, &calibration, frame);
    let scores = bench::score::to_csv(&plan, &measured.measured, &judged)?;
    let paths = report::bench::write(&args.out, &summary, &scores)?;
    if args.calibrate {
        let printed = report::bench::table(&summary, Style::PLAIN);
        tables::write_printed(&data, &printed)?;
    }
    if global.json {
        return global.json_result(&summary);
    }
    global.result(&report::bench::terminal(
        &summary,
        Some(&paths),
        global.style(),
    ))
}

/// P-values of the exact tests among `--methods` where there is nothing to find.
fn null(args: &Args, global: &Global, data: &Path, pairs: u32) -> Result<()> {
    let calibration = Calibration::load(data)?;
    let mut methods = Work::methods(&args.methods)?;
    methods.retain(|method| calibration.exact.contains_key(method.card().id));
    if methods.is_empty() {
        let known: Vec<&str> = calibration.exact.keys().map(String::as_str).collect();
        let message = format!("--null reads exact tests: {}", known.join(", "));
        return Err(exit::usage(message));
    }
    let work = bench::null::Work {
        zoo: data.join("datasets/zoo"),
        methods,
        pairs: pairs as usize,
        folder: args.out.join("work").join("null"),
        seed: args.seed,
        jobs: args.jobs.map(usize::from),
        progress: Bars::shared(global),
    };
    let (summary, rows) = bench::null::run(&work, assemble::tool())?;
    let csv = bench::null::to_csv(&rows)?;
    let path = report::bench::null::write(&args.out, &summary, &csv)?;
    if global.json {
        return global.json_result(&summary);
    }
    let table = report::bench::null::table(&summary, global.style());
    global.result(&format!("{table}\n  every p-value: {}\n", path.display()))
}

/// Tests of shared answers on simulated models.
fn overlap(args: &Args, global: &Global, settings: Settings) -> Result<()> {
    let Some(settings) = settings.overlap else {
        let message = "datasets/bench.yaml has no `overlap`: restore the file";
        return Err(exit::usage(message));
    };
    let work = bench::overlap::Work {
        settings,
        seed: args.seed,
        jobs: args.jobs.map(usize::from),
        progress: Bars::shared(global),
    };
    let (summary, rows) = bench::overlap::run(&work, assemble::tool())?;
    let csv = bench::overlap::to_csv(&rows)?;
    let path = report::bench::overlap::write(&args.out, &summary, &csv)?;
    if global.json {
        return global.json_result(&summary);
    }
    let table = report::bench::overlap::table(&summary, global.style());
    global.result(&format!("{table}\n  every p-value: {}\n", path.display()))
}

fn tier<'a>(settings: &'a Settings, name: &str) -> Result<&'a Tier> {
    settings.tiers.get(name).ok_or_else(|| {
        let known: Vec<&str> = settings.tiers.keys().map(String::as_str).collect();
        exit::usage(format!("no tier `{name}`: there are {}", known.join(", ")))
    })
}

/// What `--suites` says, or the tier.
fn suites(args: &Args, tier: &Tier, data: &Path) -> Result<Vec<Suite>> {
    if args.suites.is_empty() {
        return Ok(tier.load_suites(data)?);
    }
    let mut wanted = Tier::default();
    for text in args.suites.iter().filter(|text| *text != "none") {
        let (id, items) = match text.split_once('=') {
            Some((id, items)) => match items.parse::<usize>() {
                Ok(items) if items > 0 => (id, items),
                _ => {
                    let message = format!("`{text}`: write id=items, such as next-token=24");
                    return Err(exit::usage(message));
                }
            },
            None => (text.as_str(), usize::MAX),
        };
        // A name is checked before anything is opened.
        probe::select(data, &[id.to_owned()])?;
        wanted.suites.insert(id.to_owned(), items);
    }
    Ok(wanted.load_suites(data)?)
}

/// The command that makes the report again, without this machine's folders.
fn reproduce(args: &Args) -> String {
    let mut words = vec![format!("kinprobe bench --tier {}", args.tier)];
    let changes: Vec<String> = args
        .changes
        .iter()
        .map(|one| one.name().to_owned())
        .collect();
    for (flag, values) in [
        ("--methods", &args.methods),
        ("--changes", &changes),
        ("--suites", &args.suites),
    ] {
        if !values.is_empty() {
            words.push(format!("{flag} {}", values.join(" ")));
        }
    }
    if args.seed != 0 {
        words.push(format!("--seed {}", args.seed));
    }
    if !args.real.is_empty() {
        words.push("--real <folders>".to_owned());
    }
    if args.calibrate {
        words.push("--calibrate".to_owned());
    }
    words.join(" ")
}
