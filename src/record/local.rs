//! A model on this machine as a [`Runner`].

use candle_core::DType;
use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;

use super::Candidate;
use super::Error;
use super::Place;
use super::places::places;
use super::projection::Projection;
use super::runner::Answer;
use super::runner::Failure;
use super::runner::Runner;
use super::runner::TOP;
use crate::model::Decoder;
use crate::model::DecoderSpec;
use crate::model::KvCache;
use crate::model::Model;
use crate::model::Site;
use crate::model::Tap;
use crate::model::Tokenizer;
use crate::model::decoder;
use crate::probe::Readout;

/// Most tokens by which a next token is continued to a whole character: none has more than four
/// bytes.
const MAX_CONTINUED: usize = 4;

/// A model's decoder in memory, asked one prompt at a time.
///
/// Every prompt is a forward pass of its own (batch of one, f32), so that an answer depends neither on
/// its neighbours nor on how many threads there are.
#[derive(Debug)]
pub struct LocalRunner<'m> {
    identity: String,
    decoder: Decoder,
    tokenizer: &'m Tokenizer,
    projection: Projection,
    device: Device,
}

impl<'m> LocalRunner<'m> {
    /// Reads a model's weights into memory, on the CPU.
    ///
    /// # Errors
    /// [`Error::NotRunnable`] for a model that may be compared but not run: an architecture that is not
    /// known, a config the decoder cannot honour, no usable tokenizer.
    pub fn load(model: &'m Model) -> Result<Self, Error> {
        let (spec, tokenizer) = Self::parts(model)?;
        let device = Device::Cpu;
        let decoder = Decoder::load(&model.weights, spec, &device).map_err(not_loaded)?;
        Ok(Self {
            identity: model.identity(),
            projection: Projection::new(tokenizer.vocab(), spec.vocab_size, &device)?,
            decoder,
            tokenizer,
            device,
        })
    }

    /// What running a model takes, or why it cannot be run; reads no weights.
    ///
    /// # Errors
    /// [`Error::NotRunnable`].
    pub fn parts(model: &Model) -> Result<(&DecoderSpec, &Tokenizer), Error> {
        let not_runnable = |reason: &String| Error::NotRunnable(reason.clone());
        let spec = model.spec.as_ref().map_err(not_runnable)?;
        if !spec.unsupported.is_empty() {
            return Err(Error::NotRunnable(spec.unsupported.join("; ")));
        }
        Ok((spec, model.tokenizer.as_ref().map_err(not_runnable)?))
    }

    /// The prompt's tokens, if the model takes them.
    fn encode(&self, prompt: &str) -> Result<Vec<u32>, Failure> {
        let prompt = self
            .tokenizer
            .encode(prompt)
            .map_err(|error| Failure::Item(error.to_string()))?;
        let limit = self.decoder.spec().max_position_embeddings;
        if prompt.is_empty() {
            return Err(Failure::Item("the prompt has no tokens".to_owned()));
        }
        if prompt.len() > limit {
            return Err(Failure::Item(format!(
                "the prompt has {} tokens, the model takes {limit}",
                prompt.len()
            )));
        }
        Ok(prompt)
    }

    /// The prompt through the model: its tokens, the cache after it, the next token's logits.
    fn prefill(&self, prompt: &str) -> Result<Continuation<'_, 'm>, Failure> {
        let ids = self.encode(prompt)?;
        let mut cache = KvCache::default();
        let logits = self.step(&ids, &mut cache, &mut ())?;
        self.continuation(ids, cache, logits)
    }

    /// As [`LocalRunner::prefill`], and what was expected along the prompt.
    fn read_along(
        &self,
        prompt: &str,
        tap: &mut dyn Tap,
    ) -> Result<(Continuation<'_, 'm>, Vec<Place>), Failure> {
        let ids = self.encode(prompt)?;
        let mut cache = KvCache::default();
        let (next, all) = self
            .tensor(&ids)
            .and_then(|tokens| Ok(self.decoder.next_and_all_logits(&tokens, &mut cache, tap)?))?;
        let next = finite(
            next.i(0)
                .and_then(|row| row.to_dtype(DType::F32)?.to_vec1()),
        )?;
        let all = all.i(0).map_err(Error::from)?;
        let logits = all
            .to_dtype(DType::F32)
            .and_then(|all| all.flatten_all()?.to_vec1());
        let projected = self.projection.rows(&all).map_err(Error::from)?;
        let places = self.places(prompt, &ids, &finite(logits)?, &projected)?;
        Ok((self.continuation(ids, cache, next)?, places))
    }

