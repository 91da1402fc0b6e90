//! A model's architecture as data: what the one decoder needs to know.

/// Everything the forward pass depends on besides the weights, in Hugging Face's words.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSpec {
    /// Family that read the config (`llama`, `qwen2`, …).
    pub family: &'static str,
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
    /// Norms after attention and MLP as well as before (Gemma).
    pub sandwich_norms: bool,
    /// Norm of each query and key head before the rotary embedding (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// How positions enter.
    pub position: Position,
    /// One entry per block.
    pub layers: Vec<LayerSpec>,
    /// Factor on query-key products; usually `head_dim^-1/2`.
    pub attention_scale: f64,
    /// Factor on the embedding (Gemma: `hidden_size^1/2`).
    pub embed_scale: Option<f64>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Mixture-of-experts dimensions, when any block is sparse.
    pub moe: Option<MoeSpec>,
    /// Positions the model was made for.
    pub max_position_embeddings: usize,
    /// Config entries that the forward pass cannot honour, each a reason in words. Non-empty means
    /// that weights may be compared but the model is not run.
    pub unsupported: Vec<String>,
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

/// How positions enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Rotary, per block.
    Rotary,
    /// Learned, added to the embedding.
    Learned,
}

/// A rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Change of the frequencies for long contexts.
    pub scaling: RopeScaling,
}

/// Changes of rotary frequencies.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// All frequencies divided by `factor`.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context before the change.
        original_max_position_embeddings: usize,
    },
}

/// Dimensions of a mixture of experts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoeSpec {
    /// Routed experts.
    pub num_experts: usize,
    /// Experts a token passes through.
    pub num_experts_per_tok: usize,
    /// Hidden units of one routed expert.
    pub moe_intermediate_size: usize,
    /// Hidden units of the shared expert, if there is one.
    pub shared_expert_intermediate_size: Option<usize>,
    /// Whether the chosen experts' weights are rescaled to sum to one.
    pub norm_topk_prob: bool,
}
