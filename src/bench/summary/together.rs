//! Whether scores that the verdict multiplies rise together among strangers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Look;
use crate::stat::correlation;
use crate::verdict::Calibration;
use crate::verdict::population::INDEPENDENT;

/// Two families of methods over the pairs of independent runs.
#[derive(Debug, Clone, Serialize)]
pub struct Together {
    /// Of each the method that the verdict takes.
    pub methods: [String; 2],
    /// Pairs of runs that both score.
    pub runs: usize,
    /// Spearman's, of the mean scores of the pairs of runs: independent families have none.
    pub rank_correlation: f64,
}

/// Mean score by pair of runs.
type Scores = BTreeMap<BTreeSet<String>, f64>;

/// Every two of the families that `calibration` names as independent, over unchanged pairs of independent runs.
///
/// The mean, not the largest score, stands for a pair of runs: runs with many models have large largest
/// scores in every family.
pub(super) fn together(look: &Look<'_>, calibration: &Calibration) -> Vec<Together> {
    let methods = calibration.population.independent_families.iter();
    let methods = methods.filter_map(|family| {
        let tables = calibration.populations.iter();
        let costs = tables
            .filter(|table| {
                table.family == *family && !calibration.exact.contains_key(&table.method)
            })
            .filter_map(|table| Some((table.cost?, table.method.as_str())));
        costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|best| best.1)
    });
    let scored: Vec<(&str, Scores)> = methods
        .map(|method| (method, scores(look, method)))
        .collect();
    let mut found = Vec::new();
    for (at, (one, x)) in scored.iter().enumerate() {
        for (other, y) in &scored[at + 1..] {
            let both: Vec<(f64, f64)> = x
                .iter()
                .filter_map(|(runs, score)| Some((*score, *y.get(runs)?)))
                .collect();
            let (a, b): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
            found.extend(
                correlation::spearman(&a, &b).map(|rank_correlation| Together {
                    methods: [(*one).to_owned(), (*other).to_owned()],
                    runs: a.len(),
                    rank_correlation,
                }),
            );
        }
    }
    found
}

fn scores(look: &Look<'_>, method: &str) -> Scores {
    let mut sums: BTreeMap<BTreeSet<String>, (f64, f64)> = BTreeMap::new();
    for (one, _) in look.pairs() {
        let strangers = one.task.relation == INDEPENDENT;
        if !strangers || !look.plan.changes[one.task.change].is_none() {
            continue;
        }
        if let Some(statistic) = one.score(method).and_then(|score| score.statistic) {
            let runs = look.plan.runs(&one.task);
            let sum = sums.entry(runs).or_default();
            *sum = (sum.0 + statistic, sum.1 + 1.0);
        }
    }
    let mean = |(sum, n): (f64, f64)| sum / n;
    sums.into_iter()
        .map(|(runs, sum)| (runs, mean(sum)))
        .collect()
}
