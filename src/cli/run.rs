//! `kinprobe run`: record what models answer, and their activations.

mod row;
mod tap;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::cli::Global;
use crate::cli::endpoint::Asking;
use crate::cli::exit;
use crate::cli::memory;
use crate::cli::memory::Memory;
use crate::cli::plan;
use crate::cli::progress::Bars;
use crate::cli::until;
use crate::cli::until::Asked;
use crate::cli::until::Rule;
use crate::evidence::overlap::AnytimeRow;
use crate::model::Model;
use crate::probe;
use crate::probe::Suite;
use crate::record;
use crate::record::LocalRunner;
use crate::record::RecordingStore;
use crate::record::Runner;
use crate::record::import::AnswersRef;
use crate::record::tapped::Pool;
use crate::source;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::text::ModelText;
use row::Row;
use row::print;
use row::row;

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Suites, by id or by the path of a YAML file
    #[arg(required = true, value_name = "SUITE")]
    suites: Vec<String>,
    /// Models to ask
    #[arg(short, long, required = true, num_args = 1.., value_name = "MODEL")]
    model: Vec<ModelRef>,
    /// Folder for the recordings, one folder per model [default: the cache]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Ask two models, a few items at a time, only until their same wrong answers reach this p-value
    /// beside the panel
    #[arg(long, value_name = "P", requires_all = ["panel", "out"], value_parser = until::level)]
    until: Option<f64>,
    /// With --until: answers of other models to the same items, three or more, as `overlap` takes them
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "until")]
    panel: Vec<AnswersRef>,
    /// Record what is inside the models at these sites while they read the prompts, in place of answers;
    /// `*` stands for any text (`kinprobe probe --help` lists the sites)
    #[arg(long, value_name = "SITE", requires = "out", conflicts_with = "until")]
    tap: Vec<String>,
    /// Rows of a prompt that --tap keeps: `last` (the last token that ends inside the prompt), `mean` (over
    /// all tokens but the first), `all` (each, with the bytes up to its end), `whole` (one of what every token
    /// sees in those before it, for blocks.*.attn.hook_pattern alone)
    #[arg(long, value_name = "ROWS", requires = "tap", default_value = "last", value_parser = tap::pool)]
    pool: Pool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    asking: Asking,
}

/// Open, record, report; the same command goes on where an interrupted one stopped.
///
/// # Errors
/// A model that cannot be opened or run, a recording that is damaged or belongs to something else, or
/// more errors than answers (what was answered is saved).
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let root = source::data_root(global.data.as_deref())?;
    let suites = probe::select(&root, &args.suites)?;
    let labels = labels(&args.model)?;
    if labels.len() > 1
        && args.tap.is_empty()
        && let Some(plan) = plan::shared_errors(&root, &suites)
    {
        global.note(&plan);
    }
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.endpoint = Some(args.asking.options()?);
    options.data_root = Some(root);
    options.progress = Some(Bars::shared(global));

    let open = |(reference, label): (&ModelRef, &String)| -> Result<(Model, RecordingStore)> {
        let model = Model::open(source::open(reference, &options)?, label)?;
        let store = match &args.out {
            Some(folder) => RecordingStore::named(folder, label),
            None => RecordingStore::in_cache()?,
        };
        Ok((model, store))
    };
    let mut models = args.model.iter().zip(&labels).map(open);
    if !args.tap.is_empty() {
        let taps = tap::Wanted {
            patterns: &args.tap,
            pool: args.pool,
            memory: args.memory.limit(),
        };
        return tap::run(global, models, &suites, &taps);
    }
    let (rows, stopped) = match args.until {
        Some(p) => {
            let models = models.collect::<Result<Vec<_>>>()?;
            let (rows, found) = ask_until(args, global, &models, &suites, p)?;
            (rows, Some(found))
        }
        None => {
            let mut rows = Vec::new();
            for model in models.by_ref() {
                let (model, store) = model?;
                let limit = args.memory.limit();
                rows.extend(ask(global, (&model, limit), &suites, &store)?);
            }
            (rows, None)
        }
    };
    print(global, &rows, stopped.as_ref())?;
    match rows.iter().find(|row| row.errors > row.answered) {
        None => Ok(()),
        Some(row) => Err(exit::coded(
            exit::ITEM_ERRORS,
            format!(
                "{} could not answer {} of {} items of {} ({}); what was answered is saved",
                ModelText::new(row.model.as_str()),
                row.errors,
                row.items,
                row.suite,
                row.first_error.as_deref().unwrap_or("no reason given"),
            ),
        )),
    }
}

fn ask(
    global: &Global,
    (model, limit): (&Model, Option<u64>),
    suites: &[Suite],
    store: &RecordingStore,
) -> Result<Vec<Row>> {
    let label = || ModelText::new(model.label.as_str()).to_string();
    let runner = load(global, model, limit)?;
    let mut rows = Vec::new();
    for suite in suites {
        let bars = Bars::shared(global);
        let (recording, activations) = record::run_suite(&*runner, suite, store, &*bars)
            .with_context(|| format!("suite {} on {}", suite.id, label()))?;
        rows.push(row(model, &recording, activations.as_ref(), store));
    }
    Ok(rows)
}

