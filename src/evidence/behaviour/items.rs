//! Items that both models answered, suite by suite.

use std::collections::BTreeMap;

use crate::evidence::{Pair, Subject};
use crate::record::{Record, normalise};

/// A suite that both models answered.
pub(super) struct Suite<'a> {
    pub id: &'a str,
    /// Both models' answers to one item, errors left out, in suite order.
    pub items: Vec<(&'a Record, &'a Record)>,
}

/// Suites with the same content (hash) that both answered, with the items that both did.
pub(super) fn shared<'a>(a: Subject<'a>, b: Subject<'a>) -> Vec<Suite<'a>> {
    let mut suites = Vec::new();
    for ours in a.recordings {
        let same = |other: &&crate::record::Recording| {
            other.header.suite_sha256 == ours.header.suite_sha256
                && other.header.decoding == ours.header.decoding
        };
        let Some(theirs) = b.recordings.iter().find(same) else {
            continue;
        };
        let by_item: BTreeMap<&str, &Record> = theirs
            .records
            .iter()
            .map(|record| (record.item.as_str(), record))
            .collect();
        let items: Vec<(&Record, &Record)> = ours
            .records
            .iter()
            .filter_map(|record| Some((record, *by_item.get(record.item.as_str())?)))
            .filter(|(x, y)| x.error.is_none() && y.error.is_none())
            .collect();
        if !items.is_empty() {
            suites.push(Suite {
                id: &ours.header.suite,
                items,
            });
        }
    }
    suites
}

/// Why there is nothing to compare.
pub(super) fn why_missing(pair: &Pair<'_>) -> String {
    let [a, b] = [pair.reference, pair.suspect].map(|one| (one.recordings.is_empty(), one.missing));
    match [a, b] {
        [(true, Some(why)), _] => format!("reference: {why}"),
        [_, (true, Some(why))] => format!("suspect: {why}"),
        [(true, None), _] | [_, (true, None)] => {
            "answers of one of the models were not recorded".to_owned()
        }
        _ => "the two models answered no suite in common".to_owned(),
    }
}

/// Whether two answers to one item are the same.
///
/// Structured answers are compared field by field where both gave a field at all; other answers as they
/// are scored: without regard to case, white space and final punctuation, unless nothing else is left.
pub fn alike(a: &Record, b: &Record) -> bool {
    let given = |record: &Record| -> Option<Vec<(String, Option<String>)>> {
        let fields = record.fields.iter();
        let fields: Vec<_> = fields
            .map(|(name, field)| (name.clone(), field.given.as_deref().map(normalise)))
            .collect();
        fields
            .iter()
            .any(|(_, given)| given.is_some())
            .then_some(fields)
    };
    match (given(a), given(b)) {
        (Some(x), Some(y)) => x == y,
        (None, None) => {
            let (x, y) = (normalise(&a.answer), normalise(&b.answer));
            if x.is_empty() && y.is_empty() {
                a.answer == b.answer
            } else {
                x == y
            }
        }
        _ => false,
    }
}

/// How two models' answers to one suite fall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub both_right: u64,
    pub reference_wrong: u64,
    pub suspect_wrong: u64,
    pub both_wrong_differently: u64,
    pub both_wrong_alike: u64,
}

impl Tally {
    /// Of the items with a truth.
    pub fn of(items: &[(&Record, &Record)]) -> Self {
        let mut tally = Self::default();
        for (a, b) in items {
            match (a.correct, b.correct) {
                (Some(true), Some(true)) => tally.both_right += 1,
                (Some(false), Some(true)) => tally.reference_wrong += 1,
                (Some(true), Some(false)) => tally.suspect_wrong += 1,
                (Some(false), Some(false)) if alike(a, b) => tally.both_wrong_alike += 1,
                (Some(false), Some(false)) => tally.both_wrong_differently += 1,
                _ => {}
            }
        }
        tally
    }

    pub fn both_wrong(&self) -> u64 {
        self.both_wrong_alike + self.both_wrong_differently
    }

    /// All errors of the reference, and of the suspect.
    pub fn errors(&self) -> (u64, u64) {
        let both = self.both_wrong();
        (self.reference_wrong + both, self.suspect_wrong + both)
    }

    pub fn n(&self) -> u64 {
        self.both_right + self.reference_wrong + self.suspect_wrong + self.both_wrong()
    }

    pub fn add(&mut self, other: &Self) {
        self.both_right += other.both_right;
        self.reference_wrong += other.reference_wrong;
        self.suspect_wrong += other.suspect_wrong;
        self.both_wrong_differently += other.both_wrong_differently;
        self.both_wrong_alike += other.both_wrong_alike;
    }
}
