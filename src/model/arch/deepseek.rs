//! DeepSeek-V2 and V3 (and R1): latent attention, and from some block on a mixture whose experts stand in
//! groups, of which the best are chosen first, beside shared experts that act as one.

use super::names::{Name, Names, Of, Seen, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, deepseek_gguf};
use super::{llama, parts, qwen2_moe};
use crate::model::config::rope::yarn_mscale;
use crate::model::role::Part;
use crate::model::spec::{LatentSpec, MoeSpec, Routing, Scoring};
use crate::model::weights::View;

pub(super) static DEEPSEEK: Family = Family {
    id: "deepseek",
    model_types: &["deepseek_v2", "deepseek_v3"],
    gguf: &["deepseek2"],
    gguf_words: deepseek_gguf::words,
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => deepseek_gguf::NAMES.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[LATENT, SHARED, CORRECTION, qwen2_moe::EXPERTS, llama::TABLE],
};

const LATENT: &[Name] = &[
    name(Part::QueryDown, "{m}layers.{l}.self_attn.q_a_proj.{p}"),
    name(
        Part::QueryDownNorm,
        "{m}layers.{l}.self_attn.q_a_layernorm.{p}",
    ),
    name(Part::QueryUp, "{m}layers.{l}.self_attn.q_b_proj.{p}"),
    name(Part::KvDown, KV_DOWN).seen(narrowed),
    name(Part::KeyRotary, KV_DOWN).seen(narrowed),
    name(
        Part::KvDownNorm,
        "{m}layers.{l}.self_attn.kv_a_layernorm.{p}",
    ),
    name(Part::KeyUp, "{m}layers.{l}.self_attn.kv_b_proj.{p}").seen(widened),
    name(Part::ValueUp, "{m}layers.{l}.self_attn.kv_b_proj.{p}").seen(widened),
];

const KV_DOWN: &str = "{m}layers.{l}.self_attn.kv_a_proj_with_mqa.{p}";

const SHARED: &[Name] = &[
    name(Part::Gate, "{m}layers.{l}.mlp.shared_experts.gate_proj.{p}").of(Of::Shared),
    name(Part::Up, "{m}layers.{l}.mlp.shared_experts.up_proj.{p}").of(Of::Shared),
    name(Part::Down, "{m}layers.{l}.mlp.shared_experts.down_proj.{p}").of(Of::Shared),
];

const CORRECTION: &[Name] = &[name(
    Part::Router,
    "{m}layers.{l}.mlp.gate.e_score_correction_bias",
)
.bias_only()];

/// What keys and values come through, and below it the keys that rotate.
pub(super) fn narrowed(seen: &Seen<'_>) -> View {
    let Some(latent) = &seen.spec.latent else {
        return View::whole();
    };
    let rank = latent.kv_lora_rank;
    match seen.role.part {
        Part::KvDown => View::whole().rows(0..rank),
        _ => View::whole().rows(rank..rank + latent.qk_rope_head_dim),
    }
}

/// Keys and values take turns, head by head.
pub(super) fn widened(seen: &Seen<'_>) -> View {
    let Some(latent) = &seen.spec.latent else {
        return View::whole();
    };
    let (key, value) = (latent.qk_nope_head_dim, latent.v_head_dim);
    let rows = match seen.role.part {
        Part::KeyUp => 0..key,
        _ => key..key + value,
    };
    View::whole().rows_of_each(seen.spec.num_attention_heads, rows)
}

