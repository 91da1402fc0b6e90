//! PaddleOCR-VL, the part that writes: ERNIE 4.5 under Llama's names.
//!
//! The one decoder does not run it: its positions have three dimensions ([`crate::model::reader`] does). What
//! sees the picture has no role.

use super::names::Names;
use super::{ConfigError, DecoderSpec, Family, RawConfig};
use super::{llama, parts};
use crate::model::spec::{RopeScaling, RopeSpec};

pub(super) static PADDLEOCR_VL: Family = Family {
    id: "paddleocr-vl",
    model_types: &["paddleocr_vl"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
};

static NAMES: Names = Names {
    prefixes: &["model."],
    anchor: llama::ANCHOR,
    tables: &[llama::TABLE],
};

const DEFAULTS: parts::Defaults = parts::Defaults {
    max_position_embeddings: 131_072,
    rope_theta: 500_000.0,
    rms_norm_eps: 1e-5,
    ..parts::Defaults::LLAMA
};

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let nested = config.nested("text_config");
    let text = nested.as_ref().unwrap_or(config);
    text.refuse("a decoder whose positions have three dimensions has a reader of its own");
    let theta = text.optional_number("rope_theta")?;
    let rope = RopeSpec {
        theta: theta.unwrap_or(DEFAULTS.rope_theta),
        scaling: RopeScaling::Default,
        partial_rotary_factor: 1.0,
        interleaved: false,
    };
    let mut spec = parts::with_rope(text, "paddleocr-vl", DEFAULTS, &rope)?;
    let bias = text.flag("use_bias", false)?;
    spec.biases.qkv = bias;
    spec.biases.output = bias;
    spec.biases.mlp = bias;
    // As the reader has it.
    spec.tie_word_embeddings |= config.flag("tie_word_embeddings", true)?;
    let spec = parts::finish(text, spec)?;
    let caveats = vec!["of a multimodal model, the text part".to_owned()];
    Ok(DecoderSpec { caveats, ..spec })
}
