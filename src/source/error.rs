//! What can go wrong before a model is a model.

use std::path::Path;
use std::path::PathBuf;

use crate::text::ModelText;

/// One line each: the file or reference, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The reference string does not parse.
    #[error("model reference `{}`: {reason}", clipped(given))]
    Reference {
        /// As typed.
        given: String,
        /// Why, and what to type instead.
        reason: String,
    },
    /// A file could not be read.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The path leads to something that holds no model, or more than one.
    #[error("{}: {reason}", shown(path))]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// Why, and what to name instead.
        reason: String,
    },
    /// A shard index that cannot be followed.
    #[error("{}: {reason}", shown(path))]
    ShardIndex {
        /// The index file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A name in a folder leads out of it.
    #[error(
        "{}: {} leads outside the folder; put the file itself into the folder",
        shown(root),
        clipped(name)
    )]
    Outside {
        /// The model's folder.
        root: PathBuf,
        /// The name that leads outside.
        name: String,
    },
    /// The zoo's list of members cannot be read.
    #[error("{}: {reason}", shown(path))]
    ZooList {
        /// `zoo.json`.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The zoo has no such member.
    #[error("zoo:{name} is not in the zoo; it has {known}")]
    UnknownMember {
        /// As typed.
        name: String,
        /// The members, joined by commas.
        known: String,
    },
    /// The folder with the shipped probes and data sets was not found.
    #[error(
        "cannot find the folder that holds probes/ and datasets/ (looked at {tried}); set KINPROBE_DATA to it"
    )]
    DataRoot {
        /// Where it was looked for.
        tried: String,
    },
    /// A file in the hub cache is not what the hub published.
    #[error(
        "hf:{repo}: {} in the cache does not match its hash and was removed; run again with the network on to fetch it anew",
        clipped(name)
    )]
    CacheMismatch {
        /// `owner/name`.
        repo: String,
        /// The file.
        name: String,
    },
    /// A served model does not answer, or not in a way that can be compared.
    #[error("openai:{reference}: {reason}")]
    Endpoint {
        /// `model@address`.
        reference: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A hub model could not be fetched.
    #[error("hf:{repo}: {reason}")]
    Hub {
        /// `owner/name`.
        repo: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }

    pub(super) fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        Error::Unusable {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// File names may come from a stranger's folder.
fn shown(path: &Path) -> ModelText {
    ModelText::new(path.to_string_lossy())
}

fn clipped(text: &str) -> String {
    ModelText::new(text).clipped(200)
}
