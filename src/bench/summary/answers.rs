//! Which pairs answer more alike than their panel.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Look;
use crate::bench::plan::{Member, SELF};
use crate::bench::score::Measured;
use crate::stat::order::median;
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
    /// By test, same wrong answers, then whole expectations; `None` where it applied to none of the pairs.
    pub tests: Vec<Option<Spread>>,
}

/// log10 p over some pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub lowest: f64,
    /// In the middle.
    pub median: f64,
    /// Largest.
    pub highest: f64,
}

/// Bases of independent runs that learnt the same text with the same tokenizer.
const SAME_TEXT: &str = "independent, one text";

/// The tests that the verdict reads.
const METHODS: [&str; 2] = ["behaviour.shared_answers", "behaviour.shared_expectations"];

/// A pair: by test its log10 p, and whether the verdict calls it.
type One = ([Option<f64>; METHODS.len()], bool);

/// Unchanged pairs by relation, then models beside their own changed copies; nothing where no panel answered.
pub(super) fn answered(look: &Look<'_>) -> Vec<Answered> {
    let mut groups: BTreeMap<(usize, String), Vec<One>> = BTreeMap::new();
    for (one, judged) in look.pairs() {
        // A changed suspect is looked at beside what it was.
        if !look.plan.changes[one.task.change].is_none() && one.task.relation != SELF {
            continue;
        }
        let log10_p = METHODS.map(|id| one.score(id).and_then(|score| score.log10_p));
        if log10_p.iter().any(Option::is_some) {
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

fn row(what: &str, pairs: &[One]) -> Answered {
    let test = |at: usize| {
        let log10_p: Vec<f64> = pairs.iter().filter_map(|(tests, _)| tests[at]).collect();
        let fold = |pick: fn(f64, f64) -> f64| log10_p.iter().copied().reduce(pick);
        Some(Spread {
            lowest: fold(f64::min)?,
            median: median(log10_p.iter().copied())?,
            highest: fold(f64::max)?,
        })
    };
    Answered {
        what: what.to_owned(),
        pairs: pairs.len(),
        more_alike: pairs.iter().filter(|(_, alike)| *alike).count(),
        tests: (0..METHODS.len()).map(test).collect(),
    }
}
