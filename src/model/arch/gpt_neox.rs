//! GPT-NeoX, and with it Pythia: attention and MLP side by side on one stream, layer norms, a plain MLP,
//! biases, a part of each head that rotates, and queries, keys and values that take turns in one matrix,
//! head by head.

use super::names::{Name, Names, Seen, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig, parts};
use crate::model::role::Part;
use crate::model::spec::{Activation, Norm};
use crate::model::weights::View;

pub(super) static GPT_NEOX: Family = Family {
    id: "gpt_neox",
    model_types: &["gpt_neox"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
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
