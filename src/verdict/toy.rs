//! Outcomes of methods as tests need them.

use std::collections::BTreeMap;

use crate::evidence::{self, Assessment, Finding, Outcome};

/// A number with its p-value and details.
pub(super) fn finding(
    statistic: f64,
    log10_p: Option<f64>,
    details: &[(&'static str, f64)],
) -> Outcome {
    Outcome::Measured(Box::new(Finding {
        statistic,
        n: 10,
        null: String::new(),
        log10_p,
        interval: None,
        details: BTreeMap::from_iter(details.iter().copied()),
        explanation: "Some explanation. More of it.".to_owned(),
        caveats: Vec::new(),
        controls: Vec::new(),
        figures: Vec::new(),
        table: None,
    }))
}

/// The outcome of the method `id`.
pub(super) fn assessment(id: &str, outcome: &Outcome) -> Assessment {
    Assessment {
        card: evidence::methods()
            .map(evidence::Evidence::card)
            .find(|card| card.id == id)
            .unwrap(),
        outcome: Ok(outcome.clone()),
    }
}
