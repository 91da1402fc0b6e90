//! What can go wrong with a baseline's file.

use std::path::Path;
use std::path::PathBuf;

/// One line each: the file, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was accepted under this name.
    #[error(
        "{}: there is no baseline: `kinprobe accept` writes one, or name its folder with --baseline",
        path.display()
    )]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file is not a baseline, or not a whole one.
    #[error(
        "{}: {reason}; take the file from version control, or accept the model again",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It was taken under other conditions, so that a difference would say nothing about the model.
    #[error(
        "{}: not comparable: {reason}; check under the conditions it was accepted under, or accept anew",
        path.display()
    )]
    Incomparable {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The file could not be read or written.
    #[error("{}: {source}; name another folder, or change its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn broken(path: &Path, reason: impl Into<String>) -> Self {
        Self::Broken {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
