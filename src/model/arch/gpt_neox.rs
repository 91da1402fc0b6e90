//! GPT-NeoX, and with it Pythia: attention and MLP side by side on one stream, layer norms, a plain MLP,
//! biases, a part of each head that rotates, and queries, keys and values that take turns in one matrix,
//! head by head.

use serde_json::{Map, Value, json};

use super::names::{Name, Names, Seen, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, TensorStore};
use super::{gguf, gguf_config, parts};
use crate::model::role::Part;
use crate::model::spec::{Activation, Norm};
use crate::model::weights::View;

pub(super) static GPT_NEOX: Family = Family {
    id: "gpt_neox",
    model_types: &["gpt_neox"],
    gguf: &["gptneox"],
    gguf_words,
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::NEOX.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: &["gpt_neox.", ""],
    anchor: "{m}embed_in.weight",
    tables: &[TABLE],
};

const TABLE: &[Name] = &[
    name(Part::Embed, "{m}embed_in.{p}"),
    name(Part::FinalNorm, "{m}final_layer_norm.{p}"),
    name(Part::Unembed, "embed_out.{p}"),
    name(Part::AttentionNorm, "{m}layers.{l}.input_layernorm.{p}"),
    name(Part::Query, "{m}layers.{l}.attention.query_key_value.{p}").seen(in_turns),
    name(Part::Key, "{m}layers.{l}.attention.query_key_value.{p}").seen(in_turns),
    name(Part::Value, "{m}layers.{l}.attention.query_key_value.{p}").seen(in_turns),
    name(Part::Output, "{m}layers.{l}.attention.dense.{p}"),
    name(Part::MlpNorm, "{m}layers.{l}.post_attention_layernorm.{p}"),
    name(Part::Up, "{m}layers.{l}.mlp.dense_h_to_4h.{p}"),
    name(Part::Down, "{m}layers.{l}.mlp.dense_4h_to_h.{p}"),
];

/// The converter takes queries, keys and values apart and writes no rotary base.
fn gguf_words(map: &mut Map<String, Value>, _: &TensorStore) {
    let names = [
        ("layer_norm_epsilon", "layer_norm_eps"),
        ("partial_rotary_factor", "rotary_pct"),
        ("rope_theta", "rotary_emb_base"),
    ];
    gguf_config::rename(map, &names);
    let words = [
        ("model_type", json!("gpt_neox")),
        ("hidden_act", json!("gelu")),
    ];
    gguf_config::fill(map, &words);
    // Where the file says no part, whole heads rotate.
    map.entry("rotary_pct").or_insert(json!(1.0));
}

fn in_turns(seen: &Seen<'_>) -> View {
    let (heads, width) = (seen.spec.num_attention_heads, seen.spec.head_dim);
    let first = match seen.role.part {
        Part::Query => 0,
        Part::Key => width,
        _ => 2 * width,
    };
    View::whole().rows_of_each(heads, first..first + width)
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let theta = config.optional_number("rotary_emb_base")?;
    if config.is_gguf() {
        config
            .get("use_parallel_residual")
            .ok_or(ConfigError::Missing("use_parallel_residual"))?;
        if theta.is_none() {
            config.caveat("a GGUF file of this family holds no rotary base: 10000 is taken, as llama.cpp does");
        }
    }
    let rope = config.partial_rope(theta.unwrap_or(10_000.0), ("rotary_pct", 0.25))?;
    let mut spec = parts::with_rope(config, "gpt_neox", parts::Defaults::LLAMA, &rope)?;
    spec.norm = Norm::Layer;
    let eps = config.optional_number("layer_norm_eps")?;
    spec.norm_eps = eps.unwrap_or(1e-5);
    spec.hidden_act = config.activation("hidden_act", Activation::Gelu)?;
    spec.gated_mlp = false;
    let attention = config.flag("attention_bias", true)?;
    spec.biases.qkv = attention;
    spec.biases.output = attention;
    spec.biases.mlp = true;
    spec.parallel_residual = config.flag("use_parallel_residual", true)?;
    config.get("classifier_dropout");
    parts::finish(config, spec)
}
