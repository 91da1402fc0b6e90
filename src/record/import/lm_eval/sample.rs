//! One line of `samples_*.jsonl`.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use super::number;
use crate::record::import::Error;
use crate::record::import::join::Intake;
use crate::record::import::join::Row;
use crate::record::import::options;
use crate::record::import::scalar::Many;
use crate::record::import::scalar::Scalar;
use crate::record::import::scalar::Tree;

/// Metrics that say whether an answer is right, most plain first.
const RIGHT: [&str; 3] = ["acc", "exact_match", "em"];

/// What is read of a line.
#[derive(Debug, Default)]
pub(super) struct Sample<'a> {
    doc_id: Option<Scalar<'a>>,
    target: Option<Tree<'a>>,
    arguments: Requests<'a>,
    answers: Option<Tree<'a>>,
    pub filter: Option<Cow<'a, str>>,
    doc_hash: Option<Cow<'a, str>>,
    /// Numbers under other names: the metrics among them.
    numbers: Vec<(Cow<'a, str>, f64)>,
}

impl Sample<'_> {
    /// Hands the sample on as a row.
    pub(super) fn take(
        &self,
        task: &str,
        path: &Path,
        line: usize,
        intake: &mut Intake<'_>,
    ) -> Result<(), Error> {
        let refuse = |reason: &str| Error::line(path, line, reason);
        let Some(id) = &self.doc_id else {
            return Err(refuse(
                "there is no `doc_id`; is this a file of samples of lm-evaluation-harness?",
            ));
        };
        let Some(Tree::List(given)) = &self.answers else {
            return Err(refuse(
                "there is no list `filtered_resps`; is this a file of samples?",
            ));
        };
        let row = || Row {
            suite: task,
            id: &id.0,
            content: self.doc_hash.as_deref(),
            prompt: self.arguments.prompt.as_deref(),
            right: self.right(),
            ..Row::default()
        };
        match self.likelihoods(given) {
            Some(logs) if logs.len() > 1 => {
                let choice = self.choose(&logs);
                let choice =
                    choice.ok_or_else(|| refuse("no option has a finite log-likelihood"))?;
                intake.row(path, line, choice.row(row()))
            }
            // One likelihood is no answer: only the metric says whether the continuation was the model's own.
            Some(_) => intake.row(path, line, row()),
            None => {
                let (targets, answers) = (self.targets(), texts(given));
                let several = answers.len() > 1;
                for (at, answer) in answers.iter().enumerate() {
                    let row = Row {
                        targets: &targets,
                        answer: Some(answer),
                        repeat: several.then_some(at as u32),
                        // A metric over several answers belongs to none of them.
                        right: self.right().filter(|_| !several),
                        ..row()
                    };
                    intake.row(path, line, row)?;
                }
                if answers.is_empty() {
                    intake.failed();
                }
                Ok(())
            }
        }
    }

    /// The option with the highest log-likelihood, the first of equals, is the answer.
    fn choose(&self, logs: &[f64]) -> Option<Chosen<'_>> {
        let probabilities = options::softmax(logs).ok()?;
        let best = logs
            .iter()
            .enumerate()
            .fold(0, |best, (at, x)| if *x > logs[best] { at } else { best });
        let listed = self.listed(logs.len());
        let targets = self.targets();
        let right: Vec<usize> = targets
            .iter()
            .filter_map(|target| gold(target, &listed))
            .collect();
        Some(Chosen {
            targets: right.iter().map(|&at| listed[at].clone()).collect(),
            answer: listed[best].clone(),
            right: (!right.is_empty()).then(|| right.contains(&best)),
            gold: match right[..] {
                [one] => u32::try_from(one).ok(),
                _ => None,
            },
            probabilities,
        })
    }

    /// Log-likelihoods, if every response is a pair of one and of whether it was the model's own choice.
    fn likelihoods(&self, given: &[Tree<'_>]) -> Option<Vec<f64>> {
        let mut logs = given.iter().map(likelihood).collect::<Option<Vec<f64>>>()?;
        // The likelihoods without the question follow those with it.
        let twice = self
            .numbers
            .iter()
            .any(|(name, _)| name == "acc_mutual_info");
        if twice && logs.len().is_multiple_of(2) {
            logs.truncate(logs.len() / 2);
        }
        Some(logs)
    }

    /// The options' texts, or their numbers where texts are missing or the same.
    fn listed(&self, count: usize) -> Vec<Cow<'_, str>> {
        let texts: Vec<&str> = self
            .arguments
            .continuations
            .iter()
            .take(count)
            .map(|text| text.trim())
            .collect();
        let mut distinct = texts.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() == count {
            texts.into_iter().map(Cow::Borrowed).collect()
        } else {
            (0..count).map(|at| Cow::Owned(at.to_string())).collect()
        }
    }

    fn targets(&self) -> Vec<Cow<'_, str>> {
        match &self.target {
            Some(Tree::Leaf(text)) => {
                // Lists were written as Python writes them.
                let list = text
                    .starts_with('[')
                    .then(|| serde_json::from_str::<Many<'_>>(text).ok());
                match list.flatten() {
                    Some(many) => many.0,
                    None => vec![Cow::Borrowed(&**text)],
                }
            }
            Some(Tree::List(parts)) => texts(parts).into_iter().map(Cow::Borrowed).collect(),
            _ => Vec::new(),
        }
    }

    fn right(&self) -> Option<bool> {
        let of = |name: &str| {
            self.numbers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| *value)
        };
        RIGHT
            .iter()
            .find_map(|name| of(name))
            .map(|value| value >= 1.0)
    }
}

