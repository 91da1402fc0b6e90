//! Qwen3: Llama with a norm on every query and key head.

use serde_json::json;

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, llama, parts};
use crate::model::role::Part;
use crate::model::spec::QkNorm;

pub(super) static QWEN3: Family = Family {
    id: "qwen3",
    model_types: &["qwen3"],
    gguf: &["qwen3"],
    gguf_words: |map, _| {
        gguf_config::fill(
            map,
            &[
                ("model_type", json!("qwen3")),
                ("hidden_act", json!("silu")),
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
    tables: &[HEAD_NORMS, llama::TABLE],
};

pub(super) const HEAD_NORMS: &[Name] = &[
    name(Part::QueryNorm, "{m}layers.{l}.self_attn.q_norm.{p}"),
    name(Part::KeyNorm, "{m}layers.{l}.self_attn.k_norm.{p}"),
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        head_dim: Some(128),
        ..parts::Defaults::LLAMA
    };
    let mut spec = parts::llama_like(config, "qwen3", defaults)?;
    spec.qk_norm = Some(QkNorm::Head);
    let attention = config.flag("attention_bias", false)?;
    spec.biases.qkv = attention;
    spec.biases.output = attention;
    parts::qwen_windows(config, &mut spec)?;
    parts::finish(config, spec)
}
