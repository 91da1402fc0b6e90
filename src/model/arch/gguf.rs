//! What all GGUF files share: llama.cpp's tensor names, and what only the tensors tell.

use serde_json::{Map, Value, json};

use super::names::{Name, Names, Of, Seen, name};
use super::names::{fused_gate_up, fused_rows, of_stack};
use super::{ConfigError, DecoderSpec, RopeScaling, TensorStore};
use crate::model::role::Part;
use crate::model::spec::Position;
use crate::model::weights::View;

/// With query and key rows in the order of `transformers`.
pub(super) static NEOX: Names = Names {
    prefixes: &[""],
    anchor: ANCHOR,
    tables: &[COMMON],
};

/// With query and key rows reordered for rotation in adjacent pairs, as llama.cpp does to the
/// architecture it calls `llama`.
pub(super) static PERMUTED: Names = Names {
    prefixes: &[""],
    anchor: ANCHOR,
    tables: &[
        &[
            name(Part::Query, "blk.{l}.attn_q.{p}").seen(unpermuted),
            name(Part::Key, "blk.{l}.attn_k.{p}").seen(unpermuted),
            name(Part::Query, "blk.{l}.attn_qkv.{p}").seen(fused_unpermuted),
            name(Part::Key, "blk.{l}.attn_qkv.{p}").seen(fused_unpermuted),
        ],
        COMMON,
    ],
};

/// As [`NEOX`], with gate rows above up rows in what is called `ffn_up`.
pub(super) static FUSED_MLP: Names = Names {
    prefixes: &[""],
    anchor: ANCHOR,
    tables: &[
        &[
            name(Part::Gate, "blk.{l}.ffn_up.{p}").seen(fused_gate_up),
            name(Part::Up, "blk.{l}.ffn_up.{p}").seen(fused_gate_up),
        ],
        COMMON,
    ],
};

/// A tensor that every file has.
pub(super) const ANCHOR: &str = "token_embd.weight";

/// What most architectures call their tensors.
pub(super) const COMMON: &[Name] = &[
    name(Part::Embed, "token_embd.{p}"),
    name(Part::PositionEmbed, "position_embd.{p}"),
    name(Part::FinalNorm, "output_norm.{p}"),
    name(Part::Unembed, "output.{p}"),
    name(Part::AttentionNorm, "blk.{l}.attn_norm.{p}"),
    name(Part::Query, "blk.{l}.attn_q.{p}"),
    name(Part::Query, "blk.{l}.attn_qkv.{p}").seen(fused),
    name(Part::Key, "blk.{l}.attn_k.{p}"),
    name(Part::Key, "blk.{l}.attn_qkv.{p}").seen(fused),
    name(Part::Value, "blk.{l}.attn_v.{p}"),
    name(Part::Value, "blk.{l}.attn_qkv.{p}").seen(fused),
    name(Part::QueryNorm, "blk.{l}.attn_q_norm.{p}"),
    name(Part::KeyNorm, "blk.{l}.attn_k_norm.{p}"),
    name(Part::Output, "blk.{l}.attn_output.{p}"),
    name(Part::PostAttentionNorm, "blk.{l}.post_attention_norm.{p}"),
    name(Part::MlpNorm, "blk.{l}.ffn_norm.{p}"),
    name(Part::Gate, "blk.{l}.ffn_gate.{p}"),
    name(Part::Up, "blk.{l}.ffn_up.{p}"),
    name(Part::Down, "blk.{l}.ffn_down.{p}"),
    name(Part::PostMlpNorm, "blk.{l}.post_ffw_norm.{p}"),
    name(Part::Router, "blk.{l}.ffn_gate_inp.{p}"),
    name(Part::Gate, "blk.{l}.ffn_gate_exps.{p}")
        .of(Of::Routed)
        .seen(of_stack),
    name(Part::Up, "blk.{l}.ffn_up_exps.{p}")
        .of(Of::Routed)
        .seen(of_stack),
    name(Part::Down, "blk.{l}.ffn_down_exps.{p}")
        .of(Of::Routed)
        .seen(of_stack),
    // Before stacks, each expert had its tensor.
    name(Part::Gate, "blk.{l}.ffn_gate.{e}.{p}").of(Of::Routed),
    name(Part::Up, "blk.{l}.ffn_up.{e}.{p}").of(Of::Routed),
    name(Part::Down, "blk.{l}.ffn_down.{e}.{p}").of(Of::Routed),
    name(Part::Gate, "blk.{l}.ffn_gate_shexp.{p}").of(Of::Shared),
    name(Part::Up, "blk.{l}.ffn_up_shexp.{p}").of(Of::Shared),
    name(Part::Down, "blk.{l}.ffn_down_shexp.{p}").of(Of::Shared),
    name(Part::SharedExpertGate, "blk.{l}.ffn_gate_inp_shexp.{p}").seen(as_row),
];

