//! A decoder whose weights stay in files, and what it takes.

use candle_core::{DType, Device};

use super::blocks::{Blocks, Ropes};
use super::ends::{Embedding, Head, StreamedHead, last_norm};
use super::entrance::Entrance;
use super::files::Files;
use super::{Decoder, Error};
use crate::model::layers::{Linear, Mode, Pairs, Source};
use crate::model::role::{Part, Role};
use crate::model::spec::{DecoderSpec, Position};
use crate::model::weights::Weights;

/// Numbers of a head that are in memory at a time: 128 MiB in f32, and as much again while they are laid
/// out.
const HEAD_ELEMENTS: usize = 32 << 20;

/// Bytes of a number in memory.
const F32: u64 = 4;

/// What it takes to run a decoder, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// In memory with [`Decoder::load`], prompts left out.
    pub held: u64,
    /// In memory with [`Decoder::stream`], prompts left out: the largest block while it is read.
    pub streamed: u64,
    /// Read from files by [`Decoder::stream`] for one pass through all blocks and the head.
    pub read: u64,
    /// In memory for each token of a prompt: keys and values of all blocks and some rows of activations.
    pub token: u64,
    /// In memory for each position whose logits are wanted.
    pub logits: u64,
}

impl Footprint {
    /// With a part beside the decoder of so many bytes, in memory with it where it is held and before it
    /// where it is streamed.
    #[must_use]
    pub fn beside(self, bytes: u64) -> Self {
        Self {
            held: self.held + bytes,
            streamed: self.streamed.max(bytes),
            ..self
        }
    }

    /// Whether all weights fit into `memory` bytes; `None` is as much as they need.
    pub fn is_held_in(&self, memory: Option<u64>) -> bool {
        memory.is_none_or(|memory| self.held <= memory)
    }

    /// Of the model that `spec` describes.
    pub fn of(weights: &Weights, spec: &DecoderSpec) -> Self {
        let mut blocks = vec![(0, 0); spec.layers.len()];
        let mut resident = 0;
        let mut held = (0, 0);
        let mut read = 0;
        for (role, (rows, cols)) in spec.roles() {
            let size = (rows * cols) as u64 * F32;
            held = (held.0 + size, held.1.max(size));
            let stored = weights.bytes_of(&role, None);
            let stored = stored.map_or(0, |(_, range)| range.len() as u64);
            match (role.layer, role.part) {
                (Some(layer), _) => {
                    if let Some((block, largest)) = blocks.get_mut(layer as usize) {
                        *block += size;
                        *largest = size.max(*largest);
                    }
                    read += stored;
                }
                (None, Part::Embed) if spec.tie_word_embeddings => read += stored,
                (None, Part::Unembed) => read += stored,
                (None, Part::Embed) => {}
                (None, _) => resident += size,
            }
        }
        // While a matrix is read, its bytes as stored are there as well.
        let block = blocks.into_iter().map(|(block, largest)| block + largest);
        let head = 2 * HEAD_ELEMENTS.min(spec.vocab_size * spec.hidden_size) as u64 * F32;
        let keys = 2 * spec.num_key_value_heads * spec.head_dim * spec.layers.len();
        let width = spec
            .hidden_size
            .max(spec.num_attention_heads * spec.head_dim);
        let widest = 4 * width + 3 * spec.intermediate_size;
        Self {
            held: held.0 + held.1,
            streamed: resident + block.max().unwrap_or(0).max(head),
            read,
            token: (keys + widest) as u64 * F32,
            // The parts of a head, the whole, and the copy that is read from it.
            logits: 3 * spec.vocab_size as u64 * F32,
        }
    }
}

impl Decoder {
    /// As [`Decoder::load`], but the weights stay in their files: each block is read when its turn comes,
    /// used on all prompts of the pass, and dropped, the head is multiplied some rows at a time, and of the
    /// embedding those rows are read that the tokens need. The numbers are the same to the last bit.
    ///
    /// Every pass reads all blocks and the head, so prompts should go together ([`Decoder::residuals`],
    /// [`Decoder::logits`]).
    ///
    /// # Errors
    /// As [`Decoder::load`]; a file that cannot be read any more is an error of the pass that reads it.
    pub fn stream(weights: &Weights, spec: &DecoderSpec, device: &Device) -> Result<Self, Error> {
        Self::stream_with(weights, spec, device, HEAD_ELEMENTS)
    }

    /// With about so many numbers of the head at a time.
    pub(super) fn stream_with(
        weights: &Weights,
        spec: &DecoderSpec,
        device: &Device,
        head_elements: usize,
    ) -> Result<Self, Error> {
        if !spec.unsupported.is_empty() {
            return Err(Error::Unsupported(spec.unsupported.clone()));
        }
        let mode = Mode::Inference;
        let files = Files::new(weights, spec, device)?;
        let hidden = spec.hidden_size;
        let table = (spec.vocab_size, hidden);
        let embed = Role::model(Part::Embed);
        files.clone().with(|source| {
            let position_embed = match spec.position {
                Position::Rotary => None,
                Position::Learned => Some(source.take(
                    Role::model(Part::PositionEmbed),
                    &[spec.max_position_embeddings, hidden],
                )?),
            };
            let head = match last_norm(source, spec, mode)? {
                Some(norm) => Some((norm, head(source, &files, spec, head_elements)?)),
                None => None,
            };
            Ok(Self {
                mode,
                place: (DType::F32, device.clone()),
                embed: embedding(source, &files, embed, table)?,
                position_embed,
                entrance: Entrance::new(source, spec, mode)?,
                head,
                blocks: Blocks::streamed(files),
                ropes: Ropes::of(spec),
                pairs: Pairs::Halves,
                spec: spec.clone(),
            })
        })
    }

    /// Whether the weights stay in their files.
    pub fn is_streamed(&self) -> bool {
        matches!(self.blocks, Blocks::Streamed(_))
    }

    /// The most blocks that were in memory at once, and how many were read since the decoder was made: all
    /// and none if they are held.
    pub fn block_counts(&self) -> (usize, usize) {
        self.blocks.counts()
    }
}

/// Held where a row cannot be read without all the others (a transposed table).
fn embedding(
    source: &mut dyn Source,
    files: &Files,
    role: Role,
    table: (usize, usize),
) -> Result<Embedding, Error> {
    if files.has_rows(role) {
        return Ok(Embedding::Streamed(files.clone(), role));
    }
    Ok(Embedding::Held(source.take(role, &[table.0, table.1])?))
}

/// Held where its rows cannot be read apart, or it adds a bias.
fn head(
    source: &mut dyn Source,
    files: &Files,
    spec: &DecoderSpec,
    elements: usize,
) -> Result<Head, Error> {
    let mode = Mode::Inference;
    let table = (spec.vocab_size, spec.hidden_size);
    let tied = spec.tie_word_embeddings;
    let role = Role::model(if tied { Part::Embed } else { Part::Unembed });
    if !tied && spec.biases.head {
        return Ok(Head::Held(Linear::new(source, role, table, true, mode)?));
    }
    if files.has_rows(role) {
        return Ok(Head::Streamed(StreamedHead {
            files: files.clone(),
            role,
            shape: table,
            rows: elements / table.1.max(1),
            mode,
        }));
    }
    let weight = source.take(role, &[table.0, table.1])?;
    Ok(Head::Held(Linear::of(weight, mode)))
}
