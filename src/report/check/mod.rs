//! What came of checks against baselines: terminal, JSON, JUnit, SARIF, Markdown, annotations.

mod annotations;
mod inert;
mod junit;
mod review;
mod sarif;
mod summary;
mod terminal;
#[cfg(test)]
mod tests;
mod weights;

pub use annotations::annotations;
pub use junit::junit;
pub use review::Card;
pub use sarif::Place;
pub use sarif::sarif;
pub use summary::summary;
pub use terminal::screen as terminal;

use serde::Serialize;

use super::error::Error;
use super::json::pretty;
use crate::baseline::check::Outcome;
use crate::baseline::check::Verdict;
use crate::verdict::Lineage;

/// Schema tag of the document.
pub const SCHEMA: &str = "kinprobe/check/v1";

/// One suite's check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// The model's label.
    pub label: String,
    /// Suite id.
    pub suite: String,
    /// Suite version.
    pub suite_version: u32,
    /// Where the baseline lies.
    pub baseline: String,
    /// When and why it was accepted, in words.
    pub accepted: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Checks of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Program name and version.
    pub tool: String,
    /// What the weights of the model that was accepted say beside those of this one, where both are at hand.
    pub weights: Option<Lineage>,
    /// One per suite; at least one.
    pub suites: Vec<Checked>,
}

#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    tool: &'a str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a Lineage>,
    suites: &'a [Checked],
}

impl Document {
    /// The worst of all suites: one that fails fails all, one that is undecided leaves all undecided.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.suites.iter().map(|one| one.outcome.verdict);
        verdicts.max().unwrap_or(Verdict::Inconclusive)
    }
}

/// The document as JSON.
///
/// A build server's commands are written so that it does not see them and a JSON reader does.
///
/// # Errors
/// Only for data that JSON has no form for.
pub fn json(document: &Document) -> Result<String, Error> {
    let text = pretty(&Row {
        schema: SCHEMA,
        tool: &document.tool,
        verdict: document.verdict(),
        weights: document.weights.as_ref(),
        suites: &document.suites,
    })?;
    // Stands inside strings only.
    Ok(text.replace("##[", "#\\u0023["))
}
