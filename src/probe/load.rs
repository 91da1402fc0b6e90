//! Files -> [`Suite`].

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::dataset::{self, Row};
use super::error::Error;
use super::manifest::Manifest;
use super::picture;
use super::picture::Picture;
use super::suggest::instead_of;
use super::template::Template;
use super::{Item, Readout, Score, Suite};
use crate::text::ModelText;

/// Largest suite file.
const MAX_MANIFEST: u64 = 256 * 1024;
/// Largest dataset.
const MAX_DATASET: u64 = 64 * 1024 * 1024;
/// Longest rendered prompt, in bytes.
const MAX_PROMPT: usize = 64 * 1024;
/// Longest item id, in characters.
const MAX_ID: usize = 64;

/// Loads and checks one suite file with its dataset.
///
/// The dataset's path is relative to the project folder: the folder that holds `probes/` when the
/// suite lies there, otherwise the suite's own folder.
///
/// # Errors
/// [`Error`] names the file and, where one is to blame, the line.
pub fn load(path: &Path) -> Result<Suite, Error> {
    let manifest = Manifest::parse(path, &read_text(path)?)?;
    let invalid = |reason: String| Error::invalid(path, None, reason);
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    if stem != Some(manifest.suite.as_str()) {
        return Err(invalid(format!(
            "the file must be called after its suite: rename it to {}.yaml",
            manifest.suite
        )));
    }
    let readout = manifest.readout().map_err(invalid)?;
    let score = manifest.score().map_err(invalid)?;
    let template = Template::parse(&manifest.prompt).map_err(invalid)?;
    if manifest.image.is_some() && readout == Readout::NextToken {
        let reason =
            "pictures are answered in words: set `readout` to {kind: generate, max_tokens: N}";
        return Err(invalid(reason.to_owned()));
    }

    let data = dataset_path(path, &manifest.dataset.path)?;
    let bytes = read(&data, MAX_DATASET)?;
    check_hash(path, &data, &bytes, &manifest.dataset.sha256)?;
    let rows = dataset::parse(&data, &bytes)?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let item = item(&manifest, &score, &template, row, &data)
            .map_err(|reason| Error::invalid(&data, Some(row.line), reason))?;
        items.push(item);
    }
    check_unique(&data, &rows, &items)?;
    let sha256 = suite_hash(&manifest, &readout, &score, &items);
    Ok(Suite {
        id: manifest.suite,
        version: manifest.version,
        description: manifest.description.trim().to_owned(),
        license: manifest.license.trim().to_owned(),
        readout,
        score,
        items,
        sha256,
    })
}

/// Loads every suite in `root/probes`, in name order.
///
/// # Errors
/// The first suite that does not load, or a folder that cannot be read.
pub fn shipped(root: &Path) -> Result<Vec<Suite>, Error> {
    files(root)?.iter().map(|path| load(path)).collect()
}

/// The suite files in `root/probes`, in name order.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    files_in(&root.join("probes"))
}

/// Loads every suite of pictures in `root/datasets/script`, in name order: for models that see.
///
/// # Errors
/// The first suite that does not load, or a folder that cannot be read.
pub fn pictures(root: &Path) -> Result<Vec<Suite>, Error> {
    let files = picture_files(root)?;
    files.iter().map(|path| load(path)).collect()
}

/// Their files; none where the data came without.
fn picture_files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = root.join("datasets/script");
    match folder.exists() {
        true => files_in(&folder),
        false => Ok(Vec::new()),
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The suites that `wanted` names, by the id of one in `root/probes` or `root/datasets/script` or by the path
/// of its file, in that order and each once; all of `root/probes` when it names none.
///
/// # Errors
/// [`Error::Unknown`] for a name that is neither, otherwise as [`load`].
pub fn select(root: &Path, wanted: &[String]) -> Result<Vec<Suite>, Error> {
    if wanted.is_empty() {
        return shipped(root);
    }
    let mut files = files(root)?;
    files.extend(picture_files(root)?);
    let ids: Vec<&str> = files
        .iter()
        .filter_map(|path| path.file_stem()?.to_str())
        .collect();
    let mut suites: Vec<Suite> = Vec::new();
    for name in wanted {
        let shipped = files
            .iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == name.as_str()));
        let suite = match shipped {
            Some(path) => load(path)?,
            None if name.ends_with(".yaml") => load(Path::new(name))?,
            None => return Err(Error::unknown(name, &ids)),
        };
        if suites.iter().all(|other| other.sha256 != suite.sha256) {
            suites.push(suite);
        }
    }
    Ok(suites)
}

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = fs::File::open(path).map_err(|error| Error::io(path, error))?;
    let facts = file.metadata().map_err(|error| Error::io(path, error))?;
    if !facts.is_file() {
        return Err(Error::invalid(path, None, "not a regular file: name one"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(path, error))?;
    if bytes.len() as u64 > limit {
        return Err(Error::invalid(
            path,
            None,
            format!("larger than {limit} bytes: split it"),
        ));
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path, MAX_MANIFEST)?)
        .map_err(|_| Error::invalid(path, None, "not UTF-8: save the file as UTF-8"))
}

