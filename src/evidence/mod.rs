//! What two models share: one method per file, each with its card and its null.
//!
//! A method measures; it neither decides nor reads files. Methods of one [`Card::family`] read the
//! same data and are never multiplied.

mod activation;
mod behaviour;
mod config;
mod control;
#[cfg(test)]
mod laws;
pub mod mixture;
pub mod overlap;
mod tokenizer;
#[cfg(test)]
pub(crate) mod toy;
mod weight;

pub use activation::Heard;
pub use activation::assess_heard;
pub use behaviour::alike;
pub use weight::{InnerPair, Memo, inner_pairs, layers_in_words};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Model;
use crate::model::SERVED;
use crate::record::grams::ReferenceGrams;
use crate::record::{Activations, Patches, Recording, WeightProfile};

/// Areas in the order of a report: what decides first, what only describes last.
static AREAS: &[&[&dyn Evidence]] = &[
    weight::METHODS,
    weight::PUBLISHED,
    activation::METHODS,
    activation::PUBLISHED,
    behaviour::METHODS,
    tokenizer::METHODS,
    config::METHODS,
];

/// Every method, in the order of a report.
pub fn methods() -> impl Iterator<Item = &'static dyn Evidence> {
    AREAS.iter().flat_map(|area| area.iter().copied())
}

/// The methods of a report; those of the literature that stand beside ours only if `published`.
pub fn asked(published: bool) -> impl Iterator<Item = &'static dyn Evidence> {
    methods().filter(move |method| published || !method.card().is_for_comparison())
}

/// What came of one method.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The method.
    pub card: &'static Card,
    /// Its outcome, or why it failed, in one line.
    pub outcome: Result<Outcome, String>,
}

impl Assessment {
    /// The number, if there is one.
    pub fn finding(&self) -> Option<&Finding> {
        match &self.outcome {
            Ok(Outcome::Measured(finding)) => Some(finding),
            _ => None,
        }
    }
}

/// Measures `pair` by every method, in registry order; `started` hears of each before it runs.
///
/// A method that fails does not stop the others.
pub fn assess_all(
    pair: &Pair<'_>,
    published: bool,
    mut started: impl FnMut(&'static Card),
) -> Vec<Assessment> {
    asked(published)
        .map(|method| {
            started(method.card());
            Assessment {
                card: method.card(),
                outcome: match not_of_endpoints(method, pair)
                    .or_else(|| not_of_samples(method, pair))
                {
                    Some(reason) => Ok(Outcome::NotApplicable(reason)),
                    None => method.assess(pair).map_err(|error| error.to_string()),
                },
            }
        })
        .collect()
}

/// Why a method is not asked of models behind a server, if that is so.
fn not_of_endpoints(method: &dyn Evidence, pair: &Pair<'_>) -> Option<String> {
    let served = [pair.reference, pair.suspect]
        .iter()
        .any(|subject| subject.model.is_served());
    (served && !method.card().reads_answers()).then(|| SERVED.to_owned())
}

/// Why a method is not asked of models of which only a sample was read, if that is so.
fn not_of_samples(method: &dyn Evidence, pair: &Pair<'_>) -> Option<String> {
    let sampled = [pair.reference, pair.suspect]
        .iter()
        .any(|subject| subject.model.weights.is_sample());
    let apart = sampled && method.card().needs == Needs::Weights && !method.reads_samples();
    apart.then(|| {
        "not in the sample: it needs all weights, and depth quick reads some; use --depth standard"
            .to_owned()
    })
}

/// One way of comparing two models.
pub trait Evidence: Sync {
    /// What it is.
    fn card(&self) -> &'static Card;

    /// Whether its number and its null stand for a sample of the weights too: roles that were not read
    /// are as if they were not there, and some matrices have a part of their rows. Without it the method
    /// is not asked.
    fn reads_samples(&self) -> bool {
        false
    }

    /// Measures `pair`.
    ///
    /// # Errors
    /// Only for data that cannot be read; what does not apply is [`Outcome::NotApplicable`].
    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error>;
}

/// A method's card; `kinprobe methods` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// `family.method`, unique and stable (`weight.row_matching`).
    pub id: &'static str,
    /// Raised when the statistic changes; calibration is bound to it.
    pub version: u32,
    /// Methods of one family read the same data (`weight.index`, `weight.profile`, `behaviour`, …).
    pub family: &'static str,
    /// Full published name of the measure.
    pub title: &'static str,
    /// What the number is, with its formula in words.
    pub measures: &'static str,
    /// What it is held against.
    pub null: &'static str,
    /// Innocent or deliberate causes that mislead it.
    pub fooled_by: &'static str,
    /// Time and memory.
    pub cost: &'static str,
    /// Where it comes from.
    pub reference: &'static str,
    /// What must have been recorded.
    pub needs: Needs,
    /// Whether exchanging reference and suspect leaves the statistic as it is.
    pub symmetric: bool,
    /// Launderings of the suspect (`kinprobe zoo launder`) that leave the statistic as it is, by name.
    pub survives: &'static [&'static str],
}

impl Card {
    /// Whether it is a method of the literature that stands beside ours: shown and benched, while no
    /// calibration is made for it and no verdict reads it.
    pub fn is_for_comparison(&self) -> bool {
        self.family.starts_with("published.")
    }

