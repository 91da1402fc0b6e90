//! Which pairs answer more alike than their panel.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Look;
use crate::bench::score::Measured;
use crate::verdict::population::INDEPENDENT;

/// Pairs of one known relation, or with one change of the suspect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// Known relation or, where the suspect is a changed copy, the change.
    pub what: String,
    /// Pairs that a panel could be found for.
    pub pairs: usize,
    /// Of which the verdict says that they are more alike than the panel.
    pub more_alike: usize,
    /// Smallest log10 p.
    pub lowest: f64,
    /// Median log10 p.
    pub median: f64,
    /// Largest log10 p.
    pub highest: f64,
}

/// Bases of independent runs that learnt the same text with the same tokenizer.
const SAME_TEXT: &str = "independent, one text";

fn is_stranger(one: &Measured) -> bool {
    one.task.relation == INDEPENDENT
}

/// The method that the verdict reads.
const METHOD: &str = "behaviour.shared_answers";

/// In the order of changes, then of relations; nothing where no panel answered.
pub(super) fn answered(look: &Look<'_>) -> Vec<Answered> {
    let mut groups: BTreeMap<(usize, &str), Vec<(f64, bool)>> = BTreeMap::new();
    for (one, judged) in look.pairs() {
        let score = one.score(METHOD).and_then(|score| score.log10_p);
        if let Some(log10_p) = score {
            let place = [one.task.reference, one.task.suspect].map(|at| &look.plan.members[at]);
            let relation = match &place {
                [a, b] if a.base && b.base && a.kind == b.kind && is_stranger(one) => SAME_TEXT,
                _ => one.task.relation.as_str(),
            };
            let key = (one.task.change, relation);
            let alike = judged.behaviour == "more_alike_than_panel";
            groups.entry(key).or_default().push((log10_p, alike));
        }
    }
    groups
        .into_iter()
        .map(|((change, relation), pairs)| {
            let change = &look.plan.changes[change];
            row(
                if change.is_none() {
                    relation
                } else {
                    change.name()
                },
                &pairs,
            )
        })
        .collect()
}

fn row(what: &str, pairs: &[(f64, bool)]) -> Answered {
    let mut log10_p: Vec<f64> = pairs.iter().map(|(log10_p, _)| *log10_p).collect();
    log10_p.sort_by(f64::total_cmp);
    let at = |place: usize| log10_p.get(place).copied().unwrap_or_default();
    Answered {
        what: what.to_owned(),
        pairs: pairs.len(),
        more_alike: pairs.iter().filter(|(_, alike)| *alike).count(),
        lowest: at(0),
        median: at(log10_p.len() / 2),
        highest: at(log10_p.len().saturating_sub(1)),
    }
}
