//! One method on one pair, and the table of all of them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::Deserialize;
use serde::Serialize;

use super::error::Error;
use super::plan::Plan;
use super::plan::Task;
use crate::evidence;
use crate::evidence::Assessment;
use crate::evidence::Card;
use crate::evidence::Finding;
use crate::evidence::Outcome;
use crate::text::ModelText;

/// What came of one method on one pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Method id.
    pub method: String,
    /// Its version.
    pub version: u32,
    /// Whether there is a number.
    pub status: Status,
    /// The number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<f64>,
    /// Sample size.
    #[serde(default)]
    pub n: u64,
    /// Where the method has a p-value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log10_p: Option<f64>,
    /// Further numbers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, f64>,
    /// The finding's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    /// Why there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Wall time.
    pub seconds: f64,
}

/// Whether there is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Yes.
    Measured,
    /// The method does not apply to such a pair.
    NotApplicable,
    /// The method failed.
    Failed,
    /// The change does not apply to such a suspect: there was nothing to measure.
    NoSuchSuspect,
}

impl Score {
    /// The outcome of a method.
    pub(super) fn of(card: &Card, outcome: Result<Outcome, String>, seconds: f64) -> Self {
        let mut score = Self::absent(card, Status::Failed, String::new());
        score.seconds = seconds;
        match outcome {
            Ok(Outcome::Measured(finding)) if finding.statistic.is_finite() => {
                let finite = |value: &f64| value.is_finite();
                score.status = Status::Measured;
                score.statistic = Some(finding.statistic);
                score.n = finding.n;
                score.log10_p = finding.log10_p.filter(finite);
                let details = finding.details.iter().filter(|(_, value)| finite(value));
                score.details = details
                    .map(|(name, value)| ((*name).to_owned(), *value))
                    .collect();
                score.explanation = finding.explanation;
                score.reason = None;
            }
            Ok(Outcome::Measured(_)) => {
                score.reason = Some("the statistic was not a finite number".to_owned());
            }
            Ok(Outcome::NotApplicable(reason)) => {
                score.status = Status::NotApplicable;
                score.reason = Some(reason);
            }
            Err(error) => score.reason = Some(error),
        }
        score
    }

    pub(super) fn absent(card: &Card, status: Status, reason: String) -> Self {
        Self {
            method: card.id.to_owned(),
            version: card.version,
            status,
            statistic: None,
            n: 0,
            log10_p: None,
            details: BTreeMap::new(),
            explanation: String::new(),
            reason: Some(reason),
            seconds: 0.0,
        }
    }

    /// The assessment it was made from, without figures, tables and controls; `None` for a method
    /// that is no longer there.
    pub fn assessment(&self) -> Option<Assessment> {
        let card = card(&self.method)?;
        let reason = || self.reason.clone().unwrap_or_default();
        let outcome = match (self.status, self.statistic) {
            (Status::Measured, Some(statistic)) => Ok(Outcome::Measured(Box::new(Finding {
                statistic,
                n: self.n,
                null: String::new(),
                log10_p: self.log10_p,
                interval: None,
                details: self
                    .details
                    .iter()
                    .map(|(name, value)| (known(name), *value))
                    .collect(),
                explanation: self.explanation.clone(),
                caveats: Vec::new(),
                controls: Vec::new(),
                figures: Vec::new(),
                table: None,
            }))),
            (Status::Failed, _) => Err(reason()),
            _ => Ok(Outcome::NotApplicable(reason())),
        };
        Some(Assessment { card, outcome })
    }
}

/// The card of a method.
pub fn card(id: &str) -> Option<&'static Card> {
    evidence::methods()
        .map(evidence::Evidence::card)
        .find(|card| card.id == id)
}

/// A detail's name as methods use it. Names are a few dozen in all, so that keeping each once for
/// the life of the program costs nothing.
fn known(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = names.get(name) {
        return kept;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

/// A task with its scores, in the order of methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was measured.
    pub task: Task,
    /// One per method.
    pub scores: Vec<Score>,
}

impl Measured {
    /// The score of one method.
    pub fn score(&self, method: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.method == method)
    }
}

/// One row of `scores.csv`.
#[derive(Serialize)]
struct Row<'a> {
    method: &'a str,
    version: u32,
    reference: &'a str,
    suspect: &'a str,
    change: &'a str,
    relation: &'a str,
    runs: String,
    status: Status,
    statistic: Option<f64>,
    log10_p: Option<f64>,
    n: u64,
    says: String,
    seconds: String,
}

/// `scores.csv`: a row per method, pair and change, and one for the verdict on each.
///
/// # Errors
/// Only what the CSV writer reports.
pub fn to_csv(
    plan: &Plan,
    measured: &[Measured],
    verdicts: &[super::verdicts::Judged],
) -> Result<String, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (one, judged) in measured.iter().zip(verdicts) {
        let task = &one.task;
        let runs: Vec<String> = plan.runs(task).into_iter().collect();
        let row = |score: Option<&Score>| Row {
            method: "verdict",
            version: 1,
            reference: &plan.members[task.reference].name,
            suspect: &plan.members[task.suspect].name,
            change: plan.changes[task.change].name(),
            relation: &one.task.relation,
            runs: runs.join(" "),
            status: score.map_or(Status::Measured, |score| score.status),
            statistic: score.and_then(|score| score.statistic),
            log10_p: score.and_then(|score| score.log10_p),
            n: score.map_or(0, |score| score.n),
            says: String::new(),
            seconds: String::new(),
        };
        for score in &one.scores {
            let reason = score.reason.as_deref().unwrap_or_default();
            writer.serialize(Row {
                method: &score.method,
                version: score.version,
                says: ModelText::new(reason).clipped(200),
                seconds: format!("{:.4}", score.seconds),
                ..row(Some(score))
            })?;
        }
        writer.serialize(Row {
            status: judged.status(),
            statistic: judged.log10_lr,
            log10_p: judged.log10_p,
            says: judged.says(),
            ..row(None)
        })?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