/// The same, of two models and no longer than needed.
fn ask_until(
    args: &Args,
    global: &Global,
    models: &[(Model, RecordingStore)],
    suites: &[Suite],
    p: f64,
) -> Result<(Vec<Row>, AnytimeRow)> {
    let [first, second] = models else {
        return Err(exit::usage(format!(
            "--until stops when two models have answered enough: name two with --model, not {}",
            models.len()
        )));
    };
    // Both are loaded at once.
    let limit = args.memory.limit().map(|limit| limit / 2);
    let pair = [asked(global, first, limit)?, asked(global, second, limit)?];
    let rule = Rule {
        panel: &args.panel,
        p,
    };
    let stopped = until::ask(global, &pair, suites, &rule)?;
    let mut rows = Vec::new();
    for (at, (model, store)) in models.iter().enumerate() {
        let of_model = stopped.recordings.iter().map(|both| &both[at]);
        rows.extend(of_model.zip(suites).map(|(recording, suite)| Row {
            of_items: suite.items.len(),
            ..row(model, recording, None, store)
        }));
    }
    Ok((rows, stopped.found))
}

fn asked<'m>(
    global: &Global,
    (model, store): &'m (Model, RecordingStore),
    limit: Option<u64>,
) -> Result<Asked<'m>> {
    Ok(Asked {
        label: &model.label,
        runner: load(global, model, limit)?,
        store,
    })
}

/// In memory, or layer by layer where it has no room for it, which is said.
///
/// # Errors
/// A model that cannot be run.
pub fn load<'m>(
    global: &Global,
    model: &'m Model,
    limit: Option<u64>,
) -> Result<Box<dyn Runner + 'm>> {
    let label = ModelText::new(model.label.as_str()).to_string();
    let runner =
        record::load_within(model, limit).with_context(|| format!("{label} cannot be asked"))?;
    if model.is_served() {
        note_of_server(global, &label, &*runner);
        return Ok(runner);
    }
    let footprint = LocalRunner::footprint(model);
    if let (Some(limit), Ok(footprint)) = (limit, footprint)
        && !footprint.is_held_in(Some(limit))
    {
        global.note(&format!("{label}: {}", memory::words(&footprint, limit)));
    }
    Ok(runner)
}

/// What was asked, and what its answers will lack.
fn note_of_server(global: &Global, label: &str, runner: &dyn Runner) {
    global.note(&format!("{label}: {}", runner.engine()));
    for (what, reason) in runner.absent() {
        global.note(&format!("{label}: {what} are not recorded: {reason}"));
    }
}

/// One label per model; two models of one name would write to one folder.
fn labels(models: &[ModelRef]) -> Result<Vec<String>> {
    let mut seen = BTreeMap::new();
    let mut labels = Vec::new();
    for model in models {
        let label = label(model);
        if let Some(other) = seen.insert(label.clone(), model) {
            return Err(exit::usage(format!(
                "`{other}` and `{model}` would both be called `{label}`: name one, as in `other={model}`"
            )));
        }
        labels.push(label);
    }
    Ok(labels)
}

/// What a model is called: its label, or the last part of its reference.
pub fn label(model: &ModelRef) -> String {
    match (&model.label, &model.locator) {
        (Some(label), _) => label.clone(),
        (None, Locator::Endpoint { model, .. }) => short_name(model),
        (None, locator) => short_name(&locator.to_string()),
    }
}

/// The last part of a reference: `model` of `hf:owner/model@main`, the file's or folder's own name.
fn short_name(reference: &str) -> String {
    let scheme_free = reference
        .split_once(':')
        .filter(|(scheme, _)| ["hf", "gguf", "zoo"].contains(scheme))
        .map_or(reference, |(_, rest)| rest);
    let name = scheme_free
        .trim_end_matches(['/', '\\'])
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(scheme_free);
    let name = name.split('@').next().unwrap_or(name);
    name.strip_suffix(".gguf")
        .or_else(|| name.strip_suffix(".safetensors"))
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::labels;
    use super::short_name;

    #[test]
    fn models_are_called_by_their_last_name() {
        for (reference, name) in [
            ("hf:owner/Model-1B@main", "Model-1B"),
            ("gguf:some/where/m-q4.gguf", "m-q4"),
            ("zoo:base-a", "base-a"),
            ("./models/tiny/", "tiny"),
            ("weights.safetensors", "weights"),
        ] {
            assert_eq!(short_name(reference), name);
        }
    }

    #[test]
    fn two_models_of_one_name_are_refused() {
        let parse = |texts: &[&str]| {
            let models: Vec<_> = texts.iter().map(|t| t.parse().unwrap()).collect();
            labels(&models)
        };
        assert_eq!(parse(&["zoo:a", "b=zoo:a"]).unwrap(), ["a", "b"]);
        let error = parse(&["zoo:a", "hf:x/a"]).unwrap_err().to_string();
        assert!(error.contains("`zoo:a` and `hf:x/a`"), "{error}");
    }
}
