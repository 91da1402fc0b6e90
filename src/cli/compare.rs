//! `kinprobe compare`: the main job.

use std::path::PathBuf;

use anyhow::Result;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::endpoint::Asking;
use crate::cli::exit;
use crate::cli::memory::Memory;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::cli::plan::Plan;
use crate::cli::sampling::SAMPLE_MIB;
use crate::cli::signs;
use crate::model::SERVED;
use crate::report;
use crate::source::ModelRef;

/// Flags of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first model
    #[arg(value_name = "REF")]
    reference: ModelRef,
    /// The second model
    suspect: ModelRef,
    /// Further models that are independent of both, to hold the numbers against
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    panel: Vec<ModelRef>,
    /// Suites to run, by id or path [default: all shipped]
    #[arg(long, value_name = "SUITE", num_args = 1..)]
    suite: Vec<String>,
    /// How much is read and run
    #[arg(long, value_enum, default_value_t = Depth::Full)]
    depth: Depth,
    /// Show methods of the literature beside ours; no finding reads them
    #[arg(long)]
    published: bool,
    /// MiB of weights that depth quick reads of each model
    #[arg(long, value_name = "MIB", default_value_t = SAMPLE_MIB,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    sample: u64,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Report folder [default: reports/<time>-<a>-vs-<b>]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the plan and stop
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    asking: Asking,
}

/// Open, plan, record, assess, judge, report.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let mut bench = Bench {
        published: args.published,
        memory: args.memory.limit(),
        ..Bench::new(global, &args.suite, args.depth, args.seed)?
    };
    bench.options.endpoint = Some(args.asking.options()?);
    bench.options.sample = (args.depth == Depth::Quick).then_some(args.sample << 20);
    let reference = bench.open(&args.reference, "reference")?;
    let suspect = bench.open(&args.suspect, "suspect")?;
    if let Some(served) = [&reference, &suspect]
        .into_iter()
        .find(|one| one.is_served())
        && args.depth != Depth::Full
    {
        return Err(exit::usage(format!(
            "{}: {SERVED}, and depth {} asks for none: take --depth full",
            served.artefacts.reference,
            args.depth.name()
        )));
    }
    let [reference, suspect] = bench.with_roles(reference, suspect)?;
    bench.show_pictures([&reference, &suspect], &args.suite)?;

    let plan = Plan::of(&bench, [&reference, &suspect]);
    if args.dry_run {
        return plan.print(global);
    }
    global.note(&plan.text());

    let [reference, suspect] = bench.record_pair(reference, suspect)?;
    let pair = [&reference, &suspect];
    let panel = bench.panel(pair, &args.panel)?;
    let assessments = bench.assess(pair, &panel)?;
    let findings = bench.judge(pair, &assessments);

    let report = assemble::report(&bench, pair, assessments, findings, reproduce(args));
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| assemble::default_folder(&report));
    let paths = report::write(&folder, &report)?;
    assemble::keep_recordings(&bench, &folder, pair)?;
    if signs::side_by_side(&bench, &folder, pair, &panel.population)?.is_some() {
        let page = folder.join(signs::FOLDER).join("index.html");
        global.note(&format!("answers to pictures, of all: {}", page.display()));
    }
    if global.json {
        return global.result(&report::json(&report)?);
    }
    global.result(&report::terminal(&report, Some(&paths), global.style()))
}

/// The command that makes the report again, without this machine's output folder.
fn reproduce(args: &Args) -> String {
    let mut words = vec![
        "kinprobe compare".to_owned(),
        shell_word(&args.reference.to_string()),
        shell_word(&args.suspect.to_string()),
    ];
    for (flag, values) in [
        (
            "--panel",
            args.panel.iter().map(ToString::to_string).collect(),
        ),
        ("--suite", args.suite.clone()),
    ] as [(&str, Vec<String>); 2]
    {
        if !values.is_empty() {
            words.push(flag.to_owned());
            words.extend(values.iter().map(|value| shell_word(value)));
        }
    }
    if args.depth != Depth::Full {
        words.push(format!("--depth {}", args.depth.name()));
    }
    if args.depth == Depth::Quick && args.sample != SAMPLE_MIB {
        words.push(format!("--sample {}", args.sample));
    }
    if args.seed != 0 {
        words.push(format!("--seed {}", args.seed));
    }
    words.join(" ")
}

/// Quoted for a POSIX shell where it needs to be.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
