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
/// logits, so that a better angle would be further from the reference. What else llama.cpp's layout
/// comes with is the single-precision functions of its engines.
pub(in crate::model) fn rotation(
    rope: &RopeSpec,
    head_dim: usize,
    (start, count): (usize, usize),
    (dtype, device): (DType, &Device),
    (pairs, mode): (Pairs, Mode),
) -> Result<Rotation> {
    let frequencies = match pairs {
        Pairs::Halves => rope.frequencies(head_dim),
        Pairs::Neighbours => inverse_frequencies(rope, head_dim, f32::powf),
    };
    let angles: Vec<f32> = (start..start + count)
        .flat_map(|position| frequencies.iter().map(move |f| position as f32 * f))
        .collect();
    let table = |exact: fn(f64) -> f64, single: fn(f32) -> f32| {
        let value = |angle: f32| match pairs {
            Pairs::Halves => exact(f64::from(angle)) as f32,
            Pairs::Neighbours => single(angle),
        };
        let values: Vec<f32> = angles.iter().map(|angle| value(*angle)).collect();
        Tensor::from_vec(values, (count, head_dim / 2), device)?.to_dtype(dtype)
    };
    Ok(Rotation {
        cos: table(f64::cos, f32::cos)?,
        sin: table(f64::sin, f32::sin)?,
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
        let power = |base: f32, exponent: f32| {
            let power = f64::from(base).powf(f64::from(exponent));
            power as f32
        };
        inverse_frequencies(self, head_dim, power)
    }
}

/// `theta^(-2i / head_dim)` for each pair `i`, then scaled.
fn inverse_frequencies(
    rope: &RopeSpec,
    head_dim: usize,
    power: impl Fn(f32, f32) -> f32,
) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|pair| {
            let exponent = (2 * pair) as f32 / head_dim as f32;
            scaled(
                1.0 / power(rope.theta as f32, exponent),
                pair,
                &rope.scaling,
            )
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
