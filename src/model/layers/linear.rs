//! `y = x Wᵀ + b`.

use candle_core::{Result, Tensor};

use super::super::decoder::Error;
use super::super::role::Role;
use super::{Mode, Source, by_row};

/// A projection with weight `[out, in]` and an optional bias `[out]`.
#[derive(Debug)]
pub(in crate::model) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    mode: Mode,
}

impl Linear {
    /// Takes `role`'s weight of `(out, in)` and, with `bias`, its bias.
    pub(in crate::model) fn new(
        source: &mut dyn Source,
        role: Role,
        (out, inward): (usize, usize),
        bias: bool,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let weight = match mode {
            // Laid out as the product reads it: candle's matrix product of a few rows spends more on
            // rearranging a weight `[out, in]` than on multiplying.
            Mode::Inference => source.take(role, &[out, inward])?.t()?.contiguous()?.t()?,
            Mode::Differentiable => source.take(role, &[out, inward])?,
        };
        let bias = if bias {
            Some(source.take(role.bias(), &[out])?)
        } else {
            None
        };
        Ok(Self { weight, bias, mode })
    }

    /// A projection by a matrix at hand.
    pub(in crate::model) fn from_weight(weight: Tensor, mode: Mode) -> Self {
        Self {
            weight,
            bias: None,
            mode,
        }
    }

    /// `[batch, pos, in]` to `[batch, pos, out]`.
    pub(in crate::model) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        by_row(self.mode, x, |x| self.project(x))
    }

    /// `[n, in]` to `[n, out]`.
    pub(super) fn project(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
