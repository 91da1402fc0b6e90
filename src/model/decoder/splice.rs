//! Embeddings that come from elsewhere in place of those of tokens.

use candle_core::Tensor;

use super::{Decoder, Error, KvCache, Tap};

/// Embeddings for some positions of the tokens that a forward pass is given, the same in every row of a
/// batch. The tokens at these positions stand for nothing, but must be in the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct Splice<'a> {
    /// Indices into the tokens, each at most once.
    pub places: &'a [usize],
    /// One row for each place, batch row by batch row: `[batch * places, hidden_size]`, as the first block
    /// reads them (no factor is applied to them).
    pub embeddings: &'a Tensor,
}

impl Decoder {
    /// As [`Decoder::forward`], with embeddings from elsewhere at some positions.
    ///
    /// # Errors
    /// As [`Decoder::forward`]; embeddings that do not fit the tokens.
    pub fn forward_spliced(
        &self,
        tokens: &Tensor,
        splice: Splice<'_>,
        cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let x = self.residual((tokens, Some(splice)), cache, tap)?;
        self.head(&x, tap)
    }

    /// As [`Decoder::next_logits_with`], with embeddings from elsewhere at some positions.
    ///
    /// # Errors
    /// As [`Decoder::forward_spliced`].
    pub fn next_logits_spliced(
        &self,
        tokens: &Tensor,
        splice: Splice<'_>,
        cache: &mut KvCache,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        self.next((tokens, Some(splice)), cache, tap)
    }
}

impl Splice<'_> {
    /// `x` `[batch, pos, hidden_size]` with these rows in place of its own.
    pub(super) fn into(self, x: &Tensor) -> Result<Tensor, Error> {
        let (batch, pos, width) = x.dims3()?;
        let rows = self.embeddings.dims2()?;
        let mut order: Vec<u32> = (0..(batch * pos) as u32).collect();
        let mut fits = rows == (batch * self.places.len(), width);
        for row in 0..batch {
            for (at, place) in self.places.iter().enumerate() {
                let given = (batch * pos + row * self.places.len() + at) as u32;
                let own = (*place < pos).then_some(row * pos + place);
                match own {
                    Some(own) if order[own] as usize == own => order[own] = given,
                    _ => fits = false,
                }
            }
        }
        if !fits {
            return Err(Error::Splice {
                places: batch * self.places.len(),
                embeddings: rows,
                tokens: (batch, pos),
                hidden_size: width,
            });
        }
        let embeddings = self.embeddings.to_dtype(x.dtype())?.to_device(x.device())?;
        let all = Tensor::cat(&[x.reshape((batch * pos, width))?, embeddings], 0)?;
        let order = Tensor::new(order, x.device())?;
        Ok(all.index_select(&order, 0)?.reshape((batch, pos, width))?)
    }
}
