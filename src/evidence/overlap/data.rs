//! What an overlap report says, as plain data.

use serde::Serialize;

use super::consensus::Deviation;
use super::free_text::TextErrors;
use super::habits::Habits;
use super::panel::AgainstPanel;

/// Answers of several models to the same items, compared.
#[derive(Debug, Clone, Serialize)]
pub struct Overlap {
    /// One per model.
    pub runs: Vec<RunRow>,
    /// One per suite.
    pub suites: Vec<SuiteRow>,
    /// The same measures as in `pairs`, as matrices; the diagonal is a model's agreement with itself.
    pub matrices: Vec<Matrix>,
    /// One per pair of models, in the order of the runs.
    pub pairs: Vec<PairRow>,
    /// Which models are wrong together.
    pub upset: Stated<UpSet>,
    /// The compared pairs beside a panel of other models.
    pub panel: Stated<AgainstPanel>,
    /// Items with shared wrong answers, the rarest first.
    pub items: Items,
    /// What must not be read as evidence.
    pub not_evidence: NotEvidence,
    /// What a reader of the numbers must know.
    pub notes: Vec<String>,
}

/// A value, or why there is none.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Stated<T> {
    /// It is there.
    Value(T),
    /// It is not.
    Missing {
        /// Why.
        missing: String,
    },
}

impl<T> Stated<T> {
    /// Why it is not there.
    pub fn missing(reason: impl Into<String>) -> Self {
        Self::Missing {
            missing: reason.into(),
        }
    }

    /// The value, if it is there.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing { .. } => None,
        }
    }

    /// The value, or the reason.
    pub fn from_option(value: Option<T>, reason: impl FnOnce() -> String) -> Self {
        value.map_or_else(|| Self::missing(reason()), Self::Value)
    }
}

/// A number with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end; absent where resampling loses the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Items that it was measured on.
    pub n: u64,
}

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct RunRow {
    /// What it is called.
    pub label: String,
    /// `compared`, `panel` or `base`.
    pub role: &'static str,
    /// What was read.
    pub source: String,
    /// How its answers were written down.
    pub format: String,
    /// Items with an answer or a verdict.
    pub answered: u64,
    /// Rows without an answer.
    pub failed: u64,
    /// Answers to items with a truth, and how many of them are right.
    pub judged: u64,
    /// Right answers.
    pub right: u64,
    /// Their share, with Wilson's interval.
    pub accuracy: Stated<Estimate>,
    /// Free answers letter by letter.
    pub text_errors: Stated<TextErrors>,
    /// What it says where it does not know.
    pub habits: Stated<Habits>,
    /// Agreement of repeated answers: what the same model reaches with itself.
    pub self_agreement: Stated<SelfAgreement>,
}

/// Repeated answers of one model, over all pairs of repetitions of an item.
#[derive(Debug, Clone, Serialize)]
pub struct SelfAgreement {
    /// Items that were answered more than once.
    pub items: u64,
    /// Share of pairs with the same answer.
    pub exact_match: Stated<Estimate>,
    /// Shared errors over all errors.
    pub error_overlap: Stated<Estimate>,
    /// Share of pairs with the same answer among those both of which are wrong.
    pub same_wrong: Stated<Estimate>,
    /// Cohen's kappa of right and wrong.
    pub error_consistency: Stated<Estimate>,
}

/// One suite.
#[derive(Debug, Clone, Serialize)]
pub struct SuiteRow {
    /// Its name; empty where logs name none.
    pub suite: String,
    /// Its version, where a log states one.
    pub version: Option<String>,
    /// Items that any model answered.
    pub items: u64,
    /// Items that all models answered.
    pub shared: u64,
    /// Why right and wrong say nothing here; such suites are in no measure of errors.
    pub vacuous: Option<String>,
}

/// One measure of every pair.
#[derive(Debug, Clone, Serialize)]
pub struct Matrix {
    /// Name of the measure in `pairs`.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it says, and what it does not.
    pub explanation: &'static str,
    /// Row by row; `null` where there is none.
    pub values: Vec<Vec<Option<f64>>>,
    /// Why the diagonal is empty, where it is.
    pub diagonal: Option<String>,
}

