//! Answers side by side.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::report::data::{AnswerRow, PictureRow, Report};

use super::Limits;
use super::page::{passage, shown};

/// Items that are shown without being asked for.
const OPEN: usize = 16;

/// What the page shows of the answers.
pub(super) struct Answers {
    pub rows: Vec<Answer>,
    /// The same, behind a disclosure.
    pub rest: Vec<Answer>,
    /// How many items of each kind there are, shown or not.
    pub kinds: Vec<(&'static str, usize)>,
    /// Items that are only in `result.json`.
    pub left: usize,
}

/// One item.
pub(in crate::report) struct Answer {
    pub suite: String,
    pub item: String,
    pub kind: &'static str,
    pub prompt: String,
    pub picture: Option<Shown>,
    pub target: Option<String>,
    pub sides: [Side; 2],
    pub alike: bool,
}

/// A picture.
pub(in crate::report) struct Shown {
    /// The file as an address, where it is small enough.
    pub address: Option<String>,
    /// Beginning of its hash.
    pub name: String,
}

impl Shown {
    /// What was checked to be PNG or JPEG; a browser is told which.
    fn new(row: &PictureRow) -> Self {
        let address = |bytes: &Vec<u8>| {
            let kind = match bytes.starts_with(b"\xFF\xD8") {
                true => "jpeg",
                false => "png",
            };
            format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
        };
        Self {
            address: row.bytes.as_ref().map(address),
            name: row.sha256.chars().take(12).collect(),
        }
    }
}

/// One model's answer.
pub(in crate::report) struct Side {
    pub class: &'static str,
    pub name: String,
    pub text: String,
    pub symbol: &'static str,
    pub mark: &'static str,
}

impl Answers {
    pub fn new(report: &Report, names: &[String; 2], limits: Limits) -> Self {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for row in &report.answers {
            *counts.entry(kind(row)).or_default() += 1;
        }
        let mut rows: Vec<_> = report
            .answers
            .iter()
            .take(limits.answers)
            .map(|row| Answer::new(row, names, limits.passage))
            .collect();
        let left = report.answers.len() - rows.len();
        let rest = rows.split_off(rows.len().min(OPEN));
        Self {
            rows,
            rest,
            left,
            kinds: counts.into_iter().map(|(k, n)| (KINDS[k], n)).collect(),
        }
    }
}

impl Answer {
    pub fn new(row: &AnswerRow, names: &[String; 2], limit: usize) -> Self {
        let side = |class, name: &String, text: &str, correct: Option<bool>| {
            let (symbol, mark) = match correct {
                Some(true) => ("✓", "right"),
                Some(false) => ("✗", "wrong"),
                None => ("–", "not scored"),
            };
            Side {
                class,
                name: name.clone(),
                text: passage(text, limit),
                symbol,
                mark,
            }
        };
        let [reference, suspect] = names;
        Self {
            suite: shown(&row.suite),
            item: shown(&row.item),
            kind: KINDS[kind(row)],
            prompt: passage(&row.prompt, limit),
            picture: row.picture.as_ref().map(Shown::new),
            target: row.target.as_ref().map(|text| passage(text, limit)),
            sides: [
                side(
                    "reference",
                    reference,
                    &row.reference,
                    row.reference_correct,
                ),
                side("suspect", suspect, &row.suspect, row.suspect_correct),
            ],
            alike: row.alike,
        }
    }
}

/// Most telling first.
const KINDS: [&str; 7] = [
    "both wrong, same answer",
    "both wrong, different answers",
    "only the reference wrong",
    "only the suspect wrong",
    "both right",
    "not scored, same answer",
    "not scored, different answers",
];

fn kind(row: &AnswerRow) -> usize {
    match (row.reference_correct, row.suspect_correct, row.alike) {
        (Some(false), Some(false), true) => 0,
        (Some(false), Some(false), false) => 1,
        (Some(false), Some(true), _) => 2,
        (Some(true), Some(false), _) => 3,
        (Some(true), Some(true), _) => 4,
        (_, _, true) => 5,
        (_, _, false) => 6,
    }
}
