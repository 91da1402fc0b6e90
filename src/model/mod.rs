//! The canonical view of a model: config, tokenizer, tensors addressed by role, and one decoder.

pub mod decoder;
mod layers;
pub mod role;
pub mod site;
pub mod spec;
pub mod tensors;
pub mod weights;

pub use decoder::{Decoder, KvCache, Mode};
pub use role::{Expert, Param, Part, Role};
pub use site::{Site, Tap};
pub use spec::DecoderSpec;
pub use tensors::{TensorInfo, TensorStore};
pub use weights::{Binding, View, Weights};

use crate::source::Artefacts;

/// One opened model.
///
/// Weights are memory-mapped and decoded on demand; nothing is held in memory but headers.
#[derive(Debug)]
pub struct Model {
    /// Name in reports.
    pub label: String,
    /// Its files.
    pub artefacts: Artefacts,
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
}
