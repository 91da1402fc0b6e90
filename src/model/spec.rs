//! A model's architecture as data: what the one decoder needs to know.

use super::role::{Expert, Part, Role};

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
    /// Norms after attention and MLP as well as before (Gemma).
    pub sandwich_norms: bool,
    /// Norm of each query and key head before the rotary embedding (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// Which projections have an additive bias.
    pub biases: Biases,
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

/// Kinds of network. Only decoders are run; of the others weights are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tokens in, logits of the next token out; norms before attention and MLP.
    Decoder,
    /// BERT: tokens in, states out, without a head; norms on the residual stream, behind each sum.
    Encoder,
    /// Messages between the nodes of a graph in place of attention: of a block the MLP is known, norms
    /// stand on the residual stream, and no embedding writes to it.
    Messages {
        /// Blocks of the encoder; those of the decoder follow.
        encoder_layers: usize,
    },
}

impl Kind {
    /// Whether norms act on the residual stream itself, behind each sum. A gain there scales all that
    /// passes through: it cannot be folded into one matrix, and only permutations and signs of
    /// coordinates are free.
    pub const fn norms_the_stream(self) -> bool {
        !matches!(self, Self::Decoder)
    }

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
    /// Each frequency divided by its own number, as GGUF files carry it.
    Divided {
        /// One per pair of a head's dimensions.
        by: Vec<f32>,
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

/// One MLP of a block.
struct Mlp {
    expert: Option<Expert>,
    width: usize,
    gated: bool,
    bias: bool,
}

/// A role with its shape as `(rows, cols)`; a vector is `(n, 1)`.
pub type ShapedRole = (Role, (usize, usize));

impl DecoderSpec {
    /// Every role that the forward pass reads, with its canonical shape `(out, in)`, in role order.
    ///
    /// A tied head is not listed: it is the embedding.
    pub fn roles(&self) -> Vec<ShapedRole> {
        let hidden = self.hidden_size;
        let mut roles = Vec::new();
        self.embedding_roles(&mut roles);
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention_roles(index, &mut roles);
            self.norms_of(index, &mut roles);
            if layer.sparse {
                self.sparse_roles(index, &mut roles);
            } else {
                let dense = Mlp {
                    expert: None,
                    width: self.intermediate_size,
                    gated: self.gated_mlp,
                    bias: self.biases.mlp,
                };
                self.mlp_roles(index, &dense, &mut roles);
            }
        }
        if !self.kind.norms_the_stream() {
            self.norm_roles(Role::model(Part::FinalNorm), &mut roles);
        }
        if self.kind.has_head() && !self.tie_word_embeddings {
            let head = Role::model(Part::Unembed);
            push(
                &mut roles,
                head,
                (self.vocab_size, hidden),
                self.biases.head,
            );
        }
        roles.sort_unstable();
        roles
    }

    fn embedding_roles(&self, roles: &mut Vec<ShapedRole>) {
        let hidden = self.hidden_size;
        if !self.kind.attends() {
            return;
        }
        roles.push((Role::model(Part::Embed), (self.vocab_size, hidden)));
        if self.position == Position::Learned {
            let shape = (self.max_position_embeddings, hidden);
            roles.push((Role::model(Part::PositionEmbed), shape));
        }
        if self.kind == Kind::Encoder {
            self.norm_roles(Role::model(Part::EmbedNorm), roles);
        }
    }

    fn attention_roles(&self, layer: usize, roles: &mut Vec<ShapedRole>) {
        if !self.kind.attends() {
            return;
        }
        let query = self.num_attention_heads * self.head_dim;
        let key = self.num_key_value_heads * self.head_dim;
        let at = |part| Role::layer(layer, part);
        for (part, rows) in [(Part::Query, query), (Part::Key, key), (Part::Value, key)] {
            push(roles, at(part), (rows, self.hidden_size), self.biases.qkv);
        }
        push(
            roles,
            at(Part::Output),
            (self.hidden_size, query),
            self.biases.output,
        );
        if self.qk_norm {
            roles.push((at(Part::QueryNorm), (self.head_dim, 1)));
            roles.push((at(Part::KeyNorm), (self.head_dim, 1)));
        }
    }

    fn norms_of(&self, layer: usize, roles: &mut Vec<ShapedRole>) {
        let at = |part| Role::layer(layer, part);
        let behind = self.kind.norms_the_stream();
        if !behind {
            self.norm_roles(at(Part::AttentionNorm), roles);
            self.norm_roles(at(Part::MlpNorm), roles);
        }
        if behind || self.sandwich_norms {
            self.norm_roles(at(Part::PostMlpNorm), roles);
        }
        if (behind && self.kind.attends()) || self.sandwich_norms {
            self.norm_roles(at(Part::PostAttentionNorm), roles);
        }
    }

    fn sparse_roles(&self, layer: usize, roles: &mut Vec<ShapedRole>) {
        let Some(moe) = &self.moe else { return };
        let router = (moe.num_experts, self.hidden_size);
        roles.push((Role::layer(layer, Part::Router), router));
        let of = |expert, width| Mlp {
            expert: Some(expert),
            width,
            gated: true,
            bias: false,
        };
        for expert in 0..moe.num_experts as u32 {
            let mlp = of(Expert::Routed(expert), moe.moe_intermediate_size);
            self.mlp_roles(layer, &mlp, roles);
        }
        if let Some(width) = moe.shared_expert_intermediate_size {
            self.mlp_roles(layer, &of(Expert::Shared, width), roles);
            let gate = (1, self.hidden_size);
            roles.push((Role::layer(layer, Part::SharedExpertGate), gate));
        }
    }

    fn mlp_roles(&self, layer: usize, mlp: &Mlp, roles: &mut Vec<ShapedRole>) {
        let inward = (mlp.width, self.hidden_size);
        let outward = (self.hidden_size, mlp.width);
        let parts = [
            (Part::Gate, inward),
            (Part::Up, inward),
            (Part::Down, outward),
        ];
        for (part, shape) in parts {
            if part == Part::Gate && !mlp.gated {
                continue;
            }
            let role = Role {
                expert: mlp.expert,
                ..Role::layer(layer, part)
            };
            push(roles, role, shape, mlp.bias);
        }
    }

    fn norm_roles(&self, role: Role, roles: &mut Vec<ShapedRole>) {
        push(roles, role, (self.hidden_size, 1), self.norm == Norm::Layer);
    }
}

fn push(roles: &mut Vec<ShapedRole>, role: Role, shape: (usize, usize), bias: bool) {
    roles.push((role, shape));
    if bias {
        roles.push((role.bias(), (shape.0, 1)));
    }
}
