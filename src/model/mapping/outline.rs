//! What a tensor looks like when the order of its rows and of its columns is forgotten.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::bearings::{Gram, Side};
use crate::model::tensors::{Error, TensorStore};

/// Points at which sorted numbers are kept.
const POINTS: usize = 128;

/// Numbers decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// Bits of a single-precision number that its bin does not look at: eight bins to a factor of two.
const BIN_SHIFT: u32 = 20;

/// A tensor's content as far as no reordering of its rows or columns changes it: the sorted lengths of
/// rows and columns, the sorted sizes of its numbers, the share of zeros.
///
/// Hidden units, heads and residual coordinates are rows or columns, so nothing here depends on their
/// order. A tensor of more axes is a stack: its rows are those of all its matrices.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outline {
    rows: Vec<f32>,
    columns: Vec<f32>,
    sizes: Vec<f32>,
    zeros: f64,
    /// What it does to directions of the residual stream, were that its columns or its rows.
    column_gram: Option<Gram>,
    row_gram: Option<Gram>,
}

impl Outline {
    /// One pass over a stored tensor; with `directions` of the residual stream `[hidden_size, n]` also
    /// what it does to these.
    ///
    /// # Errors
    /// A file that cannot be read any more, a type that cannot be decoded.
    pub fn read(
        store: &TensorStore,
        name: &str,
        directions: Option<&Tensor>,
    ) -> Result<Self, Error> {
        let shape = store.info(name).map(|info| info.shape.clone());
        let shape = shape.unwrap_or_default();
        let elements: usize = shape.iter().product();
        // A vector is a column of its own: each number is a row.
        let width = match shape.as_slice() {
            [_, .., last] => (*last).max(1),
            _ => 1,
        };
        let mut sums = Sums::new(width);
        let mut through = directions.map(|directions| Through::new(directions, &shape));
        let step = (BLOCK_ELEMENTS / width).max(1) * width;
        for start in (0..elements).step_by(step) {
            let values = store.elements(name, start..elements.min(start + step))?;
            sums.add(&values);
            // Directions that cannot be followed say nothing; sizes still do.
            let followed = through
                .take()
                .map(|one| one.add(&values, start / width, width));
            through = followed.and_then(Result::ok);
        }
        let mut outline = sums.outline(shape.len() > 1);
        if let Some([columns, rows]) = through.and_then(|one| one.grams().ok()) {
            outline.column_gram = columns;
            outline.row_gram = rows;
        }
        Ok(outline)
    }

    /// Outlines of many tensors, in parallel.
    ///
    /// # Errors
    /// As [`Outline::read`].
    pub fn read_all<'a>(
        store: &TensorStore,
        names: impl IntoIterator<Item = &'a str>,
        directions: Option<&Tensor>,
    ) -> Result<BTreeMap<String, Self>, Error> {
        let names: Vec<&str> = names.into_iter().collect();
        let read = names
            .par_iter()
            .map(|name| Ok(((*name).to_owned(), Self::read(store, name, directions)?)));
        read.collect()
    }

    /// What it does to the directions, were the residual stream this side of it.
    pub fn gram(&self, side: Side) -> Option<&Gram> {
        match side {
            Side::Columns => self.column_gram.as_ref(),
            Side::Rows => self.row_gram.as_ref(),
        }
    }

    /// Middle size of its numbers.
    pub fn level(&self) -> f64 {
        self.sizes.get(POINTS / 2).copied().unwrap_or(0.0).into()
    }

    /// How far two tensors are apart, between 0 (all sorted numbers equal) and 1; `turned` holds the
    /// rows of one against the columns of the other.
    pub fn distance(&self, other: &Self, turned: bool) -> f64 {
        let (rows, columns) = if turned {
            (&other.columns, &other.rows)
        } else {
            (&other.rows, &other.columns)
        };
        let parts = [
            apart(&self.rows, rows),
            apart(&self.columns, columns),
            apart(&self.sizes, &other.sizes),
            (self.zeros - other.zeros).abs(),
        ];
        parts.iter().sum::<f64>() / parts.len() as f64
    }
}

