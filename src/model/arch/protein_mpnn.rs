//! ProteinMPNN and its kin: messages between the residues of a protein in place of attention, then a
//! plain MLP with biases; layer norms on the residual stream; encoder blocks, then decoder blocks.
//!
//! The stream of the nodes runs through all of these blocks, so that their MLPs, the norms behind them
//! and the head share its coordinates and have roles. Messages, edges, features, the blocks of a
//! ligand's context and the embedding of residue types (which enters messages and is not written to the
//! stream) live in coordinates of their own: they have none.

use std::collections::BTreeMap;

use super::{ConfigError, DecoderSpec, Family, RawConfig, parts};
use crate::model::role::{Param, Part, Role};
use crate::model::spec::{Activation, Biases, Kind, LayerSpec, Norm, NormPlace, Position};
use crate::model::weights::Binding;

pub(super) static PROTEIN_MPNN: Family = Family {
    id: "protein_mpnn",
    model_types: &["protein_mpnn"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, _| bind(spec),
};

/// Decoder blocks are numbered behind those of the encoder.
fn bind(spec: &DecoderSpec) -> BTreeMap<Role, Binding> {
    let encoder = match spec.kind {
        Kind::Messages { encoder_layers } => encoder_layers,
        _ => 0,
    };
    let name = |role: Role| {
        let block = match role.layer.map(|layer| layer as usize) {
            None => String::new(),
            Some(layer) if layer < encoder => format!("encoder_layers.{layer}."),
            Some(layer) => format!("decoder_layers.{}.", layer - encoder),
        };
        let part = match role.part {
            Part::Up => "dense.W_in",
            Part::Down => "dense.W_out",
            Part::PostMlpNorm => "norm2",
            Part::Unembed => "W_out",
            _ => return None,
        };
        let param = match role.param {
            Param::Weight => "weight",
            Param::Bias => "bias",
        };
        Some((role, Binding::whole(format!("{block}{part}.{param}"))))
    };
    let roles = spec.roles().into_iter();
    roles.filter_map(|(role, _)| name(role)).collect()
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let encoder = parts::layer_count(config, "num_encoder_layers")?;
    let layers = encoder + parts::layer_count(config, "num_decoder_layers")?;
    config.refuse(
        "messages between nodes of a graph are not run; of its weights the blocks' MLPs, the norms \
         behind them and the head have roles, messages (W1-W3, W11-W13), edges, features, a ligand's \
         context and the embedding of residue types have none",
    );
    let layer = LayerSpec {
        sliding_window: None,
        rope: None,
        sparse: false,
    };
    let spec = DecoderSpec {
        family: "protein_mpnn",
        kind: Kind::Messages {
            encoder_layers: encoder,
        },
        vocab_size: config.size("vocab_size")?,
        hidden_size: config.size("hidden_size")?,
        num_hidden_layers: layers,
        num_attention_heads: 0,
        num_key_value_heads: 0,
        head_dim: 0,
        intermediate_size: config.size("intermediate_size")?,
        hidden_act: Activation::Gelu,
        gated_mlp: false,
        norm: Norm::Layer,
        norm_eps: 1e-5,
        norm_place: NormPlace::Stream,
        parallel_residual: false,
        qk_norm: None,
        latent: None,
        biases: Biases {
            qkv: false,
            output: false,
            mlp: true,
            head: true,
        },
        position: Position::Learned,
        type_vocab_size: None,
        layers: vec![layer; layers],
        attention_scale: 1.0,
        embed_scale: None,
        tie_word_embeddings: false,
        normalised_head: false,
        moe: None,
        // A graph has no order.
        max_position_embeddings: 0,
        unsupported: Vec::new(),
        caveats: Vec::new(),
    };
    parts::finish(config, spec)
}
