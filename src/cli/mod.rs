//! The command line: one file per verb. The only home of clap, of anyhow and of printing.

mod accept;
mod activations;
mod against;
mod assemble;
mod baseline;
mod bench;
mod check;
mod ci;
mod compare;
mod demo;
mod endpoint;
mod exit;
mod global;
mod inspect;
mod lint;
mod map;
mod memory;
mod methods;
mod overlap;
mod parents;
mod pipeline;
mod plan;
mod probe;
mod progress;
mod references;
mod review;
mod run;
mod sampling;
mod signs;
mod suite;
mod until;
mod was;
mod zoo;

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;
use clap::error::ErrorKind;

pub use global::Global;

/// Decides, with its working shown, whether two models were made from one another.
#[derive(Debug, Parser)]
#[command(name = "kinprobe", version, max_term_width = 100)]
#[command(
    after_help = "Models: a folder or file, hf:owner/name[@revision], gguf:path, zoo:name, \
    openai:model@http(s)://host/v1 (answers alone); \
    prefix label= to name one.\nExit codes: 0 done, 1 a gate failed, 2 usage, 3 a gate is undecided, \
    4 nothing to do, 5 too many item errors, 6 integrity or not comparable, 7 model failure, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The main job on shipped models, without network
    Demo(demo::Args),
    /// Compare two models and write a report
    Compare(compare::Args),
    /// Record a model's answers and activations
    Run(run::Args),
    /// Recorded answers of two or more models side by side: who errs, together, in the same way
    Overlap(overlap::Args),
    /// What was recorded inside two models (`run --tap`, or another program), side by side
    Activations(activations::Args),
    /// Static facts of one model: config, tensors by role, tokenizer, hashes
    Inspect(inspect::Args),
    /// Which tensor of a renamed model is which of another; optionally a copy that loads as the other
    Map(map::Args),
    /// Write down what a model answers, as what it shall answer
    Accept(accept::Args),
    /// Whether a model still answers as was accepted
    Check(check::Args),
    /// What changed since it was accepted, item by item, to accept or to leave
    Review(review::Args),
    /// Whether baselines and suites are whole; asks no model
    Lint(lint::Args),
    /// Which of several candidates a model was made from: one, a mixture, or none
    Parents(parents::Args),
    /// One forward pass, looked at
    Probe(probe::Args),
    /// List, show, validate or render probe suites
    Suite(suite::Args),
    /// The models this project trained, and their recipes
    Zoo(zoo::Args),
    /// Every method against pairs of known relation: power, false positives, calibration
    Bench(bench::Args),
    /// Every method's card: measures, null, fooled by, cost, reference
    Methods(methods::Args),
}

/// Parses the command line, runs the verb, maps the outcome to an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // One line, like every other error about a value; clap's longer forms help with words.
        Err(error) if error.kind() == ErrorKind::ValueValidation => return exit::bad_value(&error),
        Err(error) => error.exit(),
    };
    let done = match &cli.verb {
        Verb::Demo(args) => demo::run(args, &cli.global),
        Verb::Compare(args) => compare::run(args, &cli.global),
        Verb::Run(args) => run::run(args, &cli.global),
        Verb::Overlap(args) => overlap::run(args, &cli.global),
        Verb::Activations(args) => activations::run(args, &cli.global),
        Verb::Inspect(args) => inspect::run(args, &cli.global),
        Verb::Map(args) => map::run(args, &cli.global),
        Verb::Accept(args) => accept::run(args, &cli.global),
        Verb::Check(args) => check::run(args, &cli.global),
        Verb::Review(args) => review::run(args, &cli.global),
        Verb::Lint(args) => lint::run(args, &cli.global),
        Verb::Parents(args) => parents::run(args, &cli.global),
        Verb::Probe(args) => probe::run(args, &cli.global),
        Verb::Suite(args) => suite::run(args, &cli.global),
        Verb::Zoo(args) => zoo::run(args, &cli.global),
        Verb::Bench(args) => bench::run(args, &cli.global),
        Verb::Methods(args) => methods::run(args, &cli.global),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
