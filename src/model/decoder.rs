//! The one forward pass: a decoder that a [`DecoderSpec`] configures, with a tap at every site.

mod block;
mod error;
mod splice;

pub use super::layers::Mode;
pub use error::Error;
pub use splice::Splice;

use candle_core::quantized::QMatMul;
use candle_core::{DType, Device, Tensor};

use block::Block;

use super::layers::{LayerCache, Linear, NormLayer, Pairs, Rotation, Source, rotation, see};
use super::role::{Part, Role};
use super::site::{Site, Tap};
use super::spec::{DecoderSpec, Position, RopeSpec};
use super::weights::Weights;

/// A language model in memory, ready to run.
///
/// Weights are f32 whatever they are stored as, unless [`Decoder::load_as_stored`] keeps quantised ones.
/// Logits come for every position.
#[derive(Debug)]
pub struct Decoder {
    spec: DecoderSpec,
    mode: Mode,
    embed: Tensor,
    position_embed: Option<Tensor>,
    blocks: Vec<Block>,
    final_norm: NormLayer,
    unembed: Linear,
    /// The distinct rotary embeddings, which blocks name by index.
    ropes: Vec<RopeSpec>,
    pairs: Pairs,
}

/// Keys and values of the positions seen so far, for generation. A forward pass that fails leaves it
/// empty.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
}

/// Tokens, and what takes the place of the embeddings of some.
type Input<'a> = (&'a Tensor, Option<Splice<'a>>);

impl KvCache {
    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Decoder {
    /// Builds a decoder from the tensors that `get` gives for each role of
    /// [`DecoderSpec::roles`]: matrices `[out, in]`, vectors `[n]`, all of one float type. `get` is
    /// asked once per role.
    ///
    /// # Errors
    /// When the spec cannot be honoured, a tensor is missing or has another shape, or `get` fails.
    pub fn from_tensors(
        spec: &DecoderSpec,
        mode: Mode,
        get: &mut dyn FnMut(&Role) -> candle_core::Result<Option<Tensor>>,
    ) -> Result<Self, Error> {
        Self::build(spec, mode, &mut Checked { get })
    }

    fn build(spec: &DecoderSpec, mode: Mode, source: &mut dyn Source) -> Result<Self, Error> {
        if !spec.unsupported.is_empty() {
            return Err(Error::Unsupported(spec.unsupported.clone()));
        }
        let hidden = spec.hidden_size;
        let table = (spec.vocab_size, hidden);
        let embed = source.take(Role::model(Part::Embed), &[table.0, table.1])?;
        let unembed = if spec.tie_word_embeddings {
            Linear::tied(source, Role::model(Part::Embed), &embed, mode)?
        } else {
            Linear::new(source, Role::model(Part::Unembed), table, false, mode)?
        };
        let position_embed = match spec.position {
            Position::Rotary => None,
            Position::Learned => {
                let shape = [spec.max_position_embeddings, hidden];
                Some(source.take(Role::model(Part::PositionEmbed), &shape)?)
            }
        };
        let mut ropes = Vec::new();
        let blocks = (0..spec.layers.len())
            .map(|layer| Block::new(source, spec, layer, mode, &mut ropes))
            .collect::<Result<_, _>>()?;
        let kind = (spec.norm, spec.norm_eps);
        Ok(Self {
            mode,
            embed,
            position_embed,
            blocks,
            final_norm: NormLayer::new(source, Role::model(Part::FinalNorm), hidden, kind, mode)?,
            unembed,
            ropes,
            pairs: Pairs::Halves,
            spec: spec.clone(),
        })
    }

    /// Reads every weight that `spec` asks for, as f32, onto `device`.
    ///
    /// # Errors
    /// When the spec cannot be honoured, a role is not bound or has another shape, or a file cannot
    /// be read.
    pub fn load(weights: &Weights, spec: &DecoderSpec, device: &Device) -> Result<Self, Error> {
        let mut get = |role: &Role| read(weights, role, device);
        Self::from_tensors(spec, Mode::Inference, &mut get)
    }

    /// As [`Decoder::load`] on the CPU, but matrices that are stored in GGUF's quantised blocks stay in
    /// them: a fraction of the memory, and the arithmetic of GGUF engines, which round the other factor
    /// of a product to blocks of 8 bits.
    ///
    /// That rounding turns differences of the last bit into differences of a percent in the logits, so
    /// sums are formed in the order of those engines too: where a file has the rows of queries and keys
    /// in llama.cpp's order, they keep it, and the sites of queries and keys show it.
    ///
    /// # Errors
    /// As [`Decoder::load`].
    pub fn load_as_stored(weights: &Weights, spec: &DecoderSpec) -> Result<Self, Error> {
        let pairs = if weights.rotates_neighbours() {
            Pairs::Neighbours
        } else {
            Pairs::Halves
        };
        let mut get = |role: &Role| read(weights, role, &Device::Cpu);
        let source = &mut Stored {
            checked: Checked { get: &mut get },
            weights,
            pairs,
        };
        let decoder = Self::build(spec, Mode::Inference, source)?;
        Ok(Self { pairs, ..decoder })
    }

    /// What configures it.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// Where its weights are.
    pub fn device(&self) -> &Device {
        self.embed.device()
    }

    /// Logits `[batch, pos, vocab_size]` of every position of `tokens` `[batch, pos]` (u32). All rows
    /// are as long as each other; with a cache they continue the rows it has seen.
    ///
    /// # Errors
    /// On a token outside the vocabulary, no token, more positions than learned ones, or whatever
    /// candle and the tap report.
    pub fn forward(
        &self,
        tokens: &Tensor,
        cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let x = self.residual((tokens, None), cache, tap)?;
        self.head(&x, tap)
    }

    /// Logits `[batch, vocab_size]` of the last position alone, which is all that generation needs.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn next_logits(&self, tokens: &Tensor, cache: &mut KvCache) -> Result<Tensor, Error> {
        self.next_logits_with(tokens, cache, &mut ())
    }

