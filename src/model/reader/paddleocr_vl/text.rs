//! The part of PaddleOCR-VL that writes: a decoder as Llama has it, each pair of a head turned by one of three
//! positions.

use candle_core::D;
use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;
use candle_nn::Linear;
use candle_nn::Module;
use candle_nn::RmsNorm;
use candle_nn::VarBuilder;
use candle_nn::rotary_emb;

use super::config::TextConfig;
use crate::model::reader::Error;
use crate::model::reader::stored::Stored;

/// Time, row and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(pub [usize; 3]);

/// In memory.
#[derive(Debug)]
pub(super) struct Text {
    config: TextConfig,
    /// `[vocab_size, hidden_size]`.
    embed_tokens: Tensor,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Keys and values of each block, `[1, heads, positions, head_dim]`.
pub(super) type Cache = Vec<Option<(Tensor, Tensor)>>;

/// Cosines and sines, `[positions, head_dim / 2]`, and what may not be looked at.
struct Turn {
    cos: Tensor,
    sin: Tensor,
    mask: Option<Tensor>,
}

impl Text {
    /// Reads `model.*` and `lm_head`.
    ///
    /// # Errors
    /// Tensors that are missing or do not fit.
    pub fn load(config: &TextConfig, weights: Stored<'_>) -> Result<Self, Error> {
        let vb = weights.builder();
        let model = vb.pp("model");
        let shape = (config.vocab_size, config.hidden_size);
        let embed_tokens = model.get(shape, "embed_tokens.weight")?;
        let head = match config.tie_word_embeddings {
            true => embed_tokens.clone(),
            false => vb.get(shape, "lm_head.weight")?,
        };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| Layer::load(config, &model.pp("layers").pp(layer)));
        Ok(Self {
            layers: layers.collect::<candle_core::Result<_>>()?,
            norm: candle_nn::rms_norm(config.hidden_size, config.rms_norm_eps, model.pp("norm"))?,
            head: Linear::new(head, None),
            embed_tokens,
            config: config.clone(),
        })
    }

    /// How it is built.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Nothing read yet.
    pub fn cache(&self) -> Cache {
        vec![None; self.layers.len()]
    }

    /// Embeddings `[tokens, hidden_size]`, `parts` (one row each) in place of tokens `image`.
    ///
    /// # Errors
    /// From candle.
    pub fn embed(&self, tokens: &[u32], image: u32, parts: &Tensor) -> Result<Tensor, Error> {
        let vocab = self.config.vocab_size;
        if let Some(beyond) = tokens.iter().find(|token| **token as usize >= vocab) {
            return Err(Error::Refused(format!(
                "token {beyond} has no row in an embedding of {vocab}: use the tokenizer that belongs to these weights"
            )));
        }
        let start = tokens.iter().position(|token| *token == image);
        let start = start.unwrap_or(tokens.len());
        let end = start + parts.dim(0)?;
        let rows = |tokens: &[u32]| {
            let tokens = Tensor::new(tokens, &Device::Cpu)?;
            self.embed_tokens.index_select(&tokens, 0)
        };
        let (before, behind) = (rows(&tokens[..start])?, rows(&tokens[end..])?);
        Ok(Tensor::cat(&[&before, parts, &behind], 0)?)
    }

    /// The embedding of one token, `[1, hidden_size]`.
    ///
    /// # Errors
    /// From candle.
    pub fn row(&self, token: u32) -> Result<Tensor, Error> {
        Ok(self.embed_tokens.narrow(0, token as usize, 1)?)
    }

    /// Logits of the token after `embedded` `[tokens, hidden_size]` at `positions`, behind what is cached.
    ///
    /// # Errors
    /// From candle.
    pub fn step(
        &self,
        embedded: &Tensor,
        positions: &[Position],
        cache: &mut Cache,
    ) -> Result<Vec<f32>, Error> {
        let turn = self.turn(positions)?;
        let mut x = embedded.clone();
        for (layer, cached) in self.layers.iter().zip(cache) {
            x = layer.forward(&self.config, &x, &turn, cached)?;
        }
        let last = x.i((x.dim(0)? - 1..,))?;
        let logits = self.head.forward(&self.norm.forward(&last)?)?;
        Ok(logits.squeeze(0)?.to_vec1()?)
    }

