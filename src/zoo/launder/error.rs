//! Why a laundering was not done.

use std::path::PathBuf;

use crate::model;
use crate::source;
use crate::text::ModelText;

/// One line each: what, the reason, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No laundering has this name.
    #[error("no laundering is called `{}`; there are {known}", ModelText::new(name).clipped(40))]
    Unknown {
        /// As typed.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A strength that makes no sense.
    #[error("{name}: {reason}")]
    Strength {
        /// The laundering.
        name: &'static str,
        /// Why, and what is accepted.
        reason: String,
    },
    /// The model is not one that this can be done to.
    #[error("{step}: {reason}")]
    Refused {
        /// The laundering as typed.
        step: String,
        /// Why, and the way out where there is one.
        reason: String,
    },
    /// The model cannot be laundered at all.
    #[error("{}: {reason}", ModelText::new(model).clipped(80))]
    Unfit {
        /// Its label.
        model: String,
        /// Why.
        reason: String,
    },
    /// There is something where the result should go.
    #[error("{}: exists already; remove it or name another folder", shown(path))]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A laundering that should have kept the function did not.
    #[error(
        "the result's logits are at a relative distance of {distance:.2e} from the original's, more \
         than the {tolerance:.0e} of rounding; nothing was written"
    )]
    Distance {
        /// Relative distance.
        distance: f64,
        /// The most that counts as rounding.
        tolerance: f64,
    },
    /// Files could not be written.
    #[error(transparent)]
    Zoo(#[from] super::super::Error),
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Store(#[from] model::store::Error),
    /// Files of the result cannot be found again.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A model cannot be read.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// Weights cannot be read.
    #[error(transparent)]
    Tensors(#[from] model::tensors::Error),
    /// A model cannot be run.
    #[error(transparent)]
    Decoder(#[from] model::decoder::Error),
    /// From candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

fn shown(path: &std::path::Path) -> String {
    ModelText::new(path.display().to_string()).to_string()
}
