//! What can go wrong while a member is made.

use std::path::Path;
use std::path::PathBuf;

use crate::model;
use crate::record;
use crate::source;
use crate::text::ModelText;

use super::corpus::UnknownDomain;

/// One line each: the file or member, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The recipes cannot be followed.
    #[error("{}: {reason}; restore the file", shown(path))]
    Recipes {
        /// `recipes.yaml`.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The list of members cannot be read.
    #[error("{}: {reason}; restore the file", shown(path))]
    List {
        /// `zoo.json`.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No recipe has this name.
    #[error("no recipe is called {}; there are {known}", ModelText::new(name).clipped(60))]
    UnknownRecipe {
        /// As typed.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A recipe's architecture cannot be built.
    #[error("the recipe's config: {reason}")]
    Config {
        /// Why.
        reason: String,
    },
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Store(#[from] model::store::Error),
    /// A transformation does not fit the model it is meant for.
    #[error("the recipe's transformation: {reason}")]
    Transformation {
        /// Why.
        reason: String,
    },
    /// A recipe names a corpus domain that does not exist.
    #[error(transparent)]
    Domain(#[from] UnknownDomain),
    /// The tokenizer could not be trained or used.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// Training left the range of numbers.
    #[error("the loss is no longer a number at step {step}; lower the recipe's learning rate")]
    Diverged {
        /// Optimiser step.
        step: usize,
    },
    /// The files of a parent cannot be found or read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A model cannot be opened.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// A member cannot be asked.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// A question has no answer.
    #[error("exam question `{}`: {reason}", ModelText::new(prompt).clipped(120))]
    Unanswered {
        /// The question.
        prompt: String,
        /// Why.
        reason: String,
    },
    /// A model cannot be trained.
    #[error(transparent)]
    Decoder(#[from] model::decoder::Error),
    /// A model cannot be trained to see.
    #[error(transparent)]
    Vision(Box<model::vision::Error>),
    /// Signs cannot be made.
    #[error(transparent)]
    Probe(Box<crate::probe::Error>),
    /// From candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<model::vision::Error> for Error {
    fn from(error: model::vision::Error) -> Self {
        Self::Vision(Box::new(error))
    }
}

impl From<crate::probe::Error> for Error {
    fn from(error: crate::probe::Error) -> Self {
        Self::Probe(Box::new(error))
    }
}

impl Error {
    /// Wraps an answer of the file system.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Wraps what the tokenizer library reports.
    pub(super) fn tokenizer(error: impl std::fmt::Display) -> Self {
        Self::Tokenizer(error.to_string())
    }
}

fn shown(path: &Path) -> String {
    ModelText::new(path.display().to_string()).to_string()
}
