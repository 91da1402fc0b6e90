//! GGUF's words about rotary embeddings in those of Hugging Face.

use serde_json::{Map, Value, json};

use super::super::tensors::{TensorStore, Value as Stored};
use super::gguf::MAX_PAIRS;
use super::gguf_config::{plain, shortest};
use crate::text::ModelText;

/// The value of an architecture's key.
type Get<'a> = dyn Fn(&str) -> Option<&'a Stored> + 'a;

/// `rope_scaling`, and `partial_rotary_factor` where less than a head rotates.
pub(super) fn add<'a>(map: &mut Map<String, Value>, store: &TensorStore, get: &Get<'a>) {
    let number = |key| get(key).map(plain).and_then(|value| value.as_f64());
    let scaling = long_factors(map, store, get).or_else(|| scaling(get));
    let kind = scaling
        .as_ref()
        .and_then(|entry| entry["rope_type"].as_str());
    // What is read with one kind of scaling only is unknown with the others.
    for (key, of) in KEYS_OF_ONE_KIND {
        if let Some(value) = get(key)
            && kind != Some(*of)
        {
            map.insert((*key).to_owned(), plain(value));
        }
    }
    if let Some(scaling) = scaling {
        map.insert("rope_scaling".to_owned(), scaling);
    }
    let size = |key: &str| map.get(key).and_then(Value::as_f64);
    let head_dim =
        size("head_dim").or_else(|| Some(size("hidden_size")? / size("num_attention_heads")?));
    if let (Some(rotated), Some(whole)) = (number("rope.dimension_count"), head_dim)
        && rotated != whole
    {
        map.insert(
            "partial_rotary_factor".to_owned(),
            json!(part(rotated, whole)),
        );
    }
}

/// Keys beside the kind of scaling that reads them.
const KEYS_OF_ONE_KIND: &[(&str, &str)] = &[
    ("rope.scaling.attn_factor", "longrope"),
    ("rope.scaling.yarn_attn_factor", "yarn"),
    ("rope.scaling.yarn_beta_fast", "yarn"),
    ("rope.scaling.yarn_beta_slow", "yarn"),
];

/// The part that makes `rotated` dimensions of `whole` when it is multiplied out and cut off.
fn part(rotated: f64, whole: f64) -> f64 {
    let part = rotated / whole;
    match (part * whole).floor() < rotated {
        true => part * (1.0 + f64::EPSILON),
        false => part,
    }
}

fn scaling<'a>(get: &Get<'a>) -> Option<Value> {
    let number = |key| get(key).map(plain).and_then(|value| value.as_f64());
    let factor = number("rope.scaling.factor").or_else(|| number("rope.scale_linear"));
    let kind = match get("rope.scaling.type") {
        Some(Stored::Text(kind)) => ModelText::new(kind).clipped(40),
        _ => "linear".to_owned(),
    };
    if kind == "none" || (kind == "linear" && factor.is_none_or(|factor| factor == 1.0)) {
        return None;
    }
    let mut entry = json!({"rope_type": kind, "factor": factor});
    if kind == "yarn" {
        for (key, word) in [
            (
                "original_context_length",
                "original_max_position_embeddings",
            ),
            ("yarn_attn_factor", "attention_factor"),
            ("yarn_beta_fast", "beta_fast"),
            ("yarn_beta_slow", "beta_slow"),
        ] {
            if let Some(value) = get(&format!("rope.scaling.{key}")) {
                entry[word] = plain(value);
            }
        }
    }
    Some(entry)
}

/// Frequencies for short and for long texts, which are tensors in a GGUF file, of all blocks the same
/// (Phi-3). The original context stands beside the entry, as in Phi-3's own configs.
fn long_factors<'a>(
    map: &mut Map<String, Value>,
    store: &TensorStore,
    get: &Get<'a>,
) -> Option<Value> {
    let factors = |length: &str| {
        let name = format!("rope_factors_{length}.weight");
        let pairs = store.info(&name)?.elements;
        let factors = (pairs <= MAX_PAIRS).then(|| store.elements(&name, 0..pairs).ok())??;
        let factors = factors
            .into_iter()
            .map(|factor| shortest(f64::from(factor)));
        Some(json!(factors.collect::<Vec<_>>()))
    };
    let (short, long) = (factors("short"), factors("long"));
    if short.is_none() && long.is_none() {
        return None;
    }
    // One without the other is left for the config's reader to miss.
    let mut entry = json!({"rope_type": "longrope", "short_factor": short, "long_factor": long});
    if let Some(positions) = get("rope.scaling.original_context_length") {
        let word = "original_max_position_embeddings";
        map.insert(word.to_owned(), plain(positions));
    }
    if let Some(factor) = get("rope.scaling.attn_factor") {
        entry["attention_factor"] = plain(factor);
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_part_makes_the_dimensions_it_was_made_of() {
        for whole in 1..400_u32 {
            for rotated in 1..whole {
                let (rotated, whole) = (f64::from(rotated), f64::from(whole));
                assert_eq!((whole * part(rotated, whole)).floor(), rotated);
            }
        }
        assert_eq!(part(32.0, 128.0), 0.25);
    }
}
