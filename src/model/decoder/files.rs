//! Where a decoder's tensors come from: a caller, a file, or a file's own quantised blocks.

use std::ops::Range;

use candle_core::quantized::QMatMul;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::Error;
use crate::model::layers::{Linear, Mode, Pairs, Source};
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

    fn laid_out(&mut self, role: Role, shape: (usize, usize), mode: Mode) -> Result<Tensor, Error> {
        let readable = self.weights.bytes_of(&role, Some(&(0..1))).is_some();
        if mode == Mode::Inference && readable && self.weights.shape(&role) == Some(shape) {
            return Ok(laid_out(self.weights, &role, 0..shape.0, self.device)?);
        }
        let weight = self.take(role, &[shape.0, shape.1])?;
        Ok(Linear::arranged(weight, mode)?)
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

    /// Some rows of a matrix, laid out as [`Source::laid_out`] does it.
    pub fn laid_out(&self, role: Role, rows: Range<usize>) -> candle_core::Result<Tensor> {
        laid_out(&self.weights, &role, rows, &self.device)
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

/// Numbers of a matrix that are read before they are put in their places.
const BAND: usize = 4 << 20;

/// Columns of a matrix that one thread puts in their places.
const COLUMNS: usize = 64;

/// Rows of a stored matrix as f32, laid out column by column without a second copy of them all.
fn laid_out(
    weights: &Weights,
    role: &Role,
    rows: Range<usize>,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let (height, width) = (rows.len(), weights.shape(role).map_or(0, |shape| shape.1));
    let mut turned = vec![0_f32; height * width];
    let step = (BAND / width.max(1)).next_multiple_of(COLUMNS).max(1);
    for top in (0..height).step_by(step) {
        let band = top..height.min(top + step);
        let stored = rows.start + band.start..rows.start + band.end;
        let values = weights
            .rows(role, stored)
            .map_err(candle_core::Error::wrap)?;
        let columns = turned.par_chunks_mut((height * COLUMNS).max(1));
        columns.enumerate().for_each(|(at, columns)| {
            turn(&values, width, columns, (at * COLUMNS, height, top));
        });
    }
    Tensor::from_vec(turned, (width, height), device)?.t()
}

/// Puts columns of `values`, rows of `width`, from column `left` on into `columns` of `height`, from row
/// `top` on. Square tiles, so that what is read and what is written stay in cache.
fn turn(
    values: &[f32],
    width: usize,
    columns: &mut [f32],
    (left, height, top): (usize, usize, usize),
) {
    const SIDE: usize = 16;
    let mut tile = [[0_f32; SIDE]; SIDE];
    for (upper, rows) in values.chunks(width * SIDE).enumerate() {
        let count = rows.len() / width;
        for (right, columns) in columns.chunks_mut(height * SIDE).enumerate() {
            let from = left + right * SIDE;
            let across = columns.len() / height;
            for (row, numbers) in rows.chunks_exact(width).enumerate() {
                for (column, value) in numbers[from..from + across].iter().enumerate() {
                    tile[column][row] = *value;
                }
            }
            for (column, tile) in columns.chunks_exact_mut(height).zip(&tile) {
                let at = top + upper * SIDE;
                column[at..at + count].copy_from_slice(&tile[..count]);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn rows_become_columns() {
        for (height, width) in [(1, 1), (16, 16), (37, 5), (70, 83), (3, 129)] {
            let values: Vec<f32> = (0..height * width).map(|n| n as f32).collect();
            let mut turned = vec![-1.0; height * width];
            // In two bands, as from a file.
            let half = (height / 2) * width;
            for (top, band) in [(0, &values[..half]), (height / 2, &values[half..])] {
                for (at, columns) in turned.chunks_mut(height * 64).enumerate() {
                    turn(band, width, columns, (at * 64, height, top));
                }
            }
            for row in 0..height {
                for column in 0..width {
                    assert_eq!(turned[column * height + row], values[row * width + column]);
                }
            }
        }
    }
}
