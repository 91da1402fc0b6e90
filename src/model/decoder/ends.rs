//! Both ends of a decoder: the embedding's rows for tokens, and the product with the head.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::Error;
use super::files::Files;
use crate::model::layers::{Linear, Mode, NormLayer, Source, by_row};
use crate::model::role::{Part, Role};
use crate::model::spec::DecoderSpec;

/// Rows of a head that are multiplied at a time, and fewer only where it has fewer: a product of few rows
/// takes another way through the arithmetic, and its last bits would be others.
const LEAST_ROWS: usize = 512;

/// The embedding, `[vocab_size, hidden_size]`.
#[derive(Debug)]
pub(super) enum Embedding {
    Held(Tensor),
    /// Of which the rows are read that are asked for.
    Streamed(Files, Role),
}

impl Embedding {
    /// Rows `[tokens, hidden_size]`, for tokens that it has.
    pub fn rows(&self, tokens: &Tensor) -> Result<Tensor> {
        match self {
            Self::Held(table) => table.index_select(tokens, 0),
            Self::Streamed(files, role) => {
                let tokens = tokens.to_vec1::<u32>()?;
                let mut known: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
                let mut values = Vec::new();
                for &token in &tokens {
                    if let Some(row) = known.get(&token) {
                        values.extend_from_slice(row);
                        continue;
                    }
                    let row = files.rows(*role, token as usize..token as usize + 1)?;
                    values.extend_from_slice(&row);
                    known.insert(token, row);
                }
                Tensor::from_vec(values, (tokens.len(), ()), &files.device)
            }
        }
    }
}

/// What turns the stream into logits.
#[derive(Debug)]
pub(super) enum Head {
    Held(Linear),
    /// Read and multiplied some rows at a time.
    Streamed(StreamedHead),
}

/// A head in files.
#[derive(Debug)]
pub(super) struct StreamedHead {
    pub files: Files,
    pub role: Role,
    /// `(vocab_size, hidden_size)`.
    pub shape: (usize, usize),
    /// Rows in memory at a time, about.
    pub rows: usize,
    pub mode: Mode,
}

impl Head {
    /// In memory, behind the last norm; `None` for an encoder, which has neither.
    pub fn held(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        embed: &Tensor,
        mode: Mode,
    ) -> std::result::Result<Option<(NormLayer, Self)>, Error> {
        let Some(norm) = last_norm(source, spec, mode)? else {
            return Ok(None);
        };
        let (role, bias) = (Role::model(Part::Unembed), spec.biases.head);
        let unembed = if spec.tie_word_embeddings {
            Linear::tied(source, Role::model(Part::Embed), embed, mode)?
        } else {
            Linear::new(
                source,
                role,
                (spec.vocab_size, spec.hidden_size),
                bias,
                mode,
            )?
        };
        Ok(Some((norm, Self::Held(unembed))))
    }

    /// Logits `[batch, pos, vocab_size]` of each of `xs` `[batch, pos, hidden_size]`.
    pub fn forward(&self, xs: &[Tensor]) -> Result<Vec<Tensor>> {
        match self {
            Self::Held(linear) => xs.iter().map(|x| linear.forward(x)).collect(),
            Self::Streamed(head) => head.forward(xs),
        }
    }
}

/// The norm before the head, where there is one.
pub(super) fn last_norm(
    source: &mut dyn Source,
    spec: &DecoderSpec,
    mode: Mode,
) -> std::result::Result<Option<NormLayer>, Error> {
    let kind = (spec.norm, spec.norm_eps);
    let norm = |()| {
        NormLayer::new(
            source,
            Role::model(Part::FinalNorm),
            spec.hidden_size,
            kind,
            mode,
        )
    };
    spec.kind.has_head().then_some(()).map(norm).transpose()
}

impl StreamedHead {
    fn forward(&self, xs: &[Tensor]) -> Result<Vec<Tensor>> {
        let (vocab_size, hidden) = self.shape;
        let step = self.step();
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); xs.len()];
        for start in (0..vocab_size).step_by(step) {
            let rows = start..vocab_size.min(start + step);
            let shape = (rows.len(), hidden);
            let values = self.files.rows(self.role, rows)?;
            let weight = Tensor::from_vec(values, shape, &self.files.device)?;
            let part = Linear::of(weight, self.mode);
            for (x, parts) in xs.iter().zip(&mut parts) {
                parts.push(by_row(self.mode, x, |x| part.project(x))?);
            }
        }
        let whole = |parts: Vec<Tensor>| match parts.as_slice() {
            [all] => Ok(all.clone()),
            parts => Tensor::cat(parts, 2),
        };
        parts.into_iter().map(whole).collect()
    }

    /// Rows of each part, all but the last as many and none few.
    fn step(&self) -> usize {
        let vocab_size = self.shape.0;
        let parts = (vocab_size / self.rows.max(LEAST_ROWS)).max(1);
        vocab_size
            .div_ceil(parts)
            .next_multiple_of(64)
            .clamp(1, vocab_size.max(1))
    }
}
