//! The rows of a suite: JSONL (one object a line) or CSV (RFC 4180 with a header).

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::error::Error;
use crate::text::ModelText;

/// Longest line or CSV record, in bytes; a picture may lie within it.
const MAX_LINE: usize = 64 * 1024;
/// Most rows.
const MAX_ROWS: usize = 100_000;

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    /// 1-based line on which it starts.
    pub(super) line: u64,
    /// Field name -> value; CSV cells are strings.
    pub(super) fields: Map<String, Value>,
}

/// Parses a dataset by its extension.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count() as u64
            + 1;
        Error::invalid(
            path,
            Some(line),
            format!(
                "not UTF-8 at byte {}: save the file as UTF-8",
                error.valid_up_to()
            ),
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => jsonl(path, text)?,
        Some("csv") => csv(path, text)?,
        _ => {
            return Err(Error::invalid(
                path,
                None,
                "a dataset's name ends in .jsonl or .csv: convert it",
            ));
        }
    };
    if rows.is_empty() {
        return Err(Error::invalid(path, None, "the dataset has no rows"));
    }
    if rows.len() > MAX_ROWS {
        return Err(Error::invalid(
            path,
            None,
            format!("{} rows, more than {MAX_ROWS}: split the suite", rows.len()),
        ));
    }
    Ok(rows)
}

fn jsonl(path: &Path, text: &str) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at as u64 + 1;
        let invalid = |reason: String| Error::invalid(path, Some(number), reason);
        if line.trim().is_empty() {
            return Err(invalid(
                "an empty line: one JSON object a line, delete it".to_owned(),
            ));
        }
        if line.len() > MAX_LINE {
            return Err(invalid(too_long(line.len())));
        }
        let Object(fields) = serde_json::from_str(line).map_err(|error| {
            invalid(format!(
                "not one JSON object: {}",
                ModelText::new(error.to_string()).clipped(120)
            ))
        })?;
        rows.push(Row {
            line: number,
            fields,
        });
    }
    Ok(rows)
}

fn csv(path: &Path, text: &str) -> Result<Vec<Row>, Error> {
    let broken = |error: &csv::Error| {
        let line = error.position().map(csv::Position::line);
        let reason = format!(
            "not CSV: {}",
            ModelText::new(error.to_string()).clipped(120)
        );
        Error::invalid(path, line, reason)
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| broken(&error))?.clone();
    for (at, name) in header.iter().enumerate() {
        if name.is_empty() || header.iter().take(at).any(|earlier| earlier == name) {
            return Err(Error::invalid(
                path,
                Some(1),
                format!("column {} has no name of its own: rename it", at + 1),
            ));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let length = record.as_slice().len();
        if length > MAX_LINE {
            return Err(Error::invalid(path, Some(line), too_long(length)));
        }
        let fields = header
            .iter()
            .zip(record.iter())
            .map(|(name, cell)| (name.to_owned(), Value::String(cell.to_owned())))
            .collect();
        rows.push(Row { line, fields });
    }
    Ok(rows)
}

fn too_long(length: usize) -> String {
    format!("the row has {length} bytes, more than {MAX_LINE}: shorten it")
}

/// A JSON object without repeated keys (serde_json would silently keep the last of two).
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
        let mut fields = Map::new();
        while let Some((key, value)) = access.next_entry::<String, Value>()? {
            if fields.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!(
                    "key `{key}` is there twice"
                )));
            }
            fields.insert(key, value);
        }
        Ok(Object(fields))
    }
}
