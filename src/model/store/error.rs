//! What can go wrong while a model is written.

use std::path::Path;
use std::path::PathBuf;

use crate::text::ModelText;

/// One line each: the file or tensor, the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", ModelText::new(path.display().to_string()))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Weights that a family's files cannot hold.
    #[error("{what}: {reason}")]
    Unstorable {
        /// A role or a tensor.
        what: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Wraps an answer of the file system.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}
