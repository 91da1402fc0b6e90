//! GGUF metadata in the words of a Hugging Face `config.json`, so that one family code reads both.

use serde_json::{Map, Value, json};

use super::tensors::{Metadata, TensorStore};

/// What a GGUF architecture is called in `config.json`, and what llama.cpp's graph for it fixes in
/// code where a config would say it.
struct Translation {
    gguf: &'static str,
    model_type: &'static str,
    /// Words of the config that replace the usual ones.
    renamed: &'static [(&'static str, &'static str)],
    activation: (&'static str, &'static str),
}

const SILU: (&str, &str) = ("hidden_act", "silu");

const TRANSLATIONS: &[Translation] = &[
    Translation {
        gguf: "llama",
        model_type: "llama",
        renamed: &[],
        activation: SILU,
    },
    Translation {
        gguf: "qwen2",
        model_type: "qwen2",
        renamed: &[],
        activation: SILU,
    },
    Translation {
        gguf: "qwen2moe",
        model_type: "qwen2_moe",
        renamed: &[],
        activation: SILU,
    },
    Translation {
        gguf: "qwen3",
        model_type: "qwen3",
        renamed: &[],
        activation: SILU,
    },
    Translation {
        gguf: "gemma3",
        model_type: "gemma3_text",
        renamed: &[],
        activation: ("hidden_activation", "gelu_pytorch_tanh"),
    },
    Translation {
        gguf: "baichuan",
        model_type: "baichuan",
        renamed: &[],
        activation: SILU,
    },
    Translation {
        gguf: "gpt2",
        model_type: "gpt2",
        renamed: &[
            ("num_hidden_layers", "n_layer"),
            ("hidden_size", "n_embd"),
            ("num_attention_heads", "n_head"),
            ("max_position_embeddings", "n_positions"),
            ("intermediate_size", "n_inner"),
            ("layer_norm_eps", "layer_norm_epsilon"),
        ],
        activation: ("activation_function", "gelu_new"),
    },
];

/// Metadata keys below `{architecture}.`, and their words in a config.
const INTEGERS: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.sliding_window", "sliding_window"),
    ("expert_count", "num_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    (
        "expert_shared_feed_forward_length",
        "shared_expert_intermediate_size",
    ),
];