    /// As [`Decoder::next_logits`], with a tap that sees all positions at sites before the final norm
    /// and the last one from there on.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn next_logits_with(
        &self,
        tokens: &Tensor,
        cache: &mut KvCache,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        self.next((tokens, None), cache, tap)
    }

    /// As [`Decoder::next_logits_with`], and the logits `[batch, pos, vocab_size]` of all positions, which
    /// no tap sees.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn next_and_all_logits(
        &self,
        tokens: &Tensor,
        cache: &mut KvCache,
        tap: &mut dyn Tap,
    ) -> Result<(Tensor, Tensor), Error> {
        let x = self.residual((tokens, None), Some(cache), tap)?;
        // On its own, so that the last logits are those of a run that asks for no others.
        let last = x.narrow(1, x.dim(1)? - 1, 1)?.contiguous()?;
        let next = self.head(&last, tap)?.squeeze(1)?;
        Ok((next, self.head(&x, &mut ())?))
    }

    fn next(
        &self,
        input: Input<'_>,
        cache: &mut KvCache,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let x = self.residual(input, Some(cache), tap)?;
        let last = x.narrow(1, x.dim(1)? - 1, 1)?.contiguous()?;
        Ok(self.head(&last, tap)?.squeeze(1)?)
    }

    /// The residual stream after the last block, `[batch, pos, hidden_size]`.
    fn residual(
        &self,
        input: Input<'_>,
        mut cache: Option<&mut KvCache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let mut grown = cache.as_deref_mut().map(std::mem::take);
        let start = grown.as_ref().map_or(0, |cache| cache.len);
        let count = self.check(input.0, start)?;
        let rotations = self.rotations(start, count)?;
        let mut x = self.embedded(input, start, tap)?;
        let mut layers = grown.as_mut().map(|cache| {
            cache.layers.resize(self.blocks.len(), None);
            cache.len += count;
            cache.layers.iter_mut()
        });
        for (layer, block) in self.blocks.iter().enumerate() {
            let cache = layers.as_mut().and_then(Iterator::next);
            let rotation = block.rope.map(|index| &rotations[index]);
            see(tap, Site::ResidPre(layer), &x)?;
            x = block.forward(&x, layer, rotation, cache, tap)?;
            see(tap, Site::ResidPost(layer), &x)?;
        }
        if let (Some(cache), Some(grown)) = (cache, grown) {
            *cache = grown;
        }
        Ok(x)
    }

    fn head(&self, x: &Tensor, tap: &mut dyn Tap) -> Result<Tensor, Error> {
        if tap.wants(Site::FinalNorm) {
            tap.visit(Site::FinalNorm, &self.final_norm.normalised(x)?)?;
        }
        let logits = self.unembed.forward(&self.final_norm.forward(x)?)?;
        see(tap, Site::Logits, &logits)?;
        Ok(logits)
    }

    fn embedded(
        &self,
        (tokens, splice): Input<'_>,
        start: usize,
        tap: &mut dyn Tap,
    ) -> Result<Tensor, Error> {
        let (batch, pos) = tokens.dims2()?;
        let x = self.embed.index_select(&tokens.flatten_all()?, 0)?;
        let mut x = x.reshape((batch, pos, self.spec.hidden_size))?;
        if let Some(scale) = self.spec.embed_scale {
            x = (x * scale)?;
        }
        if let Some(splice) = splice {
            x = splice.into(&x)?;
        }
        see(tap, Site::Embed, &x)?;
        if let Some(table) = &self.position_embed {
            x = x.broadcast_add(&table.narrow(0, start, pos)?)?;
        }
        Ok(x)
    }

    fn rotations(&self, start: usize, count: usize) -> Result<Vec<Rotation>, Error> {
        let place = (self.embed.dtype(), self.embed.device());
        let how = (self.pairs, self.mode);
        let of = |rope| rotation(rope, self.spec.head_dim, (start, count), place, how);
        Ok(self.ropes.iter().map(of).collect::<Result<_, _>>()?)
    }

    /// The number of new positions, when all is well with them.
    fn check(&self, tokens: &Tensor, start: usize) -> Result<usize, Error> {
        let (_, count) = tokens.dims2()?;
        let rows = tokens.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        if count == 0 || rows.is_empty() {
            return Err(Error::Empty);
        }
        for (position, &token) in rows.iter().flat_map(|row| row.iter().enumerate()) {
            if token as usize >= self.spec.vocab_size {
                return Err(Error::Token {
                    token,
                    position: start + position,
                    vocab_size: self.spec.vocab_size,
                });
            }
        }
        if self.position_embed.is_some() && start + count > self.spec.max_position_embeddings {
            return Err(Error::Positions {
                asked: start + count,
                learned: self.spec.max_position_embeddings,
            });
        }
        Ok(count)
    }
}

