//! Where recordings live: one JSONL file and, for suites that are read along, one safetensors file beside
//! it.
//!
//! A recording is appended to in suite order and never rewritten, so that a killed run leaves a
//! beginning of the file an uninterrupted run would have written, and going on completes it to the
//! same bytes. Its first line is the [`Header`]; whatever the file is called, a recording is only
//! used when that line says exactly what is asked for.

mod activations;
mod journal;
mod rows;

pub(super) use journal::Journal;
pub use journal::read;
pub(super) use rows::Row;
pub(super) use rows::Rows;

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::path::PathBuf;

use super::Activations;
use super::Error;
use super::Header;
use super::Recording;
use crate::probe::Suite;

/// A folder of recordings.
#[derive(Debug, Clone)]
pub struct RecordingStore {
    root: PathBuf,
    naming: Naming,
}

#[derive(Debug, Clone)]
enum Naming {
    /// By the recording's key.
    Key,
    /// `<label>/<suite>.jsonl`, for people.
    Label(String),
}

impl RecordingStore {
    /// The user's cache: `KINPROBE_CACHE`, else `kinprobe` under `XDG_CACHE_HOME` or `~/.cache`.
    ///
    /// # Errors
    /// [`Error::NoCache`] when none of these is set.
    pub fn in_cache() -> Result<Self, Error> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let root = match (set("KINPROBE_CACHE"), set("XDG_CACHE_HOME")) {
            (Some(own), _) => PathBuf::from(own),
            (None, Some(xdg)) => PathBuf::from(xdg).join("kinprobe"),
            (None, None) => match set("HOME").or_else(|| set("USERPROFILE")) {
                Some(home) => PathBuf::from(home).join(".cache/kinprobe"),
                None => return Err(Error::NoCache),
            },
        };
        Ok(Self::keyed(root.join("recordings")))
    }

    /// Files named by key under `root`.
    pub fn keyed(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            naming: Naming::Key,
        }
    }

    /// Files named `<label>/<suite>.jsonl` under `root`.
    pub fn named(root: impl Into<PathBuf>, label: &str) -> Self {
        Self {
            root: root.into(),
            naming: Naming::Label(file_name(label)),
        }
    }

    /// The folder that holds one model's recordings, or all of them where they are filed by key.
    pub fn folder(&self) -> PathBuf {
        match &self.naming {
            Naming::Label(label) => self.root.join(label),
            Naming::Key => self.root.clone(),
        }
    }

    /// The JSONL file of a recording.
    pub fn path(&self, header: &Header) -> PathBuf {
        match &self.naming {
            Naming::Label(_) => self.folder().join(format!("{}.jsonl", header.suite)),
            Naming::Key => {
                let hash = header.key.strip_prefix("sha256:").unwrap_or(&header.key);
                let shelf = hash.get(..2).unwrap_or("00");
                self.root.join(shelf).join(format!("{hash}.jsonl"))
            }
        }
    }

    /// A finished recording, if it is there; asks no model.
    ///
    /// # Errors
    /// When the file is there and is damaged or belongs to something else.
    pub fn finished(
        &self,
        header: &Header,
        suite: &Suite,
    ) -> Result<Option<(Recording, Option<Activations>)>, Error> {
        let path = self.path(header);
        if !path.exists() {
            return Ok(None);
        }
        let records = journal::stored(&path, header, suite)?;
        if records.len() < suite.items.len() {
            return Ok(None);
        }
        let mut recording = Recording {
            header: header.clone(),
            records,
            texts: BTreeMap::new(),
            vocabulary: None,
        };
        let beside = activations::read(&path, header)?;
        let activations = beside.map(|beside| beside.attach(&mut recording));
        Ok(Some((recording, activations)))
    }
}

/// `label` as one harmless path component.
pub fn file_name(label: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = label
        .chars()
        .take(64)
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    match name.trim_start_matches('.') {
        "" => "model".to_owned(),
        name => name.to_owned(),
    }
}

/// Makes the folder that `path` lies in.
fn make_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn labels_become_harmless_names() {
        for (label, name) in [
            ("SmolLM2-135M", "SmolLM2-135M"),
            ("hf:owner/name@main", "hf-owner-name-main"),
            ("../../etc/passwd", "-..-etc-passwd"),
            ("..", "model"),
            ("", "model"),
            ("näme\u{1b}", "n-me-"),
        ] {
            assert_eq!(file_name(label), name, "{label:?}");
        }
    }
}
