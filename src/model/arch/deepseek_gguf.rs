//! DeepSeek-V2 and V3 as llama.cpp stores them: what comes out of the narrow matrices of keys and of values
//! in a slice per head, that of keys turned round (older files have both as published).

use serde_json::{Map, Value, json};

use super::deepseek::{narrowed, widened};
use super::gguf_config::{fill, rename, shortest};
use super::names::{Name, Names, Seen, name};
use super::{RawConfig, TensorStore, gguf};
use crate::model::role::Part;
use crate::model::weights::View;

pub(super) static NAMES: Names = Names {
    prefixes: &[""],
    anchor: gguf::ANCHOR,
    tables: &[TABLE, gguf::COMMON],
};

const TABLE: &[Name] = &[
    name(Part::QueryDown, "blk.{l}.attn_q_a.{p}"),
    name(Part::QueryDownNorm, "blk.{l}.attn_q_a_norm.{p}"),
    name(Part::QueryUp, "blk.{l}.attn_q_b.{p}"),
    name(Part::KvDown, "blk.{l}.attn_kv_a_mqa.{p}").seen(narrowed),
    name(Part::KeyRotary, "blk.{l}.attn_kv_a_mqa.{p}").seen(narrowed),
    name(Part::KvDownNorm, "blk.{l}.attn_kv_a_norm.{p}"),
    name(Part::KeyUp, "blk.{l}.attn_k_b.{p}").seen(turned_heads),
    name(Part::ValueUp, "blk.{l}.attn_v_b.{p}").seen(heads),
    name(Part::KeyUp, "blk.{l}.attn_kv_b.{p}").seen(widened),
    name(Part::ValueUp, "blk.{l}.attn_kv_b.{p}").seen(widened),
    name(Part::Router, "blk.{l}.exp_probs_b.{p}").bias_only(),
];

fn heads(seen: &Seen<'_>) -> View {
    View::whole().stacked(seen.spec.num_attention_heads)
}

fn turned_heads(seen: &Seen<'_>) -> View {
    heads(seen).transposed_each(seen.spec.num_attention_heads)
}

/// The words of V2's and V3's `config.json`.
pub(super) fn words(map: &mut Map<String, Value>, store: &TensorStore) {
    let third = add_scoring(map, store);
    add_widths(map, store);
    rename(map, &[("num_experts", "n_routed_experts")]);
    if map.get("n_routed_experts") == Some(&json!(0)) {
        map.shift_remove("n_routed_experts");
    }
    // The shared experts' width is that of a routed one times their number.
    map.shift_remove("shared_expert_intermediate_size");
    let groups = map.get("n_group").and_then(Value::as_u64).unwrap_or(1);
    let method = match (third, groups > 1) {
        (true, _) => "noaux_tc",
        (false, true) => "group_limited_greedy",
        (false, false) => "greedy",
    };
    let words = [
        (
            "model_type",
            json!(if third { "deepseek_v3" } else { "deepseek_v2" }),
        ),
        ("hidden_act", json!("silu")),
        ("topk_method", json!(method)),
    ];
    fill(map, &words);
    // Written only where they do something.
    map.entry("norm_topk_prob").or_insert(json!(false));
    map.entry("routed_scaling_factor").or_insert(json!(1.0));
    map.entry("first_k_dense_replace").or_insert(json!(0));
    add_mscale(map);
}

/// `scoring_func`; whether it is the third generation's.
fn add_scoring(map: &mut Map<String, Value>, store: &TensorStore) -> bool {
    let biased = || store.names().any(|name| name.ends_with("exp_probs_b.bias"));
    let scoring = match map.get("scoring_func").map(Value::as_u64) {
        // As llama.cpp reads older files, but for a choice that only sigmoids are known to have.
        None if biased() => "not said",
        None | Some(Some(1)) => "softmax",
        Some(Some(2)) => "sigmoid",
        Some(_) => "unknown",
    };
    fill(map, &[("scoring_func", json!(scoring))]);
    scoring == "sigmoid"
}

/// Widths within a head. A file whose keys and values are in slices speaks of attention on what the narrow
/// matrix gives, and of its heads apart.
fn add_widths(map: &mut Map<String, Value>, store: &TensorStore) {
    let stored = |key: &str| store.metadata().u64(&format!("deepseek2.{key}"));
    let as_published = stored("attention.key_length_mla").is_none();
    let key = stored("attention.key_length_mla").or(stored("attention.key_length"));
    let rotary = stored("rope.dimension_count");
    if let Some((key, rotary)) = key.zip(rotary)
        && let Some(rest) = key.checked_sub(rotary)
    {
        let words = [
            ("qk_rope_head_dim", json!(rotary)),
            ("qk_nope_head_dim", json!(rest)),
        ];
        fill(map, &words);
    }
    if as_published && let Some(value) = stored("attention.value_length") {
        fill(map, &[("v_head_dim", json!(value))]);
    }
    for of_the_other_view in ["head_dim", "partial_rotary_factor", "qk_head_dim"] {
        map.shift_remove(of_the_other_view);
    }
    // In slices, all heads share one key.
    if let Some(heads) = map.get("num_attention_heads").cloned() {
        fill(map, &[("num_key_value_heads", heads)]);
    }
}

/// `mscale` and `mscale_all_dim`: the converter writes a tenth of the latter.
fn add_mscale(map: &mut Map<String, Value>) {
    let tenth = map.shift_remove("deepseek2.rope.scaling.yarn_log_multiplier");
    let entry = map.get_mut("rope_scaling").and_then(Value::as_object_mut);
    if let Some((tenth, entry)) = tenth.and_then(|tenth| tenth.as_f64()).zip(entry) {
        let mscale = shortest(f64::from((10.0 * tenth) as f32));
        fill(
            entry,
            &[("mscale", json!(mscale)), ("mscale_all_dim", json!(mscale))],
        );
    }
}

/// States what the file leaves open about how experts are chosen.
pub(super) fn note_groups(config: &RawConfig, groups: Option<(usize, usize)>, third: bool) {
    match groups {
        None => config.caveat(
            "the file says nothing of groups of experts, as older ones do not: the best of all are chosen",
        ),
        Some((groups, _)) if groups > 1 && !third => config.caveat(
            "the file does not say how groups of experts are ranked: by their best expert, as in DeepSeek-V2",
        ),
        Some(_) => {}
    }
}

/// States what the file leaves open about YaRN.
pub(super) fn note_scales(config: &RawConfig) {
    let entry = config.get("rope_scaling");
    if entry.is_some_and(|entry| entry.get("mscale").is_some()) {
        config.caveat(
            "the file holds one of YaRN's `mscale` and `mscale_all_dim`: both are taken to be it",
        );
    }
}
