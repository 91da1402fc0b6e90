//! GLM-4 as `transformers` has it, first and second generation (`glm`, `glm4`): Llama with biases on
//! queries, keys and values, the first half of each head rotating with neighbouring dimensions together,
//! gate and up in one matrix, and in the second generation norms behind attention and MLP as well.
//!
//! llama.cpp calls the first generation `chatglm`, with the ChatGLM 2 and 3 before it.

use serde_json::{Map, Value, json};

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, TensorStore};
use super::{gguf, gguf_config, llama, parts, phi3};
use crate::model::role::Part;
use crate::model::spec::NormPlace;

pub(super) static GLM4: Family = Family {
    id: "glm4",
    model_types: &["glm", "glm4"],
    gguf: &["chatglm", "glm4"],
    gguf_words,
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::FUSED_MLP.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[NORMS, phi3::GATE_UP, llama::TABLE],
};

const NORMS: &[Name] = &[
    name(
        Part::PostAttentionNorm,
        "{m}layers.{l}.post_self_attn_layernorm.{p}",
    ),
    name(Part::PostMlpNorm, "{m}layers.{l}.post_mlp_layernorm.{p}"),
];

/// What the config's absence means in a GGUF file is not what it means to `transformers`.
fn gguf_words(map: &mut Map<String, Value>, store: &TensorStore) {
    let first = map.get("gguf_architecture") == Some(&json!("chatglm"));
    // In its own code's layout the first generation has them in one matrix.
    if first && store.info("blk.0.attn_q.weight").is_some() {
        gguf_config::fill(map, &[(CONVERTED_FROM, json!("GlmForCausalLM"))]);
    }
    let size = |key: &str| map.get(key).and_then(Value::as_u64);
    let heads = size("num_attention_heads").unwrap_or(1).max(1);
    let width = size("hidden_size").unwrap_or(0) / heads;
    for (key, meant) in [
        ("head_dim", json!(width)),
        ("num_key_value_heads", json!(heads)),
        ("partial_rotary_factor", json!(1.0)),
    ] {
        map.entry(key).or_insert(meant);
    }
    let generation = if first { "glm" } else { "glm4" };
    let words = [
        ("model_type", json!(generation)),
        ("hidden_act", json!("silu")),
    ];
    gguf_config::fill(map, &words);
}

/// The class whose layout a GGUF file was made of, where that matters.
const CONVERTED_FROM: &str = "converted_from";

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let second = config.model_type() == "glm4";
    let defaults = parts::Defaults {
        num_key_value_heads: Some(2),
        head_dim: Some(128),
        max_position_embeddings: 131_072,
        rms_norm_eps: 1.5625e-7,
        ..parts::Defaults::LLAMA
    };
    let part = ("partial_rotary_factor", 0.5);
    let mut rope = config.partial_rope(defaults.rope_theta, part)?;
    rope.interleaved = true;
    let mut spec = parts::with_rope(config, "glm4", defaults, &rope)?;
    spec.biases.qkv = config.flag("attention_bias", !second)?;
    if second {
        spec.norm_place = NormPlace::Sandwich;
    }
    if config.get(CONVERTED_FROM).is_some() {
        config.caveat(
            "made of a `GlmForCausalLM`, of which llama.cpp's converter reads neither rotary base nor norm \
             epsilon: they are those of the file",
        );
    }
    parts::finish(config, spec)
}
