//! A model on this machine as a [`Runner`].

mod continuation;
mod eyes;
mod streamed;

use candle_core::DType;
use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;

use super::Error;
use super::Place;
use super::inside;
use super::inside::LastRow;
use super::lens;
use super::lens::Lens;
use super::numbers::log_sum_exp;
use super::numbers::top;
use super::places::places;
use super::projection::Projection;
use super::runner::Answer;
use super::runner::Failure;
use super::runner::Question;
use super::runner::Runner;
use super::runner::TOGETHER;
use super::runner::TOP;
use super::runner::each;
use crate::model::Decoder;
use crate::model::DecoderSpec;
use crate::model::KvCache;
use crate::model::Model;
use crate::model::Site;
use crate::model::Tokenizer;
use crate::model::decoder;
use crate::model::decoder::Footprint;
use crate::model::vision::VisionSpec;
use crate::probe::Picture;
use crate::probe::Readout;
use continuation::Continuation;
use eyes::Eyes;

/// A model's decoder, asked one prompt at a time where it is in memory, and many prompts in step where it
/// is read layer by layer.
///
/// Every prompt is a forward pass of its own (batch of one, f32), so that an answer depends neither on
/// its neighbours nor on how many threads there are, nor on where the weights are.
#[derive(Debug)]
pub struct LocalRunner<'m> {
    identity: String,
    decoder: Decoder,
    tokenizer: &'m Tokenizer,
    projection: Projection,
    eyes: Eyes<'m>,
    sites: Vec<(Site, usize)>,
    lens: Option<Lens>,
    device: Device,
    footprint: Footprint,
    /// For prompts in step, in bytes; where layers are streamed.
    room: u64,
}

impl<'m> LocalRunner<'m> {
    /// Reads a model's weights into memory, on the CPU.
    ///
    /// # Errors
    /// [`Error::NotRunnable`] for a model that may be compared but not run: an architecture that is not
    /// known, a config the decoder cannot honour, an encoder, no usable tokenizer.
    pub fn load(model: &'m Model) -> Result<Self, Error> {
        Self::load_within(model, None)
    }

    /// As [`LocalRunner::load`] where the weights fit into `memory` bytes; where they do not, they stay in
    /// their files and are read layer by layer, with the same answers.
    ///
    /// # Errors
    /// As [`LocalRunner::load`]; also [`Error::NotRunnable`] where not even a layer fits.
    pub fn load_within(model: &'m Model, memory: Option<u64>) -> Result<Self, Error> {
        let (spec, tokenizer) = Self::parts(model)?;
        let footprint = Self::footprint(model)?;
        let device = Device::Cpu;
        let held = footprint.is_held_in(memory);
        let decoder = match held {
            true => Decoder::load(&model.weights, spec, &device),
            false => Decoder::stream(&model.weights, spec, &device),
        };
        let projection = Projection::new(tokenizer.vocab(), spec.vocab_size, &device)?;
        let sites = inside::sites(spec);
        let beside = footprint.streamed + projection.bytes();
        let room = memory.unwrap_or(u64::MAX).checked_sub(beside);
        let room = room.ok_or_else(|| too_large(beside, memory.unwrap_or(0)));
        Ok(Self {
            identity: model.identity(),
            decoder: decoder.map_err(not_loaded)?,
            projection,
            eyes: match held {
                true => Eyes::open(model, &device),
                false => Eyes::shut(model),
            },
            tokenizer,
            lens: Lens::new(&sites),
            sites,
            device,
            footprint,
            room: if held { 0 } else { room? },
        })
    }

    /// Whether the weights stay in their files.
    pub fn is_streamed(&self) -> bool {
        self.decoder.is_streamed()
    }

