//! Root-mean-square and layer norms.

use candle_core::{D, Result, Tensor};

use super::super::decoder::Error;
use super::super::role::Role;
use super::super::spec::Norm;
use super::{Mode, Source};

/// A norm over the last dimension with its gain and, for a layer norm, its bias.
#[derive(Debug)]
pub(in crate::model) struct NormLayer {
    gain: Tensor,
    bias: Option<Tensor>,
    eps: f64,
    mode: Mode,
}

impl NormLayer {
    /// Takes `role`'s gain `[width]` and, for [`Norm::Layer`], its bias.
    pub(in crate::model) fn new(
        source: &mut dyn Source,
        role: Role,
        width: usize,
        (kind, eps): (Norm, f64),
        mode: Mode,
    ) -> std::result::Result<Self, Error> {
        let gain = source.take(role, &[width])?;
        let bias = match kind {
            Norm::Rms => None,
            Norm::Layer => Some(source.take(role.bias(), &[width])?),
        };
        Ok(Self {
            gain,
            bias,
            eps,
            mode,
        })
    }

    /// With a `gain` `[width]` and, for a layer norm, a `bias` `[width]`.
    pub(in crate::model) fn of(gain: Tensor, bias: Option<Tensor>, eps: f64, mode: Mode) -> Self {
        Self {
            gain,
            bias,
            eps,
            mode,
        }
    }

    /// Same shape as `x`.
    pub(in crate::model) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode == Mode::Inference {
            let x = x.contiguous()?;
            let eps = self.eps as f32;
            return match &self.bias {
                None => candle_nn::ops::rms_norm(&x, &self.gain, eps),
                Some(bias) => candle_nn::ops::layer_norm(&x, &self.gain, bias, eps),
            };
        }
        let y = self.normalised(x)?.broadcast_mul(&self.gain)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// Before gain and bias.
    pub(in crate::model) fn normalised(&self, x: &Tensor) -> Result<Tensor> {
        let centred = match self.bias {
            Some(_) => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            None => x.clone(),
        };
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred.broadcast_div(&(variance + self.eps)?.sqrt()?)
    }
}
