//! Attention patterns of whole prompts: as wide as the prompt is long, and so of one width only when the
//! shorter prompts are filled up.

use candle_core::DType;
use candle_core::Tensor;
use serde::Deserialize;
use serde::Serialize;

use crate::model::Model;
use crate::probe::Item;
use crate::record::Error;
use crate::text::ModelText;

/// Most numbers in one row: 16 MiB per site and prompt.
const MOST: usize = 1 << 22;

/// What a row of [`super::Pool::Whole`] is: `[heads, tokens, tokens]`, flattened, which key each query rests
/// on. A prompt of fewer tokens has zeros behind its end, and since what a query rests on sums to about 1, a
/// pattern has as many tokens as it has rows that are not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// At every site.
    pub heads: usize,
    /// Of the longest prompt.
    pub tokens: usize,
}

impl Whole {
    /// For the longest of `items` that `model` takes.
    ///
    /// # Errors
    /// A model that cannot be run, or a prompt so long that a row would have more than [`MOST`] numbers.
    pub(super) fn of(model: &Model, items: &[Item]) -> Result<Self, Error> {
        let not_runnable = |reason: &String| Error::NotRunnable(reason.clone());
        let spec = model.spec.as_ref().map_err(not_runnable)?;
        let tokenizer = model.tokenizer.as_ref().map_err(not_runnable)?;
        let lengths = items.iter().filter_map(|item| {
            let tokens = tokenizer.encode_with_places(&item.prompt).ok()?.len();
            (tokens <= spec.max_position_embeddings).then_some((tokens, item))
        });
        let heads = spec.num_attention_heads;
        let Some((tokens, longest)) = lengths.max_by_key(|(tokens, _)| *tokens) else {
            return Ok(Self { heads, tokens: 0 });
        };
        let found = Self { heads, tokens };
        found.within_bounds(&longest.id).map_err(Error::NotRunnable)
    }

    /// Refuses rows of more than [`MOST`] numbers; `longest` is the prompt that has them.
    fn within_bounds(self, longest: &str) -> Result<Self, String> {
        match self.width() {
            Some(width) if width <= MOST => Ok(self),
            _ => Err(format!(
                "the longest prompt, `{}`, has {} tokens, and patterns of {} heads over it are more than the \
                 {MOST} numbers that are kept of a prompt: take a suite of shorter prompts",
                ModelText::new(longest).clipped(60),
                self.tokens,
                self.heads
            )),
        }
    }

    /// Numbers in a row; `None` where there are too many to count.
    pub fn width(self) -> Option<usize> {
        let pattern = self.tokens.checked_mul(self.tokens)?;
        pattern.checked_mul(self.heads)
    }

    /// A row of the pattern of one prompt, `[1, heads, pos, pos]`.
    pub(super) fn row(self, pattern: &Tensor) -> candle_core::Result<Vec<f32>> {
        let (_, heads, queries, keys) = pattern.dims4()?;
        if heads != self.heads || queries.max(keys) > self.tokens {
            candle_core::bail!(
                "a pattern of {heads} heads over {queries} and {keys} tokens, where {} heads over {} were \
                 expected",
                self.heads,
                self.tokens
            );
        }
        let values: Vec<f32> = pattern.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let mut row = vec![0.0; heads * self.tokens * self.tokens];
        for (at, query) in values.chunks_exact(keys.max(1)).enumerate() {
            let start = ((at / queries) * self.tokens + at % queries) * self.tokens;
            row[start..start + keys].copy_from_slice(query);
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_short_prompt_has_zeros_behind_its_end() {
        let pattern: Vec<f32> = vec![1.0, 0.0, 0.5, 0.5, 1.0, 0.0, 0.25, 0.75];
        let pattern = Tensor::from_vec(pattern, (1, 2, 2, 2), &Device::Cpu).unwrap();
        let whole = Whole {
            heads: 2,
            tokens: 3,
        };
        let row = whole.row(&pattern).unwrap();
        let heads = [
            [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.0, 0.0, 0.0],
        ];
        assert_eq!(row, heads.concat());
        assert_eq!(whole.width(), Some(row.len()));
        for (heads, tokens) in [(3, 3), (2, 1)] {
            let reason = Whole { heads, tokens }.row(&pattern).unwrap_err();
            assert!(reason.to_string().contains("2 heads over 2"), "{reason}");
        }
    }

    #[test]
    fn a_row_has_its_bound() {
        let of = |heads, tokens| Whole { heads, tokens };
        let most = of(4, 1024);
        assert_eq!(
            (most.width(), most.within_bounds("q")),
            (Some(MOST), Ok(most))
        );
        for (heads, tokens) in [(4, 1025), (5, 1024), (3, usize::MAX), (usize::MAX, 2)] {
            let reason = of(heads, tokens).within_bounds("a\nb").unwrap_err();
            let words = [format!("has {tokens} tokens"), format!("{heads} heads")];
            assert!(words.iter().all(|words| reason.contains(words)), "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
