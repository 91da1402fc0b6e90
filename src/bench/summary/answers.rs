//! Which pairs answer more alike than their panel.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Look;
use crate::bench::plan::{Member, SELF};
use crate::bench::score::Measured;
use crate::verdict::population::{DISTILLED, INDEPENDENT};

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

/// The method that the verdict reads.
const METHOD: &str = "behaviour.shared_answers";

/// Unchanged pairs by relation, then models beside their own changed copies; nothing where no panel answered.
pub(super) fn answered(look: &Look<'_>) -> Vec<Answered> {
    let mut groups: BTreeMap<(usize, String), Vec<(f64, bool)>> = BTreeMap::new();
    for (one, judged) in look.pairs() {
        // A changed suspect is looked at beside what it was.
        if !look.plan.changes[one.task.change].is_none() && one.task.relation != SELF {
            continue;
        }
        let score = one.score(METHOD).and_then(|score| score.log10_p);
        if let Some(log10_p) = score {
            let place = [one.task.reference, one.task.suspect].map(|at| &look.plan.members[at]);
            let key = (one.task.change, known(one, place));
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
                    &relation
                } else {
                    change.name()
                },
                &pairs,
            )
        })
        .collect()
}

/// The relation, and how much was learnt between the two where one was made of or taught by the other.
fn known(one: &Measured, [a, b]: [&Member; 2]) -> String {
    let relation = one.task.relation.as_str();
    if a.base && b.base && a.kind == b.kind && relation == INDEPENDENT {
        return SAME_TEXT.to_owned();
    }
    let lesson = [(a, b), (b, a)].into_iter().find_map(|(younger, elder)| {
        let lesson = younger.lesson.as_ref()?;
        (lesson.elder == elder.name).then_some(lesson)
    });
    match lesson {
        Some(lesson) => format!("{relation}: {}", lesson.course),
        None if relation == DISTILLED => format!("{relation}, of kin"),
        None => relation.to_owned(),
    }
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
