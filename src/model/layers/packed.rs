//! Packed sequences: prompts that go through a block together and share its matrix products.
//!
//! A product of a few rows waits for the matrix rather than for the arithmetic. The rows of several prompts
//! lie one behind another, so that a matrix is read once for all of them.

use candle_core::{Result, Tensor};

use super::super::site::{Site, Tap};
use super::{LayerCache, Rotation};

/// Numbers of which candle spreads an operation on each over a pool of its own. There is one such pool, so that
/// threads that take different prompts through would wait for each other.
const SPREAD: usize = 64 << 10;

/// A prompt on its way through a block.
pub(in crate::model) struct Prompt<'a> {
    /// Of its new positions.
    pub rotation: Option<&'a Rotation>,
    /// What came before, which is extended.
    pub cache: Option<&'a mut LayerCache>,
    /// Sees its values as if it were alone.
    pub tap: &'a mut dyn Tap,
    /// New positions.
    pub rows: usize,
}

/// The prompts whose rows a tensor `[1, rows of all, …]` holds, or the only one: `[batch, pos, …]`.
pub(in crate::model) struct Packed<'a>(Vec<Prompt<'a>>);

impl<'a> Packed<'a> {
    /// In the order of their rows; at least one.
    pub(in crate::model) fn new(prompts: Vec<Prompt<'a>>) -> Self {
        Self(prompts)
    }

    /// One prompt of so many positions, behind which nothing is kept.
    pub(in crate::model) fn alone(
        rotation: Option<&'a Rotation>,
        rows: usize,
        tap: &'a mut dyn Tap,
    ) -> Self {
        Self(vec![Prompt {
            rotation,
            cache: None,
            tap,
            rows,
        }])
    }

    /// Whether there are others.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Shows each tap that wants it its prompt's part `[1, rows, …]` of `value`.
    pub(in crate::model) fn see(&mut self, site: Site, value: &Tensor) -> Result<()> {
        if let [only] = &mut self.0[..] {
            return super::see(only.tap, site, value);
        }
        let mut start = 0;
        for prompt in &mut self.0 {
            super::see_made(prompt.tap, site, || value.narrow(1, start, prompt.rows))?;
            start += prompt.rows;
        }
        Ok(())
    }

    /// What `f`, which makes each number of those in the same place, makes of tensors `[batch, pos, width]` of one
    /// shape; of several prompts some rows at a time, in this thread.
    pub(in crate::model) fn pointwise<const N: usize>(
        &self,
        values: [&Tensor; N],
        f: impl Fn([Tensor; N]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (rows, width) = match values.first() {
            Some(first) if self.are_several() => (first.dims()[1], first.dims()[2]),
            _ => return f(values.map(Tensor::clone)),
        };
        let most = ((SPREAD - 1) / width).max(1);
        let pieces = (0..rows).step_by(most);
        let made = pieces.map(|start| f(part(values, start, most.min(rows - start))?));
        Tensor::cat(&made.collect::<Result<Vec<_>>>()?, 1)
    }

    /// What `f` makes of the rows `[1, rows, width]` of each prompt in turn, one behind another; what it makes has
    /// as many.
    pub(super) fn each<const N: usize>(
        &mut self,
        values: [&Tensor; N],
        mut f: impl FnMut(&mut Prompt<'a>, [Tensor; N]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if let [only] = &mut self.0[..] {
            return f(only, values.map(Tensor::clone));
        }
        let mut start = 0;
        let mut made = Vec::with_capacity(self.0.len());
        for prompt in &mut self.0 {
            let rows = part(values, start, prompt.rows)?;
            made.push(f(prompt, rows)?);
            start += prompt.rows;
        }
        Tensor::cat(&made, 1)
    }
}

/// `count` rows from `start` on of each.
fn part<const N: usize>(values: [&Tensor; N], start: usize, count: usize) -> Result<[Tensor; N]> {
    let mut parts = values.map(Tensor::clone);
    for part in &mut parts {
        *part = part.narrow(1, start, count)?;
    }
    Ok(parts)
}
