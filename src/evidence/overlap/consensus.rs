//! Where there is no truth: who departs from what most other models answer, and whether in the same way.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::Stated;
use super::view::UNKNOWN;
use super::view::View;

/// Fewest other models that must give an answer before it counts as what others answer.
const VOTES: usize = 2;

/// Two models on items without a truth, beside the answer that most others give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// Items that both answered and on which the others have a most frequent answer.
    pub items: u64,
    /// Departures of the first from it.
    pub first: u64,
    /// Of the second.
    pub second: u64,
    /// Of both.
    pub both: u64,
    /// Of both, with the same answer.
    pub both_alike: u64,
}

/// Items that no log has a verdict on.
pub(super) fn without_truth(view: &View<'_>) -> Vec<usize> {
    let judged = |at: usize| view.columns.iter().any(|column| column.right[at].is_some());
    (0..view.counted.len()).filter(|&at| !judged(at)).collect()
}

/// `items` are those without a truth.
pub(super) fn deviation(
    view: &View<'_>,
    (first, second): (usize, usize),
    items: &[usize],
) -> Stated<Deviation> {
    if items.is_empty() {
        return Stated::missing("every item has a truth");
    }
    let mut found = Deviation::default();
    for &at in items {
        let code = |model: usize| view.columns[model].codes[at];
        let (a, b) = (code(first), code(second));
        if a == UNKNOWN || b == UNKNOWN {
            continue;
        }
        let others = (0..view.columns.len()).filter(|model| ![first, second].contains(model));
        let Some(most) = most_frequent(others.map(code)) else {
            continue;
        };
        found.items += 1;
        found.first += u64::from(a != most);
        found.second += u64::from(b != most);
        found.both += u64::from(a != most && b != most);
        found.both_alike += u64::from(a != most && a == b);
    }
    Stated::from_option((found.items > 0).then_some(found), || {
        format!("on no item without a truth do {VOTES} or more other models agree")
    })
}

/// The answer that more models give than any other one, if it has votes enough.
fn most_frequent(codes: impl Iterator<Item = u32>) -> Option<u32> {
    let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
    for code in codes.filter(|code| *code != UNKNOWN) {
        *votes.entry(code).or_default() += 1;
    }
    let (&code, &most) = votes.iter().max_by_key(|(_, votes)| **votes)?;
    let ties = votes.values().filter(|votes| **votes == most).count();
    (most >= VOTES && ties == 1).then_some(code)
}
