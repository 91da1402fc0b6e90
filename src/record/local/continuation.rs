//! A prompt being continued greedily.

use super::LocalRunner;
use crate::model::KvCache;
use crate::record::Answer;
use crate::record::Candidate;
use crate::record::Failure;
use crate::record::numbers::candidates;
use crate::record::numbers::stopped;
use crate::record::numbers::top;

/// Most tokens by which a next token is continued to a whole character: none has more than four
/// bytes.
const MAX_CONTINUED: usize = 4;

/// A prompt being continued greedily.
pub(super) struct Continuation<'r, 'm> {
    pub runner: &'r LocalRunner<'m>,
    /// Prompt and continuation.
    pub ids: Vec<u32>,
    /// Tokens of the prompt.
    pub start: usize,
    /// The prompt as the tokenizer gives it back.
    pub before: String,
    pub cache: KvCache,
    /// Of the next token.
    pub logits: Vec<f32>,
}

impl Continuation<'_, '_> {
    /// Takes the most probable token; `false` when that ends the text.
    fn take(&mut self) -> bool {
        let best = top(&self.logits, 1)[0];
        if self.runner.tokenizer.eos().contains(&best) {
            return false;
        }
        self.ids.push(best);
        true
    }

    /// Computes the logits after the last token; `false` when the model takes no more tokens.
    fn advance(&mut self) -> Result<bool, Failure> {
        if self.ids.len() > self.runner.decoder.spec().max_position_embeddings {
            return Ok(false);
        }
        let last = self.ids.len() - 1;
        self.logits = self
            .runner
            .step(&self.ids[last..], &mut self.cache, &mut ())?;
        Ok(true)
    }

    /// The continuation as text. Decoded with the prompt before it: alone, its first token would lose
    /// its leading space in some tokenizers.
    fn text(&self) -> Result<String, Failure> {
        let whole = self.runner.text(&self.ids)?;
        match whole.strip_prefix(&self.before) {
            Some(text) => Ok(text.to_owned()),
            None => self.runner.text(&self.ids[self.start..]),
        }
    }

    /// One token, and more as long as it ends inside a character.
    pub fn whole_token(&mut self) -> Result<String, Failure> {
        for _ in 0..MAX_CONTINUED {
            if !self.take() {
                break;
            }
            let text = self.text()?;
            if !text.ends_with(char::REPLACEMENT_CHARACTER) || !self.advance()? {
                return Ok(text);
            }
        }
        self.text()
    }

    /// Up to `max_tokens` tokens, or to the first stop string after any text.
    fn generate(&mut self, max_tokens: usize, stop: &[String]) -> Result<String, Failure> {
        let mut text = String::new();
        for left in (0..max_tokens).rev() {
            if !self.take() {
                break;
            }
            text = self.text()?;
            if let Some(end) = stopped(&text, stop) {
                text.truncate(end);
                break;
            }
            if left == 0 || !self.advance()? {
                break;
            }
        }
        Ok(text)
    }

    /// The answer of a generating readout.
    pub fn generated(mut self, max_tokens: usize, stop: &[String]) -> Result<Answer, Failure> {
        let top = candidates(self.runner.tokenizer, &self.logits);
        let text = self.generate(max_tokens, stop)?;
        Ok(self.answer(text, top))
    }

    pub fn answer(self, text: String, top: Vec<Candidate>) -> Answer {
        Answer {
            prompt_tokens: self.start,
            text,
            tokens: self.ids[self.start..].to_vec(),
            top,
            residual: None,
            places: Vec::new(),
        }
    }
}
