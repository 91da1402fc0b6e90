//! TrOCR, the part that writes: BART's decoder, whose norms stand on the residual stream behind each sum.
//!
//! The one decoder does not run it ([`crate::model::reader`] does). What it looks at the picture with, and the
//! encoder, have no role: their tensors are compared by their names. Nor has any part of a model without
//! learned positions or without a norm behind the embeddings.

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig, parts};
use crate::model::role::Part;
use crate::model::spec::{Activation, Biases, Kind, LayerSpec, Norm, NormPlace, Position};

pub(super) static TROCR: Family = Family {
    id: "trocr",
    model_types: &["vision-encoder-decoder"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
};

static NAMES: Names = Names {
    prefixes: &["decoder.model.decoder."],
    anchor: "{m}embed_tokens.weight",
    tables: &[TABLE],
};

const TABLE: &[Name] = &[
    name(Part::Embed, "{m}embed_tokens.{p}"),
    name(Part::PositionEmbed, "{m}embed_positions.{p}"),
    name(Part::EmbedNorm, "{m}layernorm_embedding.{p}"),
    name(Part::Query, "{m}layers.{l}.self_attn.q_proj.{p}"),
    name(Part::Key, "{m}layers.{l}.self_attn.k_proj.{p}"),
    name(Part::Value, "{m}layers.{l}.self_attn.v_proj.{p}"),
    name(Part::Output, "{m}layers.{l}.self_attn.out_proj.{p}"),
    name(
        Part::PostAttentionNorm,
        "{m}layers.{l}.self_attn_layer_norm.{p}",
    ),
    name(Part::Up, "{m}layers.{l}.fc1.{p}"),
    name(Part::Down, "{m}layers.{l}.fc2.{p}"),
    name(Part::PostMlpNorm, "{m}layers.{l}.final_layer_norm.{p}"),
];

/// Rows of the table of positions before the first.
const OFFSET: usize = 2;

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let decoder = config.nested("decoder");
    let config = decoder
        .filter(|decoder| decoder.model_type() == "trocr")
        .ok_or_else(|| ConfigError::Nonsense("`decoder` is not a trocr".to_owned()))?;
    let hidden_size = config.size("d_model")?;
    let heads = config.size("decoder_attention_heads")?;
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("{heads} heads do not share a width of {hidden_size} evenly");
        return Err(ConfigError::Nonsense(reason));
    }
    let head_dim = hidden_size / heads;
    let layers = parts::layer_count(&config, "decoder_layers")?;
    config.refuse("a decoder that looks at what an encoder saw has a reader of its own");
    let scaled = config.flag("scale_embedding", false)?;
    let layer = LayerSpec {
        sliding_window: None,
        rope: None,
        sparse: false,
    };
    let spec = DecoderSpec {
        family: "trocr",
        kind: Kind::Encoder,
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        intermediate_size: config.size("decoder_ffn_dim")?,
        hidden_act: config.activation("activation_function", Activation::Gelu)?,
        gated_mlp: false,
        norm: Norm::Layer,
        norm_eps: 1e-5,
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
        type_vocab_size: None,
        layers: vec![layer; layers],
        attention_scale: (head_dim as f64).powf(-0.5),
        embed_scale: scaled.then(|| (hidden_size as f64).sqrt()),
        tie_word_embeddings: config.flag("tie_word_embeddings", true)?,
        normalised_head: false,
        moe: None,
        max_position_embeddings: config.size_or("max_position_embeddings", 512)? + OFFSET,
        unsupported: Vec::new(),
        caveats: vec![
            "roles are those of its decoder's own blocks: what sees the picture is compared by the names of its tensors"
                .to_owned(),
        ],
    };
    let caveats = spec.caveats.clone();
    let spec = parts::finish(&config, spec)?;
    // Words of dropout and of the picture's side are read elsewhere.
    Ok(DecoderSpec { caveats, ..spec })
}
