//! Mixture of experts (Mixtral, Qwen2-MoE, Qwen3-MoE, DeepSeek-V2 and V3, Pangu Pro MoE).

use candle_core::{D, DType, Result, Tensor};

use super::super::decoder::Error;
use super::super::role::{Expert, Part, Role};
use super::super::site::{Site, Tap};
use super::super::spec::{DecoderSpec, MoeSpec, Scoring};
use super::mlp::MlpShape;
use super::routing::chosen;
use super::{Linear, Mlp, Mode, Packed, Source, by_row, see, see_made};

/// Each token passes through the experts chosen for it, weighted by the router, and through the
/// shared expert if there is one.
#[derive(Debug)]
pub(in crate::model) struct Moe {
    router: Linear,
    /// Added to the scores for the choice alone, `[num_experts]`.
    correction: Option<Tensor>,
    /// Factors on the weights, `[1, num_experts]`.
    scale: Option<Tensor>,
    experts: Vec<Mlp>,
    shared: Option<Shared>,
    moe: MoeSpec,
    mode: Mode,
}

/// The expert of every token, perhaps under a sigmoid gate.
#[derive(Debug)]
struct Shared {
    mlp: Mlp,
    gate: Option<Linear>,
}

impl Moe {
    /// Takes the router and every expert of block `layer`.
    pub(in crate::model) fn new(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        layer: usize,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let moe = spec.moe.as_ref().ok_or(Error::NoExperts { layer })?;
        let hidden = spec.hidden_size;
        let at = |part| Role::layer(layer, part);
        let shape = |expert, width| MlpShape {
            layer,
            expert: Some(expert),
            hidden_size: hidden,
            intermediate_size: width,
            gated: true,
            bias: false,
            act: spec.hidden_act,
        };
        let routed = |expert| shape(Expert::Routed(expert), moe.moe_intermediate_size);
        let size = (moe.num_experts, hidden);
        let router = Linear::new(source, at(Part::Router), size, false, mode)?;
        let correction = match moe.scoring {
            Scoring::Softmax => None,
            Scoring::Sigmoid => Some(source.take(at(Part::Router).bias(), &[moe.num_experts])?),
        };
        let scale = match moe.router_scale {
            true => Some(source.take(at(Part::RouterScale), &[1, moe.num_experts])?),
            false => None,
        };
        let experts = (0..moe.num_experts as u32)
            .map(|expert| Mlp::new(source, routed(expert), mode))
            .collect::<std::result::Result<_, _>>()?;
        let shared = match moe.shared_expert_intermediate_size {
            None => None,
            Some(width) => {
                let mlp = Mlp::new(source, shape(Expert::Shared, width), mode)?;
                let gate = at(Part::SharedExpertGate);
                let gate = match moe.shared_expert_gate {
                    true => Some(Linear::new(source, gate, (1, hidden), false, mode)?),
                    false => None,
                };
                Some(Shared { mlp, gate })
            }
        };
        Ok(Self {
            router,
            correction,
            scale,
            experts,
            shared,
            moe: moe.clone(),
            mode,
        })
    }

    /// `[batch, pos, hidden_size]` to the same. The rows that an expert gets, and with them its sums, are those of
    /// one prompt.
    pub(in crate::model) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        prompts: &mut Packed<'_>,
    ) -> Result<Tensor> {
        prompts.each([x], |prompt, [x]| self.alone(&x, layer, prompt.tap))
    }

    fn alone(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Result<Tensor> {
        if tap.wants(Site::RouterLogits(layer)) {
            see(tap, Site::RouterLogits(layer), &self.router.forward(x)?)?;
        }
        self.show_units(x, layer, tap)?;
        by_row(self.mode, x, |x| self.mix(x))
    }

    /// Shows a tap that wants them the hidden units of all experts. A token passes through few of them: for the
    /// others they are made here.
    fn show_units(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Result<()> {
        let last = x.narrow(1, x.dim(1)? - 1, 1)?;
        let x = if tap.only_last() { &last } else { x };
        let all = |view: fn(&Mlp, &Tensor) -> Result<Tensor>| {
            let experts = self.experts.iter().map(|expert| view(expert, x));
            Tensor::stack(&experts.collect::<Result<Vec<_>>>()?, 2)
        };
        see_made(tap, Site::ExpertsPre(layer), || all(Mlp::pre))?;
        see_made(tap, Site::ExpertsPreLinear(layer), || all(Mlp::pre_linear))?;
        if let Some(Shared { mlp, .. }) = &self.shared {
            see_made(tap, Site::SharedExpertPre(layer), || mlp.pre(x))?;
            see_made(tap, Site::SharedExpertPreLinear(layer), || {
                mlp.pre_linear(x)
            })?;
        }
        Ok(())
    }

    /// `[n, hidden_size]` to the same.
    fn mix(&self, x: &Tensor) -> Result<Tensor> {
        let (weights, tokens_of) = self.route(&self.router.project(x)?)?;
        let mut y = x.zeros_like()?;
        for (expert, tokens) in tokens_of.into_iter().enumerate() {
            if tokens.is_empty() {
                continue;
            }
            let count = tokens.len();
            let tokens = Tensor::from_vec(tokens, count, x.device())?;
            let weight = weights.narrow(1, expert, 1)?.contiguous()?;
            let weight = weight.index_select(&tokens, 0)?;
            let out = self.experts[expert].project(&x.index_select(&tokens, 0)?)?;
            y = y.index_add(&tokens, &out.broadcast_mul(&weight)?, 0)?;
        }
        if let Some(shared) = &self.shared {
            let out = shared.mlp.project(x)?;
            y = match &shared.gate {
                Some(gate) => {
                    let gate = candle_nn::ops::sigmoid(&gate.project(x)?)?;
                    (y + out.broadcast_mul(&gate)?)?
                }
                None => (y + out)?,
            };
        }
        Ok(y)
    }

    /// Weights `[n, experts]`, zero where a token does not go, and each expert's tokens.
    fn route(&self, logits: &Tensor) -> Result<(Tensor, Vec<Vec<u32>>)> {
        let scores = match self.moe.scoring {
            Scoring::Softmax => {
                let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
                let odds = shifted.exp()?;
                odds.broadcast_div(&odds.sum_keepdim(D::Minus1)?)?
            }
            Scoring::Sigmoid => candle_nn::ops::sigmoid(logits)?,
        };
        let worth = match &self.correction {
            Some(correction) => scores.broadcast_add(correction)?,
            None => scores.clone(),
        };
        let rows = worth.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let mut tokens_of = vec![Vec::new(); self.experts.len()];
        let mut taken = vec![0f32; rows.len() * self.experts.len()];
        for (token, row) in rows.iter().enumerate() {
            for expert in chosen(&self.moe, row) {
                tokens_of[expert].push(token as u32);
                taken[token * self.experts.len() + expert] = 1.0;
            }
        }
        let taken = Tensor::from_vec(taken, scores.shape(), logits.device())?;
        let mut weights = (scores * taken.to_dtype(logits.dtype())?)?;
        if self.moe.norm_topk_prob {
            let sum = weights.sum_keepdim(D::Minus1)?;
            weights = weights.broadcast_div(&sum)?;
        }
        if let Some(scale) = &self.scale {
            weights = weights.broadcast_mul(scale)?;
        }
        if self.moe.routed_scaling_factor != 1.0 {
            weights = (weights * self.moe.routed_scaling_factor)?;
        }
        Ok((weights, tokens_of))
    }
}
