//! What lies in a folder of activations.

use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use super::Pool;
use super::Taps;
use super::Whole;
use crate::model::Model;
use crate::probe::Suite;
use crate::record::Error;
use crate::record::inside;

/// Schema tag.
pub const SCHEMA: &str = "kinprobe/activations/v1";

/// Its name in the folder.
pub const MANIFEST: &str = "manifest.json";

/// What lies in a folder of activations. Of these a program that writes one needs `schema`, `model`, `suite`,
/// `pool`, `sites` and `files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// What the model is called.
    pub model: String,
    /// `sha256:…` of its files, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<String>,
    /// What it was run with, and in which numbers.
    #[serde(default)]
    pub engine: String,
    /// Suite id.
    pub suite: String,
    /// Suite hash, where the prompts are of a suite of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite_sha256: Option<String>,
    /// Which rows of a prompt.
    pub pool: Pool,
    /// What a row is with [`Pool::Whole`], which needs it; with others it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
    /// Heads that keys and values consist of, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_value_heads: Option<usize>,
    /// TransformerLens names: the tensors of every file, each `[rows, width]` in F32, F16 or BF16.
    pub sites: Vec<String>,
    /// In the order of the items.
    pub files: Vec<Shard>,
    /// Prompts without rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// One safetensors file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// In the manifest's folder.
    pub file: String,
    /// Lower-case hex of its bytes.
    pub sha256: String,
    /// Whose rows it holds, in order: one row of each, or one for each offset.
    pub items: Vec<Heard>,
}

/// A prompt with rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Id.
    pub item: String,
    /// Lower-case hex sha256 of the prompt's UTF-8 bytes: rows of two models meet only where it is the same.
    pub prompt_sha256: String,
    /// Bytes of the prompt up to the end of each row's token; empty where the row is of more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<u32>,
}

/// A prompt without rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Id.
    pub item: String,
    /// In words.
    pub reason: String,
}

impl Heard {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.offsets.len().max(1)
    }
}

impl Manifest {
    /// Without files yet.
    pub(super) fn begun(model: &Model, suite: &Suite, taps: &Taps, whole: Option<Whole>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            model: model.label.clone(),
            model_digest: Some(model.identity()),
            engine: format!("kinprobe {}, f32, cpu", env!("CARGO_PKG_VERSION")),
            suite: suite.id.clone(),
            suite_sha256: Some(suite.sha256.clone()),
            pool: taps.pool,
            whole,
            key_value_heads: model.spec.as_ref().ok().map(inside::key_value_heads),
            sites: taps.sites.iter().map(ToString::to_string).collect(),
            files: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Prompts with rows.
    pub fn items(&self) -> impl Iterator<Item = &Heard> {
        self.files.iter().flat_map(|file| &file.items)
    }

    /// Written under another name first, so that it is whole or not there.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(MANIFEST);
        let io = |error| Error::io(&path, error);
        let mut text = serde_json::to_string(self)
            .map_err(|error| io(std::io::Error::other(error.to_string())))?;
        text.push('\n');
        let fresh = folder.join("manifest.json-new");
        std::fs::write(&fresh, text).map_err(|error| Error::io(&fresh, error))?;
        std::fs::rename(&fresh, &path).map_err(io)
    }
}
