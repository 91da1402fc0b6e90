//! What tensors are called in a member's files.

use crate::model::Param;
use crate::model::Part;
use crate::model::Role;

/// A vocabulary of tensor names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// As `LlamaForCausalLM` has them.
    Llama,
    /// As the first Yi release had them: Llama's, with the two norms of a block called `ln1` and
    /// `ln2`.
    Yi,
}

impl Naming {
    /// The name of a dense decoder's weight.
    pub fn name(self, role: &Role) -> String {
        let part = match (self, role.part) {
            (_, Part::Embed) => "model.embed_tokens",
            (_, Part::FinalNorm) => "model.norm",
            (_, Part::Unembed) => "lm_head",
            (Self::Llama, Part::AttentionNorm) => "input_layernorm",
            (Self::Llama, Part::MlpNorm) => "post_attention_layernorm",
            (Self::Yi, Part::AttentionNorm) => "ln1",
            (Self::Yi, Part::MlpNorm) => "ln2",
            (_, Part::Query) => "self_attn.q_proj",
            (_, Part::Key) => "self_attn.k_proj",
            (_, Part::Value) => "self_attn.v_proj",
            (_, Part::Output) => "self_attn.o_proj",
            (_, Part::Gate) => "mlp.gate_proj",
            (_, Part::Up) => "mlp.up_proj",
            (_, Part::Down) => "mlp.down_proj",
            // No member has these yet; the name says what it is.
            (_, other) => other.name(),
        };
        let block = role
            .layer
            .map(|layer| format!("model.layers.{layer}."))
            .unwrap_or_default();
        let param = match role.param {
            Param::Weight => "weight",
            Param::Bias => "bias",
        };
        format!("{block}{part}.{param}")
    }
}
