//! Gated and plain feed-forward layers.

use candle_core::{Result, Tensor};

use super::super::decoder::Error;
use super::super::role::{Expert, Part, Role};
use super::super::site::Site;
use super::super::spec::Activation;
use super::{Linear, Mode, Packed, Source};

/// `down(act(gate x) * up x)`, or `down(act(up x))` without a gate.
#[derive(Debug)]
pub(in crate::model) struct Mlp {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    act: Activation,
}

/// Which MLP of a block to take.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct MlpShape {
    /// Block.
    pub(in crate::model) layer: usize,
    /// Expert, in a mixture.
    pub(in crate::model) expert: Option<Expert>,
    /// Width of the residual stream.
    pub(in crate::model) hidden_size: usize,
    /// Hidden units.
    pub(in crate::model) intermediate_size: usize,
    /// Whether it has a gate.
    pub(in crate::model) gated: bool,
    /// Whether its projections have biases.
    pub(in crate::model) bias: bool,
    /// Activation function.
    pub(in crate::model) act: Activation,
}

impl Mlp {
    /// Takes its projections.
    pub(in crate::model) fn new(
        source: &mut dyn Source,
        shape: MlpShape,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let mut take = |part, size| {
            let role = Role {
                expert: shape.expert,
                ..Role::layer(shape.layer, part)
            };
            Linear::new(source, role, size, shape.bias, mode)
        };
        let inward = (shape.intermediate_size, shape.hidden_size);
        let outward = (shape.hidden_size, shape.intermediate_size);
        Ok(Self {
            gate: if shape.gated {
                Some(take(Part::Gate, inward)?)
            } else {
                None
            },
            up: take(Part::Up, inward)?,
            down: take(Part::Down, outward)?,
            act: shape.act,
        })
    }

    /// `[batch, pos, hidden_size]` to the same, shown to the taps on the way.
    pub(in crate::model) fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        prompts: &mut Packed<'_>,
    ) -> Result<Tensor> {
        let up = self.up.packed(x, prompts)?;
        let post = if let Some(gate) = &self.gate {
            let gate = gate.packed(x, prompts)?;
            prompts.see(Site::MlpPre(layer), &gate)?;
            prompts.see(Site::MlpPreLinear(layer), &up)?;
            prompts.pointwise([&gate, &up], |[gate, up]| self.activate(&gate)? * up)?
        } else {
            prompts.see(Site::MlpPre(layer), &up)?;
            prompts.pointwise([&up], |[up]| self.activate(&up))?
        };
        prompts.see(Site::MlpPost(layer), &post)?;
        self.down.packed(&post, prompts)
    }

    /// `[n, hidden_size]` to the same, unseen: one expert of a mixture.
    pub(super) fn project(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.project(x)?;
        let post = match &self.gate {
            Some(gate) => (self.activate(&gate.project(x)?)? * up)?,
            None => self.activate(&up)?,
        };
        self.down.project(&post)
    }

    /// `[batch, pos, hidden_size]` to its hidden units before the activation function,
    /// `[batch, pos, intermediate_size]`: of the gate, or of the only projection.
    pub(super) fn pre(&self, x: &Tensor) -> Result<Tensor> {
        self.gate.as_ref().unwrap_or(&self.up).forward(x)
    }

    /// Likewise of the up projection beside a gate.
    pub(super) fn pre_linear(&self, x: &Tensor) -> Result<Tensor> {
        self.up.forward(x)
    }

    fn activate(&self, x: &Tensor) -> Result<Tensor> {
        match self.act {
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu(),
            Activation::Relu => x.relu(),
        }
    }
}
