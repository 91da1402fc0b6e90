//! `y = x Wᵀ + b`.

use candle_core::quantized::QMatMul;
use candle_core::{Module, Result, Tensor};

use super::super::decoder::Error;
use super::super::role::Role;
use super::{Mode, Packed, Source, by_row};

/// A projection with weight `[out, in]` and an optional bias `[out]`.
#[derive(Debug)]
pub(in crate::model) struct Linear {
    weight: Factor,
    bias: Option<Tensor>,
    mode: Mode,
}

/// Widest output of a product whose sums may be formed in another order when it has more rows: up to 128
/// columns products of two rows and more can be small enough for a kernel of their own.
const NARROW: usize = 128;

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

    /// As [`Linear::forward`], of several prompts of two rows and more: each has the numbers, to the last bit,
    /// that it would have alone.
    pub(super) fn packed(&self, x: &Tensor, prompts: &mut Packed<'_>) -> Result<Tensor> {
        if !prompts.are_several() || self.joins_rows() {
            return self.forward(x);
        }
        prompts.each([x], |_, [x]| self.forward(&x))
    }

    /// Whether the numbers of a row are the same whatever the number of rows, from two on.
    fn joins_rows(&self) -> bool {
        match &self.weight {
            Factor::Dense(weight) => weight.dims()[0] > NARROW && weight.device().is_cpu(),
            Factor::Quantised(_) => false,
        }
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
