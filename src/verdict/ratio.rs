//! One likelihood ratio from many methods that read the same weights.

use std::collections::BTreeMap;

use super::population::{Fitted, Ratio};
use super::{Calibration, Population};
use crate::evidence::{Assessment, Card, Finding, Needs};

/// Base-10 logarithm of the likelihood ratio of one row of evidence.
///
/// Only for weights and activations (nothing else is evidence of lineage), only where a table for the
/// method and its version exists, and not for methods that decide by an exact p-value or by identity
/// of bits, which need no population, nor for published methods that stand beside ours.
pub fn log10_lr(card: &Card, finding: &Finding, calibration: &Calibration) -> Option<f64> {
    ratio(card, finding, calibration).map(|ratio| ratio.log10_lr)
}

fn ratio(card: &Card, finding: &Finding, calibration: &Calibration) -> Option<Ratio> {
    let lineage = matches!(card.needs, Needs::Weights | Needs::Activations);
    let decides_alone =
        calibration.exact.contains_key(card.id) || card.id == super::lineage::IDENTICAL;
    if !lineage || decides_alone || card.is_for_comparison() {
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
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Combined {
    pub log10_lr: f64,
    /// Ids of the methods it comes from, joined by ` + `.
    pub methods: String,
}

/// A family's ratio by the method that gives it.
type Families<'a> = BTreeMap<&'a str, (Ratio, &'a str)>;

/// One method per family: of those that apply, the one with the lowest cost in the tables. Families that
/// [`Calibration`] names as independent read different matrices (how far they rise together on pairs of
/// independent runs the bench prints): where two or more of them apply, their ratios are multiplied. Other
/// families read the same weights and never multiply: without the former the highest one counts, which
/// claims no more than its own table and cap allow.
pub(super) fn combined(evidence: &[Assessment], calibration: &Calibration) -> Option<Combined> {
    let mut families = Families::new();
    for assessment in evidence {
        let card = assessment.card;
        let Some(finding) = assessment.finding() else {
            continue;
        };
        if let Some(ratio) = ratio(card, finding, calibration) {
            keep(&mut families, card.family, ratio, card.id);
        }
    }
    all(&families, calibration)
}

/// The ratios of every table that counts towards lineage, by method.
pub(super) struct Fits(BTreeMap<String, Fitted>);

impl Fits {
    /// Of `calibration`'s tables.
    pub fn of(calibration: &Calibration) -> Self {
        let tables = calibration.populations.iter();
        let counts = |table: &&Population| {
            !calibration.exact.contains_key(&table.method) && counts(&table.method, table.version)
        };
        let fitted = |table: &Population| Some((table.method.clone(), table.fitted()?));
        Self(tables.filter(counts).filter_map(fitted).collect())
    }

    /// What all methods together say of scores out of the tables.
    pub fn combined<'a>(
        &self,
        scores: impl Iterator<Item = (&'a Population, f64)>,
        calibration: &Calibration,
    ) -> Option<Combined> {
        let mut families = Families::new();
        for (table, score) in scores {
            let ratio = self.0.get(&table.method).map(|fitted| fitted.at(score));
            if let Some(ratio) = ratio.filter(|ratio| ratio.cost < 1.0) {
                keep(&mut families, &table.family, ratio, &table.method);
            }
        }
        all(&families, calibration)
    }
}

/// Whether a method's scores count towards lineage beside exact tests.
fn counts(method: &str, version: u32) -> bool {
    let mut known = crate::evidence::methods().map(crate::evidence::Evidence::card);
    known.any(|card| {
        card.id == method
            && card.version == version
            && card.id != super::lineage::IDENTICAL
            && matches!(card.needs, Needs::Weights | Needs::Activations)
            && !card.is_for_comparison()
    })
}

fn keep<'a>(families: &mut Families<'a>, family: &'a str, ratio: Ratio, method: &'a str) {
    match families.get(family) {
        Some((best, _)) if best.cost <= ratio.cost => {}
        _ => {
            families.insert(family, (ratio, method));
        }
    }
}

fn all(families: &Families<'_>, calibration: &Calibration) -> Option<Combined> {
    let summed: Vec<&(Ratio, &str)> = calibration
        .population
        .independent_families
        .iter()
        .filter_map(|family| families.get(family.as_str()))
        .collect();
    if summed.len() > 1 {
        let methods: Vec<&str> = summed.iter().map(|(_, method)| *method).collect();
        return Some(Combined {
            log10_lr: summed.iter().map(|(ratio, _)| ratio.log10_lr).sum(),
            methods: methods.join(" + "),
        });
    }
    families
        .values()
        .max_by(|a, b| a.0.log10_lr.total_cmp(&b.0.log10_lr))
        .map(|(ratio, method)| Combined {
            log10_lr: ratio.log10_lr,
            methods: (*method).to_owned(),
        })
}
