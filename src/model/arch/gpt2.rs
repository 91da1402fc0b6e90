//! GPT-2: learned positions, layer norms, a plain MLP, biases everywhere, and matrices stored
//! `[in, out]`.

use serde_json::json;

use super::names::{Name, Names, Seen, fused_rows, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, parts};
use crate::model::role::{Param, Part};
use crate::model::spec::{Activation, Biases, Kind, LayerSpec, Norm, NormPlace, Position};
use crate::model::weights::View;

pub(super) static GPT2: Family = Family {
    id: "gpt2",
    model_types: &["gpt2"],
    gguf: &["gpt2"],
    gguf_words: |map, _| {
        gguf_config::fill(map, &[("activation_function", json!("gelu_new"))]);
        gguf_config::rename(map, WORDS);
    },
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => gguf::NEOX.bind(spec, store),
    },
};

static NAMES: Names = Names {
    prefixes: &["transformer.", ""],
    anchor: "{m}wte.weight",
    tables: &[TABLE],
};

/// The other families' words beside its own.
const WORDS: &[(&str, &str)] = &[
    ("hidden_size", "n_embd"),
    ("intermediate_size", "n_inner"),
    ("max_position_embeddings", "n_positions"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
];

const TABLE: &[Name] = &[
    name(Part::Embed, "{m}wte.{p}"),
    name(Part::PositionEmbed, "{m}wpe.{p}"),
    name(Part::FinalNorm, "{m}ln_f.{p}"),
    name(Part::Unembed, "lm_head.{p}"),
    name(Part::AttentionNorm, "{m}h.{l}.ln_1.{p}"),
    name(Part::Query, "{m}h.{l}.attn.c_attn.{p}").seen(fused),
    name(Part::Key, "{m}h.{l}.attn.c_attn.{p}").seen(fused),
    name(Part::Value, "{m}h.{l}.attn.c_attn.{p}").seen(fused),
    name(Part::Output, "{m}h.{l}.attn.c_proj.{p}").seen(conv1d),
    name(Part::MlpNorm, "{m}h.{l}.ln_2.{p}"),
    name(Part::Up, "{m}h.{l}.mlp.c_fc.{p}").seen(conv1d),
    name(Part::Down, "{m}h.{l}.mlp.c_proj.{p}").seen(conv1d),
];

fn conv1d(seen: &Seen<'_>) -> View {
    match seen.role.param {
        Param::Weight => View::whole().transposed(),
        Param::Bias => View::whole(),
    }
}

fn fused(seen: &Seen<'_>) -> View {
    fused_rows(seen, conv1d(seen))
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let hidden_size = config.size("n_embd")?;
    let heads = config.size("n_head")?;
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("{heads} heads do not share a width of {hidden_size} evenly");
        return Err(ConfigError::Nonsense(reason));
    }
    let head_dim = hidden_size / heads;
    let layers = parts::layer_count(config, "n_layer")?;
    let inner = config.optional_size("n_inner")?;
    let eps = config.optional_number("layer_norm_epsilon")?;
    let scaled = config.flag("scale_attn_weights", true)?;
    let layer = LayerSpec {
        sliding_window: None,
        rope: None,
        sparse: false,
    };
    let spec = DecoderSpec {
        family: "gpt2",
        kind: Kind::Decoder,
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        intermediate_size: inner.unwrap_or(4 * hidden_size),
        hidden_act: config.activation("activation_function", Activation::GeluTanh)?,
        gated_mlp: false,
        norm: Norm::Layer,
        norm_eps: eps.unwrap_or(1e-5),
        norm_place: NormPlace::Before,
        parallel_residual: false,
        qk_norm: None,
        latent: None,
        biases: Biases {
            qkv: true,
            output: true,
            mlp: true,
            head: false,
        },
        position: Position::Learned,
        type_vocab_size: None,
        layers: vec![layer; layers],
        attention_scale: if scaled {
            (head_dim as f64).powf(-0.5)
        } else {
            1.0
        },
        embed_scale: None,
        tie_word_embeddings: config.flag("tie_word_embeddings", true)?,
        normalised_head: false,
        moe: None,
        max_position_embeddings: config.size("n_positions")?,
        unsupported: Vec::new(),
        caveats: Vec::new(),
    };
    parts::finish(config, spec)
}
