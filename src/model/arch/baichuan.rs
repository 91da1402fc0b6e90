//! Baichuan and Baichuan 2, 7B: Llama with queries, keys and values in one matrix, and in the second
//! generation a head of rows of norm one. The 13B models have ALiBi instead of rotary positions and
//! are not run.

use super::names::{Name, Names, Seen, fused_rows, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig, llama, parts};
use crate::model::role::Part;
use crate::model::weights::View;

pub(super) static BAICHUAN: Family = Family {
    id: "baichuan",
    model_types: &["baichuan"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| {
        if spec.normalised_head {
            SECOND.bind(spec, store)
        } else {
            FIRST.bind(spec, store)
        }
    },
};

static FIRST: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[PACKED, llama::TABLE],
};

static SECOND: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[NORM_HEAD, PACKED, llama::TABLE],
};

const PACKED: &[Name] = &[
    name(Part::Query, "{m}layers.{l}.self_attn.W_pack.{p}").seen(packed),
    name(Part::Key, "{m}layers.{l}.self_attn.W_pack.{p}").seen(packed),
    name(Part::Value, "{m}layers.{l}.self_attn.W_pack.{p}").seen(packed),
];

const NORM_HEAD: &[Name] = &[name(Part::Unembed, "lm_head.{p}").seen(normalised)];

fn packed(seen: &Seen<'_>) -> View {
    fused_rows(seen, View::whole())
}

fn normalised(_: &Seen<'_>) -> View {
    View::whole().normalised_rows()
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let rotary = config.get("max_position_embeddings").is_some();
    let mut spec = parts::llama_like(config, "baichuan", parts::Defaults::LLAMA)?;
    if !rotary || spec.hidden_size == HIDDEN_SIZE_OF_13B {
        config.refuse("ALiBi positions (Baichuan 13B)");
    }
    spec.normalised_head = config.get("z_loss_weight").is_some();
    parts::finish(config, spec)
}

const HIDDEN_SIZE_OF_13B: usize = 5120;
