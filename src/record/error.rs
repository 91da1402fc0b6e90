//! What can go wrong while a model is asked and its answers are kept.

use std::path::Path;
use std::path::PathBuf;

/// One line each: the file or model, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A suite shows pictures to a model that reads text alone.
    #[error(
        "the suite {suite} shows pictures, which this model does not read: name a suite of text, or a model that does"
    )]
    Pictures {
        /// Its id.
        suite: String,
    },
    /// No folder for recordings is known.
    #[error("no cache folder for recordings: set KINPROBE_CACHE, or give one with -o")]
    NoCache,
    /// A recording is damaged in a way that an interrupted run does not leave behind.
    #[error("{}:{line}: {reason}; delete the file to record again", path.display())]
    Corrupt {
        /// The recording.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder of activations is not what its manifest says, or has none.
    #[error("{}: {reason}; record again, or correct the manifest", path.display())]
    Activations {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Reference Gram matrices are not what their list says, or do not fit into it.
    #[error("{}: {reason}", path.display())]
    ReferenceGrams {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A recording belongs to another model, suite, decoding or engine.
    #[error("{}: {reason}; choose another folder or delete the file", path.display())]
    Foreign {
        /// The recording.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The same question got another answer than the recorded one.
    #[error(
        "{}: item `{item}` is answered differently than recorded: the file was edited or the machine \
         computes differently; delete the file to record again",
        path.display()
    )]
    Inconsistent {
        /// The recording.
        path: PathBuf,
        /// Item id.
        item: String,
    },
    /// Another process is writing the recording.
    #[error("{}: another run is writing it: wait until that one ends", path.display())]
    Busy {
        /// The recording.
        path: PathBuf,
    },
    /// The model cannot be run here, though its files may be compared.
    #[error("{0}")]
    NotRunnable(String),
    /// A served model does not answer any more.
    #[error(transparent)]
    Source(#[from] crate::source::Error),
    /// The model's files could not be read.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// The decoder could not be built or run.
    #[error(transparent)]
    Decoder(#[from] crate::model::decoder::Error),
    /// A model with parts of its own could not be read or run.
    #[error(transparent)]
    Reader(#[from] crate::model::reader::Error),
    /// A computation outside the decoder failed.
    #[error("the forward pass failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl Error {
    /// Whether files on disk contradict each other or what is asked.
    pub fn is_integrity(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::Activations { .. }
                | Self::ReferenceGrams { .. }
                | Self::Foreign { .. }
                | Self::Inconsistent { .. }
        )
    }

    /// Whether the model can be compared but not run.
    pub fn is_not_runnable(&self) -> bool {
        matches!(self, Self::NotRunnable(_))
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }
}
