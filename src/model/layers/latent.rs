//! Multi-head latent attention (DeepSeek-AI, "DeepSeek-V2", 2024): queries, keys and values come through
//! narrow matrices; the part of the keys that rotates is one for all heads.
//!
//! Keys and values are cached at their full width, so that a pass with a cache computes what one without
//! it does.

use candle_core::{Result, Tensor};

use super::super::decoder::Error;
use super::super::role::{Part, Role};
use super::super::site::Site;
use super::super::spec::{DecoderSpec, LatentSpec, Norm};
use super::pattern::{Pattern, extend};
use super::{Linear, Mode, NormLayer, Prompt, Source, see, see_made};

/// One block's latent attention.
#[derive(Debug)]
pub(in crate::model) struct Latent {
    query: Query,
    down: Linear,
    norm: NormLayer,
    rotary: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    widths: LatentSpec,
    pattern: Pattern,
}

/// How queries come about.
#[derive(Debug)]
enum Query {
    Plain(Linear),
    Narrowed {
        down: Linear,
        norm: NormLayer,
        up: Linear,
    },
}

/// Added to the variance under the norms of what was narrowed, whatever the other norms have.
const NORM_EPS: f64 = 1e-6;

impl Latent {
    /// Takes the projections of block `layer`.
    pub(super) fn new(
        source: &mut dyn Source,
        (spec, widths): (&DecoderSpec, &LatentSpec),
        layer: usize,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let (hidden, heads) = (spec.hidden_size, spec.num_attention_heads);
        let rank = widths.kv_lora_rank;
        let bias = spec.biases.qkv;
        let mut linear = |part, size, bias| {
            let role = Role::layer(layer, part);
            Linear::new(source, role, size, bias, mode)
        };
        let down = linear(Part::KvDown, (rank, hidden), bias)?;
        let rotary = linear(Part::KeyRotary, (widths.qk_rope_head_dim, hidden), bias)?;
        let of_keys = (heads * widths.qk_nope_head_dim, rank);
        let key = linear(Part::KeyUp, of_keys, false)?;
        let value = linear(Part::ValueUp, (heads * widths.v_head_dim, rank), false)?;
        let read = (hidden, heads * widths.v_head_dim);
        let output = linear(Part::Output, read, spec.biases.output)?;
        let norm = Role::layer(layer, Part::KvDownNorm);
        Ok(Self {
            query: Query::new(source, (spec, widths), layer, mode)?,
            down,
            norm: NormLayer::new(source, norm, rank, (Norm::Rms, NORM_EPS), mode)?,
            rotary,
            key,
            value,
            output,
            heads,
            widths: *widths,
            pattern: Pattern::new(spec, layer, mode),
        })
    }

    /// `[batch, pos, hidden_size]` of one prompt to the same.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        prompt: &mut Prompt<'_>,
    ) -> Result<Tensor> {
        let (rotation, tap) = (prompt.rotation, &mut *prompt.tap);
        let (batch, pos, _) = x.dims3()?;
        let (nope, rope) = (self.widths.qk_nope_head_dim, self.widths.qk_rope_head_dim);
        let split = |x: Tensor, width| x.reshape((batch, pos, self.heads, width));
        let query = split(self.query.forward(x)?, nope + rope)?;
        let narrow = self.norm.forward(&self.down.forward(x)?)?;
        let rotary = self.rotary.forward(x)?.reshape((batch, pos, 1, rope))?;
        let key = split(self.key.forward(&narrow)?, nope)?;
        let value = split(self.value.forward(&narrow)?, self.widths.v_head_dim)?;
        see(tap, Site::Query(layer), &query)?;
        see_made(tap, Site::Key(layer), || self.joined(&key, &rotary, 2))?;
        see(tap, Site::Value(layer), &value)?;

        let heads_first = |x: &Tensor| x.transpose(1, 2)?.contiguous();
        let turned = |x: Tensor| match rotation {
            Some(rotation) => rotation.apply(&x),
            None => Ok(x),
        };
        let query = heads_first(&query)?;
        let of_position = turned(query.narrow(3, nope, rope)?.contiguous()?)?;
        let query = Tensor::cat(&[query.narrow(3, 0, nope)?, of_position], 3)?.contiguous()?;
        let rotary = turned(heads_first(&rotary)?)?;
        let key = self.joined(&heads_first(&key)?, &rotary, 1)?;
        if rotation.is_some() {
            see_made(tap, Site::RotQuery(layer), || query.transpose(1, 2))?;
            see_made(tap, Site::RotKey(layer), || key.transpose(1, 2))?;
        }
        let (key, value) = extend(prompt.cache.as_deref_mut(), key, heads_first(&value)?)?;

        let scores = self.pattern.scores(&query, &key)?;
        see(tap, Site::AttnScores(layer), &scores)?;
        let pattern = self.pattern.of(&scores)?;
        see(tap, Site::Pattern(layer), &pattern)?;
        let z = self.pattern.mix(&pattern, &value)?;
        see(tap, Site::Z(layer), &z)?;
        self.output
            .forward(&z.reshape((batch, pos, self.heads * self.widths.v_head_dim))?)
    }

    /// Keys of each head, and behind them what all share; `heads` is the axis of the heads.
    fn joined(&self, key: &Tensor, rotary: &Tensor, heads: usize) -> Result<Tensor> {
        let mut shape = rotary.dims().to_vec();
        shape[heads] = self.heads;
        Tensor::cat(&[key, &rotary.expand(shape)?.contiguous()?], 3)?.contiguous()
    }
}

impl Query {
    fn new(
        source: &mut dyn Source,
        (spec, widths): (&DecoderSpec, &LatentSpec),
        layer: usize,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let rows = spec.num_attention_heads * widths.qk_head_dim();
        let at = |part| Role::layer(layer, part);
        let hidden = spec.hidden_size;
        let Some(rank) = widths.q_lora_rank else {
            let query = Linear::new(source, at(Part::Query), (rows, hidden), false, mode)?;
            return Ok(Self::Plain(query));
        };
        let (down, bias) = ((rank, hidden), spec.biases.qkv);
        let kind = (Norm::Rms, NORM_EPS);
        Ok(Self::Narrowed {
            down: Linear::new(source, at(Part::QueryDown), down, bias, mode)?,
            norm: NormLayer::new(source, at(Part::QueryDownNorm), rank, kind, mode)?,
            up: Linear::new(source, at(Part::QueryUp), (rows, rank), false, mode)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(query) => query.forward(x),
            Self::Narrowed { down, norm, up } => up.forward(&norm.forward(&down.forward(x)?)?),
        }
    }
}
