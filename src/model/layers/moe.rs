//! Mixture of experts with softmax routing (Mixtral, Qwen2-MoE).

use candle_core::{D, DType, Result, Tensor};

use super::super::decoder::Error;
use super::super::role::{Expert, Part, Role};
use super::super::site::{Site, Tap};
use super::super::spec::DecoderSpec;
use super::mlp::MlpShape;
use super::{Linear, Mlp, Mode, Source, by_row, see};

/// Each token passes through its `top_k` best experts, weighted by the router, and through the
/// shared expert if there is one.
#[derive(Debug)]
pub(in crate::model) struct Moe {
    router: Linear,
    experts: Vec<Mlp>,
    shared: Option<Shared>,
    top_k: usize,
    norm_topk_prob: bool,
    mode: Mode,
}

/// The expert of every token, under a sigmoid gate.
#[derive(Debug)]
struct Shared {
    mlp: Mlp,
    gate: Linear,
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
        let experts = (0..moe.num_experts as u32)
            .map(|expert| Mlp::new(source, routed(expert), mode))
            .collect::<std::result::Result<_, _>>()?;
        let shared = match moe.shared_expert_intermediate_size {
            None => None,
            Some(width) => Some(Shared {
                mlp: Mlp::new(source, shape(Expert::Shared, width), mode)?,
                gate: Linear::new(source, at(Part::SharedExpertGate), (1, hidden), false, mode)?,
            }),
        };
        Ok(Self {
            router,
            experts,
            shared,
            top_k: moe.num_experts_per_tok,
            norm_topk_prob: moe.norm_topk_prob,
            mode,
        })
    }

    /// `[batch, pos, hidden_size]` to the same.
    pub(in crate::model) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        if tap.wants(Site::RouterLogits(layer)) {
            see(tap, Site::RouterLogits(layer), &self.router.forward(x)?)?;
        }
        by_row(self.mode, x, |x| self.mix(x))
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
            let gate = candle_nn::ops::sigmoid(&shared.gate.project(x)?)?;
            y = (y + shared.mlp.project(x)?.broadcast_mul(&gate)?)?;
        }
        Ok(y)
    }

    /// Weights `[n, experts]`, zero where a token does not go, and each expert's tokens.
    ///
    /// Equal probabilities go to the expert of lower index.
    fn route(&self, logits: &Tensor) -> Result<(Tensor, Vec<Vec<u32>>)> {
        let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
        let odds = shifted.exp()?;
        let probabilities = odds.broadcast_div(&odds.sum_keepdim(D::Minus1)?)?;
        let rows = probabilities.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let mut tokens_of = vec![Vec::new(); self.experts.len()];
        let mut chosen = vec![0f32; rows.len() * self.experts.len()];
        for (token, row) in rows.iter().enumerate() {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
            for &expert in order.iter().take(self.top_k) {
                tokens_of[expert].push(token as u32);
                chosen[token * self.experts.len() + expert] = 1.0;
            }
        }
        let chosen = Tensor::from_vec(chosen, probabilities.shape(), logits.device())?;
        let weights = (probabilities * chosen.to_dtype(logits.dtype())?)?;
        if !self.norm_topk_prob {
            return Ok((weights, tokens_of));
        }
        let sum = weights.sum_keepdim(D::Minus1)?;
        Ok((weights.broadcast_div(&sum)?, tokens_of))
    }
}
