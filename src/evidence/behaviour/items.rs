//! Items that both models answered, suite by suite.

use std::collections::BTreeMap;

use crate::evidence::{Pair, Subject};
use crate::record::{FieldOutcome, Record, Recording, normalise};

/// A suite that both models answered.
pub(super) struct Suite<'a> {
    pub id: &'a str,
    /// Both models' answers to one item, errors left out, in suite order.
    pub items: Vec<(&'a Record, &'a Record)>,
    /// Texts of the tokens that the records' places name, of both models.
    pub texts: [&'a BTreeMap<u32, String>; 2],
    of: &'a Recording,
}

impl Suite<'_> {
    /// Whether a recording is of the same content, read in the same way.
    pub fn is_of(&self, recording: &Recording) -> bool {
        comparable(self.of, recording)
    }
}

/// Suites with the same content (hash) that both answered, with the items that both did.
pub(super) fn shared<'a>(a: Subject<'a>, b: Subject<'a>) -> Vec<Suite<'a>> {
    let mut suites = Vec::new();
    for ours in a.recordings {
        let Some(theirs) = b.recordings.iter().find(|one| comparable(ours, one)) else {
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
                texts: [&ours.texts, &theirs.texts],
                of: ours,
            });
        }
    }
    suites
}

/// Whether two recordings answer the same prompts in the same way.
pub(super) fn comparable(a: &Recording, b: &Recording) -> bool {
    a.header.suite_sha256 == b.header.suite_sha256 && a.header.decoding == b.header.decoding
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

/// Whether two answers to one item are the same: their keys are.
pub fn alike(a: &Record, b: &Record) -> bool {
    key(a) == key(b)
}

/// What makes two answers to one item the same.
///
/// Structured answers are compared field by field where both gave a field at all; other answers as they
/// are scored: without regard to case, white space and final punctuation, unless nothing else is left.
pub(super) fn key(record: &Record) -> String {
    let fields = || record.fields.iter();
    if fields().any(|(_, field)| field.given.is_some()) {
        let given = |field: &FieldOutcome| field.given.as_deref().map(normalise);
        let fields: Vec<_> = fields().map(|(name, field)| (name, given(field))).collect();
        return format!("fields {fields:?}");
    }
    match normalise(&record.answer) {
        empty if empty.is_empty() => format!("as it is {}", record.answer),
        text => format!("text {text}"),
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
