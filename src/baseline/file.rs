//! Baseline <-> file: a head for people, then one line per item.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::Accepted;
use super::Aggregate;
use super::Baseline;
use super::Bound;
use super::CANDIDATES;
use super::Error;
use super::FIRST_TOKENS;
use super::Head;
use super::Item;
use super::Layer;
use super::SCHEMA;
use super::check::Gate;
use super::make::aggregate;
use super::margins;
use crate::record::file_name;
use crate::text::ModelText;
use crate::text::is_unsafe;

/// Largest file that is read: room for twenty thousand items.
const MAX_BYTES: u64 = 16 << 20;

/// The file of `label`'s baseline for `suite` below `folder`.
pub fn path(folder: &Path, suite: &str, label: &str) -> PathBuf {
    folder
        .join(file_name(suite))
        .join(format!("{}.json", file_name(label)))
}

/// The text of the file.
///
/// # Errors
/// Only for numbers that JSON has no form for.
pub fn text(baseline: &Baseline) -> Result<String, serde_json::Error> {
    let mut lines = vec!["{".to_owned(), format!("  \"schema\": \"{SCHEMA}\",")];
    if let Value::Object(members) = serde_json::to_value(&baseline.head)? {
        for (name, value) in &members {
            match value {
                Value::Object(inner) => {
                    let inner = inner
                        .iter()
                        .map(|(key, value)| format!("\"{key}\": {value}"));
                    lines.extend(block(name, ('{', '}'), inner));
                }
                Value::Array(rows) if rows.is_empty() => lines.push(format!("  \"{name}\": [],")),
                Value::Array(rows) => {
                    lines.extend(block(name, ('[', ']'), rows.iter().map(Value::to_string)));
                }
                plain => lines.push(format!("  \"{name}\": {plain},")),
            }
        }
    }
    let items = baseline.items.iter().map(serde_json::to_string);
    let items = items.collect::<Result<Vec<_>, _>>()?;
    lines.extend(block("items", ('[', ']'), items.into_iter()));
    if let Some(last) = lines.last_mut() {
        last.pop();
    }
    lines.push("}\n".to_owned());
    Ok(inert(&lines.join("\n")))
}

/// One member, its own members a line each; ends in a comma.
fn block(
    name: &str,
    (open, close): (char, char),
    rows: impl Iterator<Item = String>,
) -> Vec<String> {
    let mut lines = vec![format!("  \"{name}\": {open}")];
    lines.extend(rows.map(|row| format!("    {row},")));
    if lines.len() > 1
        && let Some(last) = lines.last_mut()
    {
        last.pop();
    }
    lines.push(format!("  {close},"));
    lines
}

/// What could steer a terminal or reorder a line is written as an escape; JSON readers undo it.
fn inert(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_unsafe(c) {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    }
    safe
}

/// Writes the file, whole or not at all; its folder is made.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, baseline: &Baseline) -> Result<(), Error> {
    let io = |source| Error::io(path, source);
    let text = text(baseline).map_err(|error| io(error.into()))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let written = File::create_new(&part)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&part, path));
    written.map_err(|source| {
        // Gone already once renamed.
        let _ = fs::remove_file(&part);
        io(source)
    })
}

/// The file as it lies there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(rename = "schema")]
    _schema: String,
    accepted: Accepted,
    aggregate: Aggregate,
    bound: Bound,
    gate: Gate,
    inside: Vec<Layer>,
    noise_floor: f64,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Tagged {
    schema: String,
}

/// Reads a baseline; nothing in it is trusted.
///
/// # Errors
/// When there is none, or the file is too large, not a baseline, or at odds with itself.
pub fn read(path: &Path) -> Result<Baseline, Error> {
    let bytes = bytes(path)?;
    let broken = |reason: String| Error::broken(path, reason);
    let malformed = |error: serde_json::Error| {
        broken(format!(
            "not a baseline ({})",
            ModelText::new(error.to_string()).clipped(160)
        ))
    };
    let tag: Tagged = serde_json::from_slice(&bytes).map_err(malformed)?;
    if tag.schema != SCHEMA {
        let named = ModelText::new(tag.schema).clipped(40);
        return Err(broken(format!(
            "its schema is `{named}` and this program reads `{SCHEMA}`"
        )));
    }
    let stored: Stored = serde_json::from_slice(&bytes).map_err(malformed)?;
    let baseline = Baseline {
        head: Head {
            accepted: stored.accepted,
            aggregate: stored.aggregate,
            bound: stored.bound,
            gate: stored.gate,
            inside: stored.inside,
            noise_floor: stored.noise_floor,
        },
        items: stored.items,
    };
    at_odds(&baseline).map_or(Ok(baseline), |reason| Err(broken(reason)))
}

