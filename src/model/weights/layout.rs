//! A view resolved against a stored tensor: checked once, then read by rows.

use std::ops::Range;

use super::view::{Binding, Step};
use crate::model::tensors::{Error, TensorStore};

/// Numbers read at a time where a transposed view walks over its whole tensor.
const WALK_ELEMENTS: usize = 1 << 20;

/// Where a role's numbers lie and what is done to them.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub binding: Binding,
    /// Rows and columns of the role.
    pub shape: (usize, usize),
    /// First number of the stored matrix within its tensor.
    start: usize,
    /// Stored matrix, before the steps.
    stored: (usize, usize),
    /// Steps after the leading slices, each with the shape it works on.
    steps: Vec<(Step, (usize, usize))>,
}

impl Layout {
    /// Checks `binding` against what is stored.
    ///
    /// # Errors
    /// In words: which tensor is missing, or which step does not fit its shape.
    pub fn resolve(binding: &Binding, store: &TensorStore) -> Result<Self, String> {
        let info = store
            .info(&binding.tensor)
            .ok_or("there is no such tensor")?;
        if !info.dtype.is_decodable() {
            return Err(format!("{} cannot be decoded", info.dtype.name));
        }
        let mut axes = info.shape.as_slice();
        let mut start = 0;
        let mut remaining = binding.view.steps();
        while let [Step::Slice(index), rest @ ..] = remaining {
            let [first, inner @ ..] = axes else {
                return Err("a scalar has no slices".to_owned());
            };
            if inner.len() < 2 || index >= first {
                return Err(format!("shape {:?} has no slice {index}", info.shape));
            }
            axes = inner;
            start += index * axes.iter().product::<usize>();
            remaining = rest;
        }
        let mut stored = (
            axes.first().copied().unwrap_or(1),
            axes.iter().skip(1).product(),
        );
        if let [Step::Stacked(slices), rest @ ..] = remaining {
            stored = stacked(*slices, axes)?;
            remaining = rest;
        }
        let mut shape = stored;
        let mut steps = Vec::with_capacity(remaining.len());
        for step in remaining {
            steps.push((step.clone(), shape));
            shape = after(step, shape)?;
        }
        Ok(Self {
            binding: binding.clone(),
            shape,
            start,
            stored,
            steps,
        })
    }

    /// Rows of the role, row-major.
    pub fn rows(&self, store: &TensorStore, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        let count = self.shape.0;
        if rows.start > rows.end || rows.end > count {
            return Err(Error::OutOfRange {
                tensor: crate::text::ModelText::new(&self.binding.tensor).clipped(120),
                what: "rows in this role",
                len: count,
                start: rows.start,
                end: rows.end,
            });
        }
        self.read(store, self.steps.len(), rows)
    }

    /// Where rows of the role lie within their tensor, in numbers; `None` where a step spreads them.
    pub fn row_elements(&self, rows: &Range<usize>) -> Option<Range<usize>> {
        let mut rows = rows.clone();
        for (step, _) in self.steps.iter().rev() {
            match step {
                Step::Rows(part) => rows = part.start + rows.start..part.start + rows.end,
                Step::Slice(_) | Step::Stacked(_) | Step::PlusOne | Step::NormalisedRows => {}
                Step::Transposed
                | Step::TransposedEach(_)
                | Step::UnpermutedHeads(_)
                | Step::RowsOfEach { .. } => {
                    return None;
                }
            }
        }
        let width = self.stored.1;
        Some(self.start + rows.start * width..self.start + rows.end * width)
    }

    /// Where all that the role is made of lies within its tensor, in numbers.
    pub fn all_elements(&self) -> Range<usize> {
        let whole = self.start..self.start + self.stored.0 * self.stored.1;
        self.row_elements(&(0..self.shape.0)).unwrap_or(whole)
    }

    /// Where the role's numbers lie within their tensor, in numbers, if they are a stretch of it: in any
    /// order, none left out and none changed.
    pub fn stretch(&self) -> Option<Range<usize>> {
        let changes = |step: &Step| matches!(step, Step::PlusOne | Step::NormalisedRows);
        let selects = |step: &Step| matches!(step, Step::Rows(_) | Step::RowsOfEach { .. });
        if self.steps.iter().any(|(step, _)| changes(step)) {
            return None;
        }
        let rows = self.row_elements(&(0..self.shape.0));
        let all = !self.steps.iter().any(|(step, _)| selects(step));
        rows.or_else(|| all.then(|| self.all_elements()))
    }

