//! From evidence to findings.

use super::calibration::Panel;
use super::lineage;
use super::log10_lr;
use super::{Architecture, Behaviour, Calibration, Findings, Tokenizer};
use crate::evidence::{Assessment, Card, Finding, Outcome};
use crate::stat::tails;

/// What may be said of a pair, given every method's outcome.
///
/// Lineage stands on weights and on the index and sign tests of activations alone; architecture, tokenizer and behaviour are findings of
/// their own and never enter it.
pub fn judge(evidence: &[Assessment], calibration: &Calibration) -> Findings {
    let look = Look { evidence };
    Findings {
        lineage: lineage::judge(&look, calibration),
        architecture: architecture(&look, calibration),
        tokenizer: tokenizer(&look, calibration),
        behaviour: behaviour(&look, calibration),
    }
}

/// What one row of evidence supports: `related`, `independent`, `neither` or `descriptive`.
///
/// `descriptive` wherever neither an exact level nor a population large enough to decide exists for
/// the method and its version.
pub fn supports(card: &Card, finding: &Finding, calibration: &Calibration) -> &'static str {
    if card.id == lineage::IDENTICAL && card.version == calibration.identical.version {
        return match finding.statistic {
            share if share >= calibration.identical.decides_at_share => "related",
            0.0 => "neither",
            _ => "descriptive",
        };
    }
    match (calibration.exact.get(card.id), finding.log10_p) {
        (Some(test), Some(p)) if test.version == card.version => {
            if p <= test.decides_at_log10_p {
                "related"
            } else {
                "neither"
            }
        }
        _ => match log10_lr(card, finding, calibration) {
            Some(ratio) if ratio >= calibration.population.decides_at_log10_lr => "related",
            _ => "descriptive",
        },
    }
}

/// Evidence by id.
pub(super) struct Look<'a> {
    pub evidence: &'a [Assessment],
}

impl<'a> Look<'a> {
    fn one(&self, id: &str) -> Option<&'a Assessment> {
        self.evidence
            .iter()
            .find(|assessment| assessment.card.id == id)
    }

    /// The number of a method.
    pub fn finding(&self, id: &str) -> Option<&'a Finding> {
        self.one(id)?.finding()
    }

    /// A method's card with its number.
    pub fn measured(&self, id: &str) -> Option<(&'static Card, &'a Finding)> {
        let one = self.one(id)?;
        Some((one.card, one.finding()?))
    }

    /// Why a method gave no number.
    pub fn why_not(&self, id: &str) -> String {
        match self.one(id).map(|assessment| &assessment.outcome) {
            None => "what it reads was not at hand".to_owned(),
            Some(Ok(Outcome::NotApplicable(reason))) => reason.clone(),
            Some(Err(error)) => error.clone(),
            Some(Ok(Outcome::Measured(_))) => "measured".to_owned(),
        }
    }
}

fn flag(finding: &Finding, name: &str) -> bool {
    finding.details.get(name).is_some_and(|value| *value > 0.0)
}

/// `same` and `renamed` need equal plans, or equal tensor shapes where a plan is not known.
fn architecture(look: &Look<'_>, calibration: &Calibration) -> Architecture {
    let Some(diff) = look.finding("config.diff") else {
        return Architecture {
            conclusion: "undetermined",
            because: look.why_not("config.diff"),
        };
    };
    let known = flag(diff, "plans_known");
    let renamed = flag(diff, "roles_renamed") || (known && !flag(diff, "same_family"));
    let conclusion = match (known, diff.statistic >= 1.0) {
        (true, true) if renamed => "renamed",
        (true, true) => "same",
        (false, _) if flag(diff, "same_shapes") && flag(diff, "same_names") => "same",
        (false, _) if flag(diff, "same_shapes") => "renamed",
        _ if diff.statistic >= calibration.architecture.similar_at => "similar",
        _ => "different",
    };
    let mut because = diff.explanation.clone();
    if !known && flag(diff, "same_shapes") {
        because =
            "The stored tensors have the same shapes; one of the configs is of no known family."
                .to_owned();
    }
    Architecture {
        conclusion,
        because,
    }
}

fn tokenizer(look: &Look<'_>, calibration: &Calibration) -> Tokenizer {
    let Some(overlap) = look.finding("tokenizer.overlap") else {
        return Tokenizer {
            conclusion: "undetermined",
            because: look.why_not("tokenizer.overlap"),
        };
    };
    let kept = overlap.details.get("smaller_kept").copied().unwrap_or(0.0);
    let conclusion = if flag(overlap, "equal") {
        "same"
    } else if kept >= calibration.tokenizer.extended_at {
        "extended"
    } else if overlap.statistic >= calibration.tokenizer.overlapping_at {
        "overlapping"
    } else {
        "different"
    };
    Tokenizer {
        conclusion,
        because: overlap.explanation.clone(),
    }
}

/// Tests of whether behaviour is more alike than a panel's.
const BEYOND_PANEL: [&str; 2] = ["behaviour.shared_answers", "behaviour.shared_expectations"];

/// Only a panel makes behaviour `more_alike` or `less_alike`: by the tests against it or, where neither applies, by
/// the rank of a panel that is large enough. Without one it is described.
fn behaviour(look: &Look<'_>, calibration: &Calibration) -> Behaviour {
    let tests: Vec<&Finding> = BEYOND_PANEL
        .iter()
        .filter_map(|id| look.finding(id))
        .collect();
    if let Some(found) = by_tests(&tests, &calibration.panel) {
        return found;
    }
    let Some(answers) = look.finding("behaviour.exact_match") else {
        return Behaviour {
            conclusion: "not_measured",
            because: look.why_not("behaviour.exact_match"),
            log10_p: None,
        };
    };
    let models = answers.details.get("panel_models").copied().unwrap_or(0.0);
    let least = f64::from(calibration.panel.least_models);
    let at = calibration.panel.more_alike_at_p;
    let rank = |name: &str| {
        answers
            .details
            .get(name)
            .copied()
            .filter(|_| models >= least)
    };
    let (high, low) = (rank("panel_rank_p"), rank("panel_rank_p_low"));
    let log10_p = high.map(|p| tails::log10(p.ln()));
    let words = match (high, low) {
        (Some(p), _) if p <= at => ("more_alike_than_panel", format!("rank p = {p:.3}")),
        (_, Some(p)) if p <= at => ("less_alike", format!("rank p of so few = {p:.3}")),
        (Some(p), _) => ("not_distinguishable", format!("rank p = {p:.3}")),
        (None, _) => (
            "not_distinguishable",
            format!(
                "described only: a panel needs {least} independent models built like this pair, {models} were at hand"
            ),
        ),
    };
    Behaviour {
        conclusion: words.0,
        because: format!("{} Panel: {}.", answers.explanation, words.1),
        log10_p,
    }
}

/// The smallest of some tests' p-values, times how many there are (Bonferroni).
fn by_tests(tests: &[&Finding], panel: &Panel) -> Option<Behaviour> {
    let with_p = tests.iter().filter_map(|test| Some((test.log10_p?, test)));
    let (least, strongest) = with_p.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let log10_p = (least + (tests.len() as f64).log10()).min(0.0);
    let among = match tests.len() {
        1 => String::new(),
        n => format!(" The smaller of {n} p-values, counted {n} times."),
    };
    Some(Behaviour {
        conclusion: match log10_p <= panel.beyond_panel_at_p.log10() {
            true => "more_alike_than_panel",
            false => "not_distinguishable",
        },
        because: format!("{}{among}", strongest.explanation),
        log10_p: Some(log10_p),
    })
}
