//! Through the blocks: one prompt, or several of any lengths in step.

use candle_core::Tensor;
use rayon::prelude::*;

use super::block::Block;
use super::{Decoder, Error, Input, KvCache, Splice};
use crate::model::layers::{Rotation, see};
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

/// A prompt between two blocks.
struct Underway {
    x: Tensor,
    rotations: Vec<Rotation>,
    grown: Option<KvCache>,
}

impl Decoder {
    /// The residual stream after the last block, `[batch, pos, hidden_size]`, of every pass.
    ///
    /// All go through a block before any goes through the next, so that a decoder whose blocks are in files
    /// reads each once. The numbers are those of each pass on its own.
    ///
    /// # Errors
    /// As [`Decoder::forward`], of any pass; the caches of all are then empty.
    pub fn residuals(&self, passes: &mut [Pass<'_>]) -> Result<Vec<Tensor>, Error> {
        let mut underway = Vec::with_capacity(passes.len());
        for pass in passes.iter_mut() {
            let input = (pass.tokens, pass.splice);
            underway.push(self.begin(input, pass.cache.as_deref_mut(), pass.tap)?);
        }
        for layer in 0..self.spec.layers.len() {
            let block = self.blocks.turn(&self.spec, layer, self.mode)?;
            underway
                .par_iter_mut()
                .zip(&mut *passes)
                .try_for_each(|(prompt, pass)| self.turn(&block, layer, prompt, pass.tap))?;
        }
        let end = |(prompt, pass): (Underway, &mut Pass<'_>)| {
            if let (Some(cache), Some(grown)) = (pass.cache.as_deref_mut(), prompt.grown) {
                *cache = grown;
            }
            prompt.x
        };
        Ok(underway.into_iter().zip(passes).map(end).collect())
    }

    /// The residual stream after the last block, `[batch, pos, hidden_size]`.
    pub(super) fn residual(
        &self,
        input: Input<'_>,
        mut cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let mut prompt = self.begin(input, cache.as_deref_mut(), tap)?;
        for layer in 0..self.spec.layers.len() {
            let block = self.blocks.turn(&self.spec, layer, self.mode)?;
            self.turn(&block, layer, &mut prompt, tap)?;
        }
        if let (Some(cache), Some(grown)) = (cache, prompt.grown) {
            *cache = grown;
        }
        Ok(prompt.x)
    }

    /// A prompt before the first block. Its cache is empty until it is through.
    fn begin(
        &self,
        input: Input<'_>,
        cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<Underway, Error> {
        if cache.is_some() && self.spec.kind == Kind::Encoder {
            return Err(Error::Encoder);
        }
        let mut grown = cache.map(std::mem::take);
        let start = grown.as_ref().map_or(0, |cache| cache.len);
        let count = self.check(input.0, start)?;
        let rotations = self.rotations(start, count)?;
        let x = self.embedded(input, start, tap)?;
        if let Some(cache) = &mut grown {
            cache.layers.resize(self.spec.layers.len(), None);
            cache.len += count;
        }
        Ok(Underway {
            x,
            rotations,
            grown,
        })
    }

    /// Through one block.
    fn turn(
        &self,
        block: &Block,
        layer: usize,
        prompt: &mut Underway,
        tap: &mut dyn Tap,
    ) -> Result<(), Error> {
        let cache = prompt.grown.as_mut();
        let cache = cache.and_then(|cache| cache.layers.get_mut(layer));
        let rotation = self.ropes.of_block[layer].map(|index| &prompt.rotations[index]);
        see(tap, Site::ResidPre(layer), &prompt.x)?;
        prompt.x = block.forward(&prompt.x, layer, rotation, cache, tap)?;
        see(tap, Site::ResidPost(layer), &prompt.x)?;
        Ok(())
    }
}
