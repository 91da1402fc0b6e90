//! One likelihood ratio from many methods that read the same weights.

use std::collections::BTreeMap;

use super::population::Ratio;
use super::{Calibration, Population};
use crate::evidence::{Assessment, Card, Finding, Needs};

/// Base-10 logarithm of the likelihood ratio of one row of evidence.
///
/// Only for weights and activations (nothing else is evidence of lineage), only where a table for the
/// method and its version exists, and not for methods that decide by an exact p-value or by identity
/// of bits: those need no population.
pub fn log10_lr(card: &Card, finding: &Finding, calibration: &Calibration) -> Option<f64> {
    ratio(card, finding, calibration).map(|ratio| ratio.log10_lr)
}

fn ratio(card: &Card, finding: &Finding, calibration: &Calibration) -> Option<Ratio> {
    let lineage = matches!(card.needs, Needs::Weights | Needs::Activations);
    if !lineage || calibration.exact.contains_key(card.id) || card.id == super::lineage::IDENTICAL {
        return None;
    }
    calibration
        .populations
        .iter()
        .find_map(|table: &Population| table.ratio(card, finding))
        // At a cost of 1 a method says no more than nothing would.
        .filter(|ratio| ratio.cost < 1.0)
}

/// What all methods together say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Combined {
    pub log10_lr: f64,
    pub method: &'static str,
}

/// One method per family (of those that apply, the one with the lowest cost in the tables), then the
/// highest ratio among families. Families read the same weights: their ratios are never multiplied,
/// and the highest one claims no more than its own table and cap allow.
pub(super) fn combined(evidence: &[Assessment], calibration: &Calibration) -> Option<Combined> {
    let mut families: BTreeMap<&str, (Ratio, &'static str)> = BTreeMap::new();
    for assessment in evidence {
        let card = assessment.card;
        let Some(finding) = assessment.finding() else {
            continue;
        };
        let Some(ratio) = ratio(card, finding, calibration) else {
            continue;
        };
        match families.get(card.family) {
            Some((best, _)) if best.cost <= ratio.cost => {}
            _ => {
                families.insert(card.family, (ratio, card.id));
            }
        }
    }
    families
        .into_values()
        .max_by(|a, b| a.0.log10_lr.total_cmp(&b.0.log10_lr))
        .map(|(ratio, method)| Combined {
            log10_lr: ratio.log10_lr,
            method,
        })
}
