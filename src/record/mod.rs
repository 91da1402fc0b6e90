//! What one model did, or is: facts about a single model from which evidence is later drawn.

#[cfg(feature = "endpoint")]
mod endpoint;
mod error;
mod form;
pub mod grams;
mod identity;
pub mod import;
mod inside;
mod lens;
mod local;
mod numbers;
mod patches;
mod places;
mod profile;
mod projection;
mod reading;
mod run;
mod runner;
mod score;
mod store;
pub mod tapped;

#[cfg(feature = "endpoint")]
pub use endpoint::EndpointRunner;
pub use error::Error;
pub use form::Form;
pub use form::Signature;
pub use identity::header;
pub use inside::MOST_ROWS;
pub use local::LocalRunner;
pub use patches::Patches;
pub use patches::patches;
pub use places::Place;
#[cfg(test)]
pub(crate) use profile::of_test_model;
pub use profile::profile;
pub use profile::with_roles;
pub use projection::WIDTH as PROJECTED;
pub use reading::ReadingRunner;
pub use run::run_beginning;
pub use run::run_suite;
pub use runner::Answer;
pub use runner::Failure;
pub use runner::Question;
pub use runner::Runner;
pub use runner::TOP;
pub use runner::load;
pub use runner::load_within;
pub use score::Scored;
pub use score::first_object;
pub use score::normalise;
pub use score::score;
#[cfg(test)]
pub(crate) use score::scored_fields;
pub use store::RecordingStore;
pub use store::file_name;
pub use store::read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Role;
use crate::model::Site;

/// Schema tag of a recording's lines.
pub const RECORDING_SCHEMA: &str = "kinprobe/recording/v1";

/// First line of a recording: what the answers belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`RECORDING_SCHEMA`].
    pub schema: String,
    /// `sha256:…` over model digest, suite hash, decoding and engine: the identity of the recording.
    pub key: String,
    /// `sha256:…` of the model's files; of a served model `endpoint:…`, which is no digest of weights.
    pub model_digest: String,
    /// Suite id.
    pub suite: String,
    /// Suite version.
    pub suite_version: u32,
    /// Suite hash.
    pub suite_sha256: String,
    /// Readout and its parameters, in words.
    pub decoding: String,
    /// Program version and numeric type, or what was asked and what it says of itself.
    pub engine: String,
    /// What the records cannot have, and why: member name -> reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Item id.
    pub item: String,
    /// Hash of the rendered prompt.
    pub prompt_sha256: String,
    /// Tokens of the prompt, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<usize>,
    /// What the model said, as it came.
    pub answer: String,
    /// Token ids of the answer; none where [`Header::absent`] says so.
    pub tokens: Vec<u32>,
    /// Most probable first tokens of the answer, best first; none where [`Header::absent`] says so.
    pub top: Vec<Candidate>,
    /// By how much each token was decided, and behind them that the text ends, where the model said so: the
    /// logarithm of the odds against the best that would have made another answer, in nats, to a ten-thousandth.
    /// Empty where that was not recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub margins: Vec<f64>,
    /// Whether it is right; `None` where there is no truth or no answer.
    pub correct: Option<bool>,
    /// Field by field, for structured answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldOutcome>,
    /// How it is written, for structured answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Items of one group are renderings of one question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What the model expected along the prompt, where that is recorded; kept beside the activations.
    #[serde(skip)]
    pub places: Vec<Place>,
}

/// One candidate for the first token of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Id, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u32>,
    /// Its text.
    pub text: String,
    /// Natural logarithm of its probability, to a millionth.
    pub logprob: f64,
}

/// One field of a structured answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldOutcome {
    /// The value given, as compact JSON; `None` when the field is missing.
    pub given: Option<String>,
    /// Whether it equals the target's.
    pub correct: bool,
}

/// All answers of one model to one suite, in suite order.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What they belong to.
    pub header: Header,
    /// One per item.
    pub records: Vec<Record>,
    /// Texts of the tokens that [`Record::places`] name.
    pub texts: BTreeMap<u32, String>,
    /// Over what vocabulary [`Place::projection`] is taken, where it was recorded.
    pub vocabulary: Option<String>,
}

/// Activations of one model: per site one row per item, at the last token of the prompt or of all of it, or
/// one row per place of every prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// Suite whose prompts were read.
    pub suite: String,
    /// The item of every row, in row order; items that the model could not answer have no row.
    pub items: Vec<String>,
    /// Bytes of the prompt up to the end of every row's token, where all places were kept; empty where
    /// there is one row per item.
    pub offsets: Vec<u32>,
    /// Where rows are patterns of whole prompts, `[heads, tokens, tokens]`: their `tokens`, those of the
    /// longest prompt. A shorter prompt has zeros behind its end.
    pub tokens: Option<usize>,
    /// Heads that keys and values consist of, one behind the other, where they are known.
    pub key_value_heads: Option<usize>,
    /// In the order of a forward pass.
    pub sites: Vec<SiteActivations>,
}

/// Activations at one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteActivations {
    /// Where.
    pub site: Site,
    /// Columns.
    pub width: usize,
    /// Row-major `[rows, width]`.
    pub values: Vec<f32>,
}

/// One streamed pass over a model's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightProfile {
    /// Every stored tensor by its own name, in name order.
    pub tensors: BTreeMap<String, TensorFacts>,
    /// Exact moments of every bound role.
    pub roles: BTreeMap<Role, Moments>,
}

/// A stored tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorFacts {
    /// Storage type (`BF16`, `Q4_1`, …).
    pub dtype: String,
    /// As stored.
    pub shape: Vec<usize>,
    /// XXH3 of the stored bytes, 128 bits, lower-case hex: it says where to look for equal bytes, and is
    /// no proof against somebody who wants two tensors to look alike.
    pub fingerprint: String,
}

/// First two moments and range, accumulated in f64.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Elements that are finite numbers; fewer than the role has where weights are broken.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}
