//! Which positions a query reads, and what it reads there.

use candle_core::{DType, Device, Result, Tensor};

use super::super::spec::{DecoderSpec, Kind};
use super::{Mode, softmax};

/// Rotated keys and values of earlier positions, each `[batch, heads, pos, width]`.
pub(in crate::model) type LayerCache = Option<(Tensor, Tensor)>;

/// Attention weights, and the mixing of values by them.
#[derive(Debug)]
pub(super) struct Pattern {
    heads: usize,
    scale: f64,
    window: Option<usize>,
    causal: bool,
    mode: Mode,
}

impl Pattern {
    /// Of block `layer`.
    pub(super) fn new(spec: &DecoderSpec, layer: usize, mode: Mode) -> Self {
        Self {
            heads: spec.num_attention_heads,
            scale: spec.attention_scale,
            window: spec.layers[layer].sliding_window,
            causal: spec.kind != Kind::Encoder,
            mode,
        }
    }

    /// Scores `[batch, heads, pos, key_pos]` of queries `[batch, heads, pos, width]` on keys
    /// `[batch, key_heads, key_pos, width]`, minus infinity where a query may not look.
    pub(super) fn scores(&self, query: &Tensor, key: &Tensor) -> Result<Tensor> {
        let (batch, _, pos, width) = query.dims4()?;
        let (_, key_heads, key_pos, _) = key.dims4()?;
        let together = self.heads / key_heads * pos;
        let scores = (query * self.scale)?
            .reshape((batch, key_heads, together, width))?
            .matmul(&key.t()?)?
            .reshape((batch, self.heads, pos, key_pos))?;
        match self.mask(pos, key_pos, query.dtype(), query.device())? {
            Some(mask) => scores.broadcast_add(&mask),
            None => Ok(scores),
        }
    }

    /// Attention weights of scores, of the same shape.
    pub(super) fn of(&self, scores: &Tensor) -> Result<Tensor> {
        softmax(scores, self.mode)
    }

    /// What each head reads of values `[batch, key_heads, key_pos, width]`:
    /// `[batch, pos, heads, width]`.
    pub(super) fn mix(&self, pattern: &Tensor, value: &Tensor) -> Result<Tensor> {
        let (batch, _, pos, key_pos) = pattern.dims4()?;
        let (_, key_heads, _, width) = value.dims4()?;
        let together = self.heads / key_heads * pos;
        pattern
            .reshape((batch, key_heads, together, key_pos))?
            .matmul(value)?
            .reshape((batch, self.heads, pos, width))?
            .transpose(1, 2)?
            .contiguous()
    }

    /// `[pos, key_pos]` of zero where a query may look and minus infinity elsewhere; `None` when every
    /// query may look everywhere. Queries are the last `pos` of `key_pos` positions; a window counts the
    /// query's own position.
    fn mask(
        &self,
        pos: usize,
        key_pos: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let window = self.window.unwrap_or(usize::MAX);
        if !self.causal || (pos == 1 && key_pos <= window) {
            return Ok(None);
        }
        let first = key_pos - pos;
        let mut values = vec![f32::NEG_INFINITY; pos * key_pos];
        for (query, row) in (first..key_pos).zip(values.chunks_mut(key_pos)) {
            let oldest = (query + 1).saturating_sub(window);
            row[oldest..=query].fill(0.0);
        }
        let mask = Tensor::from_vec(values, (pos, key_pos), device)?;
        Ok(Some(mask.to_dtype(dtype)?))
    }
}

/// Puts new keys and values behind the cached ones.
pub(super) fn extend(
    cache: Option<&mut LayerCache>,
    key: Tensor,
    value: Tensor,
) -> Result<(Tensor, Tensor)> {
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
