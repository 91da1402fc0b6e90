//! Evaluation logs of inspect_ai as JSON: one document with `eval` (task, version, model) and `samples`, each
//! with `id`, `epoch`, `input`, `target`, `choices`, `output` and `scores`.
//!
//! Samples are read one after the other and dropped. The first score of a sample counts, or the one that
//! `--scorer` names: `C` or 1 is right, all else wrong, partial credit too. Epochs are repetitions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Value;

use super::Choice;
use super::Error;
use super::join::Intake;
use super::join::Row;
use crate::text::ModelText;

/// Reads a file.
pub(super) fn read(path: &Path, choice: &Choice, intake: &mut Intake<'_>) -> Result<(), Error> {
    let mut whole = Whole {
        path,
        choice,
        intake,
        task: String::new(),
        counts: Counts::default(),
        refused: None,
    };
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut reader = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 20, file));
    let read = Log(&mut whole).deserialize(&mut reader);
    // An error of ours ended the reading, and says more than serde's.
    if let Some(error) = whole.refused.take() {
        return Err(error);
    }
    read.map_err(|error| {
        let zipped = error.line() == 1 && error.column() <= 2;
        match zipped {
            true => Error::file(
                path,
                "this is no JSON; a log in the .eval format is made readable by `inspect log convert --to json`",
            ),
            false => Error::json(path, error.line(), &error),
        }
    })?;
    whole.close()
}

/// What is carried through the document.
struct Whole<'w, 'j> {
    path: &'w Path,
    choice: &'w Choice,
    intake: &'w mut Intake<'j>,
    task: String,
    counts: Counts,
    refused: Option<Error>,
}

#[derive(Default)]
struct Counts {
    samples: usize,
    partial: usize,
    invalid: usize,
    scorers: BTreeMap<String, usize>,
}

impl Whole<'_, '_> {
    fn header(&mut self, header: &Header) -> Result<(), Error> {
        self.task.clone_from(&header.task);
        match &header.task_version {
            Value::Number(version) => {
                self.intake
                    .version(self.path, &self.task, &version.to_string())
            }
            Value::String(version) => self.intake.version(self.path, &self.task, version),
            _ => Ok(()),
        }
    }

    fn sample(&mut self, sample: &Sample) -> Result<(), Error> {
        self.counts.samples += 1;
        if sample.invalidation.is_some() {
            self.counts.invalid += 1;
            return Ok(());
        }
        if sample.error.is_some() {
            self.intake.failed();
            return Ok(());
        }
        let number = self.counts.samples;
        let refuse = |reason: String| Error::file(self.path, format!("sample {number}: {reason}"));
        let id = text(&sample.id).ok_or_else(|| refuse("there is no `id`".to_owned()))?;
        let score = self.score(sample).map_err(refuse)?;
        let right = score.as_ref().and_then(|score| self.verdict(&score.value));
        let targets: Vec<Cow<'_, str>> = match &sample.target {
            Value::Array(list) => list.iter().filter_map(text).collect(),
            one => text(one).into_iter().collect(),
        };
        let targets: Vec<Cow<'_, str>> = targets
            .into_iter()
            .filter(|target| !target.is_empty())
            .collect();
        let output = sample.output.as_ref().and_then(Output::text);
        let answer = score
            .as_ref()
            .and_then(|score| score.answer.as_deref())
            .or(output.as_deref());
        let input = match &sample.input {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row = Row {
            suite: &self.task,
            id: &id,
            prompt: Some(&input),
            targets: &targets,
            answer,
            right,
            repeat: sample.epoch,
            options: sample.choices.as_ref().map(|list| list.len() as u32),
            ..Row::default()
        };
        self.intake
            .row(self.path, number, row)
            .map_err(|error| match error {
                Error::Line { path, line, reason } => Error::File {
                    path,
                    reason: format!("sample {line}: {reason}"),
                },
                other => other,
            })
    }

