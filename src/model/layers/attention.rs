//! Self-attention with grouped queries, sliding windows and a key-value cache.

use candle_core::{Result, Tensor};

use super::super::decoder::Error;
use super::super::role::{Part, Role};
use super::super::site::Site;
use super::super::spec::{DecoderSpec, Norm, QkNorm};
use super::latent::Latent;
use super::pattern::{Pattern, extend};
use super::{Linear, Mode, NormLayer, Packed, Prompt, Rotation, Source, see, see_made};

/// One block's attention.
#[derive(Debug)]
pub(in crate::model) enum Attention {
    /// With matrices for queries, keys and values.
    Plain(Box<Plain>),
    /// With narrow matrices before them.
    Latent(Box<Latent>),
}

/// Attention with matrices for queries, keys and values.
#[derive(Debug)]
pub(in crate::model) struct Plain {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norms: Option<(QkNorm, NormLayer, NormLayer)>,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
    pattern: Pattern,
}

impl Attention {
    /// Takes the projections of block `layer`.
    pub(in crate::model) fn new(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        layer: usize,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        Ok(match &spec.latent {
            Some(latent) => {
                Self::Latent(Box::new(Latent::new(source, (spec, latent), layer, mode)?))
            }
            None => Self::Plain(Box::new(Plain::new(source, spec, layer, mode)?)),
        })
    }

    /// `[batch, pos, hidden_size]` to the same; the caches hold what came before and are extended.
    pub(in crate::model) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        prompts: &mut Packed<'_>,
    ) -> Result<Tensor> {
        match self {
            Self::Plain(plain) => plain.forward(x, layer, prompts),
            Self::Latent(latent) => {
                prompts.each([x], |prompt, [x]| latent.forward(&x, layer, prompt))
            }
        }
    }
}

impl Plain {
    fn new(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        layer: usize,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let hidden = spec.hidden_size;
        let query = spec.num_attention_heads * spec.head_dim;
        let key = spec.num_key_value_heads * spec.head_dim;
        let at = |part| Role::layer(layer, part);
        let qkv = spec.biases.qkv;
        let kind = (Norm::Rms, spec.norm_eps);
        let norms = match spec.qk_norm {
            None => None,
            Some(of) => {
                let (of_query, of_key) = match of {
                    QkNorm::Head => (spec.head_dim, spec.head_dim),
                    QkNorm::Full => (query, key),
                };
                Some((
                    of,
                    NormLayer::new(source, at(Part::QueryNorm), of_query, kind, mode)?,
                    NormLayer::new(source, at(Part::KeyNorm), of_key, kind, mode)?,
                ))
            }
        };
        let output = at(Part::Output);
        Ok(Self {
            query: Linear::new(source, at(Part::Query), (query, hidden), qkv, mode)?,
            key: Linear::new(source, at(Part::Key), (key, hidden), qkv, mode)?,
            value: Linear::new(source, at(Part::Value), (key, hidden), qkv, mode)?,
            output: Linear::new(source, output, (hidden, query), spec.biases.output, mode)?,
            norms,
            heads: spec.num_attention_heads,
            key_heads: spec.num_key_value_heads,
            head_dim: spec.head_dim,
            pattern: Pattern::new(spec, layer, mode),
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, prompts: &mut Packed<'_>) -> Result<Tensor> {
        let query = self.query.packed(x, prompts)?;
        let key = self.key.packed(x, prompts)?;
        let value = self.value.packed(x, prompts)?;
        let read = prompts.each([&query, &key, &value], |prompt, made| {
            self.read(made, layer, prompt)
        })?;
        self.output.packed(&read, prompts)
    }

    /// What each position of a prompt reads: `[batch, pos, heads * head_dim]` of queries of that shape and of
    /// keys and values `[batch, pos, key_heads * head_dim]`.
    fn read(
        &self,
        [query, key, value]: [Tensor; 3],
        layer: usize,
        prompt: &mut Prompt<'_>,
    ) -> Result<Tensor> {
        let (rotation, tap) = (prompt.rotation, &mut *prompt.tap);
        let (batch, pos, _) = query.dims3()?;
        let split = |x: Tensor, heads| x.reshape((batch, pos, heads, self.head_dim));
        let query = split(query, self.heads)?;
        let key = split(key, self.key_heads)?;
        let value = split(value, self.key_heads)?;
        see(tap, Site::Query(layer), &query)?;
        see(tap, Site::Key(layer), &key)?;
        see(tap, Site::Value(layer), &value)?;
        let (query, key) = self.place(query, key, rotation)?;
        if rotation.is_some() {
            see_made(tap, Site::RotQuery(layer), || query.transpose(1, 2))?;
            see_made(tap, Site::RotKey(layer), || key.transpose(1, 2))?;
        }
        let value = value.transpose(1, 2)?.contiguous()?;
        let (key, value) = extend(prompt.cache.as_deref_mut(), key, value)?;
        let (key, value) = match rotation {
            Some(rotation) if rotation.each_head_apart() => {
                (self.repeated(&key)?, self.repeated(&value)?)
            }
            _ => (key, value),
        };
        let scores = self.pattern.scores(&query, &key)?;
        see(tap, Site::AttnScores(layer), &scores)?;
        let pattern = self.pattern.of(&scores)?;
        see(tap, Site::Pattern(layer), &pattern)?;
        let z = self.pattern.mix(&pattern, &value)?;
        see(tap, Site::Z(layer), &z)?;
        z.reshape((batch, pos, self.heads * self.head_dim))
    }

    /// Norms and rotates queries and keys: `[batch, pos, heads, head_dim]` to
    /// `[batch, heads, pos, head_dim]`.
    fn place(
        &self,
        query: Tensor,
        key: Tensor,
        rotation: Option<&Rotation>,
    ) -> Result<(Tensor, Tensor)> {
        let together = |norm: &NormLayer, x: &Tensor| {
            let (batch, pos, heads, width) = x.dims4()?;
            let normed = norm.forward(&x.reshape((batch, pos, heads * width))?)?;
            normed.reshape((batch, pos, heads, width))
        };
        let (query, key) = match &self.norms {
            Some((QkNorm::Head, of_query, of_key)) => {
                (of_query.forward(&query)?, of_key.forward(&key)?)
            }
            Some((QkNorm::Full, of_query, of_key)) => {
                (together(of_query, &query)?, together(of_key, &key)?)
            }
            None => (query, key),
        };
        let turn = |x: Tensor| {
            let x = x.transpose(1, 2)?.contiguous()?;
            match rotation {
                Some(rotation) => rotation.apply(&x),
                None => Ok(x),
            }
        };
        Ok((turn(query)?, turn(key)?))
    }

    /// Keys or values once for each query head that reads them. Otherwise the query heads of a key head,
    /// which lie side by side, share one product.
    fn repeated(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, key_heads, pos, width) = x.dims4()?;
        let each = self.heads / key_heads;
        x.unsqueeze(2)?
            .expand((batch, key_heads, each, pos, width))?
            .reshape((batch, self.heads, pos, width))
    }
}
