//! `kinprobe run --tap`: what is inside models while they read.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::cli::Global;
use crate::cli::exit;
use crate::cli::probe;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::model::Site;
use crate::probe::Suite;
use crate::record::RecordingStore;
use crate::record::tapped;
use crate::record::tapped::Heard;
use crate::record::tapped::Manifest;
use crate::record::tapped::Pool;
use crate::record::tapped::Taps;
use crate::text::ModelText;

/// What was asked for.
pub struct Wanted<'a> {
    /// Of sites, with stars.
    pub patterns: &'a [String],
    /// Which rows.
    pub pool: Pool,
    /// Bytes that a model may take.
    pub memory: Option<u64>,
}

/// One folder.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    suite: String,
    prompts: usize,
    rows: usize,
    missing: usize,
    sites: usize,
    pool: Pool,
    folder: String,
}

/// `last`, `mean`, `all` or `whole`.
pub fn pool(word: &str) -> Result<Pool, String> {
    match word {
        "last" => Ok(Pool::Last),
        "mean" => Ok(Pool::Mean),
        "all" => Ok(Pool::All),
        "whole" => Ok(Pool::Whole),
        _ => Err("rows are `last`, `mean`, `all` or `whole`".to_owned()),
    }
}

/// Reads every suite through every model; the same command goes on where an interrupted one stopped.
///
/// # Errors
/// A model that cannot be run, sites that it does not have, folders that hold something else, or a suite of
/// which no prompt could be read.
pub fn run(
    global: &Global,
    models: impl Iterator<Item = Result<(Model, RecordingStore)>>,
    suites: &[Suite],
    wanted: &Wanted<'_>,
) -> Result<()> {
    let mut rows = Vec::new();
    for model in models {
        let (model, store) = model?;
        let sites = sites(&model, wanted.patterns)?;
        for suite in suites {
            let taps = Taps {
                sites: sites.clone(),
                pool: wanted.pool,
            };
            let folder = store.folder().join(format!("{}.taps", suite.id));
            let bars = Bars::shared(global);
            let manifest = tapped::tap(&model, suite, &taps, (&folder, wanted.memory), &*bars);
            let label = || ModelText::new(model.label.as_str()).to_string();
            let manifest =
                manifest.with_context(|| format!("suite {} on {}", suite.id, label()))?;
            rows.push(row(&manifest, &folder));
        }
    }
    print(global, &rows)?;
    match rows.iter().find(|row| row.missing > row.prompts) {
        None => Ok(()),
        Some(row) => Err(exit::coded(
            exit::ITEM_ERRORS,
            format!(
                "{} could not read {} prompts of {}; {} says why, and what was read is saved",
                ModelText::new(row.model.as_str()),
                row.missing,
                row.suite,
                row.folder,
            ),
        )),
    }
}

fn sites(model: &Model, patterns: &[String]) -> Result<Vec<Site>> {
    let spec = model.spec.as_ref().map_err(|reason| {
        let label = ModelText::new(model.label.as_str());
        exit::coded(exit::MODEL, format!("{label}: cannot be run: {reason}"))
    })?;
    let mut sites = probe::select(patterns, spec.num_hidden_layers)?;
    sites.sort_by_key(|site| site.turn());
    Ok(sites)
}

fn row(manifest: &Manifest, folder: &Path) -> Row {
    Row {
        model: manifest.model.clone(),
        suite: manifest.suite.clone(),
        prompts: manifest.items().count(),
        rows: manifest.items().map(Heard::rows).sum(),
        missing: manifest.missing.len(),
        sites: manifest.sites.len(),
        pool: manifest.pool,
        folder: folder.display().to_string(),
    }
}

fn print(global: &Global, rows: &[Row]) -> Result<()> {
    if global.json {
        return global.json_result(&json!({ "schema": "kinprobe/taps/v1", "folders": rows }));
    }
    let mut text = String::new();
    for row in rows {
        let _ = write!(
            text,
            "{}  {}: {} rows of {} prompts at {} sites",
            ModelText::new(row.model.as_str()).clipped(40),
            row.suite,
            row.rows,
            row.prompts,
            row.sites
        );
        if row.missing > 0 {
            let _ = write!(text, ", {} prompts not read", row.missing);
        }
        let _ = writeln!(text, "\n    {}", ModelText::new(row.folder.as_str()));
    }
    global.result(&text)
}
