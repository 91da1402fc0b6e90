//! What can go wrong while answers are read from files that another program wrote.

use std::path::Path;
use std::path::PathBuf;

use crate::text::ModelText;

/// One line each: the file, the line, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A reference to answers is not understood.
    #[error("`{}`: {reason}", ModelText::new(given.as_str()).clipped(200))]
    Reference {
        /// As typed.
        given: String,
        /// What is wrong with it, and what is understood.
        reason: String,
    },
    /// A file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// One line of a file cannot be used.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based line; in a file of one JSON document the one where the sample ends.
        line: usize,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// A file or folder as a whole cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// Nothing is left to compare.
    #[error("{0}")]
    Nothing(String),
    /// A recording of this program cannot be read.
    #[error(transparent)]
    Recording(#[from] crate::record::Error),
}

impl Error {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn line(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Line {
            path: path.to_path_buf(),
            line,
            reason: reason.into(),
        }
    }

    pub(super) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A line that is no JSON of the expected form.
    pub(super) fn json(path: &Path, line: usize, error: &serde_json::Error) -> Self {
        let words = error.to_string();
        // serde's own place counts from the start of what it was given.
        let words = words.split(" at line ").next().unwrap_or(&words);
        Self::line(path, line, ModelText::new(words).clipped(160))
    }
}
