//! Recordings of this program: a folder of one model, `<suite>.jsonl` each, as `kinprobe run -o` writes it.

use std::path::Path;
use std::path::PathBuf;

use super::Choice;
use super::Error;
use super::join::Intake;
use super::join::Row;
use crate::record::Record;
use crate::record::normalise;
use crate::record::store;

/// Reads a folder, or one recording.
pub(super) fn read(path: &Path, _choice: &Choice, intake: &mut Intake<'_>) -> Result<(), Error> {
    let files = if path.is_dir() {
        recordings_in(path)?
    } else {
        vec![path.to_path_buf()]
    };
    let mut digest = None;
    for file in files {
        let recording = store::read(&file)?;
        let header = &recording.header;
        if digest.get_or_insert_with(|| header.model_digest.clone()) != &header.model_digest {
            let reason = "another model answered here than in the files before; a folder holds one model's recordings";
            return Err(Error::file(&file, reason));
        }
        let version = format!(
            "{} ({}, {})",
            header.suite_version, header.suite_sha256, header.decoding
        );
        intake.version(&file, &header.suite, &version)?;
        for (at, record) in recording.records.iter().enumerate() {
            if record.error.is_some() {
                intake.failed();
                continue;
            }
            let answer = answer(record);
            let row = Row {
                suite: &header.suite,
                id: &record.item,
                content: Some(&record.prompt_sha256),
                answer: Some(&answer),
                right: record.correct,
                group: record.group.as_deref(),
                ..Row::default()
            };
            // The header is the first line.
            intake.row(&file, at + 2, row)?;
        }
    }
    Ok(())
}

/// The fields that were asked for, where the model gave any of them; else what it said.
fn answer(record: &Record) -> String {
    if record.fields.values().all(|field| field.given.is_none()) {
        return record.answer.clone();
    }
    let given = record.fields.iter().map(|(name, field)| {
        // Field by field, as they are compared everywhere else.
        let value = field.given.as_deref().map(normalise);
        format!("{name}: {}", value.as_deref().unwrap_or("not given"))
    });
    given.collect::<Vec<_>>().join("; ")
}

/// The recordings in a folder, by name.
fn recordings_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |error| Error::io(folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
