//! What can go wrong between an image and logits.

use crate::model::{ConfigError, decoder, tensors, tokenizer};

/// Why an image cannot be shown to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An image without an area.
    #[error("an image of {width} x {height} has no pixels")]
    NoPixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// An image that cannot be cut into slices of a believable size.
    #[error(
        "an image of {width} x {height} pixels is too large or too elongated to be cut into slices; crop it first"
    )]
    Elongated {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Bytes that are not three for each pixel.
    #[error(
        "an image of {width} x {height} pixels has {expected} bytes of red, green and blue, not {found}"
    )]
    Bytes {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Three for each pixel.
        expected: u64,
        /// As given.
        found: usize,
    },
    /// A model without a vision part.
    #[error("the config has no `{0}`: the model sees no images")]
    Blind(&'static str),
    /// A vision part that is not run.
    #[error("the vision part cannot be run: {0}")]
    Unsupported(String),
    /// A model whose language part is not run.
    #[error("the model cannot be run: {0}")]
    NotRun(String),
    /// A config that does not describe a vision part.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor that does not fit the config.
    #[error("tensor `{tensor}` has shape {found:?} but the config asks for {expected:?}")]
    Shape {
        /// As stored.
        tensor: String,
        /// As the config has it.
        expected: Vec<usize>,
        /// Its own.
        found: Vec<usize>,
    },
    /// A tensor that the other model's names do not lead to.
    #[error("no tensor of the model corresponds to `{tensor}`")]
    Missing {
        /// As the family calls it.
        tensor: String,
    },
    /// A prompt that does not say once where the image is.
    #[error("a prompt says where its image is by `{mark}`, once; this one has it {found} times")]
    Mark {
        /// What stands for the image.
        mark: &'static str,
        /// How often it is there.
        found: usize,
    },
    /// A tokenizer that does not keep the marks whole.
    #[error(
        "the tokens of the prompt have {found} places for the image, not {expected}: the tokenizer is of another model"
    )]
    Places {
        /// `query_num` for each slice.
        expected: usize,
        /// As tokenized.
        found: usize,
    },
    /// Weights cannot be read.
    #[error(transparent)]
    Tensors(#[from] tensors::Error),
    /// The prompt cannot be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The language model cannot be made or run.
    #[error(transparent)]
    Decoder(#[from] decoder::Error),
    /// From candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
