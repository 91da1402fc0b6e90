//! `kinprobe run`: record what models answer, and their activations.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::cli::Global;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::probe;
use crate::probe::Suite;
use crate::record;
use crate::record::Activations;
use crate::record::LocalRunner;
use crate::record::Recording;
use crate::record::RecordingStore;
use crate::source;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::text::ModelText;

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
    let mut options = OpenOptions::from_env();
    options.offline |= global.offline;
    options.data_root = Some(root);
    options.progress = Some(Bars::shared(global));

    let mut rows = Vec::new();
    for (reference, label) in args.model.iter().zip(&labels) {
        let model = Model::open(source::open(reference, &options)?, label)?;
        let store = match &args.out {
            Some(folder) => RecordingStore::named(folder, label),
            None => RecordingStore::in_cache()?,
        };
        rows.extend(ask(global, &model, &suites, &store)?);
    }
    print(global, &rows)?;
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

/// One recording.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    model_digest: String,
    suite: String,
    suite_version: u32,
    items: usize,
    answered: usize,
    correct: usize,
    errors: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_error: Option<String>,
    activations: usize,
    recording: String,
}

fn ask(
    global: &Global,
    model: &Model,
    suites: &[Suite],
    store: &RecordingStore,
) -> Result<Vec<Row>> {
    let label = || ModelText::new(model.label.as_str()).to_string();
    let runner =
        LocalRunner::load(model).with_context(|| format!("{} cannot be asked", label()))?;
    let mut rows = Vec::new();
    for suite in suites {
        let bars = Bars::shared(global);
        let (recording, activations) = record::run_suite(&runner, suite, store, &*bars)
            .with_context(|| format!("suite {} on {}", suite.id, label()))?;
        rows.push(row(model, &recording, activations.as_ref(), store));
    }
    Ok(rows)
}

fn row(
    model: &Model,
    recording: &Recording,
    activations: Option<&Activations>,
    store: &RecordingStore,
) -> Row {
    let header = &recording.header;
    let records = &recording.records;
    let errors = records.iter().filter_map(|record| record.error.as_ref());
    Row {
        model: model.label.clone(),
        model_digest: header.model_digest.clone(),
        suite: header.suite.clone(),
        suite_version: header.suite_version,
        items: records.len(),
        answered: records.len() - errors.clone().count(),
        correct: records.iter().filter(|r| r.correct == Some(true)).count(),
        errors: errors.clone().count(),
        first_error: errors
            .clone()
            .next()
            .map(|error| ModelText::new(error.as_str()).clipped(120)),
        activations: activations.map_or(0, |activations| activations.items.len()),
        recording: store.path(header).display().to_string(),
    }
}

fn print(global: &Global, rows: &[Row]) -> Result<()> {
    if global.json {
        return global.json_result(&json!({ "schema": "kinprobe/run/v1", "recordings": rows }));
    }
    let mut text = String::new();
    for row in rows {
        let _ = write!(
            text,
            "{}  {} v{}: {} of {} right",
            ModelText::new(row.model.as_str()).clipped(40),
            row.suite,
            row.suite_version,
            row.correct,
            row.items
        );
        if row.errors > 0 {
            let _ = write!(text, ", {} not answered", row.errors);
        }
        if row.activations > 0 {
            let _ = write!(text, ", activations of {} prompts", row.activations);
        }
        let _ = writeln!(text, "\n    {}", ModelText::new(row.recording.as_str()));
    }
    global.result(&text)
}

/// One label per model; two models of one name would write to one folder.
fn labels(models: &[ModelRef]) -> Result<Vec<String>> {
    let mut seen = BTreeMap::new();
    let mut labels = Vec::new();
    for model in models {
        let label = match &model.label {
            Some(label) => label.clone(),
            None => short_name(&model.locator.to_string()),
        };
        if let Some(other) = seen.insert(label.clone(), model) {
            return Err(exit::usage(format!(
                "`{other}` and `{model}` would both be called `{label}`: name one, as in `other={model}`"
            )));
        }
        labels.push(label);
    }
    Ok(labels)
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