    /// Whether answers are all it reads: all that a model behind a server has.
    pub fn reads_answers(&self) -> bool {
        match self.needs {
            Needs::Answers => true,
            // Of a panel there are answers and activations.
            Needs::Panel => self.id.starts_with("behaviour."),
            Needs::Config | Needs::Tokenizer | Needs::Weights | Needs::Activations => false,
        }
    }
}

/// What a method reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Config files only.
    Config,
    /// Tokenizers.
    Tokenizer,
    /// Weights.
    Weights,
    /// Recorded activations.
    Activations,
    /// Recorded answers.
    Answers,
    /// Recorded answers or activations, of independent models as well.
    Panel,
}

/// One model with all that was recorded of it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its weight pass.
    pub profile: Option<&'a WeightProfile>,
    /// Its answers, one recording per suite, in suite order.
    pub recordings: &'a [Recording],
    /// Its activations.
    pub activations: Option<&'a Activations>,
    /// What the parts of it that see make of random patches, or why that is missing, in words.
    pub patches: Result<&'a Patches, &'a str>,
    /// Why answers or activations are missing, in words.
    pub missing: Option<&'a str>,
}

/// The two models, and the independent ones that the numbers are held against.
pub struct Pair<'a> {
    /// The first model.
    pub reference: Subject<'a>,
    /// The second model.
    pub suspect: Subject<'a>,
    /// Models of independent pre-training runs (one per run), none of the pair's own runs.
    pub population: &'a [Subject<'a>],
    /// A pair known to be related, as positive control.
    pub derived: Option<(Subject<'a>, Subject<'a>)>,
    /// Gram matrices of other models of independent runs, none of the pair's own, that stand in where too few
    /// are at hand.
    pub references: &'a [ReferenceGrams],
    /// Seeds every random choice.
    pub seed: u64,
    /// What several methods read and is found only once; starts empty.
    pub memo: Memo,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A number.
    Measured(Box<Finding>),
    /// No number, and why.
    NotApplicable(String),
}

/// A measurement with its null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The value.
    pub statistic: f64,
    /// Sample size of the statistic (items, units, tensors).
    pub n: u64,
    /// What it is held against and where it falls, in words: which population or permutation, how many.
    pub null: String,
    /// Base-10 logarithm of the p-value where a valid one exists.
    pub log10_p: Option<f64>,
    /// Interval of the statistic, where there is one.
    pub interval: Option<Interval>,
    /// Further numbers of this method by name; findings are made from them.
    pub details: BTreeMap<&'static str, f64>,
    /// One or two sentences for the reader.
    pub explanation: String,
    /// What limits this number.
    pub caveats: Vec<String>,
    /// The same statistic on pairs whose relation is known.
    pub controls: Vec<Control>,
    /// Pictures of it.
    pub figures: Vec<Figure>,
    /// Detail rows.
    pub table: Option<Table>,
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// For instance 0.95.
    pub level: f64,
}

/// The statistic of a known pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Control {
    /// `a vs b`.
    pub pair: String,
    /// What is known of it.
    pub relation: Known,
    /// The value.
    pub statistic: f64,
}

/// Ground truth of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Different pre-training runs.
    Independent,
    /// One made from the other.
    Derived,
}

/// A picture as data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Figure {
    /// Two curves over layers with a null band.
    Curves {
        /// What the y axis is.
        title: String,
        /// One value per layer of the reference.
        reference: Vec<f64>,
        /// One value per layer of the suspect.
        suspect: Vec<f64>,
        /// Lowest and highest of the population at equal steps of relative depth; empty without one.
        band: Vec<(f64, f64)>,
        /// Models in the band.
        band_models: usize,
    },
    /// A matrix of values in `[0, 1]`, layer by layer.
    Heatmap {
        /// What a cell is.
        title: String,
        /// Rows (reference layers).
        rows: usize,
        /// Columns (suspect layers).
        columns: usize,
        /// Row-major.
        values: Vec<f64>,
        /// Cells (row, column) that are paired, in order; empty where none are singled out.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        path: Vec<(usize, usize)>,
        /// The same of pairs whose relation is known.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        controls: Vec<ControlMap>,
    },
    /// Counts of items both models answered.
    Overlap {
        /// Suite id.
        title: String,
        /// Both right.
        both_right: u64,
        /// Only the reference wrong.
        reference_wrong: u64,
        /// Only the suspect wrong.
        suspect_wrong: u64,
        /// Both wrong, different answers.
        both_wrong_differently: u64,
        /// Both wrong, same answer.
        both_wrong_alike: u64,
    },
}

/// A heatmap of a pair whose relation is known, on the same scale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlMap {
    /// `a vs b`.
    pub pair: String,
    /// What is known of it.
    pub relation: Known,
    /// Rows (layers of the first).
    pub rows: usize,
    /// Columns (layers of the second).
    pub columns: usize,
    /// Row-major.
    pub values: Vec<f64>,
    /// Cells (row, column) that are paired, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<(usize, usize)>,
}

/// Detail rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Column heads.
    pub columns: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

/// Data that could not be read while measuring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model's tensors could not be read.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// A tensor could not be read or decoded.
    #[error(transparent)]
    Tensors(#[from] crate::model::tensors::Error),
    /// A matrix could not be brought into canonical form.
    #[error(transparent)]
    Canonical(#[from] crate::model::canonical::Error),
    /// A matrix product failed.
    #[error("a matrix product failed: {0}")]
    Product(#[from] candle_core::Error),
}
