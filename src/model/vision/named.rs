//! Tensors of the vision part by the names that the family gives them, whatever a model calls them.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
use candle_nn::Linear;

use super::Error;
use crate::model::Mode;
use crate::model::layers::{NormLayer, softmax};
use crate::model::tensors::{self, TensorStore};
use crate::text::ModelText;

/// Where a tensor of the family is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The name in the model's files.
    pub tensor: String,
    /// Whether rows and columns changed places.
    pub turned: bool,
}

/// Where each tensor of the vision part is stored, by the family's name.
pub type Names = BTreeMap<String, Stored>;

/// Gives the tensor that the family calls by a name and that has a shape.
pub(super) type Take<'a> = &'a dyn Fn(&str, &[usize]) -> Result<Tensor, Error>;

/// Hands out tensors by the family's names.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub take: Take<'a>,
    /// What they are for.
    pub mode: Mode,
}

/// Reads tensors of a file as f32 onto a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnDisk<'a> {
    pub store: &'a TensorStore,
    /// A name that is not here is the model's own.
    pub names: &'a Names,
    pub device: &'a Device,
}

impl OnDisk<'_> {
    /// The tensor that the family calls `name`.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let stored = self.names.get(name);
        let tensor = stored.map_or(name, |stored| stored.tensor.as_str());
        let turned = stored.is_some_and(|stored| stored.turned);
        let mut expected = shape.to_vec();
        if turned {
            expected.reverse();
        }
        let info = self.store.info(tensor).ok_or_else(|| {
            let tensor = ModelText::new(tensor).clipped(120);
            Error::Tensors(tensors::Error::NoSuchTensor { tensor })
        })?;
        if info.shape != expected {
            return Err(Error::Shape {
                tensor: ModelText::new(tensor).clipped(120),
                expected,
                found: info.shape.clone(),
            });
        }
        let values = self.store.elements(tensor, 0..info.elements)?;
        let read = Tensor::from_vec(values, expected, self.device)?;
        if turned {
            return Ok(read.t()?.contiguous()?);
        }
        Ok(read)
    }
}

impl Named<'_> {
    /// The tensor that the family calls `name`.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        (self.take)(name, shape)
    }

    /// `y = x Wᵀ + b` with weight `[out, in]` and bias `[out]`.
    pub fn linear(&self, name: &str, (out, inward): (usize, usize)) -> Result<Linear, Error> {
        let weight = self.take(&format!("{name}.weight"), &[out, inward])?;
        let bias = self.take(&format!("{name}.bias"), &[out])?;
        Ok(Linear::new(weight, Some(bias)))
    }

    /// A layer norm over `width`.
    pub fn norm(&self, name: &str, width: usize, eps: f64) -> Result<NormLayer, Error> {
        let gain = self.take(&format!("{name}.weight"), &[width])?;
        let bias = self.take(&format!("{name}.bias"), &[width])?;
        Ok(NormLayer::of(gain, Some(bias), eps, self.mode))
    }
}

/// What `heads` read of `value` `[…, keys, width]` by `query` `[…, queries, width]` and `key`
/// `[…, keys, width]`: `[…, queries, width]`.
///
/// One head at a time, so that memory holds the pattern of one.
pub(super) fn attention(
    [query, key, value]: [&Tensor; 3],
    heads: usize,
    mode: Mode,
) -> candle_core::Result<Tensor> {
    let width = query.dim(D::Minus1)? / heads;
    let scale = (width as f64).powf(-0.5);
    let head = |head: usize| {
        let of = |x: &Tensor| x.narrow(D::Minus1, head * width, width)?.contiguous();
        let scores = (of(query)? * scale)?.matmul(&of(key)?.t()?)?;
        softmax(&scores, mode)?.matmul(&of(value)?)
    };
    let read = (0..heads)
        .map(head)
        .collect::<candle_core::Result<Vec<_>>>()?;
    Tensor::cat(&read, D::Minus1)
}