fn unpermuted(seen: &Seen<'_>) -> View {
    View::whole().unpermuted_heads(heads(seen))
}

/// What the converter's option to fuse makes of them.
fn fused_unpermuted(seen: &Seen<'_>) -> View {
    fused(seen).unpermuted_heads(heads(seen))
}

fn heads(seen: &Seen<'_>) -> usize {
    match seen.role.part {
        Part::Query => seen.spec.num_attention_heads,
        _ => seen.spec.num_key_value_heads,
    }
}

fn fused(seen: &Seen<'_>) -> View {
    fused_rows(seen, View::whole())
}

/// A matrix of one row may be stored as a vector.
fn as_row(seen: &Seen<'_>) -> View {
    if seen.axes == 1 {
        View::whole().transposed()
    } else {
        View::whole()
    }
}

/// Completes a spec from the tensors: GGUF metadata tell neither which projections have biases nor
/// how Llama 3.1 divides its rotary frequencies.
pub(super) fn settle(spec: &mut DecoderSpec, store: &TensorStore) -> Result<(), ConfigError> {
    let stored = |name: &str| store.info(name).is_some();
    if spec.position == Position::Rotary {
        spec.biases.qkv = QKV_BIASES.iter().any(|name| stored(name));
        spec.biases.output = stored("blk.0.attn_output.bias");
        spec.biases.mlp = stored("blk.0.ffn_down.bias");
    }
    let Some(info) = store.info(DIVISORS) else {
        return Ok(());
    };
    if info.elements != spec.head_dim / 2 {
        let (found, pairs) = (info.elements, spec.head_dim / 2);
        let reason = format!("`{DIVISORS}` has {found} numbers for {pairs} pairs of a head");
        return Err(ConfigError::Nonsense(reason));
    }
    let by = store
        .elements(DIVISORS, 0..info.elements)
        .map_err(|error| ConfigError::Nonsense(error.to_string()))?;
    let ropes = spec
        .layers
        .iter_mut()
        .filter_map(|layer| layer.rope.as_mut());
    for rope in ropes {
        if rope.scaling == RopeScaling::Default {
            rope.scaling = RopeScaling::Divided { by: by.clone() };
        }
    }
    Ok(())
}

/// The `rope_scaling` of the published Llama 3 models whose divisors of rotary frequencies these are,
/// so that a file and its origin say the same; `None` for others.
pub(super) fn published_llama3(map: &Map<String, Value>, store: &TensorStore) -> Option<Value> {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const CONTEXT: f64 = 8192.0;
    let pairs = store.info(DIVISORS)?.elements;
    if pairs > MAX_PAIRS {
        return None;
    }
    let divisors = store.elements(DIVISORS, 0..pairs).ok()?;
    let factor = divisors.iter().copied().fold(1.0, f32::max);
    let theta = map.get("rope_theta").and_then(Value::as_f64)?;
    let published = divisors.iter().enumerate().all(|(pair, divisor)| {
        let wavelength = std::f64::consts::TAU * theta.powf(pair as f64 / pairs as f64);
        let ramp = ((CONTEXT / wavelength - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
        let expected = 1.0 / ((1.0 - ramp) / f64::from(factor) + ramp);
        (f64::from(*divisor) - expected).abs() <= 1e-3 * expected
    });
    published.then(|| {
        json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW,
            "high_freq_factor": HIGH, "original_max_position_embeddings": CONTEXT as u64,
        })
    })
}

/// Biases that come together with those of keys and values.
const QKV_BIASES: &[&str] = &[
    "blk.0.attn_q.bias",
    "blk.0.attn_qkv.bias",
    "blk.0.attn_q_a.bias",
    "blk.0.attn_kv_a_mqa.bias",
];

/// Half of the widest head that is believed.
pub(super) const MAX_PAIRS: usize = 4096;

/// What each pair of a head's frequencies is divided by (Llama 3.1).
const DIVISORS: &str = "rope_freqs.weight";
