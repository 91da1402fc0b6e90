//! From evidence to findings.

use super::{
    Architecture, Behaviour, Calibration, Findings, Lineage, LineageConclusion, Tokenizer,
};
use crate::evidence::{Assessment, Card, Finding};

/// What may be said of a pair, given every method's outcome.
pub fn judge(evidence: &[Assessment], calibration: &Calibration) -> Findings {
    let _ = (evidence, calibration);
    Findings {
        lineage: Lineage {
            conclusion: LineageConclusion::Undetermined,
            relation: None,
            direction: "unknown",
            laundering: Vec::new(),
            log10_lr: None,
            log10_p: None,
            decided_by: None,
            because: "no exact test applies".to_owned(),
        },
        architecture: Architecture {
            conclusion: "undetermined",
            because: "not compared".to_owned(),
        },
        tokenizer: Tokenizer {
            conclusion: "undetermined",
            because: "not compared".to_owned(),
        },
        behaviour: Behaviour {
            conclusion: "not_measured",
            because: "no answers were recorded".to_owned(),
            log10_p: None,
        },
    }
}

/// What one row of evidence supports: `related`, `independent`, `neither` or `descriptive`.
pub fn supports(card: &Card, finding: &Finding, calibration: &Calibration) -> &'static str {
    match (calibration.exact.get(card.id), finding.log10_p) {
        (Some(test), Some(p)) if test.version == card.version => {
            if p <= test.decides_at_log10_p {
                "related"
            } else {
                "neither"
            }
        }
        _ => "descriptive",
    }
}
