//! What can go wrong on the bench.

use std::path::Path;
use std::path::PathBuf;

use crate::evidence;
use crate::model;
use crate::probe;
use crate::record;
use crate::source;
use crate::text::ModelText;
use crate::verdict;
use crate::zoo;

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
    /// The settings cannot be followed.
    #[error("{}: {reason}; restore the file", shown(path))]
    Settings {
        /// `bench.yaml`.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A method that was asked for does not exist.
    #[error("no method's id is {}: there are {known}", ModelText::new(id).clipped(60))]
    UnknownMethod {
        /// As typed.
        id: String,
        /// All ids.
        known: String,
    },
    /// A folder of further models cannot be used.
    #[error("{}: {reason}", shown(path))]
    Real {
        /// The folder or its `runs.csv`.
        path: PathBuf,
        /// Why, and the way out.
        reason: String,
    },
    /// Nothing is left to measure.
    #[error("no pair to measure: {reason}")]
    Nothing {
        /// Why, and the way out.
        reason: String,
    },
    /// A member, with what happened to it.
    #[error("{}: {source}", ModelText::new(member).clipped(80))]
    Member {
        /// Its name.
        member: String,
        /// What happened.
        source: Box<Error>,
    },
    /// From reading two models number by number.
    #[error(transparent)]
    Evidence(#[from] evidence::Error),
    /// From opening files.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// From opening a model.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// From recording.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// From a suite.
    #[error(transparent)]
    Probe(#[from] probe::Error),
    /// From the zoo.
    #[error(transparent)]
    Zoo(#[from] zoo::Error),
    /// From changing a suspect.
    #[error(transparent)]
    Launder(#[from] zoo::launder::Error),
    /// From the calibration.
    #[error(transparent)]
    Verdict(#[from] verdict::Error),
    /// Threads could not be started.
    #[error("cannot start the threads: {0}; ask for fewer with --jobs")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A table could not be written as CSV.
    #[error("scores.csv: {0}")]
    Csv(#[from] csv::Error),
    /// Numbers that JSON has no form for.
    #[error("a table could not be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Wraps an answer of the file system.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Says which member it was.
    pub(super) fn of(member: &str) -> impl FnOnce(Self) -> Self {
        let member = member.to_owned();
        move |source| Self::Member {
            member,
            source: Box::new(source),
        }
    }
}

fn shown(path: &Path) -> String {
    ModelText::new(path.display().to_string()).to_string()
}

/// Writes a file as a whole: beside its place first, then over it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    std::fs::write(&draft, text).map_err(Error::io(&draft))?;
    std::fs::rename(&draft, path).map_err(Error::io(path))
}
