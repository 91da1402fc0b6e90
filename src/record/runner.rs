//! Who answers: anything that turns a prompt into an [`Answer`].

use super::Candidate;
use super::Error;
use super::LocalRunner;
use super::Place;
use super::ReadingRunner;
use crate::model::Model;
use crate::probe::Picture;
use crate::probe::Readout;

/// How many candidates for the first token are kept.
pub const TOP: usize = 8;

/// A model that can be asked, one prompt at a time.
///
/// The same prompt always gets the same answer, whatever was asked before and on however many
/// threads: recordings are compared token by token.
pub trait Runner: Sync {
    /// `sha256:…` of the model's files.
    fn identity(&self) -> &str;

    /// Program version, numeric type and device: what a recording's numbers depend on besides the
    /// model.
    fn engine(&self) -> String;

    /// Blocks and width of the residual stream, where it can be read.
    fn residual(&self) -> Option<(usize, usize)>;

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
}

/// The runner of a model on this machine, its weights in memory: our decoder, or parts of its own.
///
/// # Errors
/// [`Error::NotRunnable`] for a model that may be compared but not run, others for what went wrong.
pub fn load(model: &Model) -> Result<Box<dyn Runner + '_>, Error> {
    Ok(match model.reader {
        Some(_) => Box::new(ReadingRunner::load(model)?),
        None => Box::new(LocalRunner::load(model)?),
    })
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// The continuation up to a stop string.
    pub text: String,
    /// Its tokens, the end-of-text token not among them.
    pub tokens: Vec<u32>,
    /// The [`TOP`] most probable first tokens, best first.
    pub top: Vec<Candidate>,
    /// `blocks.{i}.hook_resid_post` at the last token of the prompt, block after block; only for
    /// [`Readout::NextToken`] and where [`Runner::residual`] says so.
    pub residual: Option<Vec<f32>>,
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
