//! How well one method does on groups of pairs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Called;
use super::Cell;
use super::KIN;
use super::Method;
use super::Null;
use super::Power;
use super::RATES;
use super::look::Look;
use crate::bench::change::NONE;
use crate::bench::score::Measured;
use crate::bench::score::Status;
use crate::bench::score::card;
use crate::bench::tables;
use crate::evidence::Needs;
use crate::stat::interval;
use crate::stat::roc;
use crate::stat::uniform;
use crate::verdict::Calibration;
use crate::verdict::population::INDEPENDENT;
use crate::verdict::population::Measure;
use crate::verdict::population::is_lineage;

impl Look<'_> {
    /// How well the method `id` does; `None` if there is none of that name.
    pub fn method(&self, id: &str, calibration: &Calibration) -> Option<Method> {
        let card = card(id)?;
        let by = tables::measure(&self.bench.measured, id);
        let of_lineage = matches!(card.needs, Needs::Weights | Needs::Activations);
        let mut seconds: Vec<f64> = Vec::new();
        let mut outcomes: BTreeMap<Status, usize> = BTreeMap::new();
        for score in self.bench.measured.iter().filter_map(|one| one.score(id)) {
            *outcomes.entry(score.status).or_default() += 1;
            if score.status == Status::Measured {
                seconds.push(score.seconds);
            }
        }
        seconds.sort_by(f64::total_cmp);
        let (kin, strangers) = (
            self.scores(id, by, NONE, KIN),
            self.scores(id, by, NONE, INDEPENDENT),
        );
        let table = calibration
            .populations
            .iter()
            .find(|table| table.method == id);
        Some(Method {
            id: id.to_owned(),
            version: card.version,
            family: card.family.to_owned(),
            of_lineage,
            p_values: by == Measure::MinusLog10P,
            cost: table.and_then(|table| table.cost),
            cells: self.cells(id, by),
            roc: roc::curve(&kin, &strangers),
            called: self.called_at_level(id, calibration),
            null: self.null(id).filter(|_| by == Measure::MinusLog10P),
            seconds: if seconds.is_empty() {
                0.0
            } else {
                interval::quantile(&seconds, 0.5)
            },
            bytes: self.bench.memory.get(card.id).copied(),
            outcomes,
        })
    }

    fn called_at_level(&self, id: &str, calibration: &Calibration) -> Option<Called> {
        let test = calibration.exact.get(id)?;
        let level = test.decides_at_log10_p;
        let pairs = self
            .pairs()
            .filter(|(one, _)| one.task.relation == INDEPENDENT)
            .filter_map(|(one, _)| Some((one, one.score(id)?.log10_p? <= level)));
        Some(self.called(format!("log10 p at most {level}"), pairs))
    }

    /// One pair of each pair of runs: the first of the plan, both unchanged.
    fn null(&self, id: &str) -> Option<Null> {
        let mut by_runs: BTreeMap<BTreeSet<String>, f64> = BTreeMap::new();
        for (one, _) in self.pairs() {
            if one.task.relation != INDEPENDENT || self.change(one) != NONE {
                continue;
            }
            if let Some(log10_p) = one.score(id).and_then(|score| score.log10_p) {
                let runs = self.plan.runs(&one.task);
                by_runs.entry(runs).or_insert(libm::exp10(log10_p));
            }
        }
        let values: Vec<f64> = by_runs.into_values().collect();
        (!values.is_empty()).then(|| Null {
            n: values.len(),
            kolmogorov_smirnov: uniform::kolmogorov_smirnov(&values),
            too_small: uniform::too_small(&values),
        })
    }

    /// Strangers are those of the zoo: what does not apply to a pair of other networks scores lowest, and
    /// would make any method look better.
    fn is_in(&self, one: &Measured, relation: &str) -> bool {
        match relation {
            KIN => is_lineage(&one.task.relation),
            INDEPENDENT => one.task.relation == INDEPENDENT && self.plan.is_of_zoo(&one.task),
            _ => one.task.relation == relation,
        }
    }

    fn group<'b>(
        &'b self,
        change: &'b str,
        relation: &'b str,
    ) -> impl Iterator<Item = &'b Measured> {
        self.pairs()
            .map(|(one, _)| one)
            .filter(move |one| self.change(one) == change && self.is_in(one, relation))
    }

    /// Scores of a group; what does not apply scores lowest.
    fn scores(&self, id: &str, by: Measure, change: &str, relation: &str) -> Vec<f64> {
        self.group(change, relation)
            .filter_map(|one| one.score(id))
            .map(|score| tables::value(score, by).unwrap_or(f64::NEG_INFINITY))
            .collect()
    }

    fn cells(&self, id: &str, by: Measure) -> Vec<Cell> {
        let mut cells = Vec::new();
        for change in &self.plan.changes {
            let name = change.name();
            let mut relations: BTreeSet<&str> = self
                .group(name, KIN)
                .map(|one| one.task.relation.as_str())
                .collect();
            let others = self.pairs().filter(|(one, _)| self.change(one) == name);
            relations.extend(others.map(|(one, _)| one.task.relation.as_str()));
            relations.remove(INDEPENDENT);
            let mut wanted = vec![KIN];
            // Relations apart only where nothing was done: else there would be hundreds of cells.
            if change.is_none() {
                wanted.extend(relations);
            }
            cells.extend(
                wanted
                    .into_iter()
                    .filter_map(|relation| self.cell(id, by, name, relation)),
            );
        }
        cells
    }

    fn cell(&self, id: &str, by: Measure, change: &str, relation: &str) -> Option<Cell> {
        let scores = self.scores(id, by, change, relation);
        let strangers = self.scores(id, by, change, INDEPENDENT);
        if scores.is_empty() {
            return None;
        }
        let power = |rate: f64| {
            let at = roc::at_rate(&scores, &strangers, rate)?;
            Some(Power {
                rate,
                detected: at.detected as f64 / scores.len() as f64,
                resolved: at.resolved,
            })
        };
        Some(Cell {
            change: change.to_owned(),
            relation: relation.to_owned(),
            lineage: relation == KIN || is_lineage(relation),
            pairs: scores.len(),
            runs: self.runs(self.group(change, relation)),
            applicable: scores.iter().filter(|score| score.is_finite()).count(),
            independent: strangers.len(),
            independent_runs: self.runs(self.group(change, INDEPENDENT)),
            auc: roc::auc(&scores, &strangers),
            power: RATES.iter().filter_map(|rate| power(*rate)).collect(),
        })
    }
}
