//! What lies in a folder of reference Gram matrices.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::record::Error;
use crate::record::tapped::Pool;
use crate::text::ModelText;

/// Schema tag.
pub const SCHEMA: &str = "kinprobe/reference-grams/v1";

/// Largest list that is read.
const LARGEST: u64 = 16 << 20;

/// Of one suite and one choice of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// [`SCHEMA`].
    pub schema: String,
    /// Suite id.
    pub suite: String,
    /// Suite hash, where the prompts are of a suite of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite_sha256: Option<String>,
    /// Which row of a prompt.
    pub pool: Pool,
    /// Lower-case hex sha256 of each prompt, in the order of rows and columns.
    pub prompts: Vec<String>,
    /// By label.
    pub models: Vec<Entry>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What a report calls it.
    pub label: String,
    /// Pre-training run: models of one run are kin.
    pub run: String,
    /// `sha256:…` of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Of the model.
    pub licence: String,
    /// What it was run with, and in which numbers.
    pub engine: String,
    /// How many it has.
    pub blocks: usize,
    /// Of its residual stream.
    pub width: usize,
    /// Numbers of the blocks whose matrices are kept, in order.
    pub kept: Vec<usize>,
    /// Beside the list.
    pub file: String,
    /// Lower-case hex of its bytes.
    pub sha256: String,
}

impl List {
    /// Its file in `folder`.
    pub(super) fn path(folder: &Path, suite: &str, pool: Pool) -> PathBuf {
        folder.join(format!("{}.json", stem(suite, pool)))
    }

    /// Reads it.
    ///
    /// # Errors
    /// A file that cannot be read or is no such list.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let size = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
        if size.len() > LARGEST {
            return Err(damaged(path, "is larger than any list".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let list: Self = serde_json::from_str(&text)
            .map_err(|error| damaged(path, ModelText::new(error.to_string()).clipped(200)))?;
        match list.schema == SCHEMA {
            true => Ok(list),
            false => {
                let other = ModelText::new(&list.schema).clipped(60);
                Err(damaged(
                    path,
                    format!("its schema is `{other}`, not {SCHEMA}"),
                ))
            }
        }
    }
}

/// Name of a suite's files before what tells them apart.
pub(super) fn stem(suite: &str, pool: Pool) -> String {
    format!("{}.{}", crate::record::file_name(suite), pool.name())
}

pub(super) fn damaged(path: &Path, reason: String) -> Error {
    Error::ReferenceGrams {
        path: path.to_path_buf(),
        reason,
    }
}
