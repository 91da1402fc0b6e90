//! The card that opens the page.

use crate::report::data::Report;
use crate::report::number::{self, PValue};
use crate::report::words::{self, Marked};
use crate::verdict::LineageConclusion;

use super::page::{anchor, sentence, shown};

/// The four findings, what decided, and what is left open.
pub(super) struct Conclusion {
    pub mark: Marked,
    pub sentence: &'static str,
    pub because: String,
    pub relation: Option<String>,
    pub direction: Option<&'static str>,
    pub laundering: Vec<String>,
    pub decided: Option<Decided>,
    pub likelihood: Option<(String, String)>,
    pub others: Vec<Other>,
    pub open: Vec<&'static str>,
    pub change: Vec<String>,
}

/// The method that decided.
pub(super) struct Decided {
    pub anchor: String,
    pub id: String,
    pub p: Option<PValue>,
    pub statistic: Option<String>,
}

/// One of the other findings.
pub(super) struct Other {
    pub name: &'static str,
    pub word: String,
    pub because: String,
    pub p: Option<PValue>,
}

impl Conclusion {
    pub fn new(report: &Report) -> Self {
        let findings = &report.findings;
        let lineage = &findings.lineage;
        let related = lineage.conclusion == LineageConclusion::Related;
        let others = words::other_findings(findings).map(|(name, word, because)| Other {
            name,
            word: shown(&word),
            because: sentence(because),
            p: (name == "Behaviour")
                .then_some(findings.behaviour.log10_p)
                .flatten()
                .map(number::p_value),
        });
        Self {
            mark: words::lineage(lineage.conclusion),
            sentence: words::lineage_sentence(lineage.conclusion),
            because: sentence(&lineage.because),
            relation: words::relation(lineage).map(|text| shown(&text)),
            direction: related.then(|| words::direction(lineage)),
            laundering: lineage
                .laundering
                .iter()
                .take(20)
                .map(|text| shown(&text.replace('_', " ")))
                .collect(),
            decided: decided(report),
            likelihood: lineage
                .log10_lr
                .map(|lr| (number::log10(lr), words::likelihood_ratio(lr))),
            others: others.into(),
            open: words::not_excluded(findings),
            change: words::would_change(report),
        }
    }
}

fn decided(report: &Report) -> Option<Decided> {
    let lineage = &report.findings.lineage;
    let id = lineage.decided_by.as_ref()?;
    let row = report.evidence.iter().find(|row| row.id == *id);
    Some(Decided {
        anchor: anchor("e", id),
        id: shown(id),
        p: lineage.log10_p.map(number::p_value),
        statistic: row.and_then(|row| row.statistic).map(number::statistic),
    })
}
