//! What can be done to a finished member: one transformation per file.

mod noise;
mod rename;

pub use noise::GaussianNoise;
pub use rename::Rename;

use serde::Deserialize;
use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::checkpoint::Storage;

/// One transformation with its parameters, as recipes write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transformation {
    /// Normal noise of one standard deviation on every weight.
    GaussianNoise(GaussianNoise),
    /// Other tensor names and the config of another family.
    Rename(Rename),
    /// Another number format or other shards.
    Store(Storage),
}

impl Transformation {
    /// Does it, and returns it with what was only then known filled in (such as an absolute sigma).
    #[must_use]
    pub fn apply(&self, checkpoint: &mut Checkpoint) -> Self {
        match self {
            Self::GaussianNoise(noise) => Self::GaussianNoise(noise.apply(checkpoint)),
            Self::Rename(rename) => {
                rename.apply(checkpoint);
                self.clone()
            }
            Self::Store(storage) => {
                checkpoint.storage = *storage;
                let name = storage.dtype.torch_name();
                checkpoint
                    .config
                    .insert("torch_dtype".to_owned(), name.into());
                self.clone()
            }
        }
    }
}