/// Two models.
#[derive(Debug, Clone, Serialize)]
pub struct PairRow {
    /// Label.
    pub first: String,
    /// Label.
    pub second: String,
    /// Counts over the items that both were judged on.
    pub counts: Counts,
    /// Share of items with the same answer, right or wrong, truth or not.
    pub exact_match: Stated<Estimate>,
    /// Jaccard index of the sets of errors.
    pub error_overlap: Stated<Estimate>,
    /// Share of items with the same answer among those that both got wrong.
    pub same_wrong: Stated<Estimate>,
    /// Cohen's kappa of right and wrong.
    pub error_consistency: Stated<Estimate>,
    /// The largest kappa that models of these accuracies can have.
    pub largest_error_consistency: Option<f64>,
    /// Mean of the kappas within suites, weighted by items; absent with one suite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_consistency_within_suites: Option<f64>,
    /// Odds ratio of being wrong together, Woolf's interval.
    pub odds_ratio: Stated<Estimate>,
    /// Klein et al.'s copy probability.
    pub copy_probability: Stated<Estimate>,
    /// CAPA of the answers.
    pub capa: Stated<Estimate>,
    /// CAPA of the probabilities of the options.
    pub capa_probabilistic: Stated<Estimate>,
    /// Free answers: edits of the right text that both make, of those that either makes, where both are
    /// wrong.
    pub shared_slips: Stated<Estimate>,
    /// Items without a truth: departures from what most others answer.
    pub deviation_from_consensus: Stated<Deviation>,
    /// Accuracy of the first less that of the second.
    pub accuracy_difference: Stated<Difference>,
    /// Resamples behind the bootstrap intervals.
    pub draws: usize,
}

/// Items by who was right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Items that both were judged on.
    pub items: u64,
    /// Right in both.
    pub both_right: u64,
    /// Errors of the first.
    pub first_wrong: u64,
    /// Errors of the second.
    pub second_wrong: u64,
    /// Wrong in both.
    pub both_wrong: u64,
    /// Of these, with both answers known.
    pub both_wrong_known: u64,
    /// Of these, with the same answer.
    pub both_wrong_alike: u64,
}

/// Difference of two accuracies on the same items.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// McNemar's exact two-sided test of no difference.
    pub log10_p: f64,
}

/// Which models are wrong together, over the items that all were judged on.
#[derive(Debug, Clone, Serialize)]
pub struct UpSet {
    /// Items that all models were judged on.
    pub items: u64,
    /// Errors of each model among them.
    pub errors: Vec<u64>,
    /// Sets of models that are wrong on an item while all others are right; the largest first.
    pub intersections: Vec<Intersection>,
    /// Intersections that are not listed, and their items.
    pub left_out: (u64, u64),
}

/// Items that exactly these models got wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Intersection {
    /// Positions in `runs`.
    pub runs: Vec<usize>,
    /// Items.
    pub items: u64,
    /// Of these, with one wrong answer in common.
    pub same_answer: u64,
}

/// Items with shared wrong answers.
#[derive(Debug, Clone, Serialize)]
pub struct Items {
    /// All items.
    pub total: u64,
    /// Those on which two or more models gave the same wrong answer.
    pub with_shared_wrong: u64,
    /// The beginning of these.
    pub listed: Vec<ItemRow>,
}

/// One item.
#[derive(Debug, Clone, Serialize)]
pub struct ItemRow {
    /// Suite.
    pub suite: String,
    /// Id.
    pub item: String,
    /// End of the prompt, where a log has it.
    pub prompt: Option<String>,
    /// Accepted answers.
    pub target: Option<String>,
    /// Models that were wrong.
    pub wrong: u64,
    /// Models that were judged.
    pub judged: u64,
    /// Largest number of models with one wrong answer.
    pub sharing: u64,
    /// Answers, the shared wrong ones first.
    pub answers: Vec<AnswerRow>,
}

/// Models that gave the same answer.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerRow {
    /// Whether it is right; absent without a truth.
    pub right: Option<bool>,
    /// Spellings, with the models that wrote so (positions in `runs`).
    pub spellings: Vec<(String, Vec<usize>)>,
}

impl AnswerRow {
    /// Models that gave it.
    pub fn len(&self) -> usize {
        self.spellings.iter().map(|(_, runs)| runs.len()).sum()
    }

    /// Whether no model gave it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// P-values against models that err independently of each other and of the items: shown because they are
/// often quoted, and worth nothing.
#[derive(Debug, Clone, Serialize)]
pub struct NotEvidence {
    /// Why.
    pub why: &'static str,
    /// Share of the pairs of this report that fall below one in a million.
    pub pairs_below_1e_6: Below,
    /// The same of the pairs of panel members alone.
    pub panel_pairs_below_1e_6: Stated<Below>,
    /// One per pair.
    pub pairs: Vec<NaiveRow>,
}

/// How many pairs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Below {
    /// Pairs that have the number.
    pub pairs: u64,
    /// Below by the overlap of errors.
    pub by_error_overlap: u64,
    /// Below by same wrong answers; of the pairs that have that number.
    pub by_same_wrong: u64,
    /// Pairs that have that number.
    pub same_wrong_pairs: u64,
}

/// Naive numbers of one pair.
#[derive(Debug, Clone, Serialize)]
pub struct NaiveRow {
    /// Label.
    pub first: String,
    /// Label.
    pub second: String,
    /// Overlap of errors against independent errors (hypergeometric).
    pub error_overlap: Stated<Naive>,
    /// Same wrong answers against an even spread over the wrong options (binomial).
    pub same_wrong: Stated<Naive>,
}

/// A count against a null that no pair of models follows.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Naive {
    /// Standard deviations above the mean.
    pub z: f64,
    /// Upper tail.
    pub log10_p: f64,
}
