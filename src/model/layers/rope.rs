//! Rotary position embedding (Su et al., "RoFormer", 2021).

use candle_core::{D, DType, Device, Result, Tensor};

use super::super::spec::RopeSpec;
use super::Mode;

/// In whose order the rows of queries and keys lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Pairs {
    /// As the model's family has them.
    Halves,
    /// Those that rotate together are neighbours: the layout of llama.cpp. Without a gradient.
    Neighbours,
}

/// Cosines and sines for a run of positions, each `[pos, rotary dimensions / 2]`.
#[derive(Debug, Clone)]
pub(in crate::model) struct Rotation {
    cos: Tensor,
    sin: Tensor,
    /// Whether a dimension rotates with the next one.
    neighbours: bool,
    /// Dimensions of a head that rotate, the first ones.
    dim: usize,
    pairs: Pairs,
    mode: Mode,
}

/// The rotation of `count` positions from `start`.
///
/// Angles are formed in f32, as `transformers` forms them: at long range their rounding shows in the
/// logits, so that a better angle would be further from the reference. What else llama.cpp's layout
/// comes with is the single-precision functions of its engines.
pub(in crate::model) fn rotation(
    rope: &RopeSpec,
    head_dim: usize,
    (start, count): (usize, usize),
    (dtype, device): (DType, &Device),
    (pairs, mode): (Pairs, Mode),
) -> Result<Rotation> {
    let length = start + count;
    let frequencies = match pairs {
        Pairs::Halves => rope.frequencies_at(head_dim, length),
        Pairs::Neighbours => rope.frequencies_by(f32::powf, head_dim, length),
    };
    let angles: Vec<f32> = (start..length)
        .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f))
        .collect();
    let factor = rope.attention_factor() as f32;
    let table = |exact: fn(f64) -> f64, single: fn(f32) -> f32| {
        let value = |angle: f32| match pairs {
            Pairs::Halves => exact(f64::from(angle)) as f32,
            Pairs::Neighbours => single(angle),
        };
        let values: Vec<f32> = angles.iter().map(|a| value(*a) * factor).collect();
        Tensor::from_vec(values, (count, frequencies.len()), device)?.to_dtype(dtype)
    };
    Ok(Rotation {
        cos: table(f64::cos, f32::cos)?,
        sin: table(f64::sin, f32::sin)?,
        neighbours: rope.interleaved || pairs == Pairs::Neighbours,
        dim: 2 * frequencies.len(),
        pairs,
        mode,
    })
}

impl Rotation {
    /// Whether each query head has a product of its own, as in the engines whose layout this is: how a
    /// product is blocked, and with it its last bits, depends on the number of rows.
    pub(super) fn each_head_apart(&self) -> bool {
        self.pairs == Pairs::Neighbours
    }

    /// Rotates `[batch, heads, pos, head_dim]`.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let width = x.dim(D::Minus1)?;
        if self.dim == width {
            return self.turned(x);
        }
        let turned = self.turned(&x.narrow(3, 0, self.dim)?)?;
        Tensor::cat(&[turned, x.narrow(3, self.dim, width - self.dim)?], 3)?.contiguous()
    }

    /// All dimensions of `x` rotate.
    fn turned(&self, x: &Tensor) -> Result<Tensor> {
        match (self.neighbours, self.mode) {
            (true, Mode::Inference) => {
                candle_nn::rotary_emb::rope_i(&x.contiguous()?, &self.cos, &self.sin)
            }
            (false, Mode::Inference) => {
                candle_nn::rotary_emb::rope(&x.contiguous()?, &self.cos, &self.sin)
            }
            (true, Mode::Differentiable) => {
                let (batch, heads, pos, width) = x.dims4()?;
                let pairs = x.reshape((batch, heads, pos, width / 2, 2))?;
                let of = |at| pairs.narrow(4, at, 1)?.squeeze(4);
                let (first, second) = self.both(&of(0)?, &of(1)?)?;
                Tensor::stack(&[first, second], 4)?.reshape((batch, heads, pos, width))
            }
            (false, Mode::Differentiable) => {
                let half = self.dim / 2;
                let (a, b) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
                let (first, second) = self.both(&a, &b)?;
                Tensor::cat(&[first, second], 3)
            }
        }
    }

    /// The two members of each pair, rotated.
    fn both(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        let turn = |x: &Tensor, table: &Tensor| x.broadcast_mul(table);
        let first = (turn(a, &self.cos)? - turn(b, &self.sin)?)?;
        let second = (turn(b, &self.cos)? + turn(a, &self.sin)?)?;
        Ok((first, second))
    }
}
