//! The part of TrOCR that writes: BART's decoder, a token at a time.

use candle_core::Device;
use candle_core::Tensor;
use candle_nn::Activation;
use candle_nn::LayerNorm;
use candle_nn::Linear;
use candle_nn::Module;
use candle_nn::VarBuilder;

use super::config::DecoderConfig;
use super::encoder;
use crate::model::reader::Error;
use crate::model::reader::stored::Stored;

/// PyTorch's default, which the reference takes.
const EPS: f64 = 1e-5;

/// Rows of the learned positions before the first.
const OFFSET: usize = 2;

/// In memory.
#[derive(Debug)]
pub(super) struct Decoder {
    /// `[vocab_size, d_model]`.
    embed_tokens: Tensor,
    scale: f64,
    positions: Positions,
    norm: Option<LayerNorm>,
    layers: Vec<Layer>,
    head: Linear,
    projection: Option<Linear>,
}

/// Where a token stands.
#[derive(Debug)]
enum Positions {
    /// `[max_position_embeddings + OFFSET, d_model]`.
    Learned(Tensor),
    /// Sines, then cosines; a padding token stands nowhere.
    Sinusoidal { width: usize, pad: u32 },
}

#[derive(Debug)]
struct Layer {
    own: Attention,
    own_norm: LayerNorm,
    cross: Attention,
    cross_norm: LayerNorm,
    inner: Linear,
    activation: Activation,
    outer: Linear,
    norm: LayerNorm,
}

#[derive(Debug)]
struct Attention {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

/// Keys and values, each `[heads, positions, head_dim]`.
#[derive(Debug, Clone)]
struct Memory {
    keys: Tensor,
    values: Tensor,
}

/// What was looked at and written so far.
#[derive(Debug)]
pub(super) struct State {
    /// Of each block: of the picture, and of the tokens.
    layers: Vec<(Memory, Option<Memory>)>,
    tokens: usize,
}

impl Decoder {
    /// Reads `decoder.*`.
    ///
    /// # Errors
    /// Tensors that are missing or do not fit.
    pub fn load(config: &DecoderConfig, weights: Stored<'_>) -> Result<Self, Error> {
        let vb = weights.builder().pp("decoder");
        let inner = vb.pp("model.decoder");
        let width = config.d_model;
        let embed_tokens = inner.get((config.vocab_size, width), "embed_tokens.weight")?;
        let head = match config.tie_word_embeddings {
            true => embed_tokens.clone(),
            false => vb.get((config.vocab_size, width), "output_projection.weight")?,
        };
        let rows = config.max_position_embeddings + OFFSET;
        let positions = match config.use_learned_position_embeddings {
            true => Positions::Learned(inner.get((rows, width), "embed_positions.weight")?),
            false => Positions::Sinusoidal {
                width,
                pad: config.pad,
            },
        };
        let norm = match config.layernorm_embedding {
            true => Some(norm(width, &inner, "layernorm_embedding")?),
            false => None,
        };
        let layers = (0..config.decoder_layers)
            .map(|layer| Layer::load(config, &inner.pp("layers").pp(layer)));
        Ok(Self {
            scale: match config.scale_embedding {
                true => (width as f64).sqrt(),
                false => 1.0,
            },
            layers: layers.collect::<candle_core::Result<_>>()?,
            head: Linear::new(head, None),
            projection: match config.projected_from {
                Some(from) => Some(encoder::projection(from, width, weights)?),
                None => None,
            },
            embed_tokens,
            positions,
            norm,
        })
    }

    /// Begins with what the encoder saw, `[positions, width]`.
    pub fn look(&self, seen: &Tensor) -> candle_core::Result<State> {
        let seen = match &self.projection {
            Some(projection) => projection.forward(seen)?,
            None => seen.clone(),
        };
        let layers = self
            .layers
            .iter()
            .map(|layer| Ok((layer.cross.memory(&seen)?, None)));
        Ok(State {
            layers: layers.collect::<candle_core::Result<_>>()?,
            tokens: 0,
        })
    }