/// Resolves the dataset, which must lie inside the project folder, links followed.
fn dataset_path(suite: &Path, given: &str) -> Result<PathBuf, Error> {
    let outside = || {
        Error::invalid(
            suite,
            None,
            format!(
                "dataset path `{}` leaves the project folder: give a relative path without `..`",
                ModelText::new(given).clipped(80)
            ),
        )
    };
    let relative = Path::new(given);
    let plain = is_below(given);
    if !plain {
        return Err(outside());
    }
    let folder = match suite.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let folder = fs::canonicalize(&folder).map_err(|error| Error::io(&folder, error))?;
    let root = match folder.parent() {
        Some(parent) if folder.ends_with("probes") => parent,
        _ => &folder,
    };
    let data = root.join(relative);
    let real = fs::canonicalize(&data).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::invalid(suite, None, not_found(root, &folder, given)),
        _ => Error::io(&data, error),
    })?;
    if !real.starts_with(root) {
        return Err(outside());
    }
    Ok(real)
}

/// Where a dataset was looked for, and its path if it lies beside a suite that lies in `probes/`.
fn not_found(root: &Path, folder: &Path, given: &str) -> String {
    let shown = ModelText::new(given).clipped(80);
    let way_out = match root != folder && folder.join(given).is_file() {
        true => format!("write `path: probes/{shown}`"),
        false => "put it there, or correct `path`".to_owned(),
    };
    format!(
        "there is no dataset `{shown}` in {}, the folder that its path is relative to: {way_out}",
        ModelText::new(root.display().to_string())
    )
}

/// Whether a path leads down from where it is read, on every system.
fn is_below(given: &str) -> bool {
    let mut parts = Path::new(given).components();
    !given.is_empty()
        && !given.contains('\\')
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn check_hash(suite: &Path, data: &Path, bytes: &[u8], stated: &str) -> Result<(), Error> {
    let found = hex(&Sha256::digest(bytes));
    if found == stated {
        return Ok(());
    }
    let name = data
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Err(Error::invalid(
        suite,
        None,
        format!(
            "dataset {} has sha256 {found}, not the stated `{}`: restore the file, or state the new hash and raise `version`",
            name.unwrap_or_default(),
            ModelText::new(stated).clipped(64)
        ),
    ))
}

fn item(
    manifest: &Manifest,
    score: &Score,
    template: &Template,
    row: &Row,
    data: &Path,
) -> Result<Item, String> {
    let id = text_field(row, "id")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(plain) {
        return Err(format!(
            "id `{}` must be 1-{MAX_ID} letters, digits, `-`, `_` or `.`",
            ModelText::new(id).clipped(MAX_ID)
        ));
    }
    let prompt = template.render(row)?;
    if prompt.trim().is_empty() {
        return Err("the prompt is empty: give the row some text".to_owned());
    }
    if prompt.len() > MAX_PROMPT {
        return Err(format!(
            "the prompt has {} bytes, more than {MAX_PROMPT}: shorten it",
            prompt.len()
        ));
    }
    let targets = match &manifest.target {
        Some(name) => targets(row, name, score)?,
        None => Vec::new(),
    };
    let tags = manifest
        .tags
        .iter()
        .map(|name| text_field(row, name).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    let picture = match &manifest.image {
        Some(name) => Some(shown(text_field(row, name)?, data)?),
        None => None,
    };
    let group = match &manifest.group {
        Some(name) => Some(text_field(row, name)?.to_owned()),
        None => None,
    };
    Ok(Item {
        id: id.to_owned(),
        prompt,
        targets,
        tags,
        picture,
        group,
    })
}

/// A picture within the row, or the file that it names, in the folder of the dataset or below.
fn shown(given: &str, data: &Path) -> Result<Picture, String> {
    if let Some(within) = Picture::within(given) {
        return within;
    }
    let named = || ModelText::new(given).clipped(80);
    let relative = Path::new(given);
    let plain = is_below(given);
    let folder = data.parent().unwrap_or(Path::new("."));
    let real = fs::canonicalize(folder.join(relative));
    let inside = real.as_ref().is_ok_and(|real| real.starts_with(folder));
    if !plain || real.is_ok() && !inside {
        return Err(format!(
            "picture `{}` leaves the dataset's folder: give a relative path without `..`",
            named()
        ));
    }
    let bytes = real
        .map_err(|error| format!("picture `{}` cannot be read: {error}", named()))
        .and_then(|real| read(&real, picture::MAX_BYTES).map_err(|error| error.to_string()))?;
    Picture::new(bytes).map_err(|reason| format!("picture `{}`: {reason}", named()))
}

fn field<'a>(row: &'a Row, name: &str) -> Result<&'a Value, String> {
    row.fields.get(name).ok_or_else(|| {
        let known = row.fields.keys().map(String::as_str);
        format!("the row lacks a field: {}", instead_of(name, known))
    })
}

