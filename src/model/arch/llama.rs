//! Llama 1 to 3.x, and what rides on it: Vicuna, DeepSeek-LLM, CodeLlama, Yi in Llama's naming,
//! SmolLM2, Mistral (with its sliding window).

use serde_json::{Map, Value, json};

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, TensorStore};
use super::{gguf, gguf_config, parts, yi};
use crate::model::role::Part;

pub(super) static LLAMA: Family = Family {
    id: "llama",
    model_types: &["llama", "mistral"],
    gguf: &["llama"],
    gguf_words,
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::PERMUTED.bind(spec, store),
    },
};

/// The names of Llama, without prefix alternatives of their own.
pub(super) static NAMES: Names = Names {
    prefixes: PREFIXES,
    anchor: ANCHOR,
    // Yi's first names occur with a config that says `llama`, too.
    tables: &[TABLE, yi::FIRST_NAMES],
};

/// With and without the language-model head's module around the model.
pub(super) const PREFIXES: &[&str] = &["model.", ""];

pub(super) const ANCHOR: &str = "{m}embed_tokens.weight";

pub(super) const TABLE: &[Name] = &[
    name(Part::Embed, "{m}embed_tokens.{p}"),
    name(Part::FinalNorm, "{m}norm.{p}"),
    name(Part::Unembed, "lm_head.{p}"),
    name(Part::AttentionNorm, "{m}layers.{l}.input_layernorm.{p}"),
    name(Part::Query, "{m}layers.{l}.self_attn.q_proj.{p}"),
    name(Part::Key, "{m}layers.{l}.self_attn.k_proj.{p}"),
    name(Part::Value, "{m}layers.{l}.self_attn.v_proj.{p}"),
    name(Part::Output, "{m}layers.{l}.self_attn.o_proj.{p}"),
    name(Part::MlpNorm, "{m}layers.{l}.post_attention_layernorm.{p}"),
    name(Part::Gate, "{m}layers.{l}.mlp.gate_proj.{p}"),
    name(Part::Up, "{m}layers.{l}.mlp.up_proj.{p}"),
    name(Part::Down, "{m}layers.{l}.mlp.down_proj.{p}"),
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let mistral = config.model_type() == "mistral";
    let mut defaults = parts::Defaults::LLAMA;
    if mistral {
        defaults.num_key_value_heads = Some(8);
        defaults.max_position_embeddings = 4096 * 32;
    }
    let mut spec = parts::llama_like(config, "llama", defaults)?;
    if mistral {
        parts::window_everywhere(config, &mut spec)?;
    } else {
        let attention = config.flag("attention_bias", false)?;
        spec.biases.qkv = attention;
        spec.biases.output = attention;
        spec.biases.mlp = config.flag("mlp_bias", false)?;
    }
    parts::finish(config, spec)
}

/// llama.cpp has one name for Llama, Mistral, Yi and, with experts, Mixtral.
fn gguf_words(map: &mut Map<String, Value>, store: &TensorStore) {
    let stored = |tensor: &str| json!(store.info(tensor).is_some());
    let experts = map.get("num_experts").and_then(Value::as_u64);
    let model_type = if experts.is_some_and(|experts| experts > 0) {
        gguf_config::rename(map, &[("num_experts", "num_local_experts")]);
        "mixtral"
    } else if map.contains_key("sliding_window") {
        "mistral"
    } else {
        let biases = [
            ("attention_bias", stored("blk.0.attn_q.bias")),
            ("mlp_bias", stored("blk.0.ffn_down.bias")),
        ];
        gguf_config::fill(map, &biases);
        "llama"
    };
    if experts == Some(0) {
        map.shift_remove("num_experts");
        map.shift_remove("num_experts_per_tok");
    }
    let words = [
        ("model_type", json!(model_type)),
        ("hidden_act", json!("silu")),
    ];
    gguf_config::fill(map, &words);
    if let Some(scaling) = gguf::published_llama3(map, store) {
        gguf_config::fill(map, &[("rope_scaling", scaling)]);
    }
}