/// A tensor seen through directions of the residual stream `[hidden_size, n]`, block by block.
struct Through<'a> {
    directions: &'a Tensor,
    is_vector: bool,
    /// `X^T X` of `X = tensor * directions`, where a row is as wide as the stream.
    by_columns: Option<Tensor>,
    /// `directions^T * tensor`, where a column is; of a vector the sum `v_i d_i d_i^T`.
    by_rows: Option<Tensor>,
    columns_fit: bool,
    rows_fit: bool,
}

impl<'a> Through<'a> {
    fn new(directions: &'a Tensor, shape: &[usize]) -> Self {
        let width = directions.dims().first().copied().unwrap_or(0);
        Self {
            directions,
            is_vector: shape.len() == 1,
            by_columns: None,
            by_rows: None,
            columns_fit: shape.len() > 1 && shape.last() == Some(&width),
            rows_fit: shape.len() < 3 && shape.first() == Some(&width),
        }
    }

    /// Takes in whole rows from `first` on.
    fn add(mut self, values: &[f32], first: usize, width: usize) -> candle_core::Result<Self> {
        if !(self.columns_fit || self.rows_fit) {
            return Ok(self);
        }
        let finite = |value: &f32| if value.is_finite() { *value } else { 0.0 };
        let values: Vec<f32> = values.iter().map(finite).collect();
        let rows = values.len() / width.max(1);
        let block = Tensor::from_vec(values, (rows, width), &Device::Cpu)?;
        let sum = |sum: Option<Tensor>, more: Tensor| match sum {
            Some(sum) => sum + more,
            None => Ok(more),
        };
        if self.columns_fit {
            let seen = block.matmul(self.directions)?;
            let gram = seen.t()?.contiguous()?.matmul(&seen)?;
            self.by_columns = Some(sum(self.by_columns.take(), gram)?);
        }
        if self.rows_fit {
            let part = self.directions.narrow(0, first, rows)?;
            let left = part.t()?.contiguous()?;
            let more = if self.is_vector {
                left.matmul(&part.broadcast_mul(&block)?)?
            } else {
                left.matmul(&block)?
            };
            self.by_rows = Some(sum(self.by_rows.take(), more)?);
        }
        Ok(self)
    }

    /// Of columns and of rows; a vector is either.
    fn grams(self) -> candle_core::Result<[Option<Gram>; 2]> {
        let gram = |product: Option<Tensor>| match product {
            Some(product) => Gram::new(&product, self.directions),
            None => Ok(None),
        };
        let rows = match self.by_rows {
            Some(seen) if !self.is_vector => Some(seen.matmul(&seen.t()?.contiguous()?)?),
            other => other,
        };
        let rows = gram(rows)?;
        let columns = if self.is_vector {
            rows.clone()
        } else {
            gram(self.by_columns)?
        };
        Ok([columns, rows])
    }
}

/// What one pass adds up.
struct Sums {
    width: usize,
    /// Squares of each row, of each column.
    rows: Vec<f64>,
    columns: Vec<f64>,
    /// Numbers by the leading bits of their size.
    bins: Vec<u64>,
    zeros: u64,
    count: u64,
}

impl Sums {
    fn new(width: usize) -> Self {
        Self {
            width,
            rows: Vec::new(),
            columns: vec![0.0; width],
            bins: vec![0; 1 << (31 - BIN_SHIFT)],
            zeros: 0,
            count: 0,
        }
    }

    /// Whole rows; a number that is none counts as zero.
    fn add(&mut self, values: &[f32]) {
        for row in values.chunks(self.width) {
            let mut sum = 0.0;
            for (value, column) in row.iter().zip(&mut self.columns) {
                let size = if value.is_finite() { value.abs() } else { 0.0 };
                let square = f64::from(size) * f64::from(size);
                sum += square;
                *column += square;
                self.zeros += u64::from(size == 0.0);
                self.bins[(size.to_bits() >> BIN_SHIFT) as usize] += 1;
            }
            self.rows.push(sum);
        }
        self.count += values.len() as u64;
    }

    fn outline(self, is_matrix: bool) -> Outline {
        let lengths = |squares: Vec<f64>| {
            let mut lengths: Vec<f64> = squares.into_iter().map(f64::sqrt).collect();
            lengths.sort_unstable_by(f64::total_cmp);
            at_points(&lengths)
        };
        Outline {
            sizes: sizes(&self.bins, self.count),
            zeros: self.zeros as f64 / self.count.max(1) as f64,
            rows: lengths(self.rows),
            column_gram: None,
            row_gram: None,
            columns: if is_matrix {
                lengths(self.columns)
            } else {
                Vec::new()
            },
        }
    }
}

