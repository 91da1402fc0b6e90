//! One block.

use candle_core::Tensor;

use super::Error;
use crate::model::layers::{Attention, Mlp, MlpShape, Mode, Moe, NormLayer, Packed, Source};
use crate::model::role::{Part, Role};
use crate::model::site::Site;
use crate::model::spec::{DecoderSpec, NormPlace};

/// Attention and MLP around the residual stream.
#[derive(Debug)]
pub(super) struct Block {
    attention_norm: Option<NormLayer>,
    attention: Attention,
    post_attention_norm: Option<NormLayer>,
    mlp_norm: Option<NormLayer>,
    mlp: Feed,
    post_mlp_norm: Option<NormLayer>,
    order: Order,
}

/// What is added to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// What attention gives, then what the MLP gives, each through its norm if there is one.
    Serial,
    /// Both at once.
    Parallel,
    /// As serial, and the norms act on the sums.
    Stream,
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
        let norm = |source: &mut dyn Source, part, there: bool| {
            let role = Role::layer(layer, part);
            let of = |()| NormLayer::new(source, role, spec.hidden_size, kind, mode);
            there.then_some(()).map(of).transpose()
        };
        let order = match (spec.norm_place, spec.parallel_residual) {
            (NormPlace::Stream, _) => Order::Stream,
            (_, true) => Order::Parallel,
            (_, false) => Order::Serial,
        };
        let before = spec.norm_place.before();
        let behind = spec.norm_place.behind() || order == Order::Stream;
        Ok(Self {
            attention_norm: norm(source, Part::AttentionNorm, before)?,
            attention: Attention::new(source, spec, layer, mode)?,
            post_attention_norm: norm(source, Part::PostAttentionNorm, behind)?,
            mlp_norm: norm(source, Part::MlpNorm, before)?,
            mlp: Feed::new(source, spec, layer, mode)?,
            post_mlp_norm: norm(source, Part::PostMlpNorm, behind)?,
            order,
        })
    }

    /// `[batch, pos, hidden_size]` to the same.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        prompts: &mut Packed<'_>,
    ) -> candle_core::Result<Tensor> {
        let normed = through(self.attention_norm.as_ref(), x)?;
        let read = self.attention.forward(&normed, layer, prompts)?;
        // Norms on the stream act on sums; others on what is added.
        let on_sums = self.order == Order::Stream;
        let (of_attention, of_mlp) = (&self.post_attention_norm, &self.post_mlp_norm);
        let of_sum = |norm| if on_sums { norm } else { None };
        let of_part = |norm| if on_sums { None } else { norm };
        let read = through(of_part(of_attention.as_ref()), &read)?;
        prompts.see(Site::AttnOut(layer), &read)?;
        let sum = prompts.pointwise([x, &read], |[x, read]| x + read)?;
        let sum = through(of_sum(of_attention.as_ref()), &sum)?;
        let normed = if self.order == Order::Parallel {
            through(self.mlp_norm.as_ref(), x)?
        } else {
            prompts.see(Site::ResidMid(layer), &sum)?;
            through(self.mlp_norm.as_ref(), &sum)?
        };
        let fed = self.mlp.forward(&normed, layer, prompts)?;
        let fed = through(of_part(of_mlp.as_ref()), &fed)?;
        prompts.see(Site::MlpOut(layer), &fed)?;
        let sum = prompts.pointwise([&sum, &fed], |[sum, fed]| sum + fed)?;
        through(of_sum(of_mlp.as_ref()), &sum)
    }
}

fn through(norm: Option<&NormLayer>, x: &Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(x),
        None => Ok(x.clone()),
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

    fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        prompts: &mut Packed<'_>,
    ) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(mlp) => mlp.forward(x, layer, prompts),
            Self::Sparse(moe) => moe.forward(x, layer, prompts),
        }
    }
}
