//! `y = x Wᵀ + b`.

use candle_core::quantized::QMatMul;
use candle_core::{Module, Result, Tensor};

use super::super::decoder::Error;
use super::super::role::Role;
use super::{Mode, Source, by_row};

/// A projection with weight `[out, in]` and an optional bias `[out]`.
#[derive(Debug)]
pub(in crate::model) struct Linear {
    weight: Factor,
    bias: Option<Tensor>,
    mode: Mode,
}

/// What `x` is multiplied by.
#[derive(Debug)]
enum Factor {
    /// `[out, in]`, as stored.
    Dense(Tensor),
    /// Blocks as a GGUF file holds them; `x` is rounded to blocks of 8 bits for the product.
    Quantised(QMatMul),
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
        let weight = match source.quantised(role, (out, inward))? {
            Some(blocks) => Factor::Quantised(blocks),
            None => Factor::Dense(source.take(role, &[out, inward])?),
        };
        let bias = if bias {
            Some(source.take(role.bias(), &[out])?)
        } else {
            None
        };
        Ok(Self { weight, bias, mode })
    }

    /// A projection by the embedding `[vocab_size, hidden_size]`.
    pub(in crate::model) fn tied(
        source: &mut dyn Source,
        role: Role,
        embed: &Tensor,
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        Ok(Self {
            weight: match source.quantised(role, embed.dims2()?)? {
                Some(blocks) => Factor::Quantised(blocks),
                None => Factor::Dense(embed.clone()),
            },
            bias: None,
            mode,
        })
    }

    /// A projection by `weight` `[out, in]` as it lies.
    pub(in crate::model) fn of(weight: Tensor, mode: Mode) -> Self {
        Self {
            weight: Factor::Dense(weight),
            bias: None,
            mode,
        }
    }

    /// `[batch, pos, in]` to `[batch, pos, out]`.
    pub(in crate::model) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        by_row(self.mode, x, |x| self.project(x))
    }

    /// `[n, in]` to `[n, out]`.
    pub(in crate::model) fn project(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight {
            Factor::Dense(weight) => x.matmul(&weight.t()?)?,
            Factor::Quantised(blocks) => blocks.forward(&x.contiguous()?)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
