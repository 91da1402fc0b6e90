//! How a stored tensor is seen as a role's matrix.

use std::ops::Range;

/// A role's matrix or vector: a stored tensor and the steps from what is stored to what is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name of the stored tensor.
    pub tensor: String,
    /// What is done to it.
    pub view: View,
}

/// Steps from a stored tensor to the canonical `(out, in)` matrix, applied in order; none of them
/// copies the tensor.
///
/// ```
/// use kinprobe::model::{Binding, View};
///
/// // Value rows of GPT-2's fused `[in, 3 * out]` Conv1D weight.
/// let value = Binding::new("h.0.attn.c_attn.weight", View::whole().transposed().rows(1536..2304));
/// assert_eq!(value.view.steps().len(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    steps: Vec<Step>,
}

/// One step of a [`View`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// One element of the first axis of a tensor of three or more axes (an expert of a stack). Only
    /// other slices may come before it.
    Slice(usize),
    /// Some rows (a part of a fused matrix, a head).
    Rows(Range<usize>),
    /// The same rows of each of `groups` equal parts, one below the other (what is meant of a matrix in
    /// which queries, keys and values take turns, head by head).
    RowsOfEach {
        /// Parts.
        groups: usize,
        /// Rows within a part.
        rows: Range<usize>,
    },
    /// So many slices `[rows, columns]`, one below the other (what comes out of a narrow matrix, a slice
    /// for each head). Only slices may come before it.
    Stacked(usize),
    /// Rows become columns (Conv1D keeps `[in, out]`).
    Transposed,
    /// Rows become columns in each of so many equal parts that stand one below the other.
    TransposedEach(usize),
    /// Undoes the row order that llama.cpp gives to query and key rows so that adjacent pairs rotate
    /// together: within each of `heads` heads, stored row `2 i + j` is row `i + j head_dim / 2`.
    UnpermutedHeads(usize),
    /// One is added to every number (Gemma stores `gain - 1`).
    PlusOne,
    /// Every row is divided by its Euclidean norm, floored at 1e-7 (Baichuan 2's `NormHead`).
    NormalisedRows,
}

impl Binding {
    /// `tensor` seen through `view`.
    pub fn new(tensor: impl Into<String>, view: View) -> Self {
        Self {
            tensor: tensor.into(),
            view,
        }
    }

    /// `tensor` as it is.
    pub fn whole(tensor: impl Into<String>) -> Self {
        Self::new(tensor, View::whole())
    }
}

impl View {
    /// The tensor as it is stored.
    pub fn whole() -> Self {
        Self::default()
    }

    /// [`Step::Slice`].
    #[must_use]
    pub fn slice(self, index: usize) -> Self {
        self.then(Step::Slice(index))
    }

    /// [`Step::Rows`].
    #[must_use]
    pub fn rows(self, rows: Range<usize>) -> Self {
        self.then(Step::Rows(rows))
    }

    /// [`Step::RowsOfEach`].
    #[must_use]
    pub fn rows_of_each(self, groups: usize, rows: Range<usize>) -> Self {
        self.then(Step::RowsOfEach { groups, rows })
    }

    /// [`Step::Stacked`].
    #[must_use]
    pub fn stacked(self, slices: usize) -> Self {
        self.then(Step::Stacked(slices))
    }

    /// [`Step::Transposed`].
    #[must_use]
    pub fn transposed(self) -> Self {
        self.then(Step::Transposed)
    }

    /// [`Step::TransposedEach`].
    #[must_use]
    pub fn transposed_each(self, parts: usize) -> Self {
        self.then(Step::TransposedEach(parts))
    }

    /// [`Step::UnpermutedHeads`].
    #[must_use]
    pub fn unpermuted_heads(self, heads: usize) -> Self {
        self.then(Step::UnpermutedHeads(heads))
    }

    /// [`Step::PlusOne`].
    #[must_use]
    pub fn plus_one(self) -> Self {
        self.then(Step::PlusOne)
    }

    /// [`Step::NormalisedRows`].
    #[must_use]
    pub fn normalised_rows(self) -> Self {
        self.then(Step::NormalisedRows)
    }

    /// Some steps in order.
    #[must_use]
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
        }
    }

    /// The steps, first one first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
