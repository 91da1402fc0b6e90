//! What an encoder does before its first block.

use candle_core::Tensor;

use super::Error;
use crate::model::layers::{Mode, NormLayer, Source};
use crate::model::role::{Part, Role};
use crate::model::spec::{DecoderSpec, Kind};

/// What an encoder does to the sum of its embeddings: adds that of the first token type, and norms it.
#[derive(Debug)]
pub(super) struct Entrance {
    /// `[hidden_size]`.
    token_type: Option<Tensor>,
    norm: NormLayer,
}

impl Entrance {
    /// `None` for a decoder.
    pub(super) fn new(
        source: &mut dyn Source,
        spec: &DecoderSpec,
        mode: Mode,
    ) -> Result<Option<Self>, Error> {
        if spec.kind != Kind::Encoder {
            return Ok(None);
        }
        let hidden = spec.hidden_size;
        let token_type = match spec.type_vocab_size {
            None => None,
            Some(types) => {
                let table = source.take(Role::model(Part::TokenTypeEmbed), &[types, hidden])?;
                Some(table.get(0)?)
            }
        };
        let kind = (spec.norm, spec.norm_eps);
        let norm = NormLayer::new(source, Role::model(Part::EmbedNorm), hidden, kind, mode)?;
        Ok(Some(Self { token_type, norm }))
    }

    /// `[batch, pos, hidden_size]` to the same.
    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.token_type {
            Some(token_type) => self.norm.forward(&x.broadcast_add(token_type)?),
            None => self.norm.forward(x),
        }
    }
}
