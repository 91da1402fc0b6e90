//! Evidence -> findings, under the rules of evidence.

mod calibration;
mod judge;
mod laundering;
mod lineage;
pub mod parents;
pub mod population;
mod power;
mod ratio;
mod relation;
#[cfg(test)]
mod toy;

pub use calibration::{Calibration, Error};
pub use judge::{judge, supports};
pub use laundering::MOVES_HEADS;
pub use lineage::limits;
pub use population::Population;
pub use ratio::log10_lr;
pub use relation::RelationScale;

use serde::Serialize;

/// What may be said of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Findings {
    /// Shared weights or shared initialisation; weight and activation evidence only.
    pub lineage: Lineage,
    /// Same construction plan.
    pub architecture: Architecture,
    /// Same vocabulary.
    pub tokenizer: Tokenizer,
    /// Same answers.
    pub behaviour: Behaviour,
}

/// Lineage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lineage {
    /// The word.
    pub conclusion: LineageConclusion,
    /// How, where the evidence tells (`identical`, `renamed`, `noised`, …).
    pub relation: Option<String>,
    /// `reference_to_suspect`, `suspect_to_reference` or `unknown`.
    pub direction: &'static str,
    /// Transformations that were recognised and undone.
    pub laundering: Vec<String>,
    /// Of the most telling family of methods that have a calibration table, capped by its size.
    pub log10_lr: Option<f64>,
    /// Of the exact test that decided, or, with `decided_by` empty, that applied and stayed silent.
    pub log10_p: Option<f64>,
    /// Id of the deciding method.
    pub decided_by: Option<String>,
    /// Why, in one or two sentences.
    pub because: String,
}

/// The three words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineageConclusion {
    /// Shared weights or initialisation.
    Related,
    /// Neither, and the run would have seen it.
    Independent,
    /// Cannot tell.
    Undetermined,
}

/// Architecture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Architecture {
    /// `same`, `renamed`, `similar`, `different` or `undetermined`.
    pub conclusion: &'static str,
    /// Why.
    pub because: String,
}

/// Tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tokenizer {
    /// `same`, `extended`, `overlapping`, `different` or `undetermined`.
    pub conclusion: &'static str,
    /// Why.
    pub because: String,
}

/// Behaviour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Behaviour {
    /// `more_alike_than_panel`, `not_distinguishable`, `less_alike` or `not_measured`.
    pub conclusion: &'static str,
    /// Why.
    pub because: String,
    /// Only against a panel.
    pub log10_p: Option<f64>,
}
