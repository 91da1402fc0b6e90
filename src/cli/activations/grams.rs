//! Reference Gram matrices: those that are shipped, and `kinprobe activations --write-grams`.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::Side;
use crate::cli::Global;
use crate::cli::references;
use crate::record::grams;
use crate::record::grams::About;
use crate::record::grams::ReferenceGrams;
use crate::text::ModelText;

/// The shipped ones of other runs than those of all that is compared, on the prompts of the first.
pub(super) fn of_other_runs(global: &Global, sides: &[Side]) -> Result<Vec<ReferenceGrams>> {
    let [reference, ..] = sides else {
        return Ok(Vec::new());
    };
    let digests = sides.iter();
    let digests: Vec<&str> = digests
        .filter_map(|side| side.tapped.manifest.model_digest.as_deref())
        .collect();
    let read = (reference.tapped.manifest.pool, &reference.tapped.prompts);
    references::of_other_runs(global, read, &digests, &[])
}

/// Writes those of all folders.
pub(super) fn write(folder: &Path, licence: &str, sides: &[Side], global: &Global) -> Result<()> {
    let mut entries = Vec::new();
    for side in sides {
        let digest = side.tapped.manifest.model_digest.as_deref();
        let run = references::run_of(global, digest)?;
        let about = About {
            label: &side.label,
            run: run.as_deref().unwrap_or(&side.label),
            licence,
        };
        entries.push(grams::write(folder, &side.tapped, &about)?);
    }
    if global.json {
        let shown = json!({ "schema": grams::SCHEMA, "folder": folder.display().to_string(), "models": entries });
        return global.json_result(&shown);
    }
    let mut text = String::new();
    for entry in &entries {
        let run = ModelText::new(&entry.run).clipped(40);
        let (label, kept) = (&entry.label, entry.kept.len());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{label}  {kept} of {} blocks, run {run}\n    {}",
            entry.blocks,
            folder.join(&entry.file).display()
        );
    }
    global.result(&text)
}
