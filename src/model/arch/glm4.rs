//! GLM-4 as `transformers` has it, first and second generation (`glm`, `glm4`): Llama with biases on
//! queries, keys and values, the first half of each head rotating with neighbouring dimensions together,
//! gate and up in one matrix, and in the second generation norms behind attention and MLP as well.

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig, llama, parts, phi3};
use crate::model::role::Part;
use crate::model::spec::NormPlace;

pub(super) static GLM4: Family = Family {
    id: "glm4",
    model_types: &["glm", "glm4"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[NORMS, phi3::GATE_UP, llama::TABLE],
};

const NORMS: &[Name] = &[
    name(
        Part::PostAttentionNorm,
        "{m}layers.{l}.post_self_attn_layernorm.{p}",
    ),
    name(Part::PostMlpNorm, "{m}layers.{l}.post_mlp_layernorm.{p}"),
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let second = config.model_type() == "glm4";
    let defaults = parts::Defaults {
        num_key_value_heads: Some(2),
        head_dim: Some(128),
        max_position_embeddings: 131_072,
        rms_norm_eps: 1.5625e-7,
        ..parts::Defaults::LLAMA
    };
    let part = ("partial_rotary_factor", 0.5);
    let mut rope = config.partial_rope(defaults.rope_theta, part)?;
    rope.interleaved = true;
    let mut spec = parts::with_rope(config, "glm4", defaults, &rope)?;
    spec.biases.qkv = config.flag("attention_bias", !second)?;
    if second {
        spec.norm_place = NormPlace::Sandwich;
    }
    parts::finish(config, spec)
}
