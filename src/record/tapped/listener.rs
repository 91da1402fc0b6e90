//! A model's decoder that is listened to: prompts go through it, nothing is asked.

use candle_core::Device;
use candle_core::Tensor;
use rayon::prelude::*;

use super::Taps;
use super::pool;
use super::pool::Kept;
use super::pool::PoolTap;
use super::whole::Whole;
use crate::model::Decoder;
use crate::model::DecoderSpec;
use crate::model::Model;
use crate::model::Site;
use crate::model::Tokenizer;
use crate::model::decoder;
use crate::model::decoder::Footprint;
use crate::model::decoder::Pass;
use crate::probe::Item;
use crate::record::Error;
use crate::record::places;
use crate::record::runner::Failure;

/// Prompts between two writes, which go through the blocks together.
const TOGETHER: usize = 64;

/// Tokens of them, about, where all weights are in memory and nothing is read again for the next.
const TOKENS: usize = 16 << 10;

/// Bytes of rows between two writes, about.
const CHUNK: usize = 256 << 20;

/// What one prompt left.
pub(super) struct Rows {
    /// Bytes up to the end of each row's token; empty where a row is of more than one.
    pub offsets: Vec<u32>,
    /// By site, `[rows, width]`; empty where the pass does not come by.
    pub values: Vec<Vec<f32>>,
}

/// Unlike a runner it needs no head: encoders are listened to as well.
pub(super) struct Listener<'m> {
    decoder: Decoder,
    spec: &'m DecoderSpec,
    tokenizer: &'m Tokenizer,
    footprint: Footprint,
    /// For prompts in step, in bytes; where layers are streamed.
    room: u64,
    /// What a row is, where prompts are kept whole.
    whole: Option<Whole>,
}

impl<'m> Listener<'m> {
    /// In memory where the weights fit into `memory` bytes, else layer by layer; for gradients, which need
    /// all of them, in memory or not at all.
    pub fn load_within(
        model: &'m Model,
        sites: &[Site],
        whole: Option<Whole>,
        memory: Option<u64>,
    ) -> Result<Self, Error> {
        let not_runnable = |reason: &String| Error::NotRunnable(reason.clone());
        let spec = model.spec.as_ref().map_err(not_runnable)?;
        let tokenizer = model.tokenizer.as_ref().map_err(not_runnable)?;
        let footprint = Footprint::of(&model.weights, spec);
        let device = Device::Cpu;
        let gradients = sites.iter().any(|site| site.is_gradient());
        let decoder = match footprint.is_held_in(memory) {
            false if gradients => {
                return Err(Error::NotRunnable(
                    "gradients need all weights in memory: allow more with --memory, or leave them out"
                        .to_owned(),
                ));
            }
            true if gradients => Decoder::load_differentiable(&model.weights, spec, &device),
            true => Decoder::load(&model.weights, spec, &device),
            false => Decoder::stream(&model.weights, spec, &device),
        };
        let room = memory.unwrap_or(u64::MAX);
        Ok(Self {
            decoder: decoder.map_err(|error| match error {
                decoder::Error::Candle(_) => Error::Decoder(error),
                reason => Error::NotRunnable(reason.to_string()),
            })?,
            spec,
            tokenizer,
            footprint,
            room: room.saturating_sub(footprint.streamed),
            whole,
        })
    }

    /// How many of `items`, from the first on, are best read at once; at least one.
    pub fn together(&self, items: &[Item], taps: &Taps) -> usize {
        let mut room = self.room;
        let mut bytes = CHUNK;
        let mut count = 0;
        let mut read = 0;
        for item in items.iter().take(TOGETHER) {
            let tokens = self.tokenizer.encode(&item.prompt);
            let tokens = tokens.map_or(0, |tokens| tokens.len());
            let kept = self.numbers(tokens, taps.pool) * taps.sites.len() * size_of::<f32>();
            let needed = tokens as u64 * self.footprint.token + kept as u64;
            read += tokens;
            let fits = match self.decoder.is_streamed() {
                true => needed <= room,
                false => read <= TOKENS,
            };
            if count > 0 && (kept > bytes || !fits) {
                break;
            }
            room = room.saturating_sub(needed);
            bytes = bytes.saturating_sub(kept);
            count += 1;
        }
        count.max(1)
    }