/// A caller's tensors, checked.
struct Checked<'a> {
    get: &'a mut dyn FnMut(&Role) -> candle_core::Result<Option<Tensor>>,
}

impl Source for Checked<'_> {
    fn take(&mut self, role: Role, shape: &[usize]) -> Result<Tensor, Error> {
        let tensor = (self.get)(&role)?.ok_or(Error::Missing(role))?;
        if tensor.dims() != shape {
            return Err(Error::Shape {
                role,
                expected: shape.to_vec(),
                found: tensor.dims().to_vec(),
            });
        }
        Ok(tensor)
    }

    fn quantised(&mut self, _: Role, _: (usize, usize)) -> Result<Option<QMatMul>, Error> {
        Ok(None)
    }
}

/// Tensors of a file, its quantised blocks among them.
struct Stored<'a> {
    checked: Checked<'a>,
    weights: &'a Weights,
    pairs: Pairs,
}

impl Source for Stored<'_> {
    fn take(&mut self, role: Role, shape: &[usize]) -> Result<Tensor, Error> {
        self.checked.take(role, shape)
    }

    fn quantised(&mut self, role: Role, shape: (usize, usize)) -> Result<Option<QMatMul>, Error> {
        if self.weights.shape(&role) != Some(shape) {
            // `take` says what is wrong with it.
            return Ok(None);
        }
        let as_stored = self.pairs == Pairs::Neighbours;
        let blocks = self.weights.quantised(&role, as_stored);
        let blocks = blocks.map_err(candle_core::Error::wrap)?;
        Ok(blocks.map(QMatMul::from_qtensor).transpose()?)
    }
}

/// A stored weight as f32.
fn read(weights: &Weights, role: &Role, device: &Device) -> candle_core::Result<Option<Tensor>> {
    let Some((rows, cols)) = weights.shape(role) else {
        return Ok(None);
    };
    let values = weights.all(role).map_err(candle_core::Error::wrap)?;
    let tensor = if role.is_vector() {
        Tensor::from_vec(values, rows * cols, device)?
    } else {
        Tensor::from_vec(values, (rows, cols), device)?
    };
    Ok(Some(tensor))
}

#[cfg(test)]
mod tests;
