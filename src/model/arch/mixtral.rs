//! Mixtral: Mistral with a mixture of experts in every block.

use super::names::{Name, Names, Of, name, of_fused_stack, of_stack};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, llama, parts};
use crate::model::role::Part;
use crate::model::spec::MoeSpec;

pub(super) static MIXTRAL: Family = Family {
    id: "mixtral",
    model_types: &["mixtral"],
    // llama.cpp calls it `llama`, whose words find the experts.
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::PERMUTED.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[EXPERTS, llama::TABLE],
};

/// One tensor per expert as published, and the stacks that `transformers` 5 holds in memory.
const EXPERTS: &[Name] = &[
    name(Part::Router, "{m}layers.{l}.block_sparse_moe.gate.{p}"),
    name(Part::Router, "{m}layers.{l}.mlp.gate.{p}"),
    name(
        Part::Gate,
        "{m}layers.{l}.block_sparse_moe.experts.{e}.w1.{p}",
    )
    .of(Of::Routed),
    name(
        Part::Up,
        "{m}layers.{l}.block_sparse_moe.experts.{e}.w3.{p}",
    )
    .of(Of::Routed),
    name(
        Part::Down,
        "{m}layers.{l}.block_sparse_moe.experts.{e}.w2.{p}",
    )
    .of(Of::Routed),
    name(Part::Gate, FUSED).of(Of::Routed).seen(of_fused_stack),
    name(Part::Up, FUSED).of(Of::Routed).seen(of_fused_stack),
    name(Part::Down, "{m}layers.{l}.mlp.experts.down_proj")
        .of(Of::Routed)
        .seen(of_stack),
];

const FUSED: &str = "{m}layers.{l}.mlp.experts.gate_up_proj";

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        num_key_value_heads: Some(8),
        rope_theta: 1_000_000.0,
        rms_norm_eps: 1e-5,
        ..parts::Defaults::LLAMA
    };
    let mut spec = parts::llama_like(config, "mixtral", defaults)?;
    parts::window_everywhere(config, &mut spec)?;
    let width = config.optional_size("moe_intermediate_size")?;
    spec.moe = Some(MoeSpec::softmax(
        config.size_or("num_local_experts", 8)?,
        config.size_or("num_experts_per_tok", 2)?,
        width.unwrap_or(spec.intermediate_size),
    ));
    for layer in &mut spec.layers {
        layer.sparse = true;
    }
    parts::finish(config, spec)
}
