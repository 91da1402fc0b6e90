//! Through the blocks: one prompt, or several of any lengths in step.

use candle_core::Tensor;
use rayon::prelude::*;

use super::block::Block;
use super::blocks::Blocks;
use super::{Decoder, Error, Input, KvCache, Splice};
use crate::model::layers::{Packed, Prompt, Rotation};
use crate::model::site::{Site, Tap};
use crate::model::spec::Kind;

/// One of several prompts that go through the blocks together.
pub struct Pass<'a> {
    /// `[batch, pos]`.
    pub tokens: &'a Tensor,
    /// Embeddings from elsewhere.
    pub splice: Option<Splice<'a>>,
    /// Of this prompt.
    pub cache: Option<&'a mut KvCache>,
    /// Sees what [`Decoder::forward`] shows before the final norm.
    pub tap: &'a mut (dyn Tap + Send),
}

/// Rows of a product, about: enough that a matrix is not read for a few, and few enough that what lies between
/// two products stays in the caches of a core.
const ROWS: usize = 256;

/// A prompt between two blocks.
struct Underway {
    rows: usize,
    rotations: Vec<Rotation>,
    grown: Option<KvCache>,
}

/// Prompts that share products.
struct Group<'g, 'a> {
    passes: &'g mut [Pass<'a>],
    /// `[1, rows of all, hidden_size]`; of one prompt, `[batch, rows, hidden_size]`.
    x: Tensor,
    underway: Vec<Underway>,
}

impl Decoder {
    /// The residual stream after the last block, `[batch, pos, hidden_size]`, of every pass.
    ///
    /// Neighbours share matrix products. All go through a block before any goes through the next where blocks
    /// are in files, so that each is read once. The numbers are those of each pass on its own.
    ///
    /// # Errors
    /// As [`Decoder::forward`], of any pass; the caches of all are then empty.
    pub fn residuals(&self, passes: &mut [Pass<'_>]) -> Result<Vec<Tensor>, Error> {
        let mut groups = self.groups(passes)?;
        let layers = 0..self.spec.layers.len();
        match &self.blocks {
            Blocks::Held(_) => groups.par_iter_mut().try_for_each(|group| {
                layers.clone().try_for_each(|layer| {
                    let block = self.blocks.turn(&self.spec, layer, self.mode)?;
                    group.turn(self, &block, layer)
                })
            })?,
            Blocks::Streamed(_) => layers.clone().try_for_each(|layer| {
                let block = self.blocks.turn(&self.spec, layer, self.mode)?;
                let groups = groups.par_iter_mut();
                groups.try_for_each(|group| group.turn(self, &block, layer))
            })?,
        }
        let ends: Result<Vec<_>, Error> = groups.into_iter().map(Group::end).collect();
        Ok(ends?.concat())
    }

    /// The residual stream after the last block, `[batch, pos, hidden_size]`.
    pub(super) fn residual(
        &self,
        input: Input<'_>,
        mut cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let (mut x, mut prompt) = self.begin(input, cache.as_deref_mut(), tap)?;
        for layer in 0..self.spec.layers.len() {
            let block = self.blocks.turn(&self.spec, layer, self.mode)?;
            let alone = vec![prompt.at(layer, self.ropes.of_block[layer], tap)];
            x = through(&block, layer, &x, Packed::new(alone))?;
        }
        if let (Some(cache), Some(grown)) = (cache, prompt.grown) {
            *cache = grown;
        }
        Ok(x)
    }

    /// All passes before the first block, in groups.
    fn groups<'g, 'a>(&self, mut passes: &'g mut [Pass<'a>]) -> Result<Vec<Group<'g, 'a>>, Error> {
        let mut begun = Vec::with_capacity(passes.len());
        for pass in passes.iter_mut() {
            let input = (pass.tokens, pass.splice);
            begun.push(self.begin(input, pass.cache.as_deref_mut(), pass.tap)?);
        }
        let shapes = begun.iter().map(|(x, _)| (x.dims()[0], x.dims()[1]));
        let counts = neighbours(&shapes.collect::<Vec<_>>(), rayon::current_num_threads());
        let mut begun = begun.into_iter();
        let mut groups = Vec::with_capacity(counts.len());
        for count in counts {
            let (group, rest) = passes.split_at_mut(count);
            passes = rest;
            let (x, underway): (Vec<_>, Vec<_>) = begun.by_ref().take(count).unzip();
            groups.push(Group {
                passes: group,
                x: joined(x)?,
                underway,
            });
        }
        Ok(groups)
    }

