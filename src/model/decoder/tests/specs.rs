//! One small model for every axis along which families differ.

use super::DecoderSpec;
use crate::model::spec::{
    Activation, Biases, Kind, LatentSpec, LayerSpec, MoeSpec, Norm, NormPlace, Position, QkNorm,
    RopeScaling, RopeSpec, Routing, Scoring,
};

/// A small Llama with two layers, grouped queries and an untied head.
pub fn llama() -> DecoderSpec {
    let layer = LayerSpec {
        sliding_window: None,
        rope: Some(RopeSpec::new(10_000.0, RopeScaling::Default)),
        sparse: false,
    };
    DecoderSpec {
        family: "llama",
        kind: Kind::Decoder,
        vocab_size: 31,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        intermediate_size: 20,
        hidden_act: Activation::Silu,
        gated_mlp: true,
        norm: Norm::Rms,
        norm_eps: 1e-5,
        norm_place: NormPlace::Before,
        parallel_residual: false,
        qk_norm: None,
        latent: None,
        biases: Biases::default(),
        position: Position::Rotary,
        type_vocab_size: None,
        layers: vec![layer.clone(), layer],
        attention_scale: 6f64.powf(-0.5),
        embed_scale: None,
        tie_word_embeddings: false,
        normalised_head: false,
        moe: None,
        max_position_embeddings: 24,
        unsupported: Vec::new(),
        caveats: Vec::new(),
    }
}

/// Every axis that a Llama does not use: sandwich and query-key norms, a window, two rotary bases,
/// an embedding scale, a tied head.
pub fn gemma() -> DecoderSpec {
    let mut spec = llama();
    spec.norm_place = NormPlace::Sandwich;
    spec.qk_norm = Some(QkNorm::Head);
    spec.tie_word_embeddings = true;
    spec.embed_scale = Some(4.0);
    spec.hidden_act = Activation::GeluTanh;
    spec.layers[0].sliding_window = Some(3);
    spec.layers[0].rope = Some(RopeSpec::new(100.0, RopeScaling::Linear { factor: 2.0 }));
    spec
}

pub fn gpt2() -> DecoderSpec {
    let mut spec = llama();
    spec.norm = Norm::Layer;
    spec.position = Position::Learned;
    spec.gated_mlp = false;
    spec.hidden_act = Activation::Gelu;
    spec.biases = Biases {
        qkv: true,
        output: true,
        mlp: true,
        head: false,
    };
    for layer in &mut spec.layers {
        layer.rope = None;
    }
    spec
}

pub fn moe() -> DecoderSpec {
    let mut spec = llama();
    spec.layers[1].sparse = true;
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: Some(12),
        shared_expert_gate: true,
        ..MoeSpec::softmax(5, 2, 10)
    });
    spec
}

/// Attention and MLP side by side, a part of each head rotates, neighbours together, one norm over all
/// heads.
pub fn neox() -> DecoderSpec {
    let mut spec = gpt2();
    spec.position = Position::Rotary;
    spec.parallel_residual = true;
    spec.qk_norm = Some(QkNorm::Full);
    for layer in &mut spec.layers {
        layer.rope = Some(RopeSpec {
            partial_rotary_factor: 0.7,
            interleaved: true,
            ..RopeSpec::new(100.0, RopeScaling::Default)
        });
    }
    spec
}

/// Norms behind attention and MLP alone, frequencies that depend on the length of a pass.
pub fn olmo2() -> DecoderSpec {
    let mut spec = llama();
    spec.norm_place = NormPlace::After;
    for layer in &mut spec.layers {
        layer.rope = Some(RopeSpec::new(
            100.0,
            RopeScaling::Yarn {
                factor: 4.0,
                beta_fast: 2.0,
                beta_slow: 1.0,
                truncate: false,
                original_max_position_embeddings: 8,
                attention_factor: 1.1,
            },
        ));
    }
    spec
}

/// Latent attention, and experts in groups whose choice has a bias of its own.
pub fn deepseek() -> DecoderSpec {
    let mut spec = neox();
    (spec.norm, spec.qk_norm, spec.parallel_residual) = (Norm::Rms, None, false);
    (spec.gated_mlp, spec.biases) = (true, Biases::default());
    spec.num_key_value_heads = spec.num_attention_heads;
    spec.latent = Some(LatentSpec {
        q_lora_rank: Some(7),
        kv_lora_rank: 9,
        qk_nope_head_dim: 5,
        qk_rope_head_dim: 4,
        v_head_dim: 3,
    });
    spec.head_dim = 9;
    for layer in &mut spec.layers {
        layer.rope.as_mut().expect("rotary").partial_rotary_factor = 1.0;
        layer.sparse = true;
    }
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: Some(12),
        scoring: Scoring::Sigmoid,
        routing: Routing::Limited {
            n_group: 3,
            topk_group: 2,
        },
        routed_scaling_factor: 1.5,
        ..MoeSpec::softmax(6, 3, 10)
    });
    spec
}

pub fn all() -> [DecoderSpec; 7] {
    [llama(), gemma(), gpt2(), moe(), neox(), olmo2(), deepseek()]
}

/// BERT: norms on the stream, learned positions, token types, no head.
pub fn bert() -> DecoderSpec {
    let mut spec = gpt2();
    spec.kind = Kind::Encoder;
    spec.norm_place = NormPlace::Stream;
    spec.type_vocab_size = Some(2);
    spec.num_key_value_heads = spec.num_attention_heads;
    spec
}