fn likelihood(response: &Tree<'_>) -> Option<f64> {
    match response {
        Tree::List(pair) => match &pair[..] {
            [Tree::List(_)] => likelihood(&pair[0]),
            [log, Tree::Leaf(own)]
                if own.eq_ignore_ascii_case("true") || own.eq_ignore_ascii_case("false") =>
            {
                number(log)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Leaves of the first response: one answer, or one per repetition.
fn texts<'t>(given: &'t [Tree<'_>]) -> Vec<&'t str> {
    match given {
        [Tree::List(repeats)] => texts(repeats),
        parts => {
            let leaf = |part: &'t Tree<'_>| match part {
                Tree::Leaf(text) => Some(&**text),
                _ => None,
            };
            parts.iter().filter_map(leaf).collect()
        }
    }
}

/// An answer out of a list.
struct Chosen<'a> {
    targets: Vec<Cow<'a, str>>,
    answer: Cow<'a, str>,
    right: Option<bool>,
    gold: Option<u32>,
    probabilities: Vec<f64>,
}

impl Chosen<'_> {
    /// `row` with what was chosen; a verdict of the log's own stands.
    fn row<'r>(&'r self, row: Row<'r>) -> Row<'r> {
        Row {
            targets: &self.targets,
            answer: Some(&self.answer),
            right: row.right.or(self.right),
            options: u32::try_from(self.probabilities.len()).ok(),
            gold: self.gold,
            probabilities: self.gold.map(|_| &*self.probabilities),
            ..row
        }
    }
}

/// Which option a target names: its number, or its text.
fn gold(target: &str, listed: &[Cow<'_, str>]) -> Option<usize> {
    let target = target.trim();
    let by_text = || listed.iter().position(|option| *option == target);
    let by_number = target.parse().ok().filter(|&at: &usize| at < listed.len());
    by_number.or_else(by_text)
}

/// The first request's prompt, and every request's continuation.
#[derive(Debug, Default)]
struct Requests<'a> {
    prompt: Option<Cow<'a, str>>,
    continuations: Vec<Cow<'a, str>>,
}

/// One request's arguments: the first two texts.
#[derive(Debug, Default)]
struct Request<'a>([Option<Cow<'a, str>>; 2]);

impl<'de: 'a, 'a> Deserialize<'de> for Requests<'a> {
    /// `{"gen_args_0": {"arg_0": …, "arg_1": …}, …}`, or lists in place of the objects.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut requests = Self::default();
        let parts: Parts<Request<'a>> = Parts::deserialize(deserializer)?;
        for (at, Request([prompt, continuation])) in parts.0.into_iter().enumerate() {
            if at == 0 {
                requests.prompt = prompt;
            }
            requests.continuations.extend(continuation);
        }
        Ok(requests)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Request<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts: Parts<Tree<'a>> = Parts::deserialize(deserializer)?;
        let mut texts = parts.0.into_iter().map(|part| match part {
            Tree::Leaf(text) => Some(text),
            _ => None,
        });
        Ok(Self([texts.next().flatten(), texts.next().flatten()]))
    }
}

/// The values of an object or list, in order; nothing for anything else.
struct Parts<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Parts<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
            type Value = Parts<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some((_, value)) = map.next_entry::<IgnoredAny, T>()? {
                    parts.push(value);
                }
                Ok(Parts(parts))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(value) = list.next_element()? {
                    parts.push(value);
                }
                Ok(Parts(parts))
            }
        }
        deserializer.deserialize_any(Values(std::marker::PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Sample<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Sample<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut sample = Sample::default();
        while let Some(Scalar(name)) = map.next_key()? {
            match &*name {
                "doc_id" => sample.doc_id = map.next_value()?,
                "target" => sample.target = map.next_value()?,
                "arguments" => sample.arguments = map.next_value()?,
                "filtered_resps" => sample.answers = map.next_value()?,
                "filter" => sample.filter = text(&mut map)?,
                "doc_hash" => sample.doc_hash = text(&mut map)?,
                "doc" | "resps" | "metrics" | "prompt_hash" | "target_hash" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let value: Tree<'_> = map.next_value()?;
                    let truth = match &value {
                        Tree::Leaf(text) if text == "true" => Some(1.0),
                        Tree::Leaf(text) if text == "false" => Some(0.0),
                        value => number(value),
                    };
                    sample.numbers.extend(truth.map(|value| (name, value)));
                }
            }
        }
        Ok(sample)
    }
}

/// The text that comes next, if it is one.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    let value: Option<Scalar<'_>> = map.next_value()?;
    Ok(value.map(|text| text.0))
}
