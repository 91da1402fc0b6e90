//! Gradients of the next-token loss with respect to the residual stream.

use candle_core::{D, DType, Device, Tensor, Var};

use super::files::OnDisk;
use super::{Decoder, Error};
use crate::model::layers::{Mode, Packed, see};
use crate::model::site::{Site, Tap};
use crate::model::spec::DecoderSpec;
use crate::model::weights::Weights;

/// How the loss of some tokens depends on the residual stream.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Mean cross-entropy in nats of each token given those before it.
    pub loss: f64,
    /// For each block, the gradient of `loss` with respect to the residual stream behind it
    /// (`blocks.{i}.hook_resid_post`), `[batch, pos, hidden_size]`. At the last position it is zero: nothing
    /// that comes later is predicted.
    pub streams: Vec<Tensor>,
}

impl Gradients {
    /// Shows those that `tap` wants as [`Site::ResidGrad`].
    ///
    /// # Errors
    /// Whatever the tap reports.
    pub fn show(&self, tap: &mut dyn Tap) -> candle_core::Result<()> {
        for (layer, stream) in self.streams.iter().enumerate() {
            see(tap, Site::ResidGrad(layer), stream)?;
        }
        Ok(())
    }
}

impl Decoder {
    /// As [`Decoder::load`], of operations that have gradients: slower, and with other last bits.
    ///
    /// # Errors
    /// As [`Decoder::load`].
    pub fn load_differentiable(
        weights: &Weights,
        spec: &DecoderSpec,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::build(spec, Mode::Differentiable, &mut OnDisk { weights, device })
    }

    /// The next-token loss along `tokens` `[batch, pos]` (u32) and its gradients.
    ///
    /// Blocks are differentiated one at a time, from the last to the first, each computed anew from the
    /// stream before it: there is the graph of one block in memory, and one stream for each block.
    ///
    /// # Errors
    /// [`Error::NotDifferentiable`] for a decoder of fused operations, [`Error::Encoder`] for one that
    /// predicts nothing, [`Error::NothingFollows`] for fewer than two tokens; else as
    /// [`Decoder::forward`].
    pub fn gradients(&self, tokens: &Tensor) -> Result<Gradients, Error> {
        if self.mode != Mode::Differentiable {
            return Err(Error::NotDifferentiable);
        }
        if self.head.is_none() {
            return Err(Error::Encoder);
        }
        let (_, count) = tokens.dims2()?;
        if count < 2 {
            return Err(Error::NothingFollows);
        }
        let mut behind = Streams::default();
        self.residual((tokens, None), None, &mut behind)?;
        let rotations = self.rotations(0, count)?;

        let mut streams = Vec::with_capacity(behind.0.len());
        let mut loss = 0.0;
        for (layer, stream) in behind.0.into_iter().enumerate().rev() {
            let stream = Var::from_tensor(&stream)?;
            let value = match streams.last() {
                None => {
                    let value = self.next_token_loss(&stream, tokens)?;
                    loss = value.to_dtype(DType::F64)?.to_scalar()?;
                    value
                }
                // The gradient of this product is that of the loss, brought back through a block.
                Some(gradient) => {
                    let next = layer + 1;
                    let rotation = self.ropes.of_block[next].map(|at| &rotations[at]);
                    let block = self.blocks.turn(&self.spec, next, self.mode)?;
                    let out = block.forward(
                        &stream,
                        next,
                        &mut Packed::alone(rotation, count, &mut ()),
                    )?;
                    (out * gradient)?.sum_all()?
                }
            };
            let mut found = value.backward()?;
            let gradient = found.remove(&stream).ok_or(Error::NotDifferentiable)?;
            streams.push(gradient.detach());
        }
        streams.reverse();
        Ok(Gradients { loss, streams })
    }

    /// Mean cross-entropy of `tokens` `[batch, pos]`, each given those before it, from the stream behind the
    /// last block.
    pub(super) fn next_token_loss(
        &self,
        stream: &Tensor,
        tokens: &Tensor,
    ) -> Result<Tensor, Error> {
        let told = tokens.dim(1)? - 1;
        let logits = self.logits(&[stream.narrow(1, 0, told)?])?.swap_remove(0);
        let wanted = tokens.narrow(1, 1, told)?.contiguous()?.unsqueeze(2)?;
        let logprobs = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        Ok(logprobs.gather(&wanted, D::Minus1)?.mean_all()?.neg()?)
    }
}

/// Keeps the stream behind each block.
#[derive(Default)]
struct Streams(Vec<Tensor>);

impl Tap for Streams {
    fn wants(&self, site: Site) -> bool {
        matches!(site, Site::ResidPost(_))
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        self.0.push(value.detach());
        Ok(())
    }
}
