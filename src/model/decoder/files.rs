//! Where a decoder's tensors come from: a caller, a file, or a file's own quantised blocks.

use std::ops::Range;

use candle_core::quantized::QMatMul;
use candle_core::{Device, Tensor};

use super::Error;
use crate::model::layers::{Pairs, Source};
use crate::model::role::Role;
use crate::model::spec::DecoderSpec;
use crate::model::weights::Weights;

/// A caller's tensors, checked.
pub(super) struct Checked<'a> {
    pub get: &'a mut dyn FnMut(&Role) -> candle_core::Result<Option<Tensor>>,
}

impl Source for Checked<'_> {
    fn take(&mut self, role: Role, shape: &[usize]) -> Result<Tensor, Error> {
        let tensor = (self.get)(&role)?.ok_or(Error::Missing(role))?;
        if tensor.dims() != shape {
            return Err(Error::Shape {
                role,
                expected: shape.to_vec(),
                found: tensor.dims().to_vec(),
            });
        }
        Ok(tensor)
    }

    fn quantised(&mut self, _: Role, _: (usize, usize)) -> Result<Option<QMatMul>, Error> {
        Ok(None)
    }
}

/// Tensors of a file, its quantised blocks among them.
pub(super) struct Stored<'a> {
    pub checked: Checked<'a>,
    pub weights: &'a Weights,
    pub pairs: Pairs,
}

impl Source for Stored<'_> {
    fn take(&mut self, role: Role, shape: &[usize]) -> Result<Tensor, Error> {
        self.checked.take(role, shape)
    }

    fn quantised(&mut self, role: Role, shape: (usize, usize)) -> Result<Option<QMatMul>, Error> {
        if self.weights.shape(&role) != Some(shape) {
            // `take` says what is wrong with it.
            return Ok(None);
        }
        let as_stored = self.pairs == Pairs::Neighbours;
        let blocks = self.weights.quantised(&role, as_stored);
        let blocks = blocks.map_err(candle_core::Error::wrap)?;
        Ok(blocks.map(QMatMul::from_qtensor).transpose()?)
    }
}

/// Tensors of a file as f32.
pub(super) struct OnDisk<'a> {
    pub weights: &'a Weights,
    pub device: &'a Device,
}

impl Source for OnDisk<'_> {
    fn take(&mut self, role: Role, shape: &[usize]) -> Result<Tensor, Error> {
        let mut get = |role: &Role| read(self.weights, role, self.device);
        Checked { get: &mut get }.take(role, shape)
    }

    fn quantised(&mut self, _: Role, _: (usize, usize)) -> Result<Option<QMatMul>, Error> {
        Ok(None)
    }
}

/// Weights that are read when their turn comes, as f32 onto a device. A clone shares the open files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub weights: Weights,
    pub device: Device,
}

impl Files {
    /// After a look at whether all that `spec` asks for is there and as large as it says.
    pub fn new(weights: &Weights, spec: &DecoderSpec, device: &Device) -> Result<Self, Error> {
        for (role, shape) in spec.roles() {
            let found = weights.shape(&role).ok_or(Error::Missing(role))?;
            let fits = match role.is_vector() {
                true => found.0 * found.1 == shape.0,
                false => found == shape,
            };
            if !fits {
                return Err(Error::Shape {
                    role,
                    expected: vec![shape.0, shape.1],
                    found: vec![found.0, found.1],
                });
            }
        }
        Ok(Self {
            weights: weights.clone(),
            device: device.clone(),
        })
    }

    /// Has `f` take tensors.
    pub fn with<T>(&self, f: impl FnOnce(&mut dyn Source) -> Result<T, Error>) -> Result<T, Error> {
        f(&mut OnDisk {
            weights: &self.weights,
            device: &self.device,
        })
    }

    /// Whether some rows of a matrix can be read without reading the others.
    pub fn has_rows(&self, role: Role) -> bool {
        self.weights.bytes_of(&role, Some(&(0..1))).is_some()
    }

    /// Rows of a matrix, one below the other.
    pub fn rows(&self, role: Role, rows: Range<usize>) -> candle_core::Result<Vec<f32>> {
        let values = self.weights.rows(&role, rows);
        values.map_err(candle_core::Error::wrap)
    }
}

/// A stored weight as f32.
pub(super) fn read(
    weights: &Weights,
    role: &Role,
    device: &Device,
) -> candle_core::Result<Option<Tensor>> {
    let Some((rows, cols)) = weights.shape(role) else {
        return Ok(None);
    };
    let values = weights.all(role).map_err(candle_core::Error::wrap)?;
    let tensor = if role.is_vector() {
        Tensor::from_vec(values, rows * cols, device)?
    } else {
        Tensor::from_vec(values, (rows, cols), device)?
    };
    Ok(Some(tensor))
}
