//! `kinprobe overlap`: answers that were recorded before, side by side; loads no model.

use std::path::PathBuf;

use anyhow::Result;

use crate::cli::Global;
use crate::cli::assemble;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::cli::until;
use crate::evidence::overlap;
use crate::evidence::overlap::Settings;
use crate::record::import;
use crate::record::import::AnswersRef;
use crate::record::import::Choice;
use crate::report;
use crate::report::overlap::Document;

/// Flags of `overlap`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Answers of two or more models: run:folder, log:jsonl:file, log:csv:file, log:lm-eval:folder,
    /// log:inspect:file
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<AnswersRef>,
    /// Answers of other models to the same items, which say what independent models share; three or more
    #[arg(long, value_name = "RUN", num_args = 1..)]
    panel: Vec<AnswersRef>,
    /// Answers of the base that the second model is said to come from, as all of the panel do
    #[arg(long, value_name = "RUN", requires = "panel")]
    base: Option<AnswersRef>,
    /// Folder for the report: index.html, result.json and items.csv
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of answers to choose from, where the logs do not say it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    options: Option<u32>,
    /// Which filter's answers to read of lm-evaluation-harness logs [default: the first]
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Whose scores to read of inspect_ai logs [default: the first]
    #[arg(long, value_name = "NAME")]
    scorer: Option<String>,
    /// Say after how many items one could have stopped at this p-value, looking after every item
    #[arg(long, value_name = "P", requires = "panel", value_parser = until::level)]
    until: Option<f64>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Import, compare, report.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if args.runs.len() < 2 {
        return Err(exit::usage(
            "answers of one model alone cannot be compared: name those of a second one, too",
        ));
    }
    let choice = Choice {
        filter: args.filter.clone(),
        scorer: args.scorer.clone(),
    };
    let logs: Vec<AnswersRef> = args
        .runs
        .iter()
        .chain(&args.panel)
        .chain(&args.base)
        .cloned()
        .collect();
    let task = Bars::shared(global).start("reading answers", logs.len() as u64);
    let sheet = import::import(&logs, &choice, |_| task.advance(1))?;
    drop(task);
    let settings = Settings {
        seed: args.seed,
        options: args.options,
        panel: (args.runs.len()..args.runs.len() + args.panel.len()).collect(),
        base: args.base.as_ref().map(|_| logs.len() - 1),
        until: args.until,
    };
    let overlap = overlap::overlap(&sheet, &settings);
    let document = Document {
        tool: assemble::tool(),
        overlap: &overlap,
        reproduce: reproduce(args),
    };
    let written = match &args.out {
        Some(dir) => Some(report::overlap::write(
            dir,
            &document,
            overlap::table(&sheet),
        )?),
        None => None,
    };
    if global.json {
        return global.result(&report::overlap::json(&document)?);
    }
    global.result(&report::overlap::terminal(
        &document,
        written.as_ref(),
        global.style(),
    ))
}

/// The command again, its flags included.
fn reproduce(args: &Args) -> String {
    let mut words = vec!["kinprobe overlap".to_owned()];
    words.extend(args.runs.iter().map(ToString::to_string));
    if !args.panel.is_empty() {
        words.push("--panel".to_owned());
        words.extend(args.panel.iter().map(ToString::to_string));
    }
    words.extend(args.base.iter().map(|base| format!("--base {base}")));
    words.extend(args.options.map(|options| format!("--options {options}")));
    words.extend(
        args.filter
            .iter()
            .map(|filter| format!("--filter {filter}")),
    );
    words.extend(
        args.scorer
            .iter()
            .map(|scorer| format!("--scorer {scorer}")),
    );
    words.extend(args.until.map(|until| format!("--until {until}")));
    if args.seed != 0 {
        words.push(format!("--seed {}", args.seed));
    }
    words.join(" ")
}
