//! Embeddings that come from elsewhere in place of those of tokens.

use candle_core::Tensor;

use super::{Decoder, Error, KvCache, Tap};

/// Embeddings for some positions of the tokens that a forward pass is given, one row of which there is
/// then. The tokens at these positions stand for nothing, but must be in the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct Splice<'a> {
    /// Indices into the tokens, each at most once.
    pub places: &'a [usize],
    /// One row for each place: `[places, hidden_size]`, as the first block reads them (no factor is applied
    /// to them).
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
    /// `x` `[1, pos, hidden_size]` with these rows in place of its own.
    pub(super) fn into(self, x: &Tensor) -> Result<Tensor, Error> {
        let (batch, pos, width) = x.dims3()?;
        let rows = self.embeddings.dims2()?;
        let mut order: Vec<u32> = (0..pos as u32).collect();
        let mut fits = batch == 1 && rows == (self.places.len(), width);
        for (row, place) in self.places.iter().enumerate() {
            match order.get_mut(*place) {
                Some(at) if (*at as usize) < pos => *at = (pos + row) as u32,
                _ => fits = false,
            }
        }
        if !fits {
            return Err(Error::Splice {
                places: self.places.len(),
                embeddings: rows,
                tokens: (batch, pos),
                hidden_size: width,
            });
        }
        let embeddings = self.embeddings.to_dtype(x.dtype())?.to_device(x.device())?;
        let all = Tensor::cat(&[x.squeeze(0)?, embeddings], 0)?;
        let order = Tensor::new(order, x.device())?;
        Ok(all.index_select(&order, 0)?.unsqueeze(0)?)
    }
}
