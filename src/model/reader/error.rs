//! What can go wrong between a picture and what a model reads in it.

use crate::model::ConfigError;
use crate::model::tensors;
use crate::model::tokenizer;
use crate::text::ModelText;

/// Why a model cannot read, or cannot read this picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config that does not describe such a model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A config that asks for what is not run.
    #[error("{0}: no such model is run")]
    Unsupported(String),
    /// Nothing says how pictures are prepared.
    #[error(
        "the folder has no preprocessor_config.json, which says how pictures are prepared: add it"
    )]
    NoProcessor,
    /// A tensor that the config asks for and nobody stored.
    #[error(
        "no tensor `{tensor}`, which the config asks for: fetch weights and config of one model"
    )]
    Missing {
        /// Its name.
        tensor: String,
    },
    /// A tensor that does not fit the config.
    #[error(
        "tensor `{tensor}` has shape {found:?} but the config asks for {expected:?}: fetch weights and config of one model"
    )]
    Shape {
        /// Its name.
        tensor: String,
        /// As the config has it.
        expected: Vec<usize>,
        /// Its own.
        found: Vec<usize>,
    },
    /// What this model does not take, said of one picture or prompt.
    #[error("{0}")]
    Refused(String),
    /// Weights cannot be read.
    #[error(transparent)]
    Tensors(#[from] tensors::Error),
    /// The prompt cannot be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// From candle.
    #[error(transparent)]
    Candle(candle_core::Error),
}

/// Candle's builders speak of tensors in their own errors.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        match error {
            candle_core::Error::WithBacktrace { inner, .. } => Self::from(*inner),
            candle_core::Error::CannotFindTensor { path } => Self::Missing {
                tensor: ModelText::new(path).clipped(120),
            },
            candle_core::Error::UnexpectedShape { msg, expected, got } => Self::Shape {
                tensor: ModelText::new(msg.trim_start_matches(MISMATCH)).clipped(120),
                expected: expected.into_dims(),
                found: got.into_dims(),
            },
            other => Self::Candle(other),
        }
    }
}

/// What candle writes before a tensor's name.
const MISMATCH: &str = "shape mismatch for ";

impl Error {
    /// Whether the next picture may be read all the same.
    pub fn is_of_the_item(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Tokenizer(_))
    }

    /// Whether the model can be compared but not run.
    pub fn is_of_the_model(&self) -> bool {
        !matches!(self, Self::Candle(_) | Self::Tensors(_)) && !self.is_of_the_item()
    }
}
