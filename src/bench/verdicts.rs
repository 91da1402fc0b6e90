//! The verdict on each pair, by tables that the pair's own runs took no part in.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

use super::plan::Plan;
use super::score::Measured;
use super::score::Score;
use super::score::Status;
use crate::evidence::Assessment;
use crate::verdict;
use crate::verdict::Calibration;
use crate::verdict::LineageConclusion;

/// What is said of one pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The word; `None` where the change does not apply to the suspect.
    pub conclusion: Option<LineageConclusion>,
    /// How, where the evidence tells.
    pub relation: Option<String>,
    /// Launderings that were recognised.
    pub laundering: Vec<String>,
    /// Of the tables.
    pub log10_lr: Option<f64>,
    /// Of the exact test.
    pub log10_p: Option<f64>,
    /// Deciding method.
    pub decided_by: Option<String>,
    /// What is said of answers; empty where the change does not apply.
    pub behaviour: &'static str,
}

impl Judged {
    /// `related` with its relation, `independent`, `undetermined`, or empty.
    pub fn says(&self) -> String {
        let word = match self.conclusion {
            None => return String::new(),
            Some(LineageConclusion::Related) => "related",
            Some(LineageConclusion::Independent) => "independent",
            Some(LineageConclusion::Undetermined) => "undetermined",
        };
        match &self.relation {
            Some(relation) => format!("{word}: {relation}"),
            None => word.to_owned(),
        }
    }

    pub(super) fn status(&self) -> Status {
        match self.conclusion {
            Some(_) => Status::Measured,
            None => Status::NoSuchSuspect,
        }
    }
}

/// Judges every measured pair, in their order; each by `calibration` without the runs of its two
/// models.
pub fn judge(plan: &Plan, measured: &[Measured], calibration: &Calibration) -> Vec<Judged> {
    let mut by_runs: BTreeMap<BTreeSet<String>, Calibration> = BTreeMap::new();
    measured
        .iter()
        .map(|one| {
            let runs = plan.runs(&one.task);
            let calibration = by_runs
                .entry(runs.clone())
                .or_insert_with(|| calibration.without(&runs));
            judge_one(one, calibration)
        })
        .collect()
}

fn judge_one(one: &Measured, calibration: &Calibration) -> Judged {
    let absent = |status: Status| status == Status::NoSuchSuspect;
    if one.scores.iter().any(|score| absent(score.status)) {
        return Judged {
            conclusion: None,
            relation: None,
            laundering: Vec::new(),
            log10_lr: None,
            log10_p: None,
            decided_by: None,
            behaviour: "",
        };
    }
    let evidence: Vec<Assessment> = one.scores.iter().filter_map(Score::assessment).collect();
    let findings = verdict::judge(&evidence, calibration);
    let lineage = findings.lineage;
    Judged {
        conclusion: Some(lineage.conclusion),
        relation: lineage.relation,
        laundering: lineage.laundering,
        log10_lr: lineage.log10_lr,
        log10_p: lineage.log10_p,
        decided_by: lineage.decided_by,
        behaviour: findings.behaviour.conclusion,
    }
}
