//! A prompt being continued greedily.

use super::LocalRunner;
use crate::model::KvCache;
use crate::probe::Readout;
use crate::record::Answer;
use crate::record::Candidate;
use crate::record::Failure;
use crate::record::numbers::candidates;
use crate::record::numbers::decided;
use crate::record::numbers::stopped;

/// Most tokens by which a next token is continued to a whole character: none has more than four
/// bytes.
const MAX_CONTINUED: usize = 4;

/// A prompt being continued greedily: to a whole token, or to words, as the readout asks.
pub(super) struct Continuation<'q> {
    readout: &'q Readout,
    /// Prompt and continuation.
    ids: Vec<u32>,
    /// Tokens of the prompt.
    start: usize,
    /// The prompt as the tokenizer gives it back.
    before: String,
    text: String,
    /// Candidates for the first token.
    top: Vec<Candidate>,
    /// By how much each token was decided, and that the text ends.
    margins: Vec<f64>,
    pub cache: KvCache,
    /// Of the next token.
    pub logits: Vec<f32>,
}

impl<'q> Continuation<'q> {
    /// Behind a prompt of `ids`, after which are `cache` and `logits`.
    pub fn new(
        runner: &LocalRunner<'_>,
        ids: Vec<u32>,
        (cache, logits): (KvCache, Vec<f32>),
        readout: &'q Readout,
    ) -> Result<Self, Failure> {
        Ok(Self {
            readout,
            before: runner.text(&ids)?,
            start: ids.len(),
            ids,
            text: String::new(),
            top: candidates(runner.tokenizer, &logits),
            margins: Vec::new(),
            cache,
            logits,
        })
    }

    /// Takes the most probable token; `true` where the logits after it are needed to go on, `false` where
    /// the answer is complete or the model takes no more tokens.
    pub fn take(&mut self, runner: &LocalRunner<'_>) -> Result<bool, Failure> {
        let most = match self.readout {
            Readout::NextToken => MAX_CONTINUED,
            Readout::Generate { max_tokens, .. } => *max_tokens,
        };
        let ends = |token| runner.tokenizer.eos().contains(&token);
        let decided = decided(&self.logits, ends).filter(|_| self.taken() < most);
        let Some((best, margin)) = decided else {
            return Ok(false);
        };
        self.margins.extend(margin);
        if ends(best) {
            return Ok(false);
        }
        self.ids.push(best);
        self.text = self.continued(runner)?;
        let more = match self.readout {
            // More tokens as long as it ends inside a character.
            Readout::NextToken => self.text.ends_with(char::REPLACEMENT_CHARACTER),
            Readout::Generate { stop, .. } => match stopped(&self.text, stop) {
                Some(end) => {
                    self.text.truncate(end);
                    false
                }
                None => true,
            },
        };
        let limit = runner.decoder.spec().max_position_embeddings;
        Ok(more && self.taken() < most && self.ids.len() <= limit)
    }

    /// The last token.
    pub fn last(&self) -> u32 {
        self.ids.last().copied().unwrap_or_default()
    }

    /// One at a time, to its end.
    pub fn finished(mut self, runner: &LocalRunner<'_>) -> Result<Answer, Failure> {
        while self.take(runner)? {
            self.logits = runner.step(&[self.last()], &mut self.cache)?;
        }
        Ok(self.answer())
    }

    /// As far as it came.
    pub fn answer(self) -> Answer {
        Answer {
            prompt_tokens: Some(self.start),
            text: self.text,
            tokens: self.ids[self.start..].to_vec(),
            top: self.top,
            margins: self.margins,
            inside: None,
            places: Vec::new(),
        }
    }

    /// Tokens of the continuation.
    fn taken(&self) -> usize {
        self.ids.len() - self.start
    }

    /// The continuation as text. Decoded with the prompt before it: alone, its first token would lose
    /// its leading space in some tokenizers.
    fn continued(&self, runner: &LocalRunner<'_>) -> Result<String, Failure> {
        let whole = runner.text(&self.ids)?;
        match whole.strip_prefix(&self.before) {
            Some(text) => Ok(text.to_owned()),
            None => runner.text(&self.ids[self.start..]),
        }
    }
}
