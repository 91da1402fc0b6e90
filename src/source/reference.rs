//! What a user types to name a model.

use std::path::PathBuf;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// A folder with `config.json` and safetensors, or one safetensors or GGUF file.
    Local(PathBuf),
    /// A hub repository; `revision` is a branch, tag or commit.
    Hub {
        /// `owner/name`.
        repo: String,
        /// `main` when absent.
        revision: Option<String>,
    },
    /// A GGUF file, whatever its name.
    Gguf(PathBuf),
    /// A member of the shipped zoo.
    Zoo(String),
}

/// `[label=]locator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The name the user gave it.
    pub label: Option<String>,
    /// Where it is.
    pub locator: Locator,
}
