//! BERT: an encoder. Learned positions, layer norms on the residual stream behind attention and MLP, a
//! plain MLP, biases everywhere; attention looks both ways. Sentence embeddings such as MiniLM's are made
//! of it.
//!
//! Every token is of the first type. The pooler and heads for tasks have no role.
//!
//! llama.cpp calls RoBERTa `bert` as well, without the rows of positions that come before the first.

use serde_json::{Map, Value, json};

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, Format, RawConfig, TensorStore};
use super::{gguf, gguf_config, parts};
use crate::model::role::Part;
use crate::model::spec::{Activation, Biases, Kind, LayerSpec, Norm, NormPlace, Position};

pub(super) static BERT: Family = Family {
    id: "bert",
    model_types: &["bert"],
    gguf: &["bert"],
    gguf_words,
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => NAMES.bind(spec, store),
        Format::Gguf => GGUF.bind(spec, store),
    },
};

static NAMES: Names = Names {
    // Of a model with a task's head, and bare.
    prefixes: &["bert.", ""],
    anchor: "{m}embeddings.word_embeddings.weight",
    tables: &[TABLE],
};

const TABLE: &[Name] = &[
    name(Part::Embed, "{m}embeddings.word_embeddings.{p}"),
    name(Part::PositionEmbed, "{m}embeddings.position_embeddings.{p}"),
    name(
        Part::TokenTypeEmbed,
        "{m}embeddings.token_type_embeddings.{p}",
    ),
    name(Part::EmbedNorm, "{m}embeddings.LayerNorm.{p}"),
    name(Part::Query, "{m}encoder.layer.{l}.attention.self.query.{p}"),
    name(Part::Key, "{m}encoder.layer.{l}.attention.self.key.{p}"),
    name(Part::Value, "{m}encoder.layer.{l}.attention.self.value.{p}"),
    name(
        Part::Output,
        "{m}encoder.layer.{l}.attention.output.dense.{p}",
    ),
    name(
        Part::PostAttentionNorm,
        "{m}encoder.layer.{l}.attention.output.LayerNorm.{p}",
    ),
    name(Part::Up, "{m}encoder.layer.{l}.intermediate.dense.{p}"),
    name(Part::Down, "{m}encoder.layer.{l}.output.dense.{p}"),
    name(
        Part::PostMlpNorm,
        "{m}encoder.layer.{l}.output.LayerNorm.{p}",
    ),
    // Norms as TensorFlow's checkpoints call them.
    name(Part::EmbedNorm, "{m}embeddings.LayerNorm.{g}"),
    name(
        Part::PostAttentionNorm,
        "{m}encoder.layer.{l}.attention.output.LayerNorm.{g}",
    ),
    name(
        Part::PostMlpNorm,
        "{m}encoder.layer.{l}.output.LayerNorm.{g}",
    ),
];

static GGUF: Names = Names {
    prefixes: &[""],
    anchor: gguf::ANCHOR,
    tables: &[
        &[
            name(Part::TokenTypeEmbed, "token_types.{p}"),
            name(Part::EmbedNorm, "token_embd_norm.{p}"),
            name(Part::PostAttentionNorm, "blk.{l}.attn_output_norm.{p}"),
            name(Part::PostMlpNorm, "blk.{l}.layer_output_norm.{p}"),
        ],
        gguf::COMMON,
    ],
};

fn gguf_words(map: &mut Map<String, Value>, store: &TensorStore) {
    gguf_config::rename(map, &[("layer_norm_epsilon", "layer_norm_eps")]);
    for of_a_head in ["bert.classifier.output_labels", "bert.pooling_type"] {
        map.shift_remove(of_a_head);
    }
    // To llama.cpp attention looks back where a file says nothing.
    let causal = map.shift_remove("bert.attention.causal");
    let words = [
        ("model_type", json!("bert")),
        ("hidden_act", json!("gelu")),
        ("is_decoder", causal.unwrap_or(json!(true))),
    ];
    gguf_config::fill(map, &words);
    let types = store
        .info("token_types.weight")
        .and_then(|info| info.shape.first());
    if let Some(types) = types {
        gguf_config::fill(map, &[("type_vocab_size", json!(types))]);
    }
}

/// Entries that say how a model is trained and how heads for tasks are made, which have no role here.
const NOT_OF_THE_BLOCKS: &[&str] = &[
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "hidden_dropout_prob",
];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let hidden_size = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("{heads} heads do not share a width of {hidden_size} evenly");
        return Err(ConfigError::Nonsense(reason));
    }
    let head_dim = hidden_size / heads;
    let layers = parts::layer_count(config, "num_hidden_layers")?;
    let eps = config.optional_number("layer_norm_eps")?;
    if config.flag("is_decoder", false)? {
        config.refuse("`is_decoder`: an encoder whose attention looks back only");
    }
    let positions = config.get("position_embedding_type");
    if positions.is_some_and(|kind| kind != "absolute") {
        config.refuse("`position_embedding_type` is not `absolute`");
    }
    NOT_OF_THE_BLOCKS.iter().for_each(|key| {
        config.get(key);
    });
    let layer = LayerSpec {
        sliding_window: None,
        rope: None,
        sparse: false,
    };
    let spec = DecoderSpec {
        family: "bert",
        kind: Kind::Encoder,
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        intermediate_size: config.size("intermediate_size")?,
        hidden_act: config.activation("hidden_act", Activation::Gelu)?,
        gated_mlp: false,
        norm: Norm::Layer,
        norm_eps: eps.unwrap_or(1e-12),
        norm_place: NormPlace::Stream,
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
        type_vocab_size: Some(config.optional_size("type_vocab_size")?.unwrap_or(2)),
        layers: vec![layer; layers],
        attention_scale: (head_dim as f64).powf(-0.5),
        embed_scale: None,
        tie_word_embeddings: config.flag("tie_word_embeddings", true)?,
        normalised_head: false,
        moe: None,
        max_position_embeddings: config.size("max_position_embeddings")?,
        unsupported: Vec::new(),
        caveats: Vec::new(),
    };
    parts::finish(config, spec)
}
