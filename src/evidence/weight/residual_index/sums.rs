//! What blocks read from and write to residual coordinates, summed over layers.

use candle_core::Tensor;

use super::{Split, places};
use crate::evidence::Error;
use crate::model::Canonical;
use crate::model::canonical::{Attention, unit_rows};

/// Products of a block, and their names.
pub(super) const PRODUCTS: [&str; 3] = ["query-key", "value-output", "up-down"];

/// Products summed over layers, each `[others, yardstick]`: what others receive from the yardstick, and
/// what it receives from them.
pub(super) struct Sums {
    products: [Option<[Tensor; 2]>; 3],
}

impl Sums {
    pub fn of(model: &Canonical<'_>, split: &Split) -> Result<Self, Error> {
        let mut sums = Self {
            products: [None, None, None],
        };
        for layer in 0..model.spec.num_hidden_layers {
            if let Some(attention) = model.attention(layer)? {
                let (query_key, value_output) = heads_together(&attention, model)?;
                sums.add(0, &query_key.0.t()?.contiguous()?, &query_key.1, split)?;
                sums.add(1, &value_output.0, &value_output.1, split)?;
            }
            for expert in model.experts(layer) {
                if let Some(mlp) = model.mlp(layer, expert)? {
                    sums.add(2, &mlp.down, &mlp.up, split)?;
                }
            }
        }
        Ok(sums)
    }

    /// Adds `left * right`, `[width, n] * [n, width]`, at unit length.
    fn add(
        &mut self,
        product: usize,
        left: &Tensor,
        right: &Tensor,
        split: &Split,
    ) -> Result<(), Error> {
        let block = |rows: &Tensor, columns: &Tensor| -> candle_core::Result<Tensor> {
            let right = right.index_select(columns, 1)?.contiguous()?;
            let block = left.index_select(rows, 0)?.contiguous()?.matmul(&right)?;
            let length = block.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
            if length > 0.0 {
                block / f64::from(length)
            } else {
                Ok(block)
            }
        };
        let written = block(&split.others, &split.yardstick)?;
        let read = block(&split.yardstick, &split.others)?.t()?.contiguous()?;
        let sum = &mut self.products[product];
        *sum = Some(match sum.take() {
            Some([a, b]) => [(a + written)?, (b + read)?],
            None => [written, read],
        });
        Ok(())
    }

    /// `[queries, others]`: cosines of both directions added.
    pub fn similarities(
        &self,
        other: &Self,
        product: usize,
        split: &Split,
    ) -> Result<Option<Tensor>, Error> {
        let (Some(ours), Some(theirs)) = (&self.products[product], &other.products[product]) else {
            return Ok(None);
        };
        let queries = places(&split.queries)?;
        let cosines = |ours: &Tensor, theirs: &Tensor| -> candle_core::Result<Tensor> {
            let ours = unit_rows(&ours.index_select(&queries, 0)?)?;
            ours.matmul(&unit_rows(theirs)?.t()?)
        };
        Ok(Some(
            (cosines(&ours[0], &theirs[0])? + cosines(&ours[1], &theirs[1])?)?,
        ))
    }
}

/// `(query, key)` and `(output, value)` with the heads of a group added up, so that the products over
/// `num_key_value_heads * head_dim` are the sums over all heads.
fn heads_together(
    attention: &Attention,
    model: &Canonical<'_>,
) -> candle_core::Result<((Tensor, Tensor), (Tensor, Tensor))> {
    let spec = model.spec;
    let (groups, head, width) = (spec.num_key_value_heads, spec.head_dim, spec.hidden_size);
    let per = spec.num_attention_heads / groups.max(1);
    let query = attention.query.reshape((groups, per, head, width))?;
    let output = attention.output.reshape((width, groups, per, head))?;
    Ok((
        (
            query.sum(1)?.reshape((groups * head, width))?,
            attention.key.clone(),
        ),
        (
            output.sum(2)?.reshape((width, groups * head))?,
            attention.value.clone(),
        ),
    ))
}
