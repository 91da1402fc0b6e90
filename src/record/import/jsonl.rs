//! One JSON object per line: `{"id": …, "target": …, "answer": …}` and what else is known.
//!
//! Optional: `suite` (or `task`), `version`, `prompt` (or `input`), `content_hash`, `correct`, `repeat` (or
//! `epoch`), `group` (of renderings of one question), `options` (their number, or a list of them), `probabilities` or `logprobs` (one number per option,
//! in order; the target is then one of the options, a letter from A, or a number from 0).

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use super::Choice;
use super::Error;
use super::join::Intake;
use super::join::Row;
use super::lines::each_line;
use super::options;
use super::scalar::Many;
use super::scalar::Scalar;

/// Reads a file.
pub(super) fn read(path: &Path, _choice: &Choice, intake: &mut Intake<'_>) -> Result<(), Error> {
    each_line(path, |number, bytes| {
        let line: Line<'_> =
            serde_json::from_slice(bytes).map_err(|error| Error::json(path, number, &error))?;
        line.take(path, number, intake)
    })
}

/// One row; every field that another program might write as a number may be one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub id: Option<Scalar<'a>>,
    #[serde(borrow, default, alias = "task")]
    pub suite: Option<Scalar<'a>>,
    #[serde(borrow, default)]
    pub version: Option<Scalar<'a>>,
    #[serde(borrow, default, alias = "input")]
    pub prompt: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub content_hash: Option<Scalar<'a>>,
    #[serde(borrow, default)]
    pub target: Option<Many<'a>>,
    #[serde(borrow, default)]
    pub answer: Option<Scalar<'a>>,
    #[serde(default)]
    pub correct: Option<bool>,
    #[serde(default, alias = "epoch")]
    pub repeat: Option<u32>,
    #[serde(borrow, default)]
    pub group: Option<Scalar<'a>>,
    #[serde(borrow, default)]
    pub options: Option<Many<'a>>,
    #[serde(default)]
    pub probabilities: Option<Vec<f64>>,
    #[serde(default)]
    pub logprobs: Option<Vec<f64>>,
}

impl Line<'_> {
    /// Hands the row on.
    pub(super) fn take(
        self,
        path: &Path,
        number: usize,
        intake: &mut Intake<'_>,
    ) -> Result<(), Error> {
        let refuse = |reason: &str| Error::line(path, number, reason);
        let Some(id) = &self.id else {
            return Err(refuse(
                "there is no `id`; every row needs `id`, `target` and `answer`",
            ));
        };
        if self.answer.is_none() && self.correct.is_none() && self.target.is_none() {
            return Err(refuse(
                "there is neither `answer` nor `target`; every row needs `id`, `target` and `answer`",
            ));
        }
        let suite = self.suite.as_ref().map_or("", |suite| &suite.0);
        if let Some(version) = &self.version {
            intake.version(path, suite, &version.0)?;
        }
        let targets = self.target.as_ref().map_or(&[][..], |many| &many.0);
        let probabilities =
            options::probabilities(self.probabilities, self.logprobs).map_err(refuse)?;
        let listed = self.options.as_ref().map_or(&[][..], |many| &many.0);
        let count = options::count(listed, probabilities.as_deref()).map_err(refuse)?;
        let gold = match (&probabilities, targets) {
            (None, _) | (_, []) => None,
            (Some(options), [target]) => Some(
                options::place(target, listed, options.len())
                    .ok_or_else(|| refuse("the target is none of the options: name it as one of `options`, as a letter from A or as a number from 0"))?,
            ),
            (Some(_), _) => return Err(refuse("options with probabilities have one target")),
        };
        intake.row(
            path,
            number,
            Row {
                suite,
                id: &id.0,
                content: self.content_hash.as_ref().map(|hash| &*hash.0),
                prompt: self.prompt.as_deref(),
                targets,
                answer: self.answer.as_ref().map(|answer| &*answer.0),
                right: self.correct,
                repeat: self.repeat,
                options: count,
                gold,
                probabilities: probabilities.as_deref(),
                group: self.group.as_ref().map(|group| &*group.0),
            },
        )
    }
}
