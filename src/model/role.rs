//! What a tensor is for, whatever it is called.

use std::fmt;

/// The address of one parameter tensor in the canonical view.
///
/// Ordered by layer (model-wide parts first), then part, then expert, so that iteration is the same
/// for every model whatever its file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role {
    /// Block index; `None` for embeddings, final norm and head.
    pub layer: Option<u32>,
    /// What it does there.
    pub part: Part,
    /// Which expert, in a mixture-of-experts block.
    pub expert: Option<Expert>,
    /// Matrix (or gain), or additive bias.
    pub param: Param,
}

/// The function of a tensor within its block or model.
///
/// All matrices are seen as `(out, in)`: the query matrix is
/// `[num_attention_heads * head_dim, hidden_size]`, `down` is `[hidden_size, intermediate_size]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Token embedding `[vocab_size, hidden_size]`.
    Embed,
    /// Learned position embedding `[max_position_embeddings, hidden_size]`.
    PositionEmbed,
    /// Embedding of token types `[type_vocab_size, hidden_size]`.
    TokenTypeEmbed,
    /// Norm of the embeddings' sum `[hidden_size]`.
    EmbedNorm,
    /// Norm before attention `[hidden_size]`.
    AttentionNorm,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Query norm, per head `[head_dim]` or of all heads `[num_attention_heads * head_dim]`.
    QueryNorm,
    /// Key norm, likewise `[head_dim]` or `[num_key_value_heads * head_dim]`.
    KeyNorm,
    /// What latent attention narrows the stream to for queries `[q_lora_rank, hidden_size]`.
    QueryDown,
    /// Norm of that `[q_lora_rank]`.
    QueryDownNorm,
    /// Queries from it `[num_attention_heads * qk_head_dim, q_lora_rank]`.
    QueryUp,
    /// What latent attention narrows the stream to for keys and values `[kv_lora_rank, hidden_size]`.
    KvDown,
    /// Norm of that `[kv_lora_rank]`.
    KvDownNorm,
    /// The part of the keys that rotates, one for all heads `[qk_rope_head_dim, hidden_size]`.
    KeyRotary,
    /// The part that does not, from the narrowed stream `[num_attention_heads * qk_nope_head_dim,
    /// kv_lora_rank]`.
    KeyUp,
    /// Values from it `[num_attention_heads * v_head_dim, kv_lora_rank]`.
    ValueUp,
    /// Attention output projection `[hidden_size, num_attention_heads * head_dim]`.
    Output,
    /// Norm after attention, before the residual sum (sandwich norms) or behind it.
    PostAttentionNorm,
    /// Norm before the MLP.
    MlpNorm,
    /// Router of a mixture of experts `[num_experts, hidden_size]`; its bias takes part in the choice of
    /// experts alone.
    Router,
    /// Factors on the experts' weights `[1, num_experts]`.
    RouterScale,
    /// Gate projection `[intermediate_size, hidden_size]`.
    Gate,
    /// Up projection `[intermediate_size, hidden_size]`; the only input matrix of an ungated MLP.
    Up,
    /// Down projection `[hidden_size, intermediate_size]`.
    Down,
    /// Sigmoid gate of a shared expert `[1, hidden_size]`.
    SharedExpertGate,
    /// Norm after the MLP, before the residual sum (sandwich norms) or behind it.
    PostMlpNorm,
    /// Last norm `[hidden_size]`.
    FinalNorm,
    /// Output head `[vocab_size, hidden_size]`; absent when tied to the embedding.
    Unembed,
}

/// Which expert a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expert {
    /// One of the routed experts.
    Routed(u32),
    /// The expert every token passes through.
    Shared,
}

/// Matrix (or gain), or additive bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Param {
    /// Matrix or norm gain.
    Weight,
    /// Additive bias.
    Bias,
}

impl Role {
    /// A weight of the whole model.
    pub const fn model(part: Part) -> Self {
        Self {
            layer: None,
            part,
            expert: None,
            param: Param::Weight,
        }
    }

    /// A weight of block `layer`.
    pub const fn layer(layer: usize, part: Part) -> Self {
        Self {
            layer: Some(layer as u32),
            part,
            expert: None,
            param: Param::Weight,
        }
    }

    /// The same place in one expert.
    #[must_use]
    pub const fn of_expert(mut self, expert: Expert) -> Self {
        self.expert = Some(expert);
        self
    }

    /// Whether it is a vector: a bias or a norm's gain.
    pub const fn is_vector(&self) -> bool {
        matches!(self.param, Param::Bias) || self.part.is_norm()
    }

    /// The bias that goes with this weight.
    #[must_use]
    pub const fn bias(mut self) -> Self {
        self.param = Param::Bias;
        self
    }
}

impl Part {
    /// Name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::PositionEmbed => "position_embed",
            Self::TokenTypeEmbed => "token_type_embed",
            Self::EmbedNorm => "embed_norm",
            Self::AttentionNorm => "attention_norm",
            Self::Query => "q",
            Self::Key => "k",
            Self::Value => "v",
            Self::QueryNorm => "q_norm",
            Self::KeyNorm => "k_norm",
            Self::QueryDown => "q_down",
            Self::QueryDownNorm => "q_down_norm",
            Self::QueryUp => "q_up",
            Self::KvDown => "kv_down",
            Self::KvDownNorm => "kv_down_norm",
            Self::KeyRotary => "k_rotary",
            Self::KeyUp => "k_up",
            Self::ValueUp => "v_up",
            Self::Output => "o",
            Self::PostAttentionNorm => "post_attention_norm",
            Self::MlpNorm => "mlp_norm",
            Self::Router => "router",
            Self::RouterScale => "router_scale",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Down => "down",
            Self::SharedExpertGate => "shared_expert_gate",
            Self::PostMlpNorm => "post_mlp_norm",
            Self::FinalNorm => "final_norm",
            Self::Unembed => "unembed",
        }
    }

    /// Whether it is a norm's gain: a vector that training barely moves from its start value.
    pub const fn is_norm(self) -> bool {
        matches!(
            self,
            Self::EmbedNorm
                | Self::AttentionNorm
                | Self::QueryNorm
                | Self::KeyNorm
                | Self::QueryDownNorm
                | Self::KvDownNorm
                | Self::PostAttentionNorm
                | Self::MlpNorm
                | Self::PostMlpNorm
                | Self::FinalNorm
        )
    }
}

impl fmt::Display for Role {
    /// `layers.3.experts.1.gate.bias`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "layers.{layer}.")?;
        }
        match self.expert {
            Some(Expert::Routed(expert)) => write!(f, "experts.{expert}.")?,
            Some(Expert::Shared) => f.write_str("shared_expert.")?,
            None => {}
        }
        f.write_str(self.part.name())?;
        match self.param {
            Param::Weight => Ok(()),
            Param::Bias => f.write_str(".bias"),
        }
    }
}
