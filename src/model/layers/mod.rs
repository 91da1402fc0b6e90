//! The parts of the one decoder. Every operation exists in two forms: candle-nn's fused one, which
//! has no gradient, and a composition of differentiable ones.

mod attention;
mod latent;
mod linear;
mod mlp;
mod moe;
mod norm;
mod packed;
mod pattern;
mod rope;
mod routing;

pub(super) use attention::Attention;
pub(super) use linear::Linear;
pub(super) use mlp::{Mlp, MlpShape};
pub(super) use moe::Moe;
pub(super) use norm::NormLayer;
pub(super) use packed::{Packed, Prompt};
pub(super) use pattern::LayerCache;
pub(super) use rope::{Pairs, Rotation, rotation};

use candle_core::quantized::QMatMul;
use candle_core::{D, Result, Tensor};

use super::role::Role;
use super::site::{Site, Tap};

/// What a decoder's weights are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fast forward passes, without gradients. Every row of a batch is computed as if it were alone,
    /// so that its values do not depend, in any bit, on what else is in the batch.
    Inference,
    /// Only operations with gradients; batch rows share matrix products.
    Differentiable,
}

/// Hands out the tensor of a role, checked for its presence and shape.
pub(super) trait Source {
    /// The tensor of `role`: `[rows, cols]`, or `[rows]` when `cols` is 1 and it is a vector.
    fn take(
        &mut self,
        role: Role,
        shape: &[usize],
    ) -> std::result::Result<Tensor, super::decoder::Error>;

    /// The matrix of `role` and `shape` as quantised blocks, where products are wanted on those.
    fn quantised(
        &mut self,
        role: Role,
        shape: (usize, usize),
    ) -> std::result::Result<Option<QMatMul>, super::decoder::Error>;
}

/// Shows `value` to a tap that wants it.
pub(super) fn see(tap: &mut dyn Tap, site: Site, value: &Tensor) -> Result<()> {
    if tap.wants(site) {
        tap.visit(site, value)?;
    }
    Ok(())
}

/// Shows a tap that wants it what `value` makes; nothing is made for others.
pub(super) fn see_made(
    tap: &mut dyn Tap,
    site: Site,
    value: impl FnOnce() -> Result<Tensor>,
) -> Result<()> {
    if tap.wants(site) {
        tap.visit(site, &value()?)?;
    }
    Ok(())
}

/// Over the last dimension.
pub(super) fn softmax(scores: &Tensor, mode: Mode) -> Result<Tensor> {
    if mode == Mode::Inference {
        return candle_nn::ops::softmax_last_dim(scores);
    }
    // Softmax is unchanged by a shift, so the maximum needs no gradient.
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?;
    let odds = shifted.exp()?;
    odds.broadcast_div(&odds.sum_keepdim(D::Minus1)?)
}

/// Applies `f` to `[pos, width]` matrices and gives `[batch, pos, out]` back: to each row of the
/// batch in turn for inference, to all rows at once for training.
///
/// How a product of one row is formed, and with it its last bits, is not how one of several rows is; one
/// product per batch row keeps rows independent of their companions.
pub(super) fn by_row(
    mode: Mode,
    x: &Tensor,
    mut f: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (batch, pos, width) = x.dims3()?;
    if mode == Mode::Differentiable || batch == 1 {
        let y = f(&x.reshape((batch * pos, width))?)?;
        return y.reshape((batch, pos, ()));
    }
    let rows = (0..batch)
        .map(|row| f(&x.get(row)?.contiguous()?))
        .collect::<Result<Vec<_>>>()?;
    Tensor::stack(&rows, 0)
}
