//! Reference string -> pinned files.
//!
//! A [`ModelRef`] is what a user types; [`open`] turns it into [`Artefacts`]: the files on disk, each
//! with its size and sha256, and the revision where there is one. Nothing here knows what a tensor is.

mod error;
mod reference;

pub use error::Error;
pub use reference::{Locator, ModelRef};

use std::path::PathBuf;

/// One file that was read, pinned.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Artefact {
    /// Path relative to the model's root, with `/`.
    pub name: String,
    /// Where it lies on this machine (never reported).
    #[serde(skip)]
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// How the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One or more safetensors files.
    Safetensors,
    /// A single GGUF file; config and tokenizer are inside.
    Gguf,
}

/// The files of one model.
#[derive(Debug, Clone)]
pub struct Artefacts {
    /// Canonical spelling of the reference, without the label.
    pub reference: String,
    /// Commit of a hub model.
    pub revision: Option<String>,
    /// Storage of the weights.
    pub format: Format,
    /// Weight files, in name order.
    pub weights: Vec<Artefact>,
    /// `config.json`; absent for GGUF.
    pub config: Option<Artefact>,
    /// `tokenizer.json`; absent for GGUF and where the folder has none.
    pub tokenizer: Option<Artefact>,
    /// Everything else that was read (shard index, `tokenizer_config.json`, `generation_config.json`).
    pub others: Vec<Artefact>,
    /// Pre-training run, where the source knows it (`zoo:` members); models of one run are kin.
    pub run: Option<String>,
}