    /// Places of a prompt, of whose tokens `logits` (`[tokens, vocab_size]`) were read, and projected.
    fn places(
        &self,
        prompt: &str,
        ids: &[u32],
        logits: &[f32],
        projected: &[Vec<f32>],
    ) -> Result<Vec<Place>, Failure> {
        let encoded = self
            .tokenizer
            .encode_with_places(prompt)
            .map_err(|error| Failure::Item(error.to_string()))?;
        let (same, tokens): (Vec<u32>, Vec<_>) = encoded.into_iter().unzip();
        if same != ids {
            return Err(Failure::Item(
                "the tokenizer does not give the same tokens twice".to_owned(),
            ));
        }
        let rows: Vec<&[f32]> = logits.chunks_exact(logits.len() / ids.len()).collect();
        let totals: Vec<f64> = rows.iter().map(|row| log_sum_exp(row)).collect();
        let logprob = |at: usize, token: u32| f64::from(rows[at][token as usize]) - totals[at];
        Ok(places(
            prompt,
            &tokens,
            |at| -logprob(at - 1, ids[at]),
            |at| {
                let best = top(rows[at], TOP).into_iter();
                let best = best.map(|token| (token, logprob(at, token) as f32));
                (best.collect(), projected[at].clone())
            },
        ))
    }

    fn continuation(
        &self,
        ids: Vec<u32>,
        cache: KvCache,
        logits: Vec<f32>,
    ) -> Result<Continuation<'_, 'm>, Failure> {
        Ok(Continuation {
            runner: self,
            before: self.text(&ids)?,
            start: ids.len(),
            ids,
            cache,
            logits,
        })
    }

    fn tensor(&self, tokens: &[u32]) -> Result<Tensor, Error> {
        let tokens = Tensor::new(tokens, &self.device)?;
        Ok(tokens.unsqueeze(0)?)
    }

    /// Logits of the token after `tokens`.
    fn step(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        tap: &mut dyn Tap,
    ) -> Result<Vec<f32>, Failure> {
        let logits = self
            .tensor(tokens)
            .and_then(|tokens| Ok(self.decoder.next_logits_with(&tokens, cache, tap)?))?;
        finite(
            logits
                .i(0)
                .and_then(|row| row.to_dtype(DType::F32)?.to_vec1()),
        )
    }

    fn text(&self, ids: &[u32]) -> Result<String, Failure> {
        self.tokenizer
            .decode(ids)
            .map_err(|error| Failure::Item(error.to_string()))
    }

    fn candidates(&self, logits: &[f32]) -> Vec<Candidate> {
        let total = log_sum_exp(logits);
        top(logits, TOP)
            .into_iter()
            .map(|token| Candidate {
                token,
                text: self.tokenizer.token_text(token).unwrap_or_default(),
                logprob: f64::from(logits[token as usize]) - total,
            })
            .collect()
    }
}

impl Runner for LocalRunner<'_> {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn engine(&self) -> String {
        let device = if self.device.is_cpu() {
            "cpu"
        } else {
            "accelerator"
        };
        format!("kinprobe {}, f32, {device}", env!("CARGO_PKG_VERSION"))
    }

    fn residual(&self) -> Option<(usize, usize)> {
        let spec = self.decoder.spec();
        Some((spec.num_hidden_layers, spec.hidden_size))
    }

    fn reads_places(&self) -> bool {
        true
    }

    fn vocabulary(&self) -> Option<&str> {
        Some(self.projection.vocabulary())
    }

    fn token_text(&self, token: u32) -> Option<String> {
        self.tokenizer.token_text(token)
    }

    fn answer(&self, prompt: &str, readout: &Readout) -> Result<Answer, Failure> {
        match readout {
            Readout::NextToken => {
                let mut last = LastRow::default();
                let (mut state, places) = self.read_along(prompt, &mut last)?;
                let top = self.candidates(&state.logits);
                let text = state.whole_token()?;
                Ok(Answer {
                    residual: Some(last.values),
                    places,
                    ..state.answer(text, top)
                })
            }
            Readout::Generate { max_tokens, stop } => {
                let mut state = self.prefill(prompt)?;
                let top = self.candidates(&state.logits);
                let text = state.generate(*max_tokens, stop)?;
                Ok(state.answer(text, top))
            }
        }
    }
}

