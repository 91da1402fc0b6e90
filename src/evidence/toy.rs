//! Toy models with what was recorded of them.

use std::collections::BTreeMap;

use super::{Evidence, Memo, Outcome, Pair, Subject};
use crate::model::Model;
use crate::model::toy::{Dims, Toy};
use crate::record;
use crate::record::{Activations, Header, Place, Record, Recording, WeightProfile};

/// An opened toy with what was recorded of it.
pub(crate) struct Open {
    pub model: Model,
    pub profile: WeightProfile,
    pub recordings: Vec<Recording>,
    pub activations: Option<Activations>,
    _folder: tempfile::TempDir,
}

impl Open {
    /// `toy` written, opened and profiled.
    pub fn new(toy: &Toy) -> Self {
        let (model, folder) = toy.open();
        Self {
            profile: record::of_test_model(&model),
            model,
            recordings: Vec::new(),
            activations: None,
            _folder: folder,
        }
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            profile: Some(&self.profile),
            recordings: &self.recordings,
            activations: self.activations.as_ref(),
            patches: Err("it sees nothing"),
            missing: None,
        }
    }
}

/// The pair without a population.
pub(crate) fn pair<'a>(reference: &'a Open, suspect: &'a Open) -> Pair<'a> {
    Pair {
        reference: reference.subject(),
        suspect: suspect.subject(),
        population: &[],
        derived: None,
        references: &[],
        seed: 0,
        memo: Memo::default(),
    }
}

/// What a method says of a pair beside a panel.
pub(crate) fn beside(method: &dyn Evidence, a: &Open, b: &Open, panel: &[Open]) -> Outcome {
    let panel: Vec<Subject<'_>> = panel.iter().map(Open::subject).collect();
    let with = Pair {
        population: &panel,
        ..pair(a, b)
    };
    method.assess(&with).unwrap()
}

/// A toy that gave `answers` to suites `(id, answers)`, without truth.
pub(crate) fn answered(seed: u64, suites: &[(&str, &[&str])]) -> Open {
    let suite = |(id, answers): &(&str, &[&str])| {
        let records = answers
            .iter()
            .enumerate()
            .map(|(i, answer)| one_record(i, answer, None));
        recording(id, records.collect())
    };
    let mut open = Open::new(&Toy::new(seed, Dims::default()));
    open.recordings = suites.iter().map(suite).collect();
    open
}

/// A toy that gave `answer(i)` to item `i` whose truth is `truth(i)`.
pub(crate) fn answered_with_truth(
    seed: u64,
    n: usize,
    truth: impl Fn(usize) -> String,
    answer: impl Fn(usize) -> String,
) -> Open {
    let records = (0..n).map(|i| one_record(i, &answer(i), Some(answer(i) == truth(i))));
    let mut open = Open::new(&Toy::new(seed, Dims::default()));
    open.recordings = vec![recording("suite", records.collect())];
    open
}

/// What a toy expects at one place: bytes before it, candidates with their probability.
pub(crate) type Expected<'a> = (u32, &'a [(&'a str, f64)]);

/// A toy that was read along one prompt per element; its answers are empty.
pub(crate) fn expecting(seed: u64, prompts: &[&[Expected<'_>]]) -> Open {
    let mut open = Open::new(&Toy::new(seed, Dims::default()));
    let records = (0..prompts.len()).map(|i| one_record(i, "", None));
    open.recordings = vec![recording("next", records.collect())];
    read_along(&mut open.recordings[0], prompts);
    open
}

/// Gives a recording what was expected along its prompts.
pub(crate) fn read_along(recording: &mut Recording, prompts: &[&[Expected<'_>]]) {
    let mut tokens: BTreeMap<String, u32> = BTreeMap::new();
    for (record, expected) in recording.records.iter_mut().zip(prompts) {
        for (offset, law) in *expected {
            let mut token = |text: &str| {
                let next = tokens.len() as u32;
                *tokens.entry(text.to_owned()).or_insert(next)
            };
            record.places.push(Place {
                offset: *offset,
                surprisal: *offset as f32,
                top: law
                    .iter()
                    .map(|(text, p)| (token(text), p.ln() as f32))
                    .collect(),
                projection: Vec::new(),
            });
        }
    }
    recording.texts = tokens
        .into_iter()
        .map(|(text, token)| (token, text))
        .collect();
}

/// Answers that are JSON objects of `tool`, `args` and `action`, to a prompt that names no key.
pub(crate) fn structured(
    n: usize,
    target: impl Fn(usize) -> String,
    answer: impl Fn(usize) -> String,
) -> Recording {
    let record = |i: usize| {
        let scored = record::scored_fields(&["tool", "args", "action"], &target(i), &answer(i));
        Record {
            fields: scored.fields,
            form: scored.form,
            ..one_record(i, &answer(i), scored.correct)
        }
    };
    recording("actions", (0..n).map(record).collect())
}

fn one_record(i: usize, answer: &str, correct: Option<bool>) -> Record {
    Record {
        item: format!("item-{i}"),
        prompt_sha256: String::new(),
        prompt_tokens: Some(1),
        answer: answer.to_owned(),
        tokens: Vec::new(),
        top: Vec::new(),
        margins: Vec::new(),
        correct,
        fields: BTreeMap::new(),
        form: None,
        error: None,
        group: None,
        places: Vec::new(),
    }
}

fn recording(id: &str, records: Vec<Record>) -> Recording {
    Recording {
        header: Header {
            schema: String::new(),
            key: String::new(),
            model_digest: String::new(),
            suite: id.to_owned(),
            suite_version: 1,
            suite_sha256: format!("sha of {id}"),
            decoding: "greedy".to_owned(),
            engine: String::new(),
            absent: BTreeMap::new(),
        },
        records,
        texts: BTreeMap::new(),
        vocabulary: None,
    }
}