/// Entries that say how a model is trained or run, and of predictions further ahead, which are not made
/// here.
const NOT_OF_THE_PASS: &[&str] = &[
    "aux_loss_alpha",
    "ep_size",
    "num_mtp_layers",
    "num_nextn_predict_layers",
    "qk_head_dim",
    "seq_aux",
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let third = config.model_type() == "deepseek_v3";
    for key in NOT_OF_THE_PASS {
        config.get(key);
    }
    let latent = LatentSpec {
        q_lora_rank: config.optional_size("q_lora_rank")?,
        kv_lora_rank: config.size("kv_lora_rank")?,
        qk_nope_head_dim: config.size("qk_nope_head_dim")?,
        qk_rope_head_dim: config.size("qk_rope_head_dim")?,
        v_head_dim: config.size("v_head_dim")?,
    };
    let defaults = parts::Defaults {
        max_position_embeddings: if third { 4096 } else { 2048 },
        ..parts::Defaults::LLAMA
    };
    let mut rope = config.rope(defaults.rope_theta)?;
    rope.interleaved = !third || config.flag("rope_interleave", true)?;
    let mut spec = parts::with_rope(config, "deepseek", defaults, &rope)?;
    // What `transformers` 5 writes there is the width of what rotates.
    spec.head_dim = latent.qk_head_dim();
    spec.num_key_value_heads = spec.num_attention_heads;
    spec.attention_scale = (spec.head_dim as f64).powf(-0.5) * scale(config)?;
    spec.latent = Some(latent);
    let attention = config.flag("attention_bias", false)?;
    spec.biases.qkv = attention;
    spec.biases.output = attention;
    spec.biases.mlp = config.flag("mlp_bias", false)?;
    if spec.biases.mlp {
        config.refuse("`mlp_bias`, which experts would have as well");
    }
    add_experts(config, &mut spec, third)?;
    if config.is_gguf() {
        deepseek_gguf::note_scales(config);
    }
    parts::finish(config, spec)
}

/// What YaRN adds to the scale of attention.
fn scale(config: &RawConfig) -> Result<f64, ConfigError> {
    let entry = config.get("rope_scaling").or(config.get("rope_parameters"));
    let get = |key: &str| entry.and_then(|entry| entry.get(key)?.as_f64());
    let (all, factor) = (get("mscale_all_dim"), get("factor"));
    Ok(match all.zip(factor) {
        Some((all, factor)) if all != 0.0 => yarn_mscale(factor, all).powi(2),
        _ => 1.0,
    })
}

fn add_experts(config: &RawConfig, spec: &mut DecoderSpec, third: bool) -> Result<(), ConfigError> {
    let Some(experts) = config.optional_size("n_routed_experts")? else {
        return Ok(());
    };
    let width = config.size("moe_intermediate_size")?;
    let shared = config.count_or("n_shared_experts", 0)?;
    let norm_topk_prob = config.flag("norm_topk_prob", third)?;
    let scoring = scoring(config, third)?;
    if norm_topk_prob && scoring == Scoring::Softmax {
        config.refuse("`norm_topk_prob` with a softmax, which implementations read differently");
    }
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: (shared > 0).then_some(shared * width),
        scoring,
        routing: routing(config, third)?,
        norm_topk_prob,
        routed_scaling_factor: config.optional_number("routed_scaling_factor")?.unwrap_or(
            match third {
                true => 2.5,
                false => 1.0,
            },
        ),
        ..MoeSpec::softmax(experts, config.size("num_experts_per_tok")?, width)
    });
    let dense = config.count_or("first_k_dense_replace", if third { 3 } else { 0 })?;
    let step = config.optional_size("moe_layer_freq")?.unwrap_or(1);
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.sparse = index >= dense && index.is_multiple_of(step);
    }
    Ok(())
}

fn scoring(config: &RawConfig, third: bool) -> Result<Scoring, ConfigError> {
    let usual = match third {
        true => Scoring::Sigmoid,
        false => Scoring::Softmax,
    };
    let written = match config.get("scoring_func").and_then(|name| name.as_str()) {
        None => usual,
        Some("softmax") => Scoring::Softmax,
        Some("sigmoid") => Scoring::Sigmoid,
        Some(_) => {
            config.refuse("a `scoring_func` that is neither `softmax` nor `sigmoid`");
            usual
        }
    };
    if written != usual {
        config.refuse("a `scoring_func` of the other generation");
    }
    Ok(usual)
}

fn routing(config: &RawConfig, third: bool) -> Result<Routing, ConfigError> {
    let groups = config
        .optional_size("n_group")?
        .zip(config.optional_size("topk_group")?);
    if config.is_gguf() {
        deepseek_gguf::note_groups(config, groups, third);
    }
    let limited = match groups {
        Some((n_group, topk_group)) => Routing::Limited {
            n_group,
            topk_group,
        },
        None if third && !config.is_gguf() => Routing::Limited {
            n_group: 8,
            topk_group: 4,
        },
        None => Routing::All,
    };
    let usual = if third { "noaux_tc" } else { "greedy" };
    let method = config.get("topk_method").and_then(|name| name.as_str());
    Ok(match method.unwrap_or(usual) {
        "greedy" if !third => Routing::All,
        "group_limited_greedy" if !third => limited,
        "noaux_tc" if third => limited,
        _ => {
            config.refuse("a `topk_method` of another generation");
            limited
        }
    })
}
