//! Qwen3-MoE: Qwen3 with routed experts and none that is shared.

use serde_json::json;

use super::names::Names;
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, llama, parts, qwen2_moe, qwen3};
use crate::model::spec::{MoeSpec, QkNorm};

pub(super) static QWEN3_MOE: Family = Family {
    id: "qwen3_moe",
    model_types: &["qwen3_moe"],
    gguf: &["qwen3moe"],
    gguf_words: |map, _| {
        // llama.cpp always rescales them.
        gguf_config::fill(
            map,
            &[
                ("model_type", json!("qwen3_moe")),
                ("hidden_act", json!("silu")),
                ("norm_topk_prob", json!(true)),
            ],
        );
    },
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::NEOX.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[qwen2_moe::EXPERTS, qwen3::HEAD_NORMS, llama::TABLE],
};

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        num_key_value_heads: Some(4),
        max_position_embeddings: 32_768,
        ..parts::Defaults::LLAMA
    };
    let mut spec = parts::llama_like(config, "qwen3_moe", defaults)?;
    spec.qk_norm = Some(QkNorm::Head);
    let attention = config.flag("attention_bias", false)?;
    spec.biases.qkv = attention;
    spec.biases.output = attention;
    parts::window_switched_on(config, &mut spec)?;
    let experts = match config.optional_size("num_experts")? {
        Some(experts) => experts,
        None => config.size("num_local_experts")?,
    };
    spec.moe = Some(MoeSpec {
        norm_topk_prob: config.flag("norm_topk_prob", false)?,
        ..MoeSpec::softmax(
            experts,
            config.size_or("num_experts_per_tok", 8)?,
            config.size("moe_intermediate_size")?,
        )
    });
    qwen2_moe::sparse_blocks(config, &mut spec)?;
    parts::finish(config, spec)
}
