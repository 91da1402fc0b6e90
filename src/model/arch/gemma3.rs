//! Gemma 3, its text part: gains stored less one, norms on both sides of attention and MLP, a norm on
//! every query and key head, windows in most blocks with a rotary base of their own, an embedding
//! scaled by the root of its width.
//!
//! `transformers` rounds that scale to the type the weights are loaded in. We load f32, so that the
//! scale is that of a model loaded in f32; one loaded in bf16 has a slightly different one.

use serde_json::{Map, Value, json};

use super::names::{Name, Names, Seen, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, TensorStore};
use super::{gguf, gguf_config, parts};
use crate::model::role::Part;
use crate::model::spec::{Activation, NormPlace, QkNorm, RopeScaling, RopeSpec};
use crate::model::weights::View;

pub(super) static GEMMA3: Family = Family {
    id: "gemma3",
    model_types: &["gemma3", "gemma3_text"],
    gguf: &["gemma3"],
    gguf_words,
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        // llama.cpp stores the gains with the one added.
        Format::Gguf => gguf::NEOX.bind(spec, store),
    },
};

static NAMES: Names = Names {
    // Text only; the text part of the multimodal model as transformers 4 and 5 write it.
    prefixes: &[
        "model.",
        "language_model.model.",
        "model.language_model.",
        "",
    ],
    anchor: "{m}embed_tokens.weight",
    tables: &[TABLE],
};

const TABLE: &[Name] = &[
    name(Part::Embed, "{m}embed_tokens.{p}"),
    name(Part::FinalNorm, "{m}norm.{p}").seen(gain),
    name(Part::Unembed, "lm_head.{p}"),
    name(Part::Unembed, "language_model.lm_head.{p}"),
    name(Part::AttentionNorm, "{m}layers.{l}.input_layernorm.{p}").seen(gain),
    name(Part::Query, "{m}layers.{l}.self_attn.q_proj.{p}"),
    name(Part::Key, "{m}layers.{l}.self_attn.k_proj.{p}"),
    name(Part::Value, "{m}layers.{l}.self_attn.v_proj.{p}"),
    name(Part::QueryNorm, "{m}layers.{l}.self_attn.q_norm.{p}").seen(gain),
    name(Part::KeyNorm, "{m}layers.{l}.self_attn.k_norm.{p}").seen(gain),
    name(Part::Output, "{m}layers.{l}.self_attn.o_proj.{p}"),
    name(
        Part::PostAttentionNorm,
        "{m}layers.{l}.post_attention_layernorm.{p}",
    )
    .seen(gain),
    name(Part::MlpNorm, "{m}layers.{l}.pre_feedforward_layernorm.{p}").seen(gain),
    name(Part::Gate, "{m}layers.{l}.mlp.gate_proj.{p}"),
    name(Part::Up, "{m}layers.{l}.mlp.up_proj.{p}"),
    name(Part::Down, "{m}layers.{l}.mlp.down_proj.{p}"),
    name(
        Part::PostMlpNorm,
        "{m}layers.{l}.post_feedforward_layernorm.{p}",
    )
    .seen(gain),
];

fn gain(_: &Seen<'_>) -> View {
    View::whole().plus_one()
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let Some(text) = config.nested("text_config") else {
        return text_spec(config);
    };
    if config.get("quantization_config").is_some() {
        text.refuse("`quantization_config`");
    }
    text.caveat("of a multimodal model, the text part");
    let mut spec = text_spec(&text)?;
    spec.tie_word_embeddings &= config.flag("tie_word_embeddings", true)?;
    Ok(spec)
}

/// What `transformers` takes where a config says nothing, as those of the multimodal models do.
const DEFAULTS: parts::Defaults = parts::Defaults {
    vocab_size: Some(262_208),
    num_attention_heads: Some(8),
    num_key_value_heads: Some(4),
    head_dim: Some(256),
    max_position_embeddings: 131_072,
    rope_theta: 1_000_000.0,
    ..parts::Defaults::LLAMA
};

const LOCAL_THETA: f64 = 10_000.0;

