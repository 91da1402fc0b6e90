//! What can go wrong before a model is a model.

use std::path::PathBuf;

/// One line each: the file or reference, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The reference string does not parse.
    #[error("model reference `{given}`: {reason}")]
    Reference {
        /// As typed.
        given: String,
        /// Why, and what to type instead.
        reason: String,
    },
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}