fn text_field<'a>(row: &'a Row, name: &str) -> Result<&'a str, String> {
    field(row, name)?
        .as_str()
        .ok_or_else(|| format!("field `{name}` must be a string: put it in quotes"))
}

/// Accepted answers: a list of strings, or one string in which `|` separates them under `score: exact`.
fn targets(row: &Row, name: &str, score: &Score) -> Result<Vec<String>, String> {
    if let Score::Fields(fields) = score {
        return structured_target(field(row, name)?, name, fields).map(|target| vec![target]);
    }
    let answers: Vec<String> = match field(row, name)? {
        Value::String(one) if *score == Score::Exact => one.split('|').map(str::to_owned).collect(),
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => several
            .iter()
            .map(|answer| answer.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("every answer in `{name}` must be a string"))?,
        _ => return Err(format!("`{name}` must be a string or a list of strings")),
    };
    if answers.is_empty() || answers.iter().any(|answer| answer.trim().is_empty()) {
        return Err(format!(
            "`{name}` holds an empty answer: fill it in (a suite without truth has no `target`)"
        ));
    }
    Ok(answers)
}

/// A JSON object (or, in a CSV cell, its text) of scored fields, as compact JSON. Which of them it
/// has may differ from row to row; those it has are scored.
fn structured_target(value: &Value, name: &str, fields: &[String]) -> Result<String, String> {
    let not_object = || format!("`{name}` must be a JSON object for `score: fields`");
    let parsed;
    let object = match value {
        Value::Object(object) => object,
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).map_err(|_| not_object())?;
            parsed.as_object().ok_or_else(not_object)?
        }
        _ => return Err(not_object()),
    };
    if object.is_empty() {
        return Err(format!("`{name}` has no field to score"));
    }
    for key in object.keys() {
        if !fields.contains(key) {
            return Err(format!(
                "`{name}` has a field that `score` does not list: {}",
                instead_of(key, fields.iter().map(String::as_str))
            ));
        }
    }
    Ok(Value::Object(object.clone()).to_string())
}

/// No id and no prompt twice: a repeated question would be counted twice as evidence.
fn check_unique(data: &Path, rows: &[Row], items: &[Item]) -> Result<(), Error> {
    let mut ids = BTreeMap::new();
    let mut prompts = BTreeMap::new();
    for (row, item) in rows.iter().zip(items) {
        let twice = |what: &str, line: u64| {
            Error::invalid(
                data,
                Some(row.line),
                format!("{what} of line {line} again: make it different or delete the row"),
            )
        };
        if let Some(line) = ids.insert(item.id.as_str(), row.line) {
            return Err(twice(&format!("id `{}`", item.id), line));
        }
        let shown = item.picture.as_ref().map(|picture| &picture.sha256);
        if let Some(line) = prompts.insert((item.prompt.as_str(), shown), row.line) {
            return Err(twice("the prompt", line));
        }
    }
    Ok(())
}

fn suite_hash(manifest: &Manifest, readout: &Readout, score: &Score, items: &[Item]) -> String {
    let readout = match readout {
        Readout::NextToken => json!(["next_token"]),
        Readout::Generate { max_tokens, stop } => json!(["generate", max_tokens, stop]),
    };
    let score = match score {
        Score::Exact => json!(["exact"]),
        Score::Prefix => json!(["prefix"]),
        // The number is the version of how fields are scored.
        Score::Fields(fields) => json!(["fields", 2, fields]),
    };
    let items: Vec<Value> = items
        .iter()
        .map(|item| match &item.picture {
            None => json!([item.id, item.prompt, item.targets]),
            Some(picture) => json!([item.id, item.prompt, item.targets, picture.sha256]),
        })
        .collect();
    let canonical = json!([manifest.suite, manifest.version, readout, score, items]);
    hex(&Sha256::digest(canonical.to_string().as_bytes()))
}

/// Lower-case hex sha256.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