    /// What running a model takes of memory, its vision part included; reads no weights.
    ///
    /// # Errors
    /// As [`LocalRunner::parts`].
    pub fn footprint(model: &Model) -> Result<Footprint, Error> {
        let (spec, _) = Self::parts(model)?;
        let vision = VisionSpec::of(model).map_or(0, |vision| vision.bytes());
        Ok(Footprint::of(&model.weights, spec).beside(vision))
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
        if !spec.kind.has_head() {
            let reason = "an encoder: it reads all of a text at once and expects no next token, so                           that it cannot be asked; `kinprobe probe --tap` shows its activations";
            return Err(Error::NotRunnable(reason.to_owned()));
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

    /// The prompt through the model, and on to what generation makes of it.
    fn generated(&self, prompt: &str, readout: &Readout) -> Result<Answer, Failure> {
        let ids = self.encode(prompt)?;
        let mut cache = KvCache::default();
        let logits = self.step(&ids, &mut cache)?;
        Continuation::new(self, ids, (cache, logits), readout)?.finished(self)
    }

    /// The prompt through the model, the next token, and what was read along the prompt.
    fn read_along(&self, prompt: &str, readout: &Readout) -> Result<Answer, Failure> {
        let ids = self.encode(prompt)?;
        let mut cache = KvCache::default();
        let mut last = LastRow::new(&self.sites);
        let (next, all) = self.tensor(&ids).and_then(|tokens| {
            let logits = self
                .decoder
                .next_and_all_logits(&tokens, &mut cache, &mut last);
            Ok(logits?)
        })?;
        let next = first_row(&next)?;
        if let Some(lens) = &self.lens {
            let rows = lens.rows(&last.values, &self.device);
            let logits = rows
                .map_err(Error::from)
                .and_then(|rows| Ok(self.decoder.logits(&[rows])?))?;
            let numbers = lens::numbers(&logits[0]).map_err(Error::from)?;
            last.values.extend(numbers);
        }
        let places = self.along(prompt, &ids, &all)?;
        let continuation = Continuation::new(self, ids, (cache, next), readout)?;
        Ok(Answer {
            inside: Some(last.values),
            places,
            ..continuation.finished(self)?
        })
    }

    /// What was expected along a prompt, of whose tokens `all` are the logits `[1, tokens, vocab_size]`.
    fn along(&self, prompt: &str, ids: &[u32], all: &Tensor) -> Result<Vec<Place>, Failure> {
        let all = all.i(0).map_err(Error::from)?;
        let logits = all
            .to_dtype(DType::F32)
            .and_then(|all| all.flatten_all()?.to_vec1());
        let projected = self.projection.rows(&all).map_err(Error::from)?;
        self.places(prompt, ids, &finite(logits)?, &projected)
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

    fn tensor(&self, tokens: &[u32]) -> Result<Tensor, Error> {
        let tokens = Tensor::new(tokens, &self.device)?;
        Ok(tokens.unsqueeze(0)?)
    }

    /// Logits of the token after `tokens`.
    fn step(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>, Failure> {
        let logits = self
            .tensor(tokens)
            .and_then(|tokens| Ok(self.decoder.next_logits(&tokens, cache)?))?;
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

    fn sites(&self) -> &[(Site, usize)] {
        &self.sites
    }

    fn key_value_heads(&self) -> Option<usize> {
        Some(inside::key_value_heads(self.decoder.spec()))
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
            Readout::NextToken => self.read_along(prompt, readout),
            Readout::Generate { .. } => self.generated(prompt, readout),
        }
    }

    fn together(&self, questions: &[Question<'_>], readout: &Readout) -> usize {
        match self.decoder.is_streamed() {
            true => self.in_step(questions, readout),
            false => TOGETHER,
        }
    }

    fn answers(
        &self,
        questions: &[Question<'_>],
        readout: &Readout,
        done: &(dyn Fn(usize) + Sync),
    ) -> Vec<Result<Answer, Failure>> {
        match self.decoder.is_streamed() {
            true => self.answers_in_step(questions, readout, done),
            false => each(self, questions, readout, done),
        }
    }

    fn sees(&self) -> bool {
        self.eyes.see()
    }

    fn look(&self, prompt: &str, picture: &Picture, readout: &Readout) -> Result<Answer, Failure> {
        words_only(readout)?;
        self.shown(prompt, picture, readout)
    }
}

/// Pictures are answered in words.
fn words_only(readout: &Readout) -> Result<(), Failure> {
    match readout {
        Readout::Generate { .. } => Ok(()),
        Readout::NextToken => Err(Failure::Item(
            "pictures are answered in words: the readout must be `generate`".to_owned(),
        )),
    }
}

/// Not even a layer of it fits.
fn too_large(needed: u64, memory: u64) -> Error {
    Error::NotRunnable(format!(
        "layer by layer it takes {:.2} MB of memory and {:.2} MB are allowed: allow more with --memory, or \
         run it where there is more",
        needed as f64 / 1e6,
        memory as f64 / 1e6
    ))
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
