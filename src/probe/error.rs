//! What can go wrong between a suite's files and a suite.

use std::fmt;
use std::path::{Path, PathBuf};

use super::suggest::instead_of;

/// One line each: the file, the line, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A name that is neither a suite's id nor its file.
    #[error("there is no suite {given}; give an id or the path of a .yaml file")]
    Unknown {
        /// As given, with the nearest ids.
        given: String,
    },
    /// A file was read and is not a suite or a dataset.
    #[error("{}{}: {reason}", path.display(), At(*line))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// 1-based line, where one is to blame.
        line: Option<u64>,
        /// Why, and what to do.
        reason: String,
    },
}

impl Error {
    pub(super) fn unknown(name: &str, known: &[&str]) -> Self {
        Self::Unknown {
            given: instead_of(name, known.iter().copied()),
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn invalid(path: &Path, line: Option<u64>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.to_path_buf(),
            line,
            reason: reason.into(),
        }
    }
}

/// `:12`, or nothing.
struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}
