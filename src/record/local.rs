//! A model on this machine as a [`Runner`].

mod continuation;
mod eyes;

use candle_core::DType;
use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;

use super::Error;
use super::Place;
use super::numbers::candidates;
use super::numbers::log_sum_exp;
use super::numbers::top;
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
use crate::probe::Picture;
use crate::probe::Readout;
use continuation::Continuation;
use eyes::Eyes;

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
    eyes: Eyes,
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
            eyes: Eyes::open(model, &device),
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
        if prompt.is_empty() {
            return Err(Failure::Item("the prompt has no tokens".to_owned()));
        }
        self.fits(prompt.len())?;
        Ok(prompt)
    }

    fn fits(&self, tokens: usize) -> Result<(), Failure> {
        let limit = self.decoder.spec().max_position_embeddings;
        match tokens > limit {
            true => Err(Failure::Item(format!(
                "the prompt has {tokens} tokens, the model takes {limit}"
            ))),
            false => Ok(()),
        }
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
        let next = first_row(&next)?;
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
        first_row(&logits)
    }

    fn text(&self, ids: &[u32]) -> Result<String, Failure> {
        self.tokenizer
            .decode(ids)
            .map_err(|error| Failure::Item(error.to_string()))
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
                let top = candidates(self.tokenizer, &state.logits);
                let text = state.whole_token()?;
                Ok(Answer {
                    residual: Some(last.values),
                    places,
                    ..state.answer(text, top)
                })
            }
            Readout::Generate { max_tokens, stop } => {
                self.prefill(prompt)?.generated(*max_tokens, stop)
            }
        }
    }

    fn sees(&self) -> bool {
        self.eyes.see()
    }

    fn look(&self, prompt: &str, picture: &Picture, readout: &Readout) -> Result<Answer, Failure> {
        match readout {
            Readout::Generate { max_tokens, stop } => {
                self.shown(prompt, picture)?.generated(*max_tokens, stop)
            }
            Readout::NextToken => Err(Failure::Item(
                "pictures are answered in words: the readout must be `generate`".to_owned(),
            )),
        }
    }
}

/// The logits of a batch of one.
fn first_row(logits: &Tensor) -> Result<Vec<f32>, Failure> {
    let row = logits.i(0);
    finite(row.and_then(|row| row.to_dtype(DType::F32)?.to_vec1()))
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