/// Sorted numbers at evenly spaced ranks, interpolated.
fn at_points(sorted: &[f64]) -> Vec<f32> {
    let Some(last) = sorted.len().checked_sub(1) else {
        return Vec::new();
    };
    let at = |point: usize| {
        let rank = point as f64 * last as f64 / (POINTS - 1) as f64;
        let low = rank as usize;
        let high = (low + 1).min(last);
        let share = rank - low as f64;
        (sorted[low] * (1.0 - share) + sorted[high] * share) as f32
    };
    (0..POINTS).map(at).collect()
}

/// Sizes at evenly spaced ranks; a rank within a bin lies as far within its limits.
fn sizes(bins: &[u64], count: u64) -> Vec<f32> {
    let limit = |bin: usize| f64::from(f32::from_bits((bin as u32) << BIN_SHIFT).min(f32::MAX));
    let mut found = Vec::with_capacity(POINTS);
    let mut below = 0_u64;
    for (bin, &held) in bins.iter().enumerate() {
        let end = (below + held) as f64;
        while found.len() < POINTS {
            let rank = (found.len() as f64 + 0.5) / POINTS as f64 * count as f64;
            if held == 0 || rank > end {
                break;
            }
            let share = (rank - below as f64) / held as f64;
            let width = limit(bin + 1) - limit(bin);
            found.push((limit(bin) + share * width) as f32);
        }
        below += held;
    }
    found
}

/// Sum of differences over sum of sizes; 0 where there is nothing, 1 where lengths differ.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 1.0;
    }
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let difference: f64 = pairs().map(|(a, b)| (a - b).abs()).sum();
    let size: f64 = pairs().map(|(a, b)| a + b).sum();
    if size > 0.0 { difference / size } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{Outline, Sums};
    use crate::stat::random;

    fn outline(values: &[f32], width: usize) -> Outline {
        let mut sums = Sums::new(width);
        sums.add(values);
        sums.outline(width > 1)
    }

    fn gaussian(seed: u64, count: usize) -> Vec<f32> {
        let mut rng = random::stream(seed, "outline");
        (0..count)
            .map(|_| random::normal(&mut rng) as f32)
            .collect()
    }

    #[test]
    fn no_order_of_rows_or_columns_is_seen() {
        let (rows, columns) = (30, 20);
        let values = gaussian(1, rows * columns);
        let moved: Vec<f32> = (0..rows * columns)
            .map(|at| values[(at / columns * 7 % rows) * columns + at % columns * 3 % columns])
            .collect();
        assert_ne!(values, moved);
        let (a, b) = (outline(&values, columns), outline(&moved, columns));
        assert!(a.distance(&b, false) < 1e-6);
        let stranger = outline(&gaussian(2, rows * columns), columns);
        assert!(a.distance(&stranger, false) > 1e-3);
    }

    #[test]
    fn a_turned_matrix_is_near_when_it_is_held_turned() {
        let (rows, columns) = (30, 30);
        let values = gaussian(1, rows * columns);
        let turned: Vec<f32> = (0..rows * columns)
            .map(|at| values[at % rows * columns + at / rows])
            .collect();
        let (a, b) = (outline(&values, columns), outline(&turned, rows));
        assert!(a.distance(&b, true) < 1e-6);
        assert!(a.distance(&b, false) > 1e-3);
        assert!(a.distance(&b, true) - b.distance(&a, true) < 1e-12);
    }

    #[test]
    fn zeros_and_numbers_that_are_none_have_a_distance() {
        let zeros = outline(&[0.0; 12], 4);
        assert_eq!(zeros.distance(&zeros, false), 0.0);
        let broken = outline(&[f32::NAN; 12], 4);
        assert_eq!(zeros.distance(&broken, false), 0.0);
        let ones = outline(&[1.0; 12], 4);
        assert_eq!(zeros.distance(&ones, false), 1.0);
        assert!(outline(&[], 4).distance(&ones, false) > 0.5);
    }
}
