//! Probe suites: what is asked of a model, as data.
//!
//! A suite is one YAML file under `probes/` and one JSONL or CSV dataset under `datasets/`. Nothing in
//! either is executed; a prompt is made by replacing `{{field}}` with the row's text. The format is
//! described in `probes/README.md`.

mod dataset;
mod error;
mod load;
mod manifest;
mod picture;
pub mod render;
mod suggest;
mod template;

pub use error::Error;
pub use load::{files, load, pictures, select, shipped};
pub use picture::{Picture, Rgb};

use crate::stat::random::stream;
use crate::stat::random::subset_in_any_order;

/// A validated suite: every prompt rendered, every id unique.
#[derive(Debug, Clone)]
pub struct Suite {
    /// `kebab-case`, unique among suites.
    pub id: String,
    /// Raised when items or scoring change; recordings of different versions are not compared.
    pub version: u32,
    /// One line.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// What is read off the model.
    pub readout: Readout,
    /// How an answer is scored.
    pub score: Score,
    /// In dataset order.
    pub items: Vec<Item>,
    /// Hash of everything that recorded answers and their scores depend on: id, version, readout,
    /// score, and every item's id, prompt, picture and targets (lower-case hex).
    pub sha256: String,
}

impl Suite {
    /// Whether any of its items is asked of a picture.
    pub fn shows_pictures(&self) -> bool {
        self.items.iter().any(|item| item.picture.is_some())
    }

    /// The same questions in a random order, so that any beginning of them stands for all; the hash is that of
    /// the suite.
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Self {
        let all = self.items.len();
        let order = subset_in_any_order(&mut stream(seed, "order of a suite"), all, all);
        Self {
            items: order.into_iter().map(|at| self.items[at].clone()).collect(),
            ..self.clone()
        }
    }

    /// At most `items` of the questions, evenly spread over the suite; a hash of its own, since
    /// recordings of it are not those of the whole.
    #[must_use]
    pub fn reduced(&self, items: usize) -> Self {
        let all = self.items.len();
        if items >= all {
            return self.clone();
        }
        let chosen = (0..items).map(|at| self.items[at * all / items].clone());
        let canonical = format!("{} {items}", self.sha256);
        Self {
            items: chosen.collect(),
            sha256: load::hash(canonical.as_bytes()),
            ..self.clone()
        }
    }
}

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    /// Unique within the suite.
    pub id: String,
    /// Rendered prompt.
    pub prompt: String,
    /// Accepted answers; for [`Score::Prefix`] the true continuation; for [`Score::Fields`] one JSON
    /// object. Empty when there is no truth.
    pub targets: Vec<String>,
    /// Language, domain or the like: for breakdowns.
    pub tags: Vec<String>,
    /// What is shown with the prompt.
    pub picture: Option<Picture>,
    /// Items of one group are renderings of one question.
    pub group: Option<String>,
}

/// What is read off the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readout {
    /// The most probable next token after the prompt, with its runners-up.
    NextToken,
    /// Greedy continuation.
    Generate {
        /// Most tokens.
        max_tokens: usize,
        /// Strings that end it (not part of the answer).
        stop: Vec<String>,
    },
}

/// How an answer is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Score {
    /// Equal to an accepted answer after trimming, lower-casing and dropping final punctuation.
    Exact,
    /// A non-empty start of the true continuation.
    Prefix,
    /// First JSON object of the answer, compared field by field; right when every field that the
    /// item's target has agrees. The list names all fields a target may have.
    Fields(Vec<String>),
}
