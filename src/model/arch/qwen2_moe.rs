//! Qwen1.5-MoE and Qwen2-MoE: Qwen2 with routed experts and one shared by all tokens.

use serde_json::json;

use super::names::{Name, Names, Of, name, of_fused_stack, of_stack};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, llama, parts};
use crate::model::role::Part;
use crate::model::spec::MoeSpec;

pub(super) static QWEN2_MOE: Family = Family {
    id: "qwen2_moe",
    model_types: &["qwen2_moe"],
    gguf: &["qwen2moe"],
    gguf_words: |map, _| {
        // llama.cpp never rescales them.
        if !map.contains_key("norm_topk_prob") {
            gguf_config::fill(map, &[("norm_topk_prob", json!(false))]);
        }
        gguf_config::fill(
            map,
            &[
                ("model_type", json!("qwen2_moe")),
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
    tables: &[EXPERTS, llama::TABLE],
};

/// One tensor per expert as published, and the stacks that `transformers` 5 holds in memory.
pub(super) const EXPERTS: &[Name] = &[
    name(Part::Router, "{m}layers.{l}.mlp.gate.{p}"),
    name(Part::Gate, "{m}layers.{l}.mlp.experts.{e}.gate_proj.{p}").of(Of::Routed),
    name(Part::Up, "{m}layers.{l}.mlp.experts.{e}.up_proj.{p}").of(Of::Routed),
    name(Part::Down, "{m}layers.{l}.mlp.experts.{e}.down_proj.{p}").of(Of::Routed),
    name(Part::Gate, FUSED).of(Of::Routed).seen(of_fused_stack),
    name(Part::Up, FUSED).of(Of::Routed).seen(of_fused_stack),
    name(Part::Down, "{m}layers.{l}.mlp.experts.down_proj")
        .of(Of::Routed)
        .seen(of_stack),
    name(Part::Gate, "{m}layers.{l}.mlp.shared_expert.gate_proj.{p}").of(Of::Shared),
    name(Part::Up, "{m}layers.{l}.mlp.shared_expert.up_proj.{p}").of(Of::Shared),
    name(Part::Down, "{m}layers.{l}.mlp.shared_expert.down_proj.{p}").of(Of::Shared),
    name(
        Part::SharedExpertGate,
        "{m}layers.{l}.mlp.shared_expert_gate.{p}",
    ),
];

const FUSED: &str = "{m}layers.{l}.mlp.experts.gate_up_proj";

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let mut spec = parts::llama_like(config, "qwen2_moe", parts::Defaults::LLAMA)?;
    spec.biases.qkv = config.flag("qkv_bias", true)?;
    if config.flag("use_sliding_window", false)? && config.get("layer_types").is_none() {
        config.refuse(
            "windows without `layer_types`, which releases of transformers place differently",
        );
    }
    parts::qwen_windows(config, &mut spec)?;
    let routed = MoeSpec::softmax(
        config.size("num_experts")?,
        config.size_or("num_experts_per_tok", 4)?,
        config.size("moe_intermediate_size")?,
    );
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: Some(config.size("shared_expert_intermediate_size")?),
        shared_expert_gate: true,
        norm_topk_prob: config.flag("norm_topk_prob", false)?,
        ..routed
    });
    sparse_blocks(config, &mut spec)?;
    parts::finish(config, spec)
}

/// Every `decoder_sparse_step`-th block is a mixture, but for `mlp_only_layers`.
pub(super) fn sparse_blocks(config: &RawConfig, spec: &mut DecoderSpec) -> Result<(), ConfigError> {
    let step = config.optional_size("decoder_sparse_step")?.unwrap_or(1);
    let dense = config.indices("mlp_only_layers")?;
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.sparse = !dense.contains(&index) && (index + 1).is_multiple_of(step);
    }
    Ok(())
}