    /// The stored row of each of the role's rows; `None` where a step does more than move rows. Heads
    /// that llama.cpp permuted are left so if `permuted`.
    pub fn stored_rows(&self, permuted: bool) -> Option<Vec<usize>> {
        let mut rows: Vec<usize> = (0..self.stored.0).collect();
        for (step, (total, _)) in &self.steps {
            rows = match step {
                Step::Rows(part) => rows.get(part.clone())?.to_vec(),
                Step::RowsOfEach { groups, rows: part } => {
                    let size = total / groups;
                    let stored = (0..groups * part.len()).map(|row| of_each(row, size, part));
                    stored
                        .map(|row| rows.get(row).copied())
                        .collect::<Option<_>>()?
                }
                Step::UnpermutedHeads(_) if permuted => rows,
                Step::UnpermutedHeads(heads) => {
                    let head_dim = total / heads;
                    let stored = (0..*total).map(|row| unpermuted(row, head_dim));
                    stored
                        .map(|row| rows.get(row).copied())
                        .collect::<Option<_>>()?
                }
                Step::Slice(_)
                | Step::Stacked(_)
                | Step::Transposed
                | Step::TransposedEach(_)
                | Step::PlusOne
                | Step::NormalisedRows => {
                    return None;
                }
            };
        }
        Some(rows)
    }

    /// The bytes of the stored matrix, and of one of its rows, when a row is whole blocks.
    pub fn stored_bytes(&self, store: &TensorStore) -> Result<Option<(Vec<u8>, usize)>, Error> {
        let name = &self.binding.tensor;
        let dtype = store.info(name).map(|info| info.dtype);
        let size = |elements| dtype.and_then(|dtype| dtype.bytes_for(elements));
        let (Some(row), Some(start)) = (size(self.stored.1), size(self.start)) else {
            return Ok(None);
        };
        let mut bytes = vec![0; row * self.stored.0];
        store.read_bytes(name, start, &mut bytes)?;
        Ok(Some((bytes, row)))
    }

    /// Rows of the matrix after the first `steps` steps.
    fn read(
        &self,
        store: &TensorStore,
        steps: usize,
        rows: Range<usize>,
    ) -> Result<Vec<f32>, Error> {
        let Some(before) = steps.checked_sub(1) else {
            let width = self.stored.1;
            let range = self.start + rows.start * width..self.start + rows.end * width;
            return store.elements(&self.binding.tensor, range);
        };
        let (step, shape) = &self.steps[before];
        match step {
            Step::Rows(part) => self.read(
                store,
                before,
                part.start + rows.start..part.start + rows.end,
            ),
            Step::RowsOfEach { groups, rows: part } => {
                let size = shape.0 / groups;
                let mut values = Vec::with_capacity(rows.len() * shape.1);
                let mut next = rows.start;
                while next < rows.end {
                    let last = rows.end.min((next / part.len() + 1) * part.len());
                    let first = of_each(next, size, part);
                    values.extend(self.read(store, before, first..first + last - next)?);
                    next = last;
                }
                Ok(values)
            }
            Step::PlusOne => {
                let mut values = self.read(store, before, rows)?;
                values.iter_mut().for_each(|value| *value += 1.0);
                Ok(values)
            }
            Step::NormalisedRows => {
                let mut values = self.read(store, before, rows)?;
                values.chunks_mut(shape.1.max(1)).for_each(normalise);
                Ok(values)
            }
            Step::UnpermutedHeads(heads) => self.read_unpermuted(store, before, *heads, rows),
            Step::Transposed => self.read_transposed(store, before, rows),
            Step::TransposedEach(parts) => self.read_each(store, before, *parts, rows),
            // `resolve` consumed the leading ones and refuses others.
            Step::Slice(_) | Step::Stacked(_) => self.read(store, before, rows),
        }
    }

