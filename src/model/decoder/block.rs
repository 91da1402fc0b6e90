//! One block.

use candle_core::Tensor;

use super::Error;
use crate::model::layers::{Attention, LayerCache, Mlp, MlpShape, Mode, Moe, NormLayer};
use crate::model::layers::{Rotation, Source, see};
use crate::model::role::{Part, Role};
use crate::model::site::{Site, Tap};
use crate::model::spec::DecoderSpec;

/// Attention and MLP around the residual stream.
#[derive(Debug)]
pub(super) struct Block {
    attention_norm: NormLayer,
    attention: Attention,
    post_attention_norm: Option<NormLayer>,
    mlp_norm: NormLayer,
    mlp: Feed,
    post_mlp_norm: Option<NormLayer>,
}

#[derive(Debug)]
enum Feed {
    Dense(Mlp),
    Sparse(Moe),
}

impl Block {
    /// Takes the weights of block `layer`.
    pub(super) fn new(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        layer: usize,
        mode: Mode,
    ) -> Result<Self, Error> {
        let kind = (spec.norm, spec.norm_eps);
        let norm = |source: &mut dyn Source, part| {
            NormLayer::new(
                source,
                Role::layer(layer, part),
                spec.hidden_size,
                kind,
                mode,
            )
        };
        let (post_attention_norm, post_mlp_norm) = if spec.sandwich_norms {
            let after_attention = norm(source, Part::PostAttentionNorm)?;
            (
                Some(after_attention),
                Some(norm(source, Part::PostMlpNorm)?),
            )
        } else {
            (None, None)
        };
        Ok(Self {
            attention_norm: norm(source, Part::AttentionNorm)?,
            attention: Attention::new(source, spec, layer, mode)?,
            post_attention_norm,
            mlp_norm: norm(source, Part::MlpNorm)?,
            mlp: Feed::new(source, spec, layer, mode)?,
            post_mlp_norm,
        })
    }

    /// `[batch, pos, hidden_size]` to the same.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        rotation: Option<&Rotation>,
        cache: Option<&mut LayerCache>,
        tap: &mut dyn Tap,
    ) -> candle_core::Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let read = self
            .attention
            .forward(&normed, layer, rotation, cache, tap)?;
        let x = (x + after(self.post_attention_norm.as_ref(), read)?)?;
        see(tap, Site::ResidMid(layer), &x)?;
        let normed = self.mlp_norm.forward(&x)?;
        let fed = match &self.mlp {
            Feed::Dense(mlp) => mlp.forward(&normed, layer, tap)?,
            Feed::Sparse(moe) => moe.forward(&normed, layer, tap)?,
        };
        x + after(self.post_mlp_norm.as_ref(), fed)?
    }
}

fn after(norm: Option<&NormLayer>, x: Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

impl Feed {
    fn new(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        layer: usize,
        mode: Mode,
    ) -> Result<Self, Error> {
        if spec.layers[layer].sparse {
            return Ok(Self::Sparse(Moe::new(source, spec, layer, mode)?));
        }
        let shape = MlpShape {
            layer,
            expert: None,
            hidden_size: spec.hidden_size,
            intermediate_size: spec.intermediate_size,
            gated: spec.gated_mlp,
            bias: spec.biases.mlp,
            act: spec.hidden_act,
        };
        Ok(Self::Dense(Mlp::new(source, shape, mode)?))
    }
}
