//! Rotary position embedding (Su et al., "RoFormer", 2021).

use candle_core::{D, DType, Device, Result, Tensor};

use super::super::spec::{RopeScaling, RopeSpec};
use super::Mode;

/// Which two dimensions of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Pairs {
    /// One of the first half with one of the second half: the layout of Hugging Face.
    Halves,
    /// One with the next: the layout of llama.cpp. Without a gradient.
    Neighbours,
}

/// Cosines and sines for a run of positions, each `[pos, head_dim / 2]`.
#[derive(Debug, Clone)]
pub(in crate::model) struct Rotation {
    cos: Tensor,
    sin: Tensor,
    pairs: Pairs,
    mode: Mode,
}

/// The rotation of `count` positions from `start`.
///
/// Angles are formed in f32, as `transformers` forms them: at long range their rounding shows in the
/// logits, so that a better angle would be further from the reference.
pub(in crate::model) fn rotation(
    rope: &RopeSpec,
    head_dim: usize,
    (start, count): (usize, usize),
    (dtype, device): (DType, &Device),
    (pairs, mode): (Pairs, Mode),
) -> Result<Rotation> {
    let frequencies = inverse_frequencies(rope, head_dim);
    let angles: Vec<f32> = (start..start + count)
        .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f))
        .collect();
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f32> = angles.iter().map(|a| f(f64::from(*a)) as f32).collect();
        Tensor::from_vec(values, (count, head_dim / 2), device)?.to_dtype(dtype)
    };
    Ok(Rotation {
        cos: table(f64::cos)?,
        sin: table(f64::sin)?,
        pairs,
        mode,
    })
}

impl Rotation {
    /// Rotates `[batch, heads, pos, head_dim]`.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        if self.pairs == Pairs::Neighbours {
            return candle_nn::rotary_emb::rope_i(&x.contiguous()?, &self.cos, &self.sin);
        }
        if self.mode == Mode::Inference {
            return candle_nn::rotary_emb::rope(&x.contiguous()?, &self.cos, &self.sin);
        }
        let half = x.dim(D::Minus1)? / 2;
        let (a, b) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
        let turn = |x: &Tensor, table: &Tensor| x.broadcast_mul(table);
        let first = (turn(&a, &self.cos)? - turn(&b, &self.sin)?)?;
        let second = (turn(&b, &self.cos)? + turn(&a, &self.sin)?)?;
        Tensor::cat(&[first, second], 3)
    }
}

impl RopeSpec {
    /// Radians per position of each pair of a head's dimensions, fastest first: what this rope does,
    /// however its config spells it.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        inverse_frequencies(self, head_dim)
    }
}

/// `theta^(-2i / head_dim)` for each pair `i`, then scaled.
fn inverse_frequencies(rope: &RopeSpec, head_dim: usize) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|pair| {
            let exponent = (2 * pair) as f32 / head_dim as f32;
            let power = f64::from(rope.theta as f32).powf(f64::from(exponent)) as f32;
            scaled(1.0 / power, pair, &rope.scaling)
        })
        .collect()
}

fn scaled(frequency: f32, pair: usize, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::Default => frequency,
        RopeScaling::Divided { ref by } => by.get(pair).map_or(frequency, |d| frequency / d),
        RopeScaling::Linear { factor } => frequency / factor as f32,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: original,
        } => {
            let original = original as f64;
            let wavelength = 2.0 * std::f64::consts::PI / f64::from(frequency);
            let kept = f64::from(frequency);
            let value = if wavelength < original / high_freq_factor {
                kept
            } else if wavelength > original / low_freq_factor {
                kept / factor
            } else {
                let smooth = (original / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * kept / factor + smooth * kept
            };
            value as f32
        }
    }
}
