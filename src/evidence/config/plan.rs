//! A model's construction plan as named values that can be compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::DecoderSpec;
use crate::model::spec::RopeSpec;

/// Config entries that say where a checkpoint comes from or how it is stored, not what it computes.
const PROVENANCE: &[&str] = &[
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "model_type",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

/// What a model computes with, axis by axis, whatever its family calls it.
///
/// Decimal numbers are rounded to f32, which is how GGUF files keep them.
pub(super) fn axes(spec: &DecoderSpec) -> BTreeMap<&'static str, String> {
    let single = |value: f64| format!("{:?}", value as f32);
    let moe = spec.moe.as_ref();
    let windows: Vec<Option<usize>> = spec
        .layers
        .iter()
        .map(|layer| layer.sliding_window)
        .collect();
    let sparse: Vec<bool> = spec.layers.iter().map(|layer| layer.sparse).collect();
    let rope: Vec<String> = spec
        .layers
        .iter()
        .map(|layer| rope_words(layer.rope.as_ref(), spec.rotary_head_dim()))
        .collect();
    BTreeMap::from([
        ("vocab_size", spec.vocab_size.to_string()),
        ("hidden_size", spec.hidden_size.to_string()),
        ("num_hidden_layers", spec.num_hidden_layers.to_string()),
        ("num_attention_heads", spec.num_attention_heads.to_string()),
        ("num_key_value_heads", spec.num_key_value_heads.to_string()),
        ("head_dim", spec.head_dim.to_string()),
        ("intermediate_size", spec.intermediate_size.to_string()),
        ("hidden_act", format!("{:?}", spec.hidden_act)),
        ("gated MLP", spec.gated_mlp.to_string()),
        ("norm", format!("{:?}", spec.norm)),
        ("norm_eps", single(spec.norm_eps)),
        ("place of norms", format!("{:?}", spec.norm_place)),
        (
            "query and key norm",
            spec.qk_norm
                .map_or_else(|| "none".to_owned(), |norm| format!("{norm:?}")),
        ),
        ("parallel residual", spec.parallel_residual.to_string()),
        (
            "latent attention",
            spec.latent
                .map_or_else(|| "none".to_owned(), |latent| format!("{latent:?}")),
        ),
        ("biases", format!("{:?}", spec.biases)),
        ("position", format!("{:?}", spec.position)),
        ("rope", runs(&rope)),
        (
            "sliding windows",
            runs(&windows.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>()),
        ),
        ("attention scale", single(spec.attention_scale)),
        (
            "embedding scale",
            spec.embed_scale.map_or_else(|| "1".to_owned(), single),
        ),
        ("tie_word_embeddings", spec.tie_word_embeddings.to_string()),
        ("normalised head", spec.normalised_head.to_string()),
        (
            "mixture of experts",
            moe.map_or_else(|| "none".to_owned(), |moe| format!("{moe:?}")),
        ),
        (
            "sparse blocks",
            runs(&sparse.iter().map(bool::to_string).collect::<Vec<_>>()),
        ),
        (
            "max_position_embeddings",
            spec.max_position_embeddings.to_string(),
        ),
    ])
}

/// Base and frequencies: the same rope reads the same, whether a config gives the rule of its scaling or
/// a GGUF file the scaled numbers.
fn rope_words(rope: Option<&RopeSpec>, head_dim: usize) -> String {
    let Some(rope) = rope else {
        return "none".to_owned();
    };
    let frequencies = rope.frequencies(head_dim);
    let slowest = frequencies.iter().copied().fold(f32::INFINITY, f32::min);
    let mean = frequencies.iter().map(|f| f64::from(*f).ln()).sum::<f64>()
        / frequencies.len().max(1) as f64;
    let mut words = format!(
        "theta {}, slowest {slowest:.3e}, geometric mean {:.3e} per position",
        rope.theta as f32,
        mean.exp()
    );
    if rope.partial_rotary_factor != 1.0 {
        words.push_str(&format!(
            ", {} of each head",
            rope.partial_rotary_factor as f32
        ));
    }
    if rope.interleaved {
        words.push_str(", neighbours together");
    }
    if rope.attention_factor() != 1.0 {
        words.push_str(&format!(", times {}", rope.attention_factor() as f32));
    }
    words
}

/// Per-block values, equal neighbours together: `a x 5, b`. The number of blocks is an axis of its own,
/// so that one value throughout is shown without it.
fn runs(values: &[String]) -> String {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for value in values {
        match groups.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => groups.push((value, 1)),
        }
    }
    match groups.as_slice() {
        [] => "none".to_owned(),
        [(value, _)] => (*value).to_owned(),
        many => many
            .iter()
            .map(|(value, count)| format!("{value} x {count}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Config entries as compact JSON, without those that are absent in effect (`null`) or say where a
/// checkpoint comes from.
pub(super) fn entries(config: &Map<String, Value>) -> BTreeMap<&str, String> {
    config
        .iter()
        .filter(|(key, value)| !value.is_null() && !PROVENANCE.contains(&key.as_str()))
        .map(|(key, value)| (key.as_str(), canonical(value)))
        .collect()
}

/// Compact JSON with numbers as f32 has them and sorted keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(value) => format!("{}", value as f32),
            None => number.to_string(),
        },
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> =
                map.iter().filter(|(_, value)| !value.is_null()).collect();
            let inner = sorted
                .iter()
                .map(|(key, value)| format!("{key}: {}", canonical(value)));
            format!("{{{}}}", inner.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(canonical).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_mean_the_same_however_written() {
        let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let a = read(
            r#"{"eps": 1e-5, "heads": 4, "window": null, "torch_dtype": "bfloat16", "r": {"b": 1, "a": 2}}"#,
        );
        let b = read(
            r#"{"eps": 9.999999747378752e-6, "heads": 4.0, "r": {"a": 2, "b": 1, "c": null}}"#,
        );
        assert_eq!(entries(&a), entries(&b));
        assert_ne!(
            entries(&a),
            entries(&read(r#"{"eps": 1e-6, "heads": 4, "r": {"b": 1, "a": 2}}"#))
        );
    }

    #[test]
    fn runs_join_equal_neighbours() {
        let words = |list: &[&str]| runs(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["a", "a", "a"]), "a");
        assert_eq!(words(&["a", "a", "b"]), "a x 2, b x 1");
        assert_eq!(words(&[]), "none");
    }
}
