//! Comma-separated values with a header line: the columns are the fields of the JSONL form.
//!
//! `target` and `options` may be JSON lists; `probabilities` and `logprobs` are JSON lists.

use std::borrow::Cow;
use std::path::Path;

use csv::StringRecord;

use super::Choice;
use super::Error;
use super::join::Intake;
use super::jsonl::Line;
use super::scalar::Many;
use super::scalar::Scalar;
use crate::text::ModelText;

/// Reads a file.
pub(super) fn read(path: &Path, _choice: &Choice, intake: &mut Intake<'_>) -> Result<(), Error> {
    let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
    let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
    let broken = |error: &csv::Error| {
        let line = error.position().map_or(1, |at| at.line() as usize);
        Error::line(path, line, ModelText::new(error.to_string()).clipped(160))
    };
    let head = reader.headers().map_err(|error| broken(&error))?.clone();
    let head = Head::new(path, &head)?;
    let mut record = StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|error| broken(&error))?
    {
        let number = record.position().map_or(0, |at| at.line() as usize);
        let line = head
            .line(&record)
            .map_err(|reason| Error::line(path, number, reason))?;
        line.take(path, number, intake)?;
    }
    Ok(())
}

/// Which column is which field.
struct Head {
    names: Vec<Option<Field>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Suite,
    Version,
    Prompt,
    ContentHash,
    Target,
    Answer,
    Correct,
    Repeat,
    Group,
    Options,
    Probabilities,
    Logprobs,
}

impl Head {
    fn new(path: &Path, head: &StringRecord) -> Result<Self, Error> {
        let names: Vec<Option<Field>> = head
            .iter()
            .map(|name| field(name.trim_start_matches('\u{feff}').trim()))
            .collect();
        for (wanted, name) in [(Field::Id, "id"), (Field::Answer, "answer")] {
            let found = names.iter().filter(|field| **field == Some(wanted)).count();
            if found != 1 {
                let reason = format!(
                    "the first line names {found} columns `{name}`; it must name id, target and answer, each once"
                );
                return Err(Error::line(path, 1, reason));
            }
        }
        Ok(Self { names })
    }

    /// An empty cell is an absent field, but for the answer, which may be nothing.
    fn line<'a>(&self, record: &'a StringRecord) -> Result<Line<'a>, String> {
        let mut line = Line::default();
        for (field, text) in self.names.iter().zip(record) {
            let Some(field) = field else { continue };
            let scalar = || Scalar(Cow::Borrowed(text));
            match field {
                Field::Answer => line.answer = Some(scalar()),
                _ if text.is_empty() => {}
                Field::Id => line.id = Some(scalar()),
                Field::Suite => line.suite = Some(scalar()),
                Field::Version => line.version = Some(scalar()),
                Field::Prompt => line.prompt = Some(Cow::Borrowed(text)),
                Field::ContentHash => line.content_hash = Some(scalar()),
                Field::Group => line.group = Some(scalar()),
                Field::Target => line.target = Some(many(text)),
                Field::Options => line.options = Some(many(text)),
                Field::Correct => line.correct = Some(truth(text)?),
                Field::Repeat => {
                    let number = text.trim().parse();
                    line.repeat =
                        Some(number.map_err(|_| "`repeat` must be a number from 0".to_owned())?);
                }
                Field::Probabilities => line.probabilities = Some(numbers(text)?),
                Field::Logprobs => line.logprobs = Some(numbers(text)?),
            }
        }
        Ok(line)
    }
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "id" => Field::Id,
        "suite" | "task" => Field::Suite,
        "version" => Field::Version,
        "prompt" | "input" => Field::Prompt,
        "content_hash" => Field::ContentHash,
        "target" => Field::Target,
        "answer" => Field::Answer,
        "correct" => Field::Correct,
        "repeat" | "epoch" => Field::Repeat,
        "group" => Field::Group,
        "options" => Field::Options,
        "probabilities" => Field::Probabilities,
        "logprobs" => Field::Logprobs,
        _ => return None,
    })
}

/// A JSON list, or the text as it is.
fn many(text: &str) -> Many<'_> {
    if text.starts_with('[')
        && let Ok(list) = serde_json::from_str::<Vec<Scalar<'_>>>(text)
    {
        return Many(list.into_iter().map(|one| one.0).collect());
    }
    Many(vec![Cow::Borrowed(text)])
}

fn truth(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "1.0" | "yes" => Ok(true),
        "false" | "0" | "0.0" | "no" => Ok(false),
        _ => Err("`correct` must be true or false".to_owned()),
    }
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    serde_json::from_str(text)
        .map_err(|_| "a JSON list of numbers is wanted, as in [0.7, 0.3]".to_owned())
}
