//! Phi-3 and Phi-4: Llama with queries, keys and values in one matrix, gate and up in another, and in
//! some of them a part of each head that rotates, with frequencies of its own for long contexts.

use serde_json::{Map, Value, json};

use super::names::{Name, Names, Seen, fused_gate_up, fused_rows, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, TensorStore};
use super::{gguf, gguf_config, llama, parts};
use crate::model::role::Part;
use crate::model::spec::RopeScaling;
use crate::model::weights::View;

pub(super) static PHI3: Family = Family {
    id: "phi3",
    model_types: &["phi3"],
    gguf: &["phi3"],
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
    tables: &[FUSED, GATE_UP, llama::TABLE],
};

const FUSED: &[Name] = &[
    name(Part::Query, "{m}layers.{l}.self_attn.qkv_proj.{p}").seen(fused),
    name(Part::Key, "{m}layers.{l}.self_attn.qkv_proj.{p}").seen(fused),
    name(Part::Value, "{m}layers.{l}.self_attn.qkv_proj.{p}").seen(fused),
];

/// Gate rows, and up rows below them.
pub(super) const GATE_UP: &[Name] = &[
    name(Part::Gate, "{m}layers.{l}.mlp.gate_up_proj.{p}").seen(fused_gate_up),
    name(Part::Up, "{m}layers.{l}.mlp.gate_up_proj.{p}").seen(fused_gate_up),
];

/// llama.cpp keeps the window of the config and runs without it.
fn gguf_words(map: &mut Map<String, Value>, _: &TensorStore) {
    if map.get("sliding_window") == Some(&json!(0)) {
        map.shift_remove("sliding_window");
    }
    let words = [("model_type", json!("phi3")), ("hidden_act", json!("silu"))];
    gguf_config::fill(map, &words);
}

fn fused(seen: &Seen<'_>) -> View {
    fused_rows(seen, View::whole())
}

/// What Phi-4-mini's config says that would change the pass if it said otherwise.
const NEUTRAL: &[(&str, f64)] = &[
    ("full_attn_mod", 1.0),
    ("interpolate_factor", 1.0),
    ("lm_head_bias", 0.0),
    ("mlp_bias", 0.0),
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        max_position_embeddings: 4096,
        rms_norm_eps: 1e-5,
        ..parts::Defaults::LLAMA
    };
    for (key, neutral) in NEUTRAL {
        let number = |value: &Value| match value {
            Value::Bool(on) => Some(f64::from(u8::from(*on))),
            other => other.as_f64(),
        };
        if config
            .get(key)
            .is_some_and(|value| number(value) != Some(*neutral))
        {
            config.refuse(format!("`{key}` is not {neutral}"));
        }
    }
    let part = ("partial_rotary_factor", 1.0);
    let rope = config.partial_rope(defaults.rope_theta, part)?;
    if !matches!(
        rope.scaling,
        RopeScaling::Default | RopeScaling::LongRope { .. }
    ) {
        config.refuse("a rotary scaling that Phi-3 does not have");
    }
    config.get("original_max_position_embeddings");
    let mut spec = parts::with_rope(config, "phi3", defaults, &rope)?;
    if config.flag("attention_bias", false)? {
        config.refuse("`attention_bias`, which Phi-3 does not have");
    }
    parts::window_everywhere(config, &mut spec)?;
    parts::finish(config, spec)
}
