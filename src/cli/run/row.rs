//! What a run says of each recording.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::cli::Global;
use crate::cli::until;
use crate::evidence::overlap::AnytimeRow;
use crate::model::Model;
use crate::record::Activations;
use crate::record::Recording;
use crate::record::RecordingStore;
use crate::text::ModelText;

/// One recording.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its label.
    pub model: String,
    /// `sha256:…` of its files.
    pub model_digest: String,
    /// Id.
    pub suite: String,
    /// Of the suite.
    pub suite_version: u32,
    /// Those that were asked.
    pub items: usize,
    /// Those of the suite.
    pub of_items: usize,
    /// Items with an answer.
    pub answered: usize,
    /// Right answers.
    pub correct: usize,
    /// Items without an answer.
    pub errors: usize,
    /// Why the first of them has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// Prompts whose activations are kept.
    pub activations: usize,
    /// Where it lies.
    pub recording: String,
}

/// Of one model; activations are counted where they are at hand.
pub fn row(
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
        of_items: records.len(),
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

/// All of them, and how far `--until` came.
pub fn print(global: &Global, rows: &[Row], stopped: Option<&AnytimeRow>) -> Result<()> {
    if global.json {
        let mut result = json!({ "schema": "kinprobe/run/v1", "recordings": rows });
        if let Some(stopped) = stopped {
            result["at_any_time"] = serde_json::to_value(stopped)?;
        }
        return global.json_result(&result);
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
        if row.of_items > row.items {
            let _ = write!(text, ", {} more not asked", row.of_items - row.items);
        }
        if row.errors > 0 {
            let _ = write!(text, ", {} not answered", row.errors);
        }
        if row.activations > 0 {
            let _ = write!(text, ", activations of {} prompts", row.activations);
        }
        let _ = writeln!(text, "\n    {}", ModelText::new(row.recording.as_str()));
    }
    if let Some(stopped) = stopped {
        let _ = writeln!(text, "{}", until::words(stopped));
    }
    global.result(&text)
}