    /// A prompt before the first block. Its cache is empty until it is through.
    fn begin(
        &self,
        input: Input<'_>,
        cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<(Tensor, Underway), Error> {
        if cache.is_some() && self.spec.kind == Kind::Encoder {
            return Err(Error::Encoder);
        }
        let mut grown = cache.map(std::mem::take);
        let start = grown.as_ref().map_or(0, |cache| cache.len);
        let rows = self.check(input.0, start)?;
        let rotations = self.rotations(start, rows)?;
        let x = self.embedded(input, start, tap)?;
        if let Some(cache) = &mut grown {
            cache.layers.resize(self.spec.layers.len(), None);
            cache.len += rows;
        }
        let underway = Underway {
            rows,
            rotations,
            grown,
        };
        Ok((x, underway))
    }
}

impl Group<'_, '_> {
    /// Through one block.
    fn turn(&mut self, decoder: &Decoder, block: &Block, layer: usize) -> Result<(), Error> {
        let rope = decoder.ropes.of_block[layer];
        let prompts = self.underway.iter_mut().zip(&mut *self.passes);
        let prompts = prompts.map(|(prompt, pass)| prompt.at(layer, rope, pass.tap));
        self.x = through(block, layer, &self.x, Packed::new(prompts.collect()))?;
        Ok(())
    }

    /// What came out, by prompt; their caches are filled.
    fn end(self) -> Result<Vec<Tensor>, Error> {
        let Self {
            passes,
            x,
            underway,
        } = self;
        let alone = passes.len() == 1;
        let mut start = 0;
        let mut ends = Vec::with_capacity(passes.len());
        for (pass, prompt) in passes.iter_mut().zip(underway) {
            if let (Some(cache), Some(grown)) = (pass.cache.as_deref_mut(), prompt.grown) {
                *cache = grown;
            }
            ends.push(match alone {
                true => x.clone(),
                false => x.narrow(1, start, prompt.rows)?,
            });
            start += prompt.rows;
        }
        Ok(ends)
    }
}

impl Underway {
    /// Before block `layer`, which has the rotation of index `rope`.
    fn at<'u>(&'u mut self, layer: usize, rope: Option<usize>, tap: &'u mut dyn Tap) -> Prompt<'u> {
        let cache = self.grown.as_mut();
        Prompt {
            rotation: rope.map(|index| &self.rotations[index]),
            cache: cache.and_then(|cache| cache.layers.get_mut(layer)),
            tap,
            rows: self.rows,
        }
    }
}

fn through(
    block: &Block,
    layer: usize,
    x: &Tensor,
    mut prompts: Packed<'_>,
) -> candle_core::Result<Tensor> {
    prompts.see(Site::ResidPre(layer), x)?;
    let x = block.forward(x, layer, &mut prompts)?;
    prompts.see(Site::ResidPost(layer), &x)?;
    Ok(x)
}

/// `[1, rows of all, width]` of `[1, rows, width]` each; a batch is alone.
fn joined(mut x: Vec<Tensor>) -> candle_core::Result<Tensor> {
    match x.len() {
        1 => Ok(x.swap_remove(0)),
        _ => Tensor::cat(&x, 1),
    }
}

/// How many of the passes of these `(batch, rows)` form the first group, the second, and so on.
///
/// A product of one row is formed in another way than one of several, so that such a row stays alone, as does
/// a batch.
fn neighbours(shapes: &[(usize, usize)], threads: usize) -> Vec<usize> {
    let shared = |&(batch, rows): &(usize, usize)| batch == 1 && rows > 1;
    let total: usize = shapes
        .iter()
        .filter(|shape| shared(shape))
        .map(|shape| shape.1)
        .sum();
    // As many groups for each thread, of about the same size.
    let groups = total.div_ceil(ROWS).next_multiple_of(threads.max(1));
    let mut counts = Vec::new();
    let mut before = 0;
    let mut last = None;
    for shape in shapes {
        let group = shared(shape).then(|| before * groups / total);
        match counts.last_mut() {
            Some(count) if group.is_some() && group == last => *count += 1,
            _ => counts.push(1),
        }
        if group.is_some() {
            before += shape.1;
        }
        last = group;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::neighbours;

    #[test]
    fn neighbours_share_as_many_rows_for_each_thread() {
        let texts = vec![(1, 25); 64];
        assert_eq!(neighbours(&texts, 1), [10, 9, 9, 9, 9, 9, 9]);
        assert_eq!(neighbours(&texts, 2), [8; 8]);
        assert_eq!(neighbours(&texts, 16), [4; 16]);
        assert_eq!(neighbours(&[(1, 25); 3], 2), [2, 1]);
        assert_eq!(neighbours(&[(1, 3_000), (1, 2_000)], 2), [1, 1]);
        assert_eq!(neighbours(&[], 2), [0_usize; 0]);
    }

    #[test]
    fn single_rows_and_batches_stay_alone() {
        assert_eq!(neighbours(&[(1, 1); 4], 2), [1; 4]);
        let mixed = [(1, 5), (1, 5), (1, 1), (1, 5), (3, 5), (1, 5), (1, 5)];
        assert_eq!(neighbours(&mixed, 1), [2, 1, 1, 1, 2]);
    }
}
