//! InternLM2 and 2.5: Llama under other names, with queries, keys and values in one matrix in which
//! they take turns: the query heads of a key head, that key head, its value head.
//!
//! A GGUF file does not hold the rotary base that grows with texts beyond the model's context; within it
//! nothing is missing.

use serde_json::json;

use super::names::{Name, Names, Seen, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, parts};
use crate::model::role::Part;
use crate::model::weights::View;

pub(super) static INTERNLM2: Family = Family {
    id: "internlm2",
    model_types: &["internlm2"],
    gguf: &["internlm2"],
    gguf_words: |map, store| {
        let bias = store.info("blk.0.attn_q.bias").is_some();
        let words = [
            ("model_type", json!("internlm2")),
            ("hidden_act", json!("silu")),
            ("bias", json!(bias)),
        ];
        gguf_config::fill(map, &words);
    },
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::PERMUTED.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: &["model.", ""],
    anchor: "{m}tok_embeddings.weight",
    tables: &[TABLE],
};

const TABLE: &[Name] = &[
    name(Part::Embed, "{m}tok_embeddings.{p}"),
    name(Part::FinalNorm, "{m}norm.{p}"),
    name(Part::Unembed, "output.{p}"),
    name(Part::AttentionNorm, "{m}layers.{l}.attention_norm.{p}"),
    name(Part::Query, "{m}layers.{l}.attention.wqkv.{p}").seen(in_turns),
    name(Part::Key, "{m}layers.{l}.attention.wqkv.{p}").seen(in_turns),
    name(Part::Value, "{m}layers.{l}.attention.wqkv.{p}").seen(in_turns),
    name(Part::Output, "{m}layers.{l}.attention.wo.{p}"),
    name(Part::MlpNorm, "{m}layers.{l}.ffn_norm.{p}"),
    name(Part::Gate, "{m}layers.{l}.feed_forward.w1.{p}"),
    name(Part::Up, "{m}layers.{l}.feed_forward.w3.{p}"),
    name(Part::Down, "{m}layers.{l}.feed_forward.w2.{p}"),
];

fn in_turns(seen: &Seen<'_>) -> View {
    let (groups, width) = (seen.spec.num_key_value_heads, seen.spec.head_dim);
    let query = seen.spec.num_attention_heads / groups * width;
    let rows = match seen.role.part {
        Part::Query => 0..query,
        Part::Key => query..query + width,
        _ => query + width..query + 2 * width,
    };
    View::whole().rows_of_each(groups, rows)
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    // How attention is computed, not what.
    config.get("attn_implementation");
    let mut spec = parts::llama_like(config, "internlm2", parts::Defaults::LLAMA)?;
    let bias = config.flag("bias", true)?;
    spec.biases.qkv = bias;
    spec.biases.output = bias;
    parts::finish(config, spec)
}