    fn turn(&self, positions: &[Position]) -> candle_core::Result<Turn> {
        let pairs = self.config.head_dim / 2;
        let theta = self.config.rope_theta as f32;
        let [time, row, _] = self.config.mrope_section;
        let axis = |pair: usize| usize::from(pair >= time) + usize::from(pair >= time + row);
        let turns: Vec<(usize, f32)> = (0..pairs)
            .map(|pair| (axis(pair), 1.0 / theta.powf(pair as f32 / pairs as f32)))
            .collect();
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|Position(at)| turns.iter().map(|(axis, speed)| at[*axis] as f32 * speed))
            .collect();
        let count = positions.len();
        let angles = Tensor::from_vec(angles, (count, pairs), &Device::Cpu)?;
        let ahead = |at: usize| {
            if at % count > at / count {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        };
        let mask = match count {
            1 => None,
            // More than one token at a time comes first, with nothing cached.
            _ => Some(Tensor::from_iter(
                (0..count * count).map(ahead),
                &Device::Cpu,
            )?),
        };
        Ok(Turn {
            cos: angles.cos()?,
            sin: angles.sin()?,
            mask: mask.map(|mask| mask.reshape((count, count))).transpose()?,
        })
    }
}

impl Layer {
    fn load(config: &TextConfig, vb: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let own = config.num_attention_heads * config.head_dim;
        let shared = config.num_key_value_heads * config.head_dim;
        let linear = |name: &str, from: usize, to: usize| {
            candle_nn::linear_b(from, to, config.use_bias, vb.pp(name))
        };
        let norm = |name: &str| candle_nn::rms_norm(width, config.rms_norm_eps, vb.pp(name));
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            query: linear("self_attn.q_proj", width, own)?,
            key: linear("self_attn.k_proj", width, shared)?,
            value: linear("self_attn.v_proj", width, shared)?,
            out: linear("self_attn.o_proj", own, width)?,
            mlp_norm: norm("post_attention_layernorm")?,
            gate: linear("mlp.gate_proj", width, inner)?,
            up: linear("mlp.up_proj", width, inner)?,
            down: linear("mlp.down_proj", inner, width)?,
        })
    }

    fn forward(
        &self,
        config: &TextConfig,
        x: &Tensor,
        turn: &Turn,
        cached: &mut Option<(Tensor, Tensor)>,
    ) -> candle_core::Result<Tensor> {
        let normed = self.input_norm.forward(x)?;
        let x = (x + self.attend(config, &normed, turn, cached)?)?;
        let normed = self.mlp_norm.forward(&x)?;
        let gate = config.hidden_act.forward(&self.gate.forward(&normed)?)?;
        let inner = (gate * self.up.forward(&normed)?)?;
        x + self.down.forward(&inner)?
    }

    fn attend(
        &self,
        config: &TextConfig,
        x: &Tensor,
        turn: &Turn,
        cached: &mut Option<(Tensor, Tensor)>,
    ) -> candle_core::Result<Tensor> {
        let tokens = x.dim(0)?;
        let by_head = |x: Tensor| {
            x.reshape((1, tokens, (), config.head_dim))?
                .transpose(1, 2)?
                .contiguous()
        };
        let turned = |x: Tensor| rotary_emb::rope(&by_head(x)?, &turn.cos, &turn.sin);
        let query = turned(self.query.forward(x)?)?;
        let mut keys = turned(self.key.forward(x)?)?;
        let mut values = by_head(self.value.forward(x)?)?;
        if let Some((before, seen)) = cached.take() {
            keys = Tensor::cat(&[&before, &keys], 2)?;
            values = Tensor::cat(&[&seen, &values], 2)?;
        }
        let groups = config.num_attention_heads / config.num_key_value_heads;
        let scale = (config.head_dim as f64).powf(-0.5);
        let repeated =
            |x: &Tensor| candle_transformers::utils::repeat_kv(x.clone(), groups)?.contiguous();
        let scores = (query.matmul(&repeated(&keys)?.transpose(D::Minus2, D::Minus1)?)? * scale)?;
        let scores = match &turn.mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let pattern = candle_nn::ops::softmax_last_dim(&scores)?;
        let read = pattern.matmul(&repeated(&values)?)?;
        *cached = Some((keys, values));
        let read = read.transpose(1, 2)?.reshape((tokens, ()))?;
        self.out.forward(&read)
    }
}