    /// Reads whole heads around `rows` and puts their rows back in order.
    fn read_unpermuted(
        &self,
        store: &TensorStore,
        before: usize,
        heads: usize,
        rows: Range<usize>,
    ) -> Result<Vec<f32>, Error> {
        let (total, width) = self.steps[before].1;
        let head_dim = total / heads;
        if rows.is_empty() || head_dim == 0 {
            return Ok(Vec::new());
        }
        let first = rows.start / head_dim * head_dim;
        let last = rows.end.next_multiple_of(head_dim);
        let stored = self.read(store, before, first..last)?;
        let mut values = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let at = (unpermuted(row, head_dim) - first) * width;
            values.extend_from_slice(&stored[at..at + width]);
        }
        Ok(values)
    }

    /// Reads each part that `rows` touch, and turns it.
    fn read_each(
        &self,
        store: &TensorStore,
        before: usize,
        parts: usize,
        rows: Range<usize>,
    ) -> Result<Vec<f32>, Error> {
        let (total, width) = self.steps[before].1;
        let height = total / parts;
        let mut values = Vec::with_capacity(rows.len() * height);
        let mut next = rows.start;
        while next < rows.end {
            let part = next / width;
            let block = self.read(store, before, part * height..(part + 1) * height)?;
            let last = rows.end.min((part + 1) * width);
            for column in next - part * width..last - part * width {
                values.extend(block.iter().skip(column).step_by(width));
            }
            next = last;
        }
        Ok(values)
    }

    /// Walks over the whole matrix, a bounded number of rows at a time, and picks columns.
    fn read_transposed(
        &self,
        store: &TensorStore,
        before: usize,
        columns: Range<usize>,
    ) -> Result<Vec<f32>, Error> {
        let (height, width) = self.steps[before].1;
        let mut values = vec![0.0; columns.len() * height];
        let step = (WALK_ELEMENTS / width.max(1)).max(1);
        for top in (0..height).step_by(step) {
            let block = self.read(store, before, top..height.min(top + step))?;
            for (row, line) in block.chunks_exact(width.max(1)).enumerate() {
                for (column, value) in line[columns.clone()].iter().enumerate() {
                    values[column * height + top + row] = *value;
                }
            }
        }
        Ok(values)
    }
}

/// The matrix that slices make one below the other.
fn stacked(slices: usize, axes: &[usize]) -> Result<(usize, usize), String> {
    match axes {
        [first, rows, columns] if *first == slices => Ok((slices * rows, *columns)),
        _ => Err(format!("shape {axes:?} is not {slices} matrices")),
    }
}

/// Where llama.cpp keeps `row` of a query or key matrix.
fn unpermuted(row: usize, head_dim: usize) -> usize {
    let within = row % head_dim;
    let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
    row - within + 2 * pair + half
}

/// Where the parts of `size` rows keep `row` of those that are meant, `part` of each.
fn of_each(row: usize, size: usize, part: &Range<usize>) -> usize {
    row / part.len() * size + part.start + row % part.len()
}

/// The shape after `step` on a matrix of `shape`.
fn after(step: &Step, shape: (usize, usize)) -> Result<(usize, usize), String> {
    let (rows, columns) = shape;
    match step {
        Step::Slice(_) => Err("a slice may only be taken first".to_owned()),
        Step::Rows(part) if part.start > part.end || part.end > rows => Err(format!(
            "it has {rows} rows, not {}..{}",
            part.start, part.end
        )),
        Step::Rows(part) => Ok((part.len(), columns)),
        Step::RowsOfEach { groups, rows: part } => {
            let whole = *groups > 0 && rows.is_multiple_of(*groups);
            let fits = whole && part.start < part.end && part.end <= rows / groups;
            match fits {
                true => Ok((groups * part.len(), columns)),
                false => Err(format!(
                    "{rows} rows do not make {groups} parts with rows {}..{}",
                    part.start, part.end
                )),
            }
        }
        Step::Stacked(_) => Err("a stack may only be taken first".to_owned()),
        Step::Transposed => Ok((columns, rows)),
        Step::TransposedEach(parts) if *parts == 0 || !rows.is_multiple_of(*parts) => {
            Err(format!("{rows} rows do not make {parts} parts"))
        }
        Step::TransposedEach(parts) => Ok((parts * columns, rows / parts)),
        Step::UnpermutedHeads(heads) if *heads == 0 || !rows.is_multiple_of(heads * 2) => Err(
            format!("{rows} rows do not make {heads} heads of even width"),
        ),
        Step::UnpermutedHeads(_) | Step::PlusOne | Step::NormalisedRows => Ok(shape),
    }
}

/// `row / max(‖row‖₂, 1e-7)`, the norm in f64.
fn normalise(row: &mut [f32]) {
    let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
    let norm = square.sqrt().max(1e-7);
    row.iter_mut()
        .for_each(|value| *value = (f64::from(*value) / norm) as f32);
}
