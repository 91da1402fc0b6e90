//! What a model answered when somebody accepted it, and whether it still does.
//!
//! A [`Baseline`] is a file for version control: its head says under which conditions it holds, then comes one
//! line per item, so that a changed answer is a changed line. [`check()`] compares a new recording with it and
//! writes nothing.

mod bound;
mod changed;
pub mod check;
mod error;
mod extract;
mod file;
mod inside;
mod lines;
mod make;
mod margins;
mod noise;
mod review;
#[cfg(test)]
mod simulated;

pub use bound::bound;
pub use bound::weights;
pub use changed::Change;
pub use changed::Changed;
pub use changed::Unknown;
pub use changed::changed;
pub use check::check;
pub use error::Error;
pub use file::path;
pub use file::read;
pub use file::text;
pub use file::write;
pub use lines::lines;
pub use make::make;
pub use margins::Decision;
pub use noise::SELF_RUN_ITEMS;
pub use noise::noise_floor;
pub use review::reviewed;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use check::Gate;

/// Schema tag of the file.
pub const SCHEMA: &str = "kinprobe/baseline/v1";
/// Logarithms of probabilities are kept in steps of one over this many nats.
pub const STEPS_PER_NAT: f64 = 64.0;
/// First tokens of an answer that are kept.
pub const FIRST_TOKENS: usize = 16;
/// Candidates for the first token that are kept.
pub const CANDIDATES: usize = 5;
/// Random directions that the mean residual of a block is projected on.
pub const DIRECTIONS: usize = 8;

/// An accepted behaviour.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Everything but the items.
    pub head: Head,
    /// In suite order.
    pub items: Vec<Item>,
}

/// The head of the file; members in the order of their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// By whom, when and why.
    pub accepted: Accepted,
    /// Over all items.
    pub aggregate: Aggregate,
    /// The conditions it holds under.
    pub bound: Bound,
    /// How it is checked where the command line does not say.
    pub gate: Gate,
    /// Per block, for suites that are read along.
    pub inside: Vec<Layer>,
    /// Margins below this many nats are within the noise of the model's own repetition.
    pub noise_floor: f64,
}

/// Who accepted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Name, if any is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `2031-12-31`, UTC.
    pub date: String,
    /// In words.
    pub reason: String,
}

/// Counts over all items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Share of right answers among those with a truth, to four digits; absent where nothing has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Its 95 % interval (Wilson).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_interval: Option<[f64; 2]>,
    /// Items without an answer.
    pub errors: usize,
    /// All items.
    pub items: usize,
    /// Right answers.
    pub right: usize,
    /// Items with a truth and an answer.
    pub scored: usize,
}

/// What a baseline is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// What cannot be known of a served model and its answers, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, String>,
    /// `sha256:…` of the chat template, where the model brings one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Readout and its parameters, in words.
    pub decoding: String,
    /// `cpu` or `accelerator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Storage types of the weights, most numbers first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Program version and numeric type, or the server that was asked and what it says of itself.
    pub engine: String,
    /// `sha256:…` over the model's files, or `endpoint:…` over what the server says of itself.
    pub model: String,
    /// Id.
    pub suite: String,
    /// Its hash.
    pub suite_sha256: String,
    /// Its version.
    pub suite_version: u32,
    /// `sha256:…` of what the tokenizer does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// `sha256:…` over the weight files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

/// A block's mark: what its residual stream looks like on average, at the last token of the prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// 0-based.
    pub block: usize,
    /// Projections of the mean vector on seeded random directions, to five digits.
    pub mean: Vec<f64>,
    /// Mean norm, to five digits.
    pub norm: f64,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The answer as the suite scores it, shown safely and cut.
    pub answer: String,
    /// Whether it is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<bool>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// First 16 hex digits of the sha256 of the answer as the suite scores it.
    pub extracted: String,
    /// Item id.
    pub id: String,
    /// The least margin behind those of `margins` and the number of its token, from 0; where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<(usize, f64)>,
    /// Logarithm of the odds of the first token against the second best, to four digits, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// The same of the second token and on, of the first [`FIRST_TOKENS`], and of the text's end where it comes among
    /// them; two significant digits. Empty in files of before it was kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub margins: Vec<f64>,
    /// First 16 hex digits of the sha256 of the answer as it came.
    pub sha256: String,
    /// Of the answer, the first [`FIRST_TOKENS`].
    pub tokens: Vec<u32>,
    /// Candidates for the first token, best first: id, and log-probability in steps of 1/[`STEPS_PER_NAT`].
    pub top: Vec<(u32, i32)>,
}