    /// Logits of the token after `token`; `None` where no position is left.
    pub fn step(&self, token: u32, state: &mut State) -> candle_core::Result<Option<Vec<f32>>> {
        let Some(position) = self.positions.row(token, state.tokens)? else {
            return Ok(None);
        };
        let embedded = self.embed_tokens.narrow(0, token as usize, 1)?;
        let mut x = ((embedded * self.scale)? + position)?;
        if let Some(norm) = &self.norm {
            x = norm.forward(&x)?;
        }
        for (layer, (seen, written)) in self.layers.iter().zip(&mut state.layers) {
            x = layer.forward(&x, seen, written)?;
        }
        state.tokens += 1;
        let logits = self.head.forward(&x)?;
        Ok(Some(logits.squeeze(0)?.to_vec1()?))
    }
}

impl Positions {
    /// `[1, d_model]` of `token`, the one after `before` others.
    fn row(&self, token: u32, before: usize) -> candle_core::Result<Option<Tensor>> {
        match self {
            Self::Learned(table) if before + OFFSET >= table.dim(0)? => Ok(None),
            Self::Learned(table) => Ok(Some(table.narrow(0, before + OFFSET, 1)?)),
            Self::Sinusoidal { width, pad } => {
                let at = (token != *pad).then_some(before + 1 + *pad as usize);
                sinusoids(*width, at).map(Some)
            }
        }
    }
}

/// Sines and cosines of position `at`; zeros where there is none.
fn sinusoids(width: usize, at: Option<usize>) -> candle_core::Result<Tensor> {
    let half = width / 2;
    let Some(at) = at else {
        return Tensor::zeros((1, width), candle_core::DType::F32, &Device::Cpu);
    };
    let step = 10000_f64.ln() / (half - 1) as f64;
    let angle = |pair: usize| at as f32 * (pair as f32 * -step as f32).exp();
    let sines = (0..half).map(|pair| angle(pair).sin());
    let row: Vec<f32> = sines
        .chain((0..half).map(|pair| angle(pair).cos()))
        .collect();
    Tensor::from_vec(row, (1, width), &Device::Cpu)
}

impl Layer {
    fn load(config: &DecoderConfig, vb: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let (width, heads) = (config.d_model, config.decoder_attention_heads);
        let attention = |name: &str, from: usize| Attention::load(width, from, heads, &vb.pp(name));
        Ok(Self {
            own: attention("self_attn", width)?,
            own_norm: norm(width, vb, "self_attn_layer_norm")?,
            cross: attention("encoder_attn", config.seen)?,
            cross_norm: norm(width, vb, "encoder_attn_layer_norm")?,
            inner: candle_nn::linear(width, config.decoder_ffn_dim, vb.pp("fc1"))?,
            activation: config.activation_function,
            outer: candle_nn::linear(config.decoder_ffn_dim, width, vb.pp("fc2"))?,
            norm: norm(width, vb, "final_layer_norm")?,
        })
    }

    /// `x` is `[1, d_model]`; what it adds to `written` is what later tokens see of it.
    fn forward(
        &self,
        x: &Tensor,
        seen: &Memory,
        written: &mut Option<Memory>,
    ) -> candle_core::Result<Tensor> {
        let here = self.own.memory(x)?;
        let memory = match written.take() {
            None => here,
            Some(before) => Memory {
                keys: Tensor::cat(&[&before.keys, &here.keys], 1)?,
                values: Tensor::cat(&[&before.values, &here.values], 1)?,
            },
        };
        let x = (x + self.own.read(x, &memory)?)?;
        *written = Some(memory);
        let x = self.own_norm.forward(&x)?;
        let x = (&x + self.cross.read(&x, seen)?)?;
        let x = self.cross_norm.forward(&x)?;
        let inner = self.activation.forward(&self.inner.forward(&x)?)?;
        let x = (&x + self.outer.forward(&inner)?)?;
        self.norm.forward(&x)
    }
}

impl Attention {
    fn load(
        width: usize,
        from: usize,
        heads: usize,
        vb: &VarBuilder<'_>,
    ) -> candle_core::Result<Self> {
        Ok(Self {
            heads,
            query: candle_nn::linear(width, width, vb.pp("q_proj"))?,
            key: candle_nn::linear(from, width, vb.pp("k_proj"))?,
            value: candle_nn::linear(from, width, vb.pp("v_proj"))?,
            out: candle_nn::linear(width, width, vb.pp("out_proj"))?,
        })
    }

    /// What is seen of `x` `[positions, width]`.
    fn memory(&self, x: &Tensor) -> candle_core::Result<Memory> {
        Ok(Memory {
            keys: self.by_head(&self.key.forward(x)?)?,
            values: self.by_head(&self.value.forward(x)?)?,
        })
    }

    /// What `x` `[1, width]` reads of `memory`.
    fn read(&self, x: &Tensor, memory: &Memory) -> candle_core::Result<Tensor> {
        let query = self.by_head(&self.query.forward(x)?)?;
        let scale = (query.dim(2)? as f64).powf(-0.5);
        let scores = (query * scale)?.matmul(&memory.keys.t()?)?;
        let pattern = candle_nn::ops::softmax_last_dim(&scores)?;
        let read = pattern.matmul(&memory.values)?.transpose(0, 1)?;
        self.out.forward(&read.flatten_from(1)?)
    }

    /// `[positions, width]` as `[heads, positions, head_dim]`.
    fn by_head(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (positions, width) = x.dims2()?;
        x.reshape((positions, self.heads, width / self.heads))?
            .transpose(0, 1)?
            .contiguous()
    }
}

fn norm(width: usize, vb: &VarBuilder<'_>, name: &str) -> candle_core::Result<LayerNorm> {
    candle_nn::layer_norm(width, EPS, vb.pp(name))
}
