//! A model's architecture as data: what the one decoder needs to know.

mod latent;
mod moe;
mod roles;
mod rope;

pub use latent::LatentSpec;
pub use moe::{MoeSpec, Routing, Scoring};
pub use roles::ShapedRole;
pub use rope::{RopeScaling, RopeSpec};

/// Everything the forward pass depends on besides the weights, in Hugging Face's words.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSpec {
    /// Family that read the config (`llama`, `qwen2`, …).
    pub family: &'static str,
    /// What kind of network it is, and with that which roles it has.
    pub kind: Kind,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Hidden units of a dense MLP.
    pub intermediate_size: usize,
    /// Activation function of the MLP.
    pub hidden_act: Activation,
    /// Gated (`down(act(gate) * up)`) or plain (`down(act(up))`).
    pub gated_mlp: bool,
    /// Kind of every norm on the residual stream.
    pub norm: Norm,
    /// Added to the variance.
    pub norm_eps: f64,
    /// Where the norms of a block stand.
    pub norm_place: NormPlace,
    /// Attention and MLP read the same stream, and both are added to it (GPT-NeoX).
    pub parallel_residual: bool,
    /// Norm of queries and keys before the rotary embedding.
    pub qk_norm: Option<QkNorm>,
    /// Queries, keys and values through narrow matrices (DeepSeek-V2) in place of plain ones.
    pub latent: Option<LatentSpec>,
    /// Which projections have an additive bias.
    pub biases: Biases,
    /// How positions enter.
    pub position: Position,
    /// Rows of the token-type embedding, of which an encoder adds the first (BERT).
    pub type_vocab_size: Option<usize>,
    /// One entry per block.
    pub layers: Vec<LayerSpec>,
    /// Factor on query-key products; usually `head_dim^-1/2`.
    pub attention_scale: f64,
    /// Factor on the embedding (Gemma: `hidden_size^1/2`).
    pub embed_scale: Option<f64>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the head's rows have norm one (Baichuan 2). The view of the weights sees to it.
    pub normalised_head: bool,
    /// Mixture-of-experts dimensions, when any block is sparse.
    pub moe: Option<MoeSpec>,
    /// Positions the model was made for.
    pub max_position_embeddings: usize,
    /// Config entries that the forward pass cannot honour, each a reason in words. Non-empty means
    /// that weights may be compared but the model is not run.
    pub unsupported: Vec<String>,
    /// Config entries that were not understood and are taken to be without effect, each in words.
    pub caveats: Vec<String>,
}

/// Kinds of network. Of messages between nodes weights are compared, the others are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tokens in, logits of the next token out; norms before attention and MLP.
    Decoder,
    /// BERT: tokens in, states out, without a head; attention looks both ways.
    Encoder,
    /// Messages between the nodes of a graph in place of attention: of a block the MLP is known, and no
    /// embedding writes to the stream.
    Messages {
        /// Blocks of the encoder; those of the decoder follow.
        encoder_layers: usize,
    },
}

impl Kind {
    /// Whether blocks have attention, and an embedding writes to their stream.
    const fn attends(self) -> bool {
        !matches!(self, Self::Messages { .. })
    }

    /// Whether there is an output head.
    pub const fn has_head(self) -> bool {
        !matches!(self, Self::Encoder)
    }
}

/// Which projections have an additive bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// Query, key and value.
    pub qkv: bool,
    /// Attention output.
    pub output: bool,
    /// Gate, up and down of a dense MLP.
    pub mlp: bool,
    /// Output head.
    pub head: bool,
}

/// What may differ between blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// Positions a query may look back over, itself included; `None` is all of them.
    pub sliding_window: Option<usize>,
    /// Rotary embedding of this block; `None` with learned positions.
    pub rope: Option<RopeSpec>,
    /// Whether the MLP is a mixture of experts.
    pub sparse: bool,
}

/// Activation functions by their exact formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU with the error function.
    Gelu,
    /// GELU with the tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// Kinds of norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Root-mean-square norm.
    Rms,
    /// Mean subtracted, with a bias.
    Layer,
}

/// Where the norms of a block stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlace {
    /// Before attention and MLP (Llama).
    Before,
    /// Before and behind attention and MLP, inside the sums (Gemma 3, GLM-4).
    Sandwich,
    /// Behind attention and MLP, inside the sums (OLMo 2).
    After,
    /// On the residual stream itself, behind each sum (BERT). A gain there scales all that passes
    /// through: it cannot be folded into one matrix, and only permutations and signs of coordinates are
    /// free.
    Stream,
}

impl NormPlace {
    /// Whether attention and MLP read through a norm.
    pub const fn before(self) -> bool {
        matches!(self, Self::Before | Self::Sandwich)
    }

    /// Whether what attention and MLP give goes through a norm before it is added.
    pub const fn behind(self) -> bool {
        matches!(self, Self::Sandwich | Self::After)
    }
}

/// Norms of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// Each head on its own, all with the same gains (Qwen3, Gemma 3).
    Head,
    /// All heads together, before they are split (OLMo 2).
    Full,
}

/// How positions enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Rotary, per block.
    Rotary,
    /// Learned, added to the embedding.
    Learned,
}

impl DecoderSpec {
    /// Width of what the rotary embedding is given of each head.
    pub fn rotary_head_dim(&self) -> usize {
        match &self.latent {
            Some(latent) => latent.qk_rope_head_dim,
            None => self.head_dim,
        }
    }

    /// Numbers per head that attention hands to its output projection.
    pub fn value_head_dim(&self) -> usize {
        match &self.latent {
            Some(latent) => latent.v_head_dim,
            None => self.head_dim,
        }
    }
}
