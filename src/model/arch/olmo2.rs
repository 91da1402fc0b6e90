//! OLMo 2: Llama with norms behind attention and MLP in place of before, and a norm over all queries and
//! one over all keys.
//!
//! llama.cpp calls OLMo 3 by the same name; its windows are not read here.

use serde_json::json;

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, llama, parts, qwen3};
use crate::model::role::Part;
use crate::model::spec::{NormPlace, QkNorm};

pub(super) static OLMO2: Family = Family {
    id: "olmo2",
    model_types: &["olmo2"],
    gguf: &["olmo2"],
    gguf_words: |map, _| {
        let words = [
            ("model_type", json!("olmo2")),
            ("hidden_act", json!("silu")),
        ];
        gguf_config::fill(map, &words);
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
    tables: &[NORMS, qwen3::HEAD_NORMS, llama::TABLE],
};

const NORMS: &[Name] = &[
    name(
        Part::PostAttentionNorm,
        "{m}layers.{l}.post_attention_layernorm.{p}",
    ),
    name(
        Part::PostMlpNorm,
        "{m}layers.{l}.post_feedforward_layernorm.{p}",
    ),
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        rms_norm_eps: 1e-5,
        ..parts::Defaults::LLAMA
    };
    let mut spec = parts::llama_like(config, "olmo2", defaults)?;
    spec.norm_place = NormPlace::After;
    spec.qk_norm = Some(QkNorm::Full);
    let attention = config.flag("attention_bias", false)?;
    spec.biases.qkv = attention;
    spec.biases.output = attention;
    parts::finish(config, spec)
}
