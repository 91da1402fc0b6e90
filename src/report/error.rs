//! What can go wrong between a report and its files.

use std::path::PathBuf;

/// One line each: the file, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the report could not be written.
    #[error("{}: cannot write: {source}; name another folder with -o", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The page could not be filled in.
    #[error("the HTML page could not be made: {0}; result.json is made without it by --json")]
    Page(#[from] askama::Error),
    /// The data have no form in JUnit XML.
    #[error("the JUnit file could not be made: {0}; --json says the same")]
    Junit(String),
    /// The data have no JSON form.
    #[error("result.json could not be made: {0}")]
    Json(#[from] serde_json::Error),
}