/// All of the file, unless it is too large.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing {
            path: path.to_owned(),
        },
        _ => Error::io(path, source),
    };
    // A pipe would be waited on for ever.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::broken(path, "not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("a baseline of more than {MAX_BYTES} bytes is not read");
        return Err(Error::broken(path, reason));
    }
    Ok(bytes)
}

/// Why the parts of a baseline cannot all be true.
fn at_odds(baseline: &Baseline) -> Option<String> {
    let mut seen = BTreeSet::new();
    for item in &baseline.items {
        let id = || ModelText::new(item.id.as_str()).clipped(60);
        if !seen.insert(item.id.as_str()) {
            return Some(format!("item `{}` is there twice", id()));
        }
        if item.tokens.len() > FIRST_TOKENS || item.top.len() > CANDIDATES {
            return Some(format!("item `{}` has more tokens than are kept", id()));
        }
        if let Some(reason) = margins::at_odds(item) {
            return Some(format!("item `{}` has {reason}", id()));
        }
    }
    if let Err(reason) = baseline.head.gate.checked() {
        return Some(format!("its gate: {reason}"));
    }
    if baseline.head.noise_floor < 0.0 {
        return Some("its noise floor is below zero".to_owned());
    }
    (aggregate(&baseline.items) != baseline.head.aggregate).then(|| {
        "its aggregate is not that of its items: it was edited or merged by hand".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::simulated;

    #[test]
    fn what_is_written_is_read_and_keys_are_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let baseline = simulated::baseline(300, 7);
        let file = path(folder.path(), "suite", "../label");
        write(&file, &baseline).unwrap();
        assert_eq!(file.parent().unwrap(), folder.path().join("suite"));
        assert_eq!(read(&file).unwrap(), baseline);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.len() < 200_000, "{}", text.len());
        let value: Value = serde_json::from_str(&text).unwrap();
        for item in value["items"].as_array().unwrap() {
            let keys: Vec<_> = item.as_object().unwrap().keys().collect();
            assert!(keys.is_sorted(), "{keys:?}");
        }
        let keys: Vec<_> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys.first().unwrap().as_str(), "schema");
        assert_eq!(keys.last().unwrap().as_str(), "items");
        assert!(keys[1..keys.len() - 1].is_sorted(), "{keys:?}");
    }

    #[test]
    fn a_changed_answer_is_a_changed_line() {
        let before = simulated::baseline(300, 7);
        let mut now = before.clone();
        let at = now.items.iter().position(|i| i.correct == Some(false));
        let item = &mut now.items[at.unwrap()];
        item.answer = "something else".to_owned();
        item.sha256 = "0123456789abcdef".to_owned();
        item.extracted = item.sha256.clone();
        let (before, now) = (text(&before).unwrap(), text(&now).unwrap());
        let differing = before.lines().zip(now.lines()).filter(|(a, b)| a != b);
        assert_eq!(differing.count(), 1);
        assert_eq!(before.lines().count(), now.lines().count());
    }

    #[test]
    fn broken_files_are_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.json");
        let good = text(&simulated::baseline(20, 7)).unwrap();
        let line = |content: &str| {
            fs::write(&file, content).unwrap();
            let line = read(&file).unwrap_err().to_string();
            assert!(line.contains("b.json") && !line.contains('\n'), "{line}");
            assert!(line.chars().all(|c| !is_unsafe(c)), "{line:?}");
            line
        };
        assert!(line("").contains("not a baseline"));
        assert!(line(&"[".repeat(100_000)).contains("not a baseline"));
        assert!(line(&good[..good.len() / 2]).contains("not a baseline"));
        assert!(line(&good.replace("baseline/v1", "\\u001b[2J/v9")).contains("schema"));
        assert!(line(&good.replace("\"margin\"", "\"m\u{202e}argin\"")).contains("unknown field"));
        let twice = good.replacen("item-0001", "item-0000", 1);
        assert!(line(&twice).contains("twice"));
        let edited = good.replacen("\"correct\":true", "\"correct\":false", 1);
        assert!(line(&edited).contains("aggregate"));
        let gate = good.replacen("\"alpha\": ", "\"alpha\": 7", 1);
        assert!(line(&gate).contains("alpha"));
        let missing = read(&folder.path().join("none.json")).unwrap_err();
        assert!(missing.to_string().contains("kinprobe accept"));
        assert!(
            read(folder.path())
                .unwrap_err()
                .to_string()
                .contains("regular")
        );
    }

    #[test]
    fn hostile_text_is_inert_in_the_file() {
        let mut baseline = simulated::baseline(3, 7);
        baseline.items[0].id = "\u{1b}[2J\u{202e}x\n::error::".to_owned();
        let text = text(&baseline).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !is_unsafe(c)));
        let back: Stored = serde_json::from_str(&text).unwrap();
        assert_eq!(back.items[0].id, baseline.items[0].id);
    }
}
