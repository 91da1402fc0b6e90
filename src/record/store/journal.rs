//! The JSONL half of a recording: a header line, then one line per item in suite order.

use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::make_parent;
use crate::probe::Suite;
use crate::record::Error;
use crate::record::Header;
use crate::record::RECORDING_SCHEMA;
use crate::record::Record;
use crate::record::Recording;
use crate::record::identity::prompt_hash;
use crate::text::ModelText;

/// Longest time that answers stay unconfirmed by the disk: what a power cut can cost. What the system
/// took survives a kill at once.
const UNCONFIRMED: Duration = Duration::from_secs(1);

/// A recording open for appending, locked against a second writer.
#[derive(Debug)]
pub(in crate::record) struct Journal {
    file: File,
    path: PathBuf,
    confirmed: Instant,
    /// The records so far: those of the suite's first items.
    pub(in crate::record) records: Vec<Record>,
}

impl Journal {
    /// Opens or creates the recording, drops a torn last line, and checks all others.
    pub(in crate::record) fn open(
        path: &Path,
        header: &Header,
        suite: &Suite,
    ) -> Result<Self, Error> {
        make_parent(path)?;
        let io = |error| Error::io(path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Busy {
                    path: path.to_path_buf(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = whole_lines(&bytes);
        let records = check(path, whole, header, suite)?;
        file.set_len(whole.len() as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let mut journal = Self {
            file,
            path: path.to_path_buf(),
            confirmed: Instant::now(),
            records,
        };
        if whole.is_empty() {
            journal.write_lines(std::slice::from_ref(header))?;
        }
        Ok(journal)
    }

    /// Appends the records of the next items; from time to time waits until they are on disk.
    pub(in crate::record) fn append(&mut self, records: Vec<Record>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        self.write_lines(&records)?;
        self.records.extend(records);
        Ok(())
    }

    /// The error for an item whose second answer is not its first.
    pub(in crate::record) fn inconsistent(&self, item: &str) -> Error {
        Error::Inconsistent {
            path: self.path.clone(),
            item: item.to_owned(),
        }
    }

    /// The records, once they are on disk.
    pub(in crate::record) fn into_records(mut self) -> Result<Vec<Record>, Error> {
        self.confirm()?;
        Ok(self.records)
    }

    fn confirm(&mut self) -> Result<(), Error> {
        self.confirmed = Instant::now();
        self.file
            .sync_data()
            .map_err(|error| Error::io(&self.path, error))
    }

    fn write_lines(&mut self, values: &[impl Serialize]) -> Result<(), Error> {
        let mut lines = Vec::new();
        for value in values {
            serde_json::to_writer(&mut lines, value)
                .map_err(|error| Error::io(&self.path, error.into()))?;
            lines.push(b'\n');
        }
        self.file
            .write_all(&lines)
            .map_err(|error| Error::io(&self.path, error))?;
        match self.confirmed.elapsed() > UNCONFIRMED {
            true => self.confirm(),
            false => Ok(()),
        }
    }
}

/// The records stored under `header`, at most one per item, without a torn last line.
pub(super) fn stored(path: &Path, header: &Header, suite: &Suite) -> Result<Vec<Record>, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    check(path, whole_lines(&bytes), header, suite)
}

/// Reads a recording whatever it belongs to, complete or not.
///
/// # Errors
/// When it cannot be read, has no header, or a line is damaged.
pub fn read(path: &Path) -> Result<Recording, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let mut lines = lines(path, whole_lines(&bytes))?;
    let header: Header = match lines.next() {
        Some((number, line)) => decode(path, number, line)?,
        None => return Err(corrupt(path, 1, "there is no header line")),
    };
    if header.schema != RECORDING_SCHEMA {
        return Err(corrupt(
            path,
            1,
            format!(
                "schema `{}` is not `{RECORDING_SCHEMA}`",
                ModelText::new(header.schema).clipped(40)
            ),
        ));
    }
    let records = lines
        .map(|(number, line)| decode(path, number, line))
        .collect::<Result<_, _>>()?;
    Ok(Recording {
        header,
        records,
        texts: BTreeMap::new(),
        vocabulary: None,
    })
}

/// `bytes` up to the last line break: what follows it is a write that was cut short.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => &bytes[..=last],
        None => &[],
    }
}

/// Numbered lines, from 1.
fn lines<'a>(
    path: &Path,
    whole: &'a [u8],
) -> Result<impl Iterator<Item = (usize, &'a str)>, Error> {
    let text = std::str::from_utf8(whole).map_err(|error| {
        let before = &whole[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        corrupt(path, line, "not UTF-8")
    })?;
    Ok(text.lines().enumerate().map(|(at, line)| (at + 1, line)))
}

fn decode<T: DeserializeOwned>(path: &Path, number: usize, line: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|error| {
        let reason = ModelText::new(error.to_string()).clipped(120);
        corrupt(path, number, format!("the line is damaged ({reason})"))
    })
}

/// Parses whole lines and holds each against what is asked.
fn check(path: &Path, whole: &[u8], header: &Header, suite: &Suite) -> Result<Vec<Record>, Error> {
    let mut lines = lines(path, whole)?;
    let Some((number, first)) = lines.next() else {
        return Ok(Vec::new());
    };
    let found: Header = decode(path, number, first)?;
    if let Some(reason) = difference(&found, header) {
        return Err(Error::Foreign {
            path: path.to_path_buf(),
            reason,
        });
    }
    let mut records = Vec::new();
    for (number, line) in lines {
        let record: Record = decode(path, number, line)?;
        let Some(item) = suite.items.get(records.len()) else {
            return Err(corrupt(
                path,
                number,
                "more answers than the suite has items",
            ));
        };
        if record.item != item.id || record.prompt_sha256 != prompt_hash(item) {
            let reason = format!("an answer to item `{}` belongs here", item.id);
            return Err(corrupt(path, number, reason));
        }
        records.push(record);
    }
    Ok(records)
}

/// In words, the first respect in which a stored header is not the wanted one.
fn difference(found: &Header, wanted: &Header) -> Option<String> {
    let pairs = [
        ("schema", &found.schema, &wanted.schema),
        ("model", &found.model_digest, &wanted.model_digest),
        ("suite", &found.suite, &wanted.suite),
        ("suite hash", &found.suite_sha256, &wanted.suite_sha256),
        ("decoding", &found.decoding, &wanted.decoding),
        ("engine", &found.engine, &wanted.engine),
        ("key", &found.key, &wanted.key),
    ];
    pairs
        .iter()
        .find(|(_, found, wanted)| found != wanted)
        .map(|(what, found, wanted)| {
            format!(
                "it records another {what} ({}, not {})",
                ModelText::new(found.as_str()).clipped(80),
                ModelText::new(wanted.as_str()).clipped(80)
            )
        })
        .or_else(|| (found != wanted).then(|| "it records another suite version".to_owned()))
}

fn corrupt(path: &Path, line: usize, reason: impl Into<String>) -> Error {
    Error::Corrupt {
        path: path.to_path_buf(),
        line,
        reason: reason.into(),
    }
}