/// Logits that can be compared.
fn finite(logits: candle_core::Result<Vec<f32>>) -> Result<Vec<f32>, Failure> {
    let logits = logits.map_err(Error::from)?;
    if logits.iter().any(|logit| !logit.is_finite()) {
        return Err(Failure::Item("the logits are not finite".to_owned()));
    }
    Ok(logits)
}

/// A decoder that its own config or files do not allow leaves a model that can still be compared.
fn not_loaded(error: decoder::Error) -> Error {
    match error {
        decoder::Error::Candle(_) => Error::Decoder(error),
        reason => Error::NotRunnable(reason.to_string()),
    }
}

/// A prompt being continued greedily.
struct Continuation<'r, 'm> {
    runner: &'r LocalRunner<'m>,
    /// Prompt and continuation.
    ids: Vec<u32>,
    /// Tokens of the prompt.
    start: usize,
    /// The prompt as the tokenizer gives it back.
    before: String,
    cache: KvCache,
    /// Of the next token.
    logits: Vec<f32>,
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
    fn whole_token(&mut self) -> Result<String, Failure> {
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

    fn answer(self, text: String, top: Vec<Candidate>) -> Answer {
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

/// Where the first stop string begins, those in leading white space skipped.
fn stopped(text: &str, stop: &[String]) -> Option<usize> {
    let lead = text.len() - text.trim_start().len();
    stop.iter()
        .filter_map(|end| text[lead..].find(end.as_str()))
        .min()
        .map(|at| lead + at)
}

/// The `count` tokens of highest logit, best first; of equal ones the lower id first.
fn top(logits: &[f32], count: usize) -> Vec<u32> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0_u32..).zip(logits) {
        if best.len() == count && best.last().is_some_and(|(worst, _)| logit <= *worst) {
            continue;
        }
        let at = best.partition_point(|(other, _)| *other >= logit);
        best.insert(at, (logit, token));
        best.truncate(count);
    }
    best.into_iter().map(|(_, token)| token).collect()
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let highest = f64::from(highest);
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - highest).exp())
        .sum();
    highest + sum.ln()
}

/// Keeps the residual stream after every block at the last position.
#[derive(Debug, Default)]
struct LastRow {
    values: Vec<f32>,
}

impl Tap for LastRow {
    fn wants(&self, site: Site) -> bool {
        matches!(site, Site::ResidPost(_))
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        let last = value.dim(1)? - 1;
        let row = value.i((0, last))?.to_dtype(DType::F32)?;
        self.values.extend(row.to_vec1::<f32>()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::log_sum_exp;
    use super::stopped;
    use super::top;

    #[test]
    fn the_best_tokens_come_first_and_ties_by_id() {
        assert_eq!(top(&[1.0, 3.0, 2.0, 3.0, -1.0], 3), [1, 3, 2]);
        assert_eq!(top(&[0.5, 0.5, 0.5], 2), [0, 1]);
        assert_eq!(top(&[0.0], 8), [0]);
    }

    #[test]
    fn probabilities_sum_to_one_far_from_zero() {
        let total = log_sum_exp(&[1000.0, 1000.0 + std::f32::consts::LN_2]);
        assert!((total - (1000.0 + 3.0_f64.ln())).abs() < 1e-4);
    }

    #[test]
    fn stop_strings_count_after_text_only() {
        let stop = ["\n".to_owned(), "END".to_owned()];
        for (text, end) in [
            (" 42\nmore", Some(3)),
            ("\n\n 42", None),
            ("\n42\n", Some(3)),
            ("a END\n", Some(2)),
            ("END", Some(0)),
            ("", None),
        ] {
            assert_eq!(stopped(text, &stop), end, "{text:?}");
        }
        assert_eq!(stopped("a\n", &[]), None);
    }
}
