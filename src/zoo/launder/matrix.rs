//! Small operations on one weight.

use candle_core::Device;
use candle_core::Tensor;

use super::super::checkpoint::Matrix;
use super::super::dice::Dice;
use super::square::Square;

/// Rows multiplied at a time: bounds what a large embedding needs.
const ROWS: usize = 4096;

impl Matrix {
    /// Length of the first axis.
    pub(super) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers per row; 1 for a vector.
    pub(super) fn columns(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }

    /// Row `i` becomes what row `order[i]` was; as many rows as `order` has.
    pub(super) fn take_rows(&mut self, order: &[usize]) {
        let width = self.columns();
        let rows = order
            .iter()
            .flat_map(|&row| self.values[row * width..(row + 1) * width].iter().copied());
        self.values = rows.collect();
        if let Some(count) = self.shape.first_mut() {
            *count = order.len();
        }
    }

    /// Column `i` becomes what column `order[i]` was; as many columns as `order` has.
    pub(super) fn take_columns(&mut self, order: &[usize]) {
        let rows = self.values.chunks_exact(self.columns().max(1));
        let taken = rows.flat_map(|row| order.iter().map(|&column| row[column]));
        self.values = taken.collect();
        if let Some(count) = self.shape.get_mut(1) {
            *count = order.len();
        }
    }

    /// Row `i` times `factors[i]`.
    pub(super) fn scale_rows(&mut self, factors: &[f64]) {
        let width = self.columns().max(1);
        for (row, factor) in self.values.chunks_exact_mut(width).zip(factors) {
            for value in row {
                *value = (f64::from(*value) * factor) as f32;
            }
        }
    }

    /// Column `i` times `factors[i]`.
    pub(super) fn scale_columns(&mut self, factors: &[f64]) {
        let width = self.columns().max(1);
        for row in self.values.chunks_exact_mut(width) {
            for (value, factor) in row.iter_mut().zip(factors) {
                *value = (f64::from(*value) * factor) as f32;
            }
        }
    }

    /// Every number times `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        for value in &mut self.values {
            *value = (f64::from(*value) * factor) as f32;
        }
    }

    /// `self * square`, where `square` is as wide as this has columns.
    pub(super) fn times(&mut self, square: &Square) -> candle_core::Result<()> {
        let width = self.columns();
        let right = Tensor::from_slice(&square.values, (width, width), &Device::Cpu)?;
        for rows in self.values.chunks_mut(ROWS * width) {
            let left: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
            let left = Tensor::from_vec(left, (rows.len() / width, width), &Device::Cpu)?;
            let product = left.matmul(&right)?.flatten_all()?.to_vec1::<f64>()?;
            for (value, exact) in rows.iter_mut().zip(product) {
                *value = exact as f32;
            }
        }
        Ok(())
    }

    /// `square * self`, where `square` is as wide as this has rows.
    pub(super) fn times_from_left(&mut self, square: &Square) -> candle_core::Result<()> {
        let (height, width) = (self.rows(), self.columns());
        let left = Tensor::from_slice(&square.values, (height, height), &Device::Cpu)?;
        let right: Vec<f64> = self.values.iter().map(|&value| f64::from(value)).collect();
        let right = Tensor::from_vec(right, (height, width), &Device::Cpu)?;
        let product = left.matmul(&right)?.flatten_all()?.to_vec1::<f64>()?;
        self.values = product.into_iter().map(|value| value as f32).collect();
        Ok(())
    }

    /// Rows `from..from + square.width` multiplied from the left.
    pub(super) fn times_block_of_rows(
        &mut self,
        square: &Square,
        from: usize,
    ) -> candle_core::Result<()> {
        let width = self.columns();
        let range = from * width..(from + square.width) * width;
        let mut block = Self {
            shape: vec![square.width, width],
            values: self.values[range.clone()].to_vec(),
        };
        block.times_from_left(square)?;
        self.values[range].copy_from_slice(&block.values);
        Ok(())
    }

    /// Columns `from..from + square.width` multiplied from the right.
    pub(super) fn times_block_of_columns(
        &mut self,
        square: &Square,
        from: usize,
    ) -> candle_core::Result<()> {
        let width = self.columns();
        let columns: Vec<usize> = (from..from + square.width).collect();
        let mut block = self.clone();
        block.take_columns(&columns);
        block.times(square)?;
        let rows = self.values.chunks_exact_mut(width.max(1));
        for (row, new) in rows.zip(block.values.chunks_exact(square.width)) {
            row[from..from + square.width].copy_from_slice(new);
        }
        Ok(())
    }
}

/// Plus or minus one.
pub(super) fn sign(dice: &mut Dice) -> f64 {
    if dice.one_in(2) { -1.0 } else { 1.0 }
}

/// Between `1 / spread` and `spread`, uniform in the logarithm.
pub(super) fn log_uniform(spread: f64, dice: &mut Dice) -> f64 {
    (spread.ln() * (2.0 * uniform(dice) - 1.0)).exp()
}

/// Between 0 and 1.
pub(super) fn uniform(dice: &mut Dice) -> f64 {
    const STEPS: usize = 1 << 53;
    dice.below(STEPS) as f64 / STEPS as f64
}

/// `0..count` in random order, never in the old one if there is another.
pub(super) fn shuffled(count: usize, dice: &mut Dice) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    while count > 1 && order.iter().copied().eq(0..count) {
        dice.shuffle(&mut order);
    }
    order
}