fn text_spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let (global, local) = ropes(config)?;
    let mut spec = parts::with_rope(config, "gemma3", DEFAULTS, &global)?;
    spec.hidden_act = config.activation("hidden_activation", Activation::GeluTanh)?;
    spec.norm_place = NormPlace::Sandwich;
    spec.qk_norm = Some(QkNorm::Head);
    spec.tie_word_embeddings = config.flag("tie_word_embeddings", true)?;
    let attention = config.flag("attention_bias", false)?;
    spec.biases.qkv = attention;
    spec.biases.output = attention;
    spec.embed_scale = Some((spec.hidden_size as f64).sqrt());
    let scalar = config.optional_number("query_pre_attn_scalar")?;
    spec.attention_scale = scalar.unwrap_or(256.0).powf(-0.5);
    add_windows(config, &mut spec, &local)?;
    parts::finish(config, spec)
}

/// Of blocks that see everything, and of those with a window. `transformers` 5 writes one entry per
/// layer type; 4 writes two bases, and a scaling for the former only.
fn ropes(config: &RawConfig) -> Result<(RopeSpec, RopeSpec), ConfigError> {
    let theta = config.optional_number("rope_local_base_freq")?;
    let local_theta = theta.unwrap_or(LOCAL_THETA);
    let plain = RopeSpec::new(local_theta, RopeScaling::Default);
    let theta = config.optional_number("rope_theta")?;
    let theta = theta.unwrap_or(DEFAULTS.rope_theta);
    let global = config.rope_of("full_attention", theta)?;
    let local = config.rope_of("sliding_attention", local_theta)?;
    if global.is_none() && local.is_none() {
        return Ok((config.rope(DEFAULTS.rope_theta)?, plain));
    }
    if config.get("rope_scaling").is_some() {
        config.refuse("`rope_scaling` beside `rope_parameters` per layer type");
    }
    let global = global.unwrap_or(RopeSpec::new(theta, RopeScaling::Default));
    Ok((global, local.unwrap_or(plain)))
}

/// Blocks with a window: those of `layer_types`, else all but each `sliding_window_pattern`-th.
fn add_windows(
    config: &RawConfig,
    spec: &mut DecoderSpec,
    local: &RopeSpec,
) -> Result<(), ConfigError> {
    let pattern = config.optional_size("sliding_window_pattern")?;
    let pattern = match pattern {
        Some(pattern) => pattern,
        None => config
            .optional_size("_sliding_window_pattern")?
            .unwrap_or(6),
    };
    let window = config.size_or("sliding_window", 4096)?;
    let windowed = parts::windowed_layers(config, spec)?;
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        let by_pattern = !(index + 1).is_multiple_of(pattern);
        if windowed.as_ref().map_or(by_pattern, |w| w[index]) {
            layer.sliding_window = Some(window);
            layer.rope = Some(local.clone());
        }
    }
    Ok(())
}

/// What llama.cpp has in code: the activation, five windowed blocks to a full one, the rotary base of
/// the windowed ones, and the scale of attention, which is a head's width but for the 27B model, known
/// by its 62 blocks, a head's share of the hidden size.
fn gguf_words(map: &mut Map<String, Value>, _: &TensorStore) {
    let number = |word: &str| map.get(word).and_then(Value::as_u64);
    let scalar = match (number("num_hidden_layers"), number("num_attention_heads")) {
        (Some(62), Some(heads)) => number("hidden_size").and_then(|h| h.checked_div(heads)),
        _ => number("head_dim"),
    };
    let mut words = vec![
        ("model_type", json!("gemma3_text")),
        ("hidden_activation", json!("gelu_pytorch_tanh")),
    ];
    words.extend(scalar.map(|scalar| ("query_pre_attn_scalar", json!(scalar))));
    if !map.contains_key("layer_types") && !map.contains_key("sliding_window_pattern") {
        words.push(("sliding_window_pattern", json!(6)));
    }
    if !map.contains_key("rope_local_base_freq") {
        words.push(("rope_local_base_freq", json!(LOCAL_THETA)));
    }
    gguf_config::fill(map, &words);
}
