//! Toy models with what was recorded of them.

use super::{Memo, Pair, Subject};
use crate::model::Model;
use crate::model::toy::{Dims, Toy};
use crate::record;
use crate::record::{Activations, Header, Record, Recording, WeightProfile};

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
        seed: 0,
        memo: Memo::default(),
    }
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

fn one_record(i: usize, answer: &str, correct: Option<bool>) -> Record {
    Record {
        item: format!("item-{i}"),
        prompt_sha256: String::new(),
        prompt_tokens: 1,
        answer: answer.to_owned(),
        tokens: Vec::new(),
        top: Vec::new(),
        correct,
        fields: std::collections::BTreeMap::new(),
        error: None,
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
        },
        records,
    }
}
