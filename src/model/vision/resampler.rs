//! From the features of a slice to embeddings for the language model: a fixed number of learned queries
//! read the features by one layer of attention.
//!
//! Keys carry the place of their patch as sines and cosines of its column and row, values do not. Norms
//! stand before queries, before keys and values, and behind; a matrix of its own closes the layer.

use candle_core::{Device, Module, Tensor};
use candle_nn::Linear;

use super::Error;
use super::named::{Named, attention};
use crate::model::Mode;
use crate::model::layers::NormLayer;

/// Of all norms; it is not in any config.
const EPS: f64 = 1e-6;

/// Base of the wavelengths of places.
const BASE: f64 = 10_000.0;

/// Dimensions of a resampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResamplerSpec {
    /// Queries, and embeddings of a slice.
    pub query_num: usize,
    /// Width of the language model's stream; a multiple of four.
    pub embed_dim: usize,
    /// Heads: `embed_dim / 128` in published models.
    pub num_heads: usize,
    /// Width of the tower's features.
    pub kv_dim: usize,
}

impl ResamplerSpec {
    /// Every tensor by the family's name, with its shape.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.embed_dim;
        let mut tensors = vec![
            ("query", vec![self.query_num, width]),
            ("attn.in_proj_weight", vec![3 * width, width]),
            ("attn.in_proj_bias", vec![3 * width]),
            ("attn.out_proj.weight", vec![width, width]),
            ("attn.out_proj.bias", vec![width]),
            ("proj", vec![width, width]),
            ("ln_q.weight", vec![width]),
            ("ln_q.bias", vec![width]),
            ("ln_kv.weight", vec![width]),
            ("ln_kv.bias", vec![width]),
            ("ln_post.weight", vec![width]),
            ("ln_post.bias", vec![width]),
        ];
        if self.kv_dim != width {
            tensors.push(("kv_proj.weight", vec![width, self.kv_dim]));
        }
        let full = |(name, shape)| (format!("resampler.{name}"), shape);
        tensors.into_iter().map(full).collect()
    }
}

/// A resampler in memory, in f32.
#[derive(Debug)]
pub struct Resampler {
    spec: ResamplerSpec,
    /// Projected already, since queries are the same for every image: `[query_num, embed_dim]`.
    query: Tensor,
    /// Absent where the tower is as wide as the language model.
    kv_proj: Option<Linear>,
    ln_kv: NormLayer,
    key: Linear,
    value: Linear,
    output: Linear,
    ln_post: NormLayer,
    /// `[embed_dim, embed_dim]`, multiplied from the right.
    proj: Tensor,
    mode: Mode,
}

impl Resampler {
    /// Takes the tensors under `resampler.`.
    pub(super) fn load(source: Named<'_>, spec: ResamplerSpec) -> Result<Self, Error> {
        let width = spec.embed_dim;
        let norm = |name: &str| source.norm(&format!("resampler.{name}"), width, EPS);
        let packed = source.take("resampler.attn.in_proj_weight", &[3 * width, width])?;
        let biases = source.take("resampler.attn.in_proj_bias", &[3 * width])?;
        // Queries, keys and values one below the other.
        let part = |at: usize| -> candle_core::Result<Linear> {
            let weight = packed.narrow(0, at * width, width)?.contiguous()?;
            let bias = biases.narrow(0, at * width, width)?.contiguous()?;
            Ok(Linear::new(weight, Some(bias)))
        };
        let kv_proj = if spec.kv_dim == width {
            None
        } else {
            let weight = source.take("resampler.kv_proj.weight", &[width, spec.kv_dim])?;
            Some(Linear::new(weight, None))
        };
        let query = source.take("resampler.query", &[spec.query_num, width])?;
        Ok(Self {
            query: part(0)?.forward(&norm("ln_q")?.forward(&query)?)?,
            kv_proj,
            ln_kv: norm("ln_kv")?,
            key: part(1)?,
            value: part(2)?,
            output: source.linear("resampler.attn.out_proj", (width, width))?,
            ln_post: norm("ln_post")?,
            proj: source.take("resampler.proj", &[width, width])?,
            mode: source.mode,
            spec,
        })
    }

    /// What configures it.
    pub fn spec(&self) -> &ResamplerSpec {
        &self.spec
    }

    /// Embeddings `[query_num, embed_dim]` of the features `[rows * columns, kv_dim]` of one slice; of
    /// several slices, those of each behind the one before: `[slices * query_num, embed_dim]`.
    ///
    /// # Errors
    /// Whatever candle reports.
    pub fn forward(
        &self,
        features: &Tensor,
        (rows, columns): (usize, usize),
    ) -> candle_core::Result<Tensor> {
        let x = match &self.kv_proj {
            Some(projection) => projection.forward(features)?,
            None => features.clone(),
        };
        let x = self.ln_kv.forward(&x)?;
        let places = places((rows, columns), self.spec.embed_dim, x.device())?;
        let key = self.key.forward(&x.broadcast_add(&places)?)?;
        let value = self.value.forward(&x)?;
        let query = match x.rank() {
            2 => self.query.clone(),
            _ => self.query.unsqueeze(0)?.repeat((x.dim(0)?, 1, 1))?,
        };
        let read = attention([&query, &key, &value], self.spec.num_heads, self.mode)?;
        let read = read.reshape(((), self.spec.embed_dim))?;
        self.ln_post
            .forward(&self.output.forward(&read)?)?
            .matmul(&self.proj)
    }
}

/// The place of each patch `[rows * columns, width]`: sines and cosines of its column, then of its row.
fn places(
    (rows, columns): (usize, usize),
    width: usize,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let count = width / 4;
    // In f32 as they were when the model was trained.
    let frequency = |at: usize| {
        let exponent = at as f32 / count as f32;
        1.0 / BASE.powf(f64::from(exponent)) as f32
    };
    let frequencies: Vec<f32> = (0..count).map(frequency).collect();
    let waves = |place: usize| {
        let angles = frequencies.iter().map(move |f| place as f32 * f);
        let sines = angles.clone().map(|angle| f64::from(angle).sin() as f32);
        sines.chain(angles.map(|angle| f64::from(angle).cos() as f32))
    };
    let mut values = Vec::with_capacity(rows * columns * width);
    for row in 0..rows {
        for column in 0..columns {
            values.extend(waves(column));
            values.extend(waves(row));
        }
    }
    Tensor::from_vec(values, (rows * columns, width), device)
}
