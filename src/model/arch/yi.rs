//! Yi as it was first released: Llama with two norms renamed. Its later files say `llama`.

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig, llama, parts};
use crate::model::role::Part;

pub(super) static YI: Family = Family {
    id: "yi",
    model_types: &["Yi", "yi"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[FIRST_NAMES, llama::TABLE],
};

/// The two names that differed from Llama's.
pub(super) const FIRST_NAMES: &[Name] = &[
    name(Part::AttentionNorm, "{m}layers.{l}.ln1.{p}"),
    name(Part::MlpNorm, "{m}layers.{l}.ln2.{p}"),
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        rope_theta: 5_000_000.0,
        rms_norm_eps: 1e-5,
        ..parts::Defaults::LLAMA
    };
    parts::finish(config, parts::llama_like(config, "yi", defaults)?)
}
