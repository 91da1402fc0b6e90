//! The canonical view of a model: config, tokenizer, tensors addressed by role, and one decoder.

pub mod arch;
pub mod canonical;
pub mod config;
pub mod decoder;
mod layers;
pub mod lens;
pub mod logits;
pub mod mapping;
mod open;
pub mod reader;
pub mod role;
pub mod sample;
pub mod site;
pub mod spec;
pub mod store;
pub mod tensors;
pub mod tokenizer;
#[cfg(test)]
pub(crate) mod toy;
pub mod vision;
pub mod weights;

pub use arch::Family;
pub use canonical::Canonical;
pub use config::{ConfigError, RawConfig};
pub use decoder::{Decoder, Gradients, KvCache, Mode, Splice};
pub use logits::Logits;
pub use role::{Expert, Param, Part, Role};
pub use site::{Site, Tap};
pub use spec::DecoderSpec;
pub use tensors::{TensorInfo, TensorStore};
pub use tokenizer::Tokenizer;
pub use weights::{Binding, View, Weights};

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::source::Artefacts;

/// One opened model.
///
/// Weights are read and decoded on demand; nothing is held in memory but headers, config and
/// vocabulary.
#[derive(Debug)]
pub struct Model {
    /// Name in reports.
    pub label: String,
    /// Its files.
    pub artefacts: Artefacts,
    /// `config.json` as it stands, or GGUF metadata in its words; empty where there is neither.
    pub config: Map<String, Value>,
    /// Family that reads it (`llama`, `qwen2`, …); `None` for an architecture that is not known.
    pub family: Option<&'static str>,
    /// How the model is run, or in words why it cannot be.
    pub spec: Result<DecoderSpec, String>,
    /// What its weights are compared by: `spec`, or that of a model which is not run although all its
    /// roles are there; in words why there is none.
    pub plan: Result<DecoderSpec, String>,
    /// Stored tensors, and the roles that could be bound to them (none without a family).
    pub weights: Weights,
    /// The tokenizer, or in words why there is none.
    pub tokenizer: Result<Tokenizer, String>,
    /// Stored numbers of floating or quantised type.
    pub parameters: u64,
    /// What a reader must know about how the files were understood.
    pub caveats: Vec<String>,
    /// Hash of the assignment of tensors to roles, where names did not decide it ([`mapping::bind`]).
    pub mapped: Option<String>,
    /// Where its vision part is, if names do not say it ([`mapping::bind`]).
    pub sight: Option<vision::Sight>,
    /// How it reads pictures with parts of its own, or in words why it cannot be run; `None` for a model of no
    /// such family. Shared, since a model is copied when roles are assigned to it.
    pub reader: Option<Result<Arc<reader::Blueprint>, String>>,
}

/// Why nothing but its answers is known of a model behind a server.
pub const SERVED: &str = "an endpoint shows answers alone";

impl Model {
    /// Whether it is behind a server: it has no files, and answers are all there is of it.
    pub fn is_served(&self) -> bool {
        self.artefacts.endpoint.is_some()
    }

    /// Whether it has a vision part that is run here.
    pub fn sees(&self) -> bool {
        if let Some(reader) = &self.reader {
            return reader.is_ok();
        }
        let config = RawConfig::new(self.config.clone());
        self.sight.is_some() || vision::VisionSpec::new(&config).is_ok()
    }

    /// Whether it answers questions that show no picture, if it can be run.
    pub fn reads_text(&self) -> bool {
        self.reader.is_none()
    }

    /// Why it cannot be run, its tokenizer left aside; `None` where it can, if only by a server.
    pub fn not_runnable(&self) -> Option<String> {
        if self.is_served() {
            return None;
        }
        match (&self.reader, &self.spec) {
            (Some(Ok(_)), _) => None,
            (Some(Err(reason)), _) | (None, Err(reason)) => Some(reason.clone()),
            (None, Ok(spec)) if !spec.unsupported.is_empty() => Some(spec.unsupported.join("; ")),
            (None, Ok(_)) => None,
        }
    }
}

/// What can go wrong between files and a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files could not be found or read.
    #[error(transparent)]
    Source(#[from] crate::source::Error),
    /// Weight files that are not what they say.
    #[error(transparent)]
    Tensors(#[from] tensors::Error),
    /// A JSON file that is not what it should be.
    #[error("{file}: {reason}")]
    Json {
        /// The file.
        file: String,
        /// Why, and the way out.
        reason: String,
    },
}
