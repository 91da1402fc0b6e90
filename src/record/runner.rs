//! Who answers: anything that turns a prompt into an [`Answer`].

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Candidate;
#[cfg(feature = "endpoint")]
use super::EndpointRunner;
use super::Error;
use super::LocalRunner;
use super::Place;
use super::ReadingRunner;
use crate::model::Model;
use crate::model::Site;
use crate::probe::Picture;
use crate::probe::Readout;

/// How many candidates for the first token are kept.
pub const TOP: usize = 8;

/// Questions answered together, and between two writes of a recording: what a kill can cost. A multiple of
/// usual thread counts.
pub(super) const TOGETHER: usize = 16;

/// What is asked at a time: a prompt, and the picture that it is about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// In words.
    pub prompt: &'a str,
    /// If any.
    pub picture: Option<&'a Picture>,
}

/// A model that can be asked, one prompt at a time.
///
/// The same prompt always gets the same answer, whatever was asked before and on however many
/// threads: recordings are compared token by token.
pub trait Runner: Sync {
    /// `sha256:…` of the model's files, or `endpoint:…` over what a server says of itself.
    fn identity(&self) -> &str;

    /// Program version, numeric type and device: what a recording's numbers depend on besides the
    /// model.
    fn engine(&self) -> String;

    /// How prompts reach the model, in words.
    ///
    /// They go in as they are unless a server allows no such thing: a chat template adds text that differs
    /// between models.
    fn prompt_form(&self) -> &str {
        "plain text, no chat template"
    }

    /// What its answers cannot have, and why: member of a record -> reason.
    fn absent(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// What is read inside the model at the last token of a prompt, with its widths, in the order of a
    /// forward pass; nothing where that cannot be.
    fn sites(&self) -> &[(Site, usize)] {
        &[]
    }

    /// Heads that keys and values among [`Runner::sites`] consist of, where they are there.
    fn key_value_heads(&self) -> Option<usize> {
        None
    }

    /// Whether answers to [`Readout::NextToken`] come with [`Answer::places`].
    fn reads_places(&self) -> bool {
        false
    }

    /// Over what vocabulary [`Place::projection`] is taken, where places come with it.
    fn vocabulary(&self) -> Option<&str> {
        None
    }

    /// A token as a reader would see it.
    fn token_text(&self, _token: u32) -> Option<String> {
        None
    }

    /// Whether it reads pictures.
    fn sees(&self) -> bool {
        false
    }

    /// Whether it answers questions that show no picture.
    fn reads_text(&self) -> bool {
        true
    }

    /// Answers `prompt` about `picture` greedily.
    ///
    /// # Errors
    /// As [`Runner::answer`]; a model that reads text alone is never asked.
    fn look(
        &self,
        _prompt: &str,
        _picture: &Picture,
        _readout: &Readout,
    ) -> Result<Answer, Failure> {
        Err(Failure::Item("the model reads text alone".to_owned()))
    }

    /// Answers `prompt` greedily.
    ///
    /// # Errors
    /// [`Failure::Item`] for what belongs into the recording, [`Failure::Run`] for what ends the run.
    fn answer(&self, prompt: &str, readout: &Readout) -> Result<Answer, Failure>;

    /// How many of `questions`, from the first on, [`Runner::answers`] is best given at once; at least one.
    fn together(&self, _questions: &[Question<'_>], _readout: &Readout) -> usize {
        TOGETHER
    }

    /// Answers several questions, each as [`Runner::answer`] or [`Runner::look`] does on its own; `done` is
    /// told the number of each when it is answered.
    ///
    /// There is an answer for each question, in their order, or fewer, up to a [`Failure::Run`].
    fn answers(
        &self,
        questions: &[Question<'_>],
        readout: &Readout,
        done: &(dyn Fn(usize) + Sync),
    ) -> Vec<Result<Answer, Failure>> {
        each(self, questions, readout, done)
    }
}

/// Asks each question on its own, as many at a time as there are threads.
pub(super) fn each<R: Runner + ?Sized>(
    runner: &R,
    questions: &[Question<'_>],
    readout: &Readout,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Result<Answer, Failure>> {
    let numbered = questions.par_iter().enumerate();
    let answer = |(at, question): (usize, &Question<'_>)| {
        let answer = match question.picture {
            None => runner.answer(question.prompt, readout),
            Some(picture) => runner.look(question.prompt, picture, readout),
        };
        done(at);
        answer
    };
    numbered.map(answer).collect()
}

/// The runner of a model: on this machine, with its weights in memory, our decoder or parts of its own; behind
/// a server, whoever asks that.
///
/// # Errors
/// [`Error::NotRunnable`] for a model that may be compared but not run, others for what went wrong.
pub fn load(model: &Model) -> Result<Box<dyn Runner + '_>, Error> {
    load_within(model, None)
}

/// As [`load`]; our decoder reads weights that take more than `limit` bytes in memory layer by layer.
///
/// # Errors
/// As [`load`].
pub fn load_within(model: &Model, limit: Option<u64>) -> Result<Box<dyn Runner + '_>, Error> {
    #[cfg(feature = "endpoint")]
    if let Some(endpoint) = &model.artefacts.endpoint {
        return Ok(Box::new(EndpointRunner::new(endpoint)));
    }
    Ok(match model.reader {
        Some(_) => Box::new(ReadingRunner::load(model)?),
        None => Box::new(LocalRunner::load_within(model, limit)?),
    })
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Tokens of the prompt, where they are counted.
    pub prompt_tokens: Option<usize>,
    /// The continuation up to a stop string.
    pub text: String,
    /// Its tokens, the end-of-text token not among them; none where ids are not known.
    pub tokens: Vec<u32>,
    /// The [`TOP`] most probable first tokens, best first.
    pub top: Vec<Candidate>,
    /// By how much each of `tokens` was decided, and behind them that the text ends, where the model said so: the
    /// logarithm of the odds against the best that would have made another answer, in nats.
    pub margins: Vec<f64>,
    /// What is at [`Runner::sites`] at the last token of the prompt, one after the other; only for
    /// [`Readout::NextToken`].
    pub inside: Option<Vec<f32>>,
    /// What was expected along the prompt; only for [`Readout::NextToken`] and where
    /// [`Runner::reads_places`] says so.
    pub places: Vec<Place>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// This prompt cannot be answered by this model, now or later: a fact to record.
    #[error("{0}")]
    Item(String),
    /// The run cannot go on.
    #[error(transparent)]
    Run(#[from] Error),
}