const FLOATS: &[(&str, &str)] = &[
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.layer_norm_epsilon", "layer_norm_eps"),
    ("rope.freq_base", "rope_theta"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
];

/// The config that the metadata and tensors of `store` amount to.
///
/// What a GGUF file does not say and llama.cpp fixes per architecture (activation function, Gemma's
/// windows) is filled in; what is neither is left out.
pub(super) fn config(store: &TensorStore) -> Map<String, Value> {
    let metadata = store.metadata();
    let architecture = metadata.text("general.architecture").unwrap_or("");
    let known = TRANSLATIONS.iter().find(|known| known.gguf == architecture);
    let mut config = Map::new();
    config.insert("gguf_architecture".to_owned(), json!(architecture));
    let model_type = known.map_or(architecture, |known| known.model_type);
    config.insert("model_type".to_owned(), json!(model_type));
    numbers(metadata, architecture, &mut config);
    from_tensors(store, &mut config);
    rope(store, architecture, &mut config);
    for token in ["bos", "eos"] {
        if let Some(id) = metadata.u64(&format!("tokenizer.ggml.{token}_token_id")) {
            config.insert(format!("{token}_token_id"), json!(id));
        }
    }
    match model_type {
        "llama" => llama(store, &mut config),
        "gemma3_text" => gemma3(&mut config),
        "qwen2_moe" => {
            config.insert("norm_topk_prob".to_owned(), json!(false));
        }
        _ => {}
    }
    if let Some(known) = known {
        let (word, activation) = known.activation;
        config.insert(word.to_owned(), json!(activation));
        for (usual, own) in known.renamed {
            if let Some(value) = config.shift_remove(*usual) {
                config.insert((*own).to_owned(), value);
            }
        }
    }
    config
}

fn numbers(metadata: &Metadata, architecture: &str, config: &mut Map<String, Value>) {
    for (key, word) in INTEGERS {
        if let Some(value) = metadata.u64(&format!("{architecture}.{key}")) {
            config.insert((*word).to_owned(), json!(value));
        }
    }
    for (key, word) in FLOATS {
        if let Some(value) = metadata.f64(&format!("{architecture}.{key}")) {
            config.insert((*word).to_owned(), json!(decimal(value)));
        }
    }
}

/// What shapes and names say: they are the truth where metadata is missing or padded.
fn from_tensors(store: &TensorStore, config: &mut Map<String, Value>) {
    let axis = |name: &str, axis: usize| {
        let shape = &store.info(name)?.shape;
        shape.get(axis).copied()
    };
    let vocab_size = axis("token_embd.weight", 0);
    let sizes = [
        ("vocab_size", vocab_size),
        (
            "moe_intermediate_size",
            axis("blk.0.ffn_gate_exps.weight", 1),
        ),
        (
            "shared_expert_intermediate_size",
            axis("blk.0.ffn_gate_shexp.weight", 0),
        ),
    ];
    for (word, size) in sizes {
        if let Some(size) = size {
            config.insert(word.to_owned(), json!(size));
        }
    }
    let tied = store.info("output.weight").is_none();
    config.insert("tie_word_embeddings".to_owned(), json!(tied));
}

/// Position scaling. Llama 3.1 and later keep it as a tensor of divisors.
fn rope(store: &TensorStore, architecture: &str, config: &mut Map<String, Value>) {
    let metadata = store.metadata();
    let key = |name: &str| format!("{architecture}.rope.{name}");
    let head_dim = config.get("head_dim").and_then(Value::as_u64).or_else(|| {
        let hidden = config.get("hidden_size")?.as_u64()?;
        hidden.checked_div(config.get("num_attention_heads")?.as_u64()?)
    });
    if let (Some(rotated), Some(head_dim)) = (metadata.u64(&key("dimension_count")), head_dim)
        && rotated != head_dim
        && head_dim > 0
    {
        let part = rotated as f64 / head_dim as f64;
        config.insert("partial_rotary_factor".to_owned(), json!(part));
    }
    let kind = metadata
        .text(&key("scaling.type"))
        .filter(|kind| *kind != "none");
    if let Some(kind) = kind {
        let mut scaling = Map::new();
        scaling.insert("rope_type".to_owned(), json!(kind));
        if let Some(factor) = metadata.f64(&key("scaling.factor")) {
            scaling.insert("factor".to_owned(), json!(decimal(factor)));
        }
        if let Some(context) = metadata.u64(&key("scaling.original_context_length")) {
            scaling.insert(
                "original_max_position_embeddings".to_owned(),
                json!(context),
            );
        }
        config.insert("rope_scaling".to_owned(), Value::Object(scaling));
    }
    if let Ok(divisors) = store.rows("rope_freqs.weight", 0..rows(store, "rope_freqs.weight")) {
        config.insert("rope_scaling".to_owned(), llama3(&divisors, config));
    }
}

fn rows(store: &TensorStore, name: &str) -> usize {
    store.info(name).map_or(0, super::TensorInfo::rows)
}

/// Names the published Llama 3 scaling whose divisors these are; others keep a type that no decoder
/// knows, so that the model is not run with the wrong positions.
fn llama3(divisors: &[f32], config: &Map<String, Value>) -> Value {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const CONTEXT: f64 = 8192.0;
    let factor = divisors.iter().copied().fold(1.0, f32::max);
    let theta = config
        .get("rope_theta")
        .and_then(Value::as_f64)
        .unwrap_or(10_000.0);
    let agrees = divisors.iter().enumerate().all(|(index, divisor)| {
        let exponent = index as f64 / divisors.len() as f64;
        let wavelength = std::f64::consts::TAU * theta.powf(exponent);
        let ramp = ((CONTEXT / wavelength - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
        let expected = 1.0 / ((1.0 - ramp) / f64::from(factor) + ramp);
        (f64::from(*divisor) - expected).abs() <= 1e-3 * expected
    });
    if !agrees {
        return json!({"rope_type": "gguf_divisors"});
    }
    json!({
        "rope_type": "llama3", "factor": decimal(f64::from(factor)), "low_freq_factor": LOW,
        "high_freq_factor": HIGH, "original_max_position_embeddings": CONTEXT as u64,
    })
}

/// One GGUF architecture stands for Llama, Mistral, Yi and, with experts, Mixtral.
fn llama(store: &TensorStore, config: &mut Map<String, Value>) {
    if let Some(experts) = config.shift_remove("num_experts") {
        if experts.as_u64().is_some_and(|experts| experts > 0) {
            config.insert("model_type".to_owned(), json!("mixtral"));
            config.insert("num_local_experts".to_owned(), experts);
            config.shift_remove("moe_intermediate_size");
        } else {
            config.shift_remove("num_experts_per_tok");
        }
    }
    for (tensor, word) in [
        ("blk.0.attn_q.bias", "attention_bias"),
        ("blk.0.ffn_gate.bias", "mlp_bias"),
    ] {
        if store.info(tensor).is_some() {
            config.insert(word.to_owned(), json!(true));
        }
    }
}

/// Fixed in llama.cpp's graph: five windowed blocks to each full one, their rotary base, and the
/// scale of attention, which the 27B model takes from its width instead of its head.
fn gemma3(config: &mut Map<String, Value>) {
    let number = |word: &str| config.get(word).and_then(Value::as_u64);
    let scalar = match (number("num_hidden_layers"), number("num_attention_heads")) {
        (Some(62), Some(heads)) => {
            number("hidden_size").and_then(|hidden| hidden.checked_div(heads))
        }
        _ => number("head_dim"),
    };
    if let Some(scalar) = scalar {
        config.insert("query_pre_attn_scalar".to_owned(), json!(scalar));
    }
    config.insert("sliding_window_pattern".to_owned(), json!(6));
    config.insert("rope_local_base_freq".to_owned(), json!(10_000.0));
}

/// The number that was meant: GGUF keeps 1e-5 as the nearest f32, a config as `1e-5`.
fn decimal(value: f64) -> f64 {
    let short = value as f32;
    if f64::from(short) == value {
        short.to_string().parse().unwrap_or(value)
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::{decimal, llama3};

    #[test]
    fn floats_are_the_decimals_that_were_meant() {
        assert_eq!(decimal(f64::from(1e-5f32)), 1e-5);
        assert_eq!(decimal(500_000.0), 500_000.0);
        assert_eq!(decimal(0.1), 0.1);
    }

    #[test]
    fn llama_3_divisors_are_recognised_and_others_are_not() {
        let config: Map<_, _> = [("rope_theta".to_owned(), json!(500_000.0))]
            .into_iter()
            .collect();
        // head_dim 128: from transformers' `llama3` rule (factor 8, 1, 4, 8192).
        let divisors: Vec<f32> = (0..64)
            .map(|i| {
                let wavelength = std::f64::consts::TAU * 500_000f64.powf(f64::from(i) / 64.0);
                if wavelength > 8192.0 {
                    8.0
                } else if wavelength < 2048.0 {
                    1.0
                } else {
                    let smooth = (8192.0 / wavelength - 1.0) / 3.0;
                    (1.0 / ((1.0 - smooth) / 8.0 + smooth)) as f32
                }
            })
            .collect();
        let found = llama3(&divisors, &config);
        assert_eq!(found["rope_type"], "llama3");
        assert_eq!(found["factor"], 8.0);
        let mut other = divisors;
        other[30] *= 1.5;
        assert_eq!(llama3(&other, &config)["rope_type"], "gguf_divisors");
    }
}