    /// What is kept at one site of a prompt of so many tokens, at most.
    fn numbers(&self, tokens: usize, pool: pool::Pool) -> usize {
        let experts = self.spec.moe.as_ref();
        let experts = experts.map_or(0, |moe| moe.num_experts * moe.moe_intermediate_size);
        let dense = self.spec.hidden_size.max(self.spec.intermediate_size);
        let width = dense.max(experts);
        match pool {
            pool::Pool::All => tokens * width,
            pool::Pool::Last | pool::Pool::Mean => width,
            pool::Pool::Whole => self.whole.and_then(Whole::width).unwrap_or(0),
        }
    }

    /// Each prompt's rows, in order.
    pub fn listen(&self, items: &[Item], taps: &Taps) -> Result<Vec<Result<Rows, Failure>>, Error> {
        let prompts: Vec<Result<Prompt, Failure>> = items
            .iter()
            .map(|item| self.prompt(&item.prompt, taps))
            .collect();
        let readable: Vec<&Prompt> = prompts.iter().flatten().collect();
        let mut heard = self.passes(&readable, &taps.sites)?.into_iter();
        let rows = prompts.into_iter().map(|prompt| match prompt {
            Err(failure) => Ok(Err(failure)),
            Ok(prompt) => heard
                .next()
                .map(|values| {
                    Ok(Rows {
                        offsets: prompt.kept.offsets,
                        values,
                    })
                })
                .ok_or_else(|| Error::NotRunnable("a prompt was not read".to_owned())),
        });
        rows.collect()
    }

    fn prompt(&self, text: &str, taps: &Taps) -> Result<Prompt, Failure> {
        let encoded = self.tokenizer.encode_with_places(text);
        let encoded = encoded.map_err(|error| Failure::Item(error.to_string()))?;
        let (tokens, ends): (Vec<u32>, Vec<_>) = encoded.into_iter().unzip();
        let limit = self.spec.max_position_embeddings;
        if tokens.len() > limit {
            let count = tokens.len();
            let reason = format!("the prompt has {count} tokens, the model takes {limit}");
            return Err(Failure::Item(reason));
        }
        if tokens.len() < 2 && taps.sites.iter().any(|site| site.is_gradient()) {
            let reason = "the prompt has one token: nothing follows that could be predicted";
            return Err(Failure::Item(reason.to_owned()));
        }
        let ends = places::ends(text, &ends);
        let kept = Kept::new(&ends, taps.pool);
        let kept = kept.ok_or_else(|| {
            Failure::Item("no token of the prompt ends between two characters".to_owned())
        })?;
        let tokens = Tensor::new(&tokens[..], &Device::Cpu).and_then(|row| row.unsqueeze(0));
        Ok(Prompt {
            tokens: tokens.map_err(Error::from)?,
            kept,
        })
    }

    /// By prompt and site.
    fn passes(&self, prompts: &[&Prompt], sites: &[Site]) -> Result<Vec<Vec<Vec<f32>>>, Error> {
        let gradients = sites.iter().any(|site| site.is_gradient());
        if gradients || sites.iter().any(|site| is_behind_blocks(*site)) {
            if self.decoder.is_streamed() {
                return Err(Error::NotRunnable(
                    "ln_final.hook_normalized and logits are not tapped layer by layer: allow more with \
                     --memory, or leave them out"
                        .to_owned(),
                ));
            }
            let whole = |prompt: &&Prompt| {
                let mut tap = PoolTap::new(sites, &prompt.kept, self.whole);
                self.decoder.forward(&prompt.tokens, None, &mut tap)?;
                if gradients {
                    self.decoder.gradients(&prompt.tokens)?.show(&mut tap)?;
                }
                Ok(tap.values)
            };
            return prompts.par_iter().map(whole).collect();
        }
        let taps = prompts
            .iter()
            .map(|prompt| PoolTap::new(sites, &prompt.kept, self.whole));
        let mut taps: Vec<PoolTap<'_>> = taps.collect();
        let mut passes: Vec<Pass<'_>> = prompts
            .iter()
            .zip(&mut taps)
            .map(|(prompt, tap)| Pass {
                tokens: &prompt.tokens,
                splice: None,
                cache: None,
                tap,
            })
            .collect();
        self.decoder.residuals(&mut passes)?;
        drop(passes);
        Ok(taps.into_iter().map(|tap| tap.values).collect())
    }
}

/// A prompt as the decoder takes it.
struct Prompt {
    /// `[1, pos]`.
    tokens: Tensor,
    kept: Kept,
}

fn is_behind_blocks(site: Site) -> bool {
    matches!(site, Site::FinalNorm | Site::Logits)
}
