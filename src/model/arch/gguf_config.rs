//! GGUF metadata in Hugging Face's words.

use serde_json::{Map, Value, json};

use super::super::tensors::{TensorStore, Value as Stored};
use super::{ConfigError, FAMILIES, RawConfig, gguf_rope};

/// `{architecture}.KEY` of llama.cpp beside the config key of the same meaning.
const TRANSLATED: &[(&str, &str)] = &[
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.key_length_mla", "qk_head_dim"),
    ("attention.kv_lora_rank", "kv_lora_rank"),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.q_lora_rank", "q_lora_rank"),
    ("attention.sliding_window", "sliding_window"),
    ("attention.value_length_mla", "v_head_dim"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("expert_count", "num_experts"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_gating_func", "scoring_func"),
    ("expert_group_count", "n_group"),
    ("expert_group_used_count", "topk_group"),
    ("expert_shared_count", "n_shared_experts"),
    (
        "expert_shared_feed_forward_length",
        "shared_expert_intermediate_size",
    ),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_weights_norm", "norm_topk_prob"),
    ("expert_weights_scale", "routed_scaling_factor"),
    ("feed_forward_length", "intermediate_size"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("leading_dense_block_count", "first_k_dense_replace"),
    ("rope.freq_base", "rope_theta"),
    ("rope.freq_base_swa", "rope_local_base_freq"),
    ("use_parallel_residual", "use_parallel_residual"),
];

/// Keys without effect on a forward pass, or read for themselves below.
const NOT_TRANSLATED: &[&str] = &[
    "attention.sliding_window_pattern",
    "attention.value_length",
    "rope.dimension_count",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "tensor_data_layout",
    "vocab_size",
];

impl RawConfig {
    /// The config of a GGUF file in the words of its family's `config.json`; `gguf_architecture` is
    /// llama.cpp's name. An architecture's key without a translation is kept under its own name.
    ///
    /// # Errors
    /// A file that does not name its architecture.
    pub fn from_gguf(store: &TensorStore) -> Result<Self, ConfigError> {
        let metadata = store.metadata();
        let architecture = metadata
            .text("general.architecture")
            .ok_or(ConfigError::Missing("general.architecture"))?;
        let prefix = format!("{architecture}.");
        let get = |key: &str| metadata.get(&format!("{prefix}{key}"));
        let mut map = Map::new();
        map.insert("model_type".to_owned(), json!(architecture));
        map.insert("gguf_architecture".to_owned(), json!(architecture));
        for (key, value) in metadata.iter() {
            let Some(own) = key.strip_prefix(&prefix) else {
                continue;
            };
            if NOT_TRANSLATED.contains(&own) {
                continue;
            }
            let translated = TRANSLATED.iter().find(|(gguf, _)| *gguf == own);
            let name = translated.map_or(key, |(_, name)| *name);
            map.insert(name.to_owned(), plain(value));
        }
        for token in ["bos", "eos"] {
            if let Some(id) = metadata.u64(&format!("tokenizer.ggml.{token}_token_id")) {
                map.insert(format!("{token}_token_id"), json!(id));
            }
        }
        add_windows(&mut map, &get);
        gguf_rope::add(&mut map, store, &get);
        add_from_tensors(&mut map, store);
        let of_family = |family: &&&super::Family| family.gguf.contains(&architecture);
        if let Some(family) = FAMILIES.iter().find(of_family) {
            (family.gguf_words)(&mut map, store);
        }
        let config = Self::with_origin(map, true);
        let width = |key| get(key).and_then(Stored::as_u64);
        // Of latent attention, the widths within blocks are read for themselves.
        let latent = width("attention.kv_lora_rank").is_some();
        if !latent && width("attention.value_length") != width("attention.key_length") {
            config.refuse("values are not as wide as keys");
        }
        Ok(config)
    }
}

/// `sliding_window_pattern` or `layer_types`: which blocks have a window is written as a period or
/// block by block.
fn add_windows<'a>(map: &mut Map<String, Value>, get: &dyn Fn(&str) -> Option<&'a Stored>) {
    match get("attention.sliding_window_pattern") {
        Some(Stored::Bools(windowed)) => {
            let kind = |windowed: &bool| match windowed {
                true => "sliding_attention",
                false => "full_attention",
            };
            let types: Vec<_> = windowed.iter().map(kind).collect();
            map.insert("layer_types".to_owned(), json!(types));
        }
        Some(other) => {
            map.insert("sliding_window_pattern".to_owned(), plain(other));
        }
        None => {}
    }
}

/// What shapes and names say: they are the truth where metadata are missing or padded.
fn add_from_tensors(map: &mut Map<String, Value>, store: &TensorStore) {
    let tensors = [
        ("vocab_size", "token_embd.weight", 0),
        ("moe_intermediate_size", "blk.0.ffn_gate_exps.weight", 1),
        (
            "shared_expert_intermediate_size",
            "blk.0.ffn_gate_shexp.weight",
            0,
        ),
    ];
    for (key, tensor, axis) in tensors {
        let width = store.info(tensor).and_then(|info| info.shape.get(axis));
        if let Some(width) = width {
            map.insert(key.to_owned(), json!(width));
        }
    }
    let tied = store.info("output.weight").is_none();
    map.insert("tie_word_embeddings".to_owned(), json!(tied));
}

/// A value as it is written in a config.
pub(super) fn plain(value: &Stored) -> Value {
    match value {
        Stored::Unsigned(n) => json!(n),
        Stored::Negative(n) => json!(n),
        Stored::Float(x) => json!(shortest(*x)),
        Stored::Bool(on) => json!(on),
        Stored::Text(text) => json!(text),
        Stored::Texts(texts) => json!(texts),
        Stored::Integers(ns) => json!(ns),
        Stored::Floats(xs) => json!(xs),
        Stored::Bools(ons) => json!(ons),
        Stored::Nested => Value::from("an array of arrays"),
    }
}

/// The number that was meant: GGUF keeps 1e-5 as the nearest f32, a config as `1e-5`.
pub(super) fn shortest(x: f64) -> f64 {
    let narrow = x as f32;
    if f64::from(narrow) == x {
        narrow.to_string().parse().unwrap_or(x)
    } else {
        x
    }
}

/// Gives `words` their values.
pub(super) fn fill(map: &mut Map<String, Value>, words: &[(&str, Value)]) {
    for (word, value) in words {
        map.insert((*word).to_owned(), value.clone());
    }
}

/// Names what one family calls otherwise.
pub(super) fn rename(map: &mut Map<String, Value>, words: &[(&str, &str)]) {
    for (usual, own) in words {
        if let Some(value) = map.shift_remove(*usual) {
            map.insert((*own).to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shortest;

    #[test]
    fn floats_are_the_decimals_that_were_meant() {
        assert_eq!(shortest(f64::from(1e-5f32)), 1e-5);
        assert_eq!(shortest(500_000.0), 500_000.0);
        assert_eq!(shortest(0.1), 0.1);
    }
}
