//! The report as plain data: what `result.json` holds and every renderer reads.

use serde::Serialize;

use crate::evidence::{Control, Figure, Interval, Table};
use crate::verdict::Findings;

/// Schema tag of `result.json`.
pub const RESULT_SCHEMA: &str = "kinprobe/result/v1";

/// One comparison, ready to be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`RESULT_SCHEMA`].
    pub schema: &'static str,
    /// Program name and version.
    pub tool: String,
    /// Reference first, suspect second.
    pub models: Vec<ModelCard>,
    /// What may be said.
    pub findings: Findings,
    /// One row per registered method, in registry order.
    pub evidence: Vec<EvidenceRow>,
    /// What was planned and what was read.
    pub coverage: Coverage,
    /// Answers side by side, most telling first.
    pub answers: Vec<AnswerRow>,
    /// For the reader, one line each.
    pub warnings: Vec<String>,
    /// Command that makes this report again.
    pub reproduce: String,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCard {
    /// `reference` or `suspect`, or the user's label.
    pub label: String,
    /// Reference string.
    pub source: String,
    /// Commit, for hub models.
    pub revision: Option<String>,
    /// `sha256:…` over all files.
    pub digest: String,
    /// Family, or the config's `model_type` when unknown.
    pub architecture: String,
    /// Number of parameters stored; absent where a server does not show them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Storage type of most weights.
    pub dtype: String,
    /// `num_hidden_layers`, `hidden_size`, … as name and value.
    pub dimensions: Vec<(String, String)>,
    /// Every file that was read.
    pub files: Vec<FileRow>,
    /// What is unusual about it, one line each.
    pub caveats: Vec<String>,
}

/// A pinned file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileRow {
    /// Relative name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex; empty where nobody told it.
    pub sha256: String,
    /// What `sha256` stands on: `read` (the whole file), `listed` (the hub says so, not checked) or
    /// `unknown` (the file was read in parts).
    pub digest: &'static str,
}

/// One method's outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceRow {
    /// Method id.
    pub id: String,
    /// Independence group.
    pub family: String,
    /// Method version.
    pub version: u32,
    /// Full name.
    pub title: String,
    /// What the number is ([`crate::evidence::Card::measures`]).
    pub measures: String,
    /// What misleads it ([`crate::evidence::Card::fooled_by`]).
    pub fooled_by: String,
    /// Where it comes from ([`crate::evidence::Card::reference`]).
    pub reference: String,
    /// `measured`, `not_applicable` or `failed`.
    pub status: &'static str,
    /// Why there is no number.
    pub reason: Option<String>,
    /// The value.
    pub statistic: Option<f64>,
    /// Sample size.
    pub n: Option<u64>,
    /// The null and where the value falls.
    pub null: Option<String>,
    /// Never zero.
    pub log10_p: Option<f64>,
    /// Only with a calibration table.
    pub log10_lr: Option<f64>,
    /// `related`, `independent`, `neither` or `descriptive`.
    pub supports: &'static str,
    /// For the reader.
    pub explanation: String,
    /// What limits it.
    pub caveats: Vec<String>,
    /// Interval of the statistic.
    pub interval: Option<Interval>,
    /// Known pairs.
    pub controls: Vec<Control>,
    /// Pictures.
    pub figures: Vec<Figure>,
    /// Detail.
    pub table: Option<Table>,
}

/// What the conclusion stands on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// `quick`, `standard` or `full`.
    pub depth: String,
    /// Bytes of weights read, of both models.
    pub weight_bytes: u64,
    /// Models of whose weights only a sample was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<SampledModel>,
    /// Suites run, with items answered and items planned.
    pub suites: Vec<SuiteCoverage>,
    /// What was left out, and why.
    pub missing: Vec<String>,
}

/// How much of one model's weights was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampledModel {
    /// The model.
    pub label: String,
    /// Tensors that were read, some of them in part.
    pub tensors: usize,
    /// All stored tensors.
    pub of_tensors: usize,
    /// Bytes of tensors that were read.
    pub bytes: u64,
    /// Bytes of all tensors.
    pub of_bytes: u64,
    /// What the digests of its weight files stand on, in words.
    pub digests: String,
}

/// One suite's coverage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteCoverage {
    /// Suite id and version.
    pub suite: String,
    /// Suite hash.
    pub sha256: String,
    /// Items in the suite.
    pub planned: usize,
    /// Items both models answered without error.
    pub answered: usize,
}

/// One item answered by both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerRow {
    /// Suite id.
    pub suite: String,
    /// Item id.
    pub item: String,
    /// As asked.
    pub prompt: String,
    /// The picture that was shown with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureRow>,
    /// Accepted answer, if there is one.
    pub target: Option<String>,
    /// As the reference answered.
    pub reference: String,
    /// As the suspect answered.
    pub suspect: String,
    /// Whether the reference is right.
    pub reference_correct: Option<bool>,
    /// Whether the suspect is right.
    pub suspect_correct: Option<bool>,
    /// Whether the two answers count as the same under the suite's scoring.
    pub alike: bool,
}

/// A picture that was found to be whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureRow {
    /// Of its file, lower-case hex.
    pub sha256: String,
    /// The file, where it is small enough to be shown; not in `result.json`, since the suite has it.
    #[serde(skip)]
    pub bytes: Option<Vec<u8>>,
}
