//! What can be done to a member: one transformation per file.

mod biases;
mod layers;
mod noise;
mod rename;
mod tokens;
mod upcycle;
mod widen;

pub use layers::Layers;
pub use noise::GaussianNoise;
pub use noise::add as add_noise;
pub use rename::Rename;
pub use tokens::SwapTokenizer;
pub use upcycle::Origin;
pub use upcycle::Sparse;
pub use upcycle::Upcycle;
pub use widen::Widen;

use serde::Deserialize;
use serde::Serialize;
use tokenizers::Tokenizer;

use super::checkpoint::Checkpoint;
use super::checkpoint::Storage;
use super::error::Error;

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
    /// Other blocks: some dropped, some repeated.
    Layers(Layers),
    /// More hidden units in every MLP.
    Widen(Widen),
    /// Experts in place of every MLP.
    Upcycle(Upcycle),
    /// Another tokenizer with new embeddings.
    SwapTokenizer(SwapTokenizer),
    /// No biases, and the config of a family without.
    DropBiases {},
}

/// Makes the tokenizer of a name in the recipes.
pub type MakeTokenizer<'a> = &'a dyn Fn(&str) -> Result<Tokenizer, Error>;

impl Transformation {
    /// Does it, and returns it with what was only then known filled in (such as an absolute sigma).
    ///
    /// # Errors
    /// A checkpoint that it does not fit, or an unknown tokenizer.
    pub fn apply(
        &self,
        checkpoint: &mut Checkpoint,
        tokenizer: MakeTokenizer<'_>,
    ) -> Result<Self, Error> {
        match self {
            Self::GaussianNoise(noise) => {
                return Ok(Self::GaussianNoise(noise.apply(checkpoint)));
            }
            Self::Rename(rename) => rename.apply(checkpoint),
            Self::Store(storage) => {
                checkpoint.storage = *storage;
                let name = storage.dtype.torch_name();
                checkpoint
                    .config
                    .insert("torch_dtype".to_owned(), name.into());
            }
            Self::Layers(layers) => layers.apply(checkpoint)?,
            Self::Widen(widen) => widen.apply(checkpoint)?,
            Self::Upcycle(upcycle) => upcycle.apply(checkpoint)?,
            Self::SwapTokenizer(swap) => {
                let new = tokenizer(&swap.tokenizer)?;
                let json = new.to_string(false).map_err(Error::tokenizer)?;
                swap.apply(checkpoint, json.into_bytes(), new.get_vocab_size(true));
            }
            Self::DropBiases {} => biases::drop(checkpoint)?,
        }
        Ok(self.clone())
    }
}