    /// The score that counts.
    fn score(&mut self, sample: &Sample) -> Result<Option<Score>, String> {
        let Some(scores) = &sample.scores else {
            return Ok(None);
        };
        let found = match &self.choice.scorer {
            Some(name) => Some(scores.get_key_value(name.as_str()).ok_or_else(|| {
                let names: Vec<&str> = scores.keys().map(String::as_str).collect();
                let names = ModelText::new(names.join(", ")).clipped(80);
                format!("it has no score of that scorer; it has {names}")
            })?),
            None => scores.iter().next(),
        };
        for name in scores.keys() {
            *self.counts.scorers.entry(name.clone()).or_default() += 1;
        }
        let Some((_, value)) = found else {
            return Ok(None);
        };
        let score = Score::deserialize(value)
            .map_err(|error| ModelText::new(error.to_string()).clipped(80))?;
        Ok(Some(score))
    }

    /// Right or wrong; `None` for a sample that was not scored.
    fn verdict(&mut self, value: &Value) -> Option<bool> {
        let (right, partial) = match value {
            Value::Bool(right) => (*right, false),
            Value::Number(number) => {
                let value = number.as_f64()?;
                (value >= 1.0, value > 0.0 && value < 1.0)
            }
            Value::String(text) => match text.as_str() {
                "C" | "1" | "1.0" => (true, false),
                "P" => (false, true),
                text => (
                    matches!(text.to_ascii_lowercase().as_str(), "yes" | "true"),
                    false,
                ),
            },
            _ => return None,
        };
        self.counts.partial += usize::from(partial);
        Some(right)
    }

    fn close(self) -> Result<(), Error> {
        if self.counts.partial > 0 {
            let words = format!(
                "{} answers with partial credit count as wrong",
                self.counts.partial
            );
            self.intake.note(&words);
        }
        if self.counts.invalid > 0 {
            let words = format!(
                "{} samples were marked as invalid and are left out",
                self.counts.invalid
            );
            self.intake.note(&words);
        }
        if self.counts.scorers.len() > 1 && self.choice.scorer.is_none() {
            let names: Vec<&str> = self.counts.scorers.keys().map(String::as_str).collect();
            let names = ModelText::new(names.join(", ")).clipped(120);
            self.intake.note(&format!(
                "the first of several scores counts; --scorer chooses one of {names}"
            ));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Header {
    task: String,
    #[serde(default)]
    task_version: Value,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    id: Value,
    epoch: Option<u32>,
    #[serde(default)]
    input: Value,
    choices: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    target: Value,
    output: Option<Output>,
    scores: Option<Map<String, Value>>,
    error: Option<IgnoredAny>,
    invalidation: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Score {
    value: Value,
    answer: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    completion: Option<String>,
    #[serde(default)]
    choices: Vec<Completion>,
}

#[derive(Deserialize)]
struct Completion {
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

impl Output {
    /// What the model said, reasoning left out.
    fn text(&self) -> Option<Cow<'_, str>> {
        if let Some(text) = &self.completion {
            return Some(Cow::Borrowed(text));
        }
        match &self.choices.first()?.message.as_ref()?.content {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Array(parts) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                Some(Cow::Owned(texts.collect::<Vec<_>>().join("\n")))
            }
            _ => None,
        }
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// The document.
struct Log<'l, 'w, 'j>(&'l mut Whole<'w, 'j>);

impl<'de> DeserializeSeed<'de> for Log<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Log<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an evaluation log of inspect_ai")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let whole = self.0;
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "eval" => {
                    let header: Header = map.next_value()?;
                    let done = whole.header(&header);
                    stop(whole, done)?;
                    found = true;
                }
                "samples" if !found => {
                    return Err(serde::de::Error::custom(
                        "`eval`, with the name of the task, must come before `samples`",
                    ));
                }
                "samples" => map.next_value_seed(Samples(whole))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match found {
            true => Ok(()),
            false => Err(serde::de::Error::custom(
                "there is no `eval`; is this a log of inspect_ai?",
            )),
        }
    }
}

/// The list of samples.
struct Samples<'l, 'w, 'j>(&'l mut Whole<'w, 'j>);

impl<'de> DeserializeSeed<'de> for Samples<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Samples<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of samples")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(sample) = list.next_element::<Sample>()? {
            let done = self.0.sample(&sample);
            stop(self.0, done)?;
        }
        Ok(())
    }
}

/// Ends the reading with an error of ours, kept for the caller.
fn stop<E: serde::de::Error>(whole: &mut Whole<'_, '_>, done: Result<(), Error>) -> Result<(), E> {
    done.map_err(|error| {
        whole.refused = Some(error);
        E::custom("refused")
    })
}
