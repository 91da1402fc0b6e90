//! Causal self-attention with grouped queries, sliding windows and a key-value cache.

use candle_core::{DType, Device, Result, Tensor};

use super::super::decoder::Error;
use super::super::role::{Part, Role};
use super::super::site::{Site, Tap};
use super::super::spec::{DecoderSpec, Norm};
use super::{Linear, Mode, NormLayer, Rotation, Source, see, softmax};

/// Rotated keys and values of earlier positions, each `[batch, num_key_value_heads, pos, head_dim]`.
pub(in crate::model) type LayerCache = Option<(Tensor, Tensor)>;

/// One block's attention.
#[derive(Debug)]
pub(in crate::model) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norms: Option<(NormLayer, NormLayer)>,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
    scale: f64,
    window: Option<usize>,
    mode: Mode,
}

impl Attention {
    /// Takes the projections of block `layer`.
    pub(in crate::model) fn new(
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
        let norms = if spec.qk_norm {
            Some((
                NormLayer::new(source, at(Part::QueryNorm), spec.head_dim, kind, mode)?,
                NormLayer::new(source, at(Part::KeyNorm), spec.head_dim, kind, mode)?,
            ))
        } else {
            None
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
            scale: spec.attention_scale,
            window: spec.layers[layer].sliding_window,
            mode,
        })
    }

    /// `[batch, pos, hidden_size]` to the same; `cache` holds what came before and is extended.
    pub(in crate::model) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        rotation: Option<&Rotation>,
        cache: Option<&mut LayerCache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let (batch, pos, _) = x.dims3()?;
        let split = |x: Tensor, heads| x.reshape((batch, pos, heads, self.head_dim));
        let query = split(self.query.forward(x)?, self.heads)?;
        let key = split(self.key.forward(x)?, self.key_heads)?;
        let value = split(self.value.forward(x)?, self.key_heads)?;
        see(tap, Site::Query(layer), &query)?;
        see(tap, Site::Key(layer), &key)?;
        see(tap, Site::Value(layer), &value)?;
        let (query, key) = self.place(query, key, rotation)?;
        let value = value.transpose(1, 2)?.contiguous()?;
        let (key, value) = extend(cache, key, value)?;
        let (key, value) = match rotation {
            Some(rotation) if rotation.each_head_apart() => {
                (self.repeated(&key)?, self.repeated(&value)?)
            }
            _ => (key, value),
        };
        let pattern = self.pattern(&query, &key)?;
        see(tap, Site::Pattern(layer), &pattern)?;
        let z = self.mix(&pattern, &value)?;
        see(tap, Site::Z(layer), &z)?;
        self.output
            .forward(&z.reshape((batch, pos, self.heads * self.head_dim))?)
    }

    /// Norms and rotates queries and keys: `[batch, pos, heads, head_dim]` to
    /// `[batch, heads, pos, head_dim]`.
    fn place(
        &self,
        query: Tensor,
        key: Tensor,
        rotation: Option<&Rotation>,
    ) -> Result<(Tensor, Tensor)> {
        let (query, key) = match &self.norms {
            Some((of_query, of_key)) => (of_query.forward(&query)?, of_key.forward(&key)?),
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

    /// Attention weights `[batch, heads, pos, key_pos]`.
    fn pattern(&self, query: &Tensor, key: &Tensor) -> Result<Tensor> {
        let (batch, _, pos, _) = query.dims4()?;
        let (_, key_heads, key_pos, _) = key.dims4()?;
        let together = self.heads / key_heads * pos;
        let scores = (query * self.scale)?
            .reshape((batch, key_heads, together, self.head_dim))?
            .matmul(&key.t()?)?
            .reshape((batch, self.heads, pos, key_pos))?;
        let scores = match mask(pos, key_pos, self.window, query.dtype(), query.device())? {
            Some(mask) => scores.broadcast_add(&mask)?,
            None => scores,
        };
        softmax(&scores, self.mode)
    }

    /// What each head reads: `[batch, pos, heads, head_dim]`.
    fn mix(&self, pattern: &Tensor, value: &Tensor) -> Result<Tensor> {
        let (batch, _, pos, key_pos) = pattern.dims4()?;
        let key_heads = value.dim(1)?;
        let together = self.heads / key_heads * pos;
        pattern
            .reshape((batch, key_heads, together, key_pos))?
            .matmul(value)?
            .reshape((batch, self.heads, pos, self.head_dim))?
            .transpose(1, 2)?
            .contiguous()
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

/// Puts new keys and values behind the cached ones.
fn extend(cache: Option<&mut LayerCache>, key: Tensor, value: Tensor) -> Result<(Tensor, Tensor)> {
    let Some(cache) = cache else {
        return Ok((key, value));
    };
    let whole = match cache.take() {
        Some((old_key, old_value)) => (
            Tensor::cat(&[old_key, key], 2)?,
            Tensor::cat(&[old_value, value], 2)?,
        ),
        None => (key, value),
    };
    *cache = Some(whole.clone());
    Ok(whole)
}

/// `[pos, key_pos]` of zero where a query may look and minus infinity elsewhere; `None` when every
/// query may look everywhere. Queries are the last `pos` of `key_pos` positions; a window counts the
/// query's own position.
fn mask(
    pos: usize,
    key_pos: usize,
    window: Option<usize>,
    dtype: DType,
    device: &Device,
) -> Result<Option<Tensor>> {
    let window = window.unwrap_or(usize::MAX);
    if pos == 1 && key_pos <= window {
        return Ok(None);
    }
    let first = key_pos - pos;
    let values: Vec<f32> = (first..key_pos)
        .flat_map(|query| {
            (0..key_pos).map(move |key| {
                let seen = key <= query && query - key < window;
                if seen { 0.0 } else { f32::NEG_INFINITY }
            })
        })
        .collect();
    let mask = Tensor::from_vec(values, (pos, key_pos), device)?;
    Ok(Some(mask.to_dtype(dtype)?))
}
