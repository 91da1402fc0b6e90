//! Small random models of every family, for tests.

use std::path::Path;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::model::DecoderSpec;
use crate::model::Model;
use crate::model::Part;
use crate::model::RawConfig;
use crate::model::Role;
use crate::model::arch;
use crate::model::store;
use crate::model::store::Files;
use crate::model::store::NumberFormat;
use crate::source;
use crate::source::Format;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::source::OpenOptions;

use super::dice::Dice;

/// Names for [`config`]: each family, with its variants that matter here.
pub(in crate::zoo) const MODELS: &[&str] = &[
    "baichuan",
    "baichuan2",
    "deepseek_v2",
    "deepseek_v3",
    "gemma3",
    "glm4",
    "gpt2",
    "gpt_neox",
    "internlm2",
    "llama",
    "llama-tied",
    "minicpmv",
    "mixtral",
    "olmo2",
    "pangu_pro_moe",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "yi",
];

/// `config.json` of a small model.
pub(in crate::zoo) fn config(name: &str) -> Map<String, Value> {
    let mut config = object(json!({
        "model_type": name, "vocab_size": 48, "hidden_size": 24, "intermediate_size": 20,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
        "rope_theta": 10000.0, "tie_word_embeddings": false
    }));
    let own = match name {
        "llama" => json!({"attention_bias": true, "mlp_bias": true}),
        "llama-tied" => json!({"model_type": "llama", "tie_word_embeddings": true}),
        "qwen2" => json!({"tie_word_embeddings": true}),
        "minicpmv" => json!({"version": "2.6"}),
        "gemma3" => json!({"model_type": "gemma3_text", "tie_word_embeddings": true,
            "sliding_window": 8, "query_pre_attn_scalar": 6,
            "hidden_activation": "gelu_pytorch_tanh",
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
        "gpt2" => {
            return object(json!({
                "model_type": "gpt2", "vocab_size": 48, "n_embd": 24, "n_head": 4, "n_layer": 3,
                "n_positions": 64, "n_inner": 20, "layer_norm_epsilon": 1e-5,
                "activation_function": "gelu_new"
            }));
        }
        "baichuan" => json!({"num_key_value_heads": 4}),
        "baichuan2" => json!({"model_type": "baichuan", "num_key_value_heads": 4,
            "z_loss_weight": 0}),
        "deepseek_v2" => deepseek(&json!({"q_lora_rank": null,
            "topk_method": "group_limited_greedy", "routed_scaling_factor": 1.0})),
        "deepseek_v3" => deepseek(&json!({"q_lora_rank": 9, "norm_topk_prob": true,
            "routed_scaling_factor": 1.5})),
        "glm4" => json!({"attention_bias": true, "head_dim": 8}),
        "gpt_neox" => {
            return object(json!({
                "model_type": name, "vocab_size": 48, "hidden_size": 32, "intermediate_size": 20,
                "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_act": "gelu",
                "layer_norm_eps": 1e-5, "max_position_embeddings": 64, "rotary_pct": 0.5,
                "rotary_emb_base": 10000, "tie_word_embeddings": false
            }));
        }
        "pangu_pro_moe" => json!({"num_experts": 6, "num_experts_per_tok": 3,
            "moe_intermediate_size": 10, "shared_expert_intermediate_size": 14,
            "mlp_only_layers": [1]}),
        "qwen3_moe" => json!({"num_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 10, "norm_topk_prob": true, "mlp_only_layers": [1]}),
        "mixtral" => json!({"num_local_experts": 4, "num_experts_per_tok": 2}),
        "qwen2_moe" => json!({"num_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 10, "shared_expert_intermediate_size": 14,
            "mlp_only_layers": [1]}),
        _ => json!({}),
    };
    config.extend(object(own));
    config
}

/// Words of latent attention and of experts in groups, and `own`.
fn deepseek(own: &Value) -> Value {
    let mut words = object(json!({
        "num_key_value_heads": 4, "head_dim": null, "kv_lora_rank": 8, "qk_nope_head_dim": 6,
        "qk_rope_head_dim": 4, "v_head_dim": 5, "moe_intermediate_size": 10, "n_routed_experts": 6,
        "n_shared_experts": 2, "num_experts_per_tok": 3, "n_group": 3, "topk_group": 2,
        "first_k_dense_replace": 1
    }));
    words.extend(object(own.clone()));
    Value::Object(words)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// How the config's family reads it.
pub(in crate::zoo) fn spec(config: &Map<String, Value>) -> (&'static arch::Family, DecoderSpec) {
    let config = RawConfig::new(config.clone());
    let family = arch::family(&config).expect("a known family");
    let spec = (family.spec)(&config).expect("a config");
    assert_eq!(spec.unsupported, [""; 0]);
    (family, spec)
}

/// Random numbers of a size that leaves logits of about one.
pub(in crate::zoo) fn random_weight(spec: &DecoderSpec, role: &Role, seed: u64) -> Vec<f32> {
    let shapes = spec.roles();
    let shape = shapes.iter().find(|(other, _)| other == role);
    let (rows, columns) = shape.expect("a role").1;
    let mut dice = Dice::named(seed, &role.to_string());
    let (centre, spread) = match role {
        role if role.part.is_norm() && *role != role.bias() => (1.0, 0.2),
        role if role.is_vector() => (0.0, 0.2),
        _ if role.part == Part::Embed => (0.0, 1.0),
        _ => (0.0, (columns as f64).powf(-0.5)),
    };
    let mut values: Vec<f32> = (0..rows * columns)
        .map(|_| (centre + spread * dice.normal()) as f32)
        .collect();
    if spec.normalised_head && role.part == Part::Unembed {
        for row in values.chunks_mut(columns) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|value| *value /= norm);
        }
    }
    values
}

/// Writes the small model called `name` into `folder` and opens it.
pub(in crate::zoo) fn model(name: &str, seed: u64, folder: &Path) -> Model {
    from_config(&config(name), seed, folder)
}

/// As [`model`], with a config at hand.
pub(in crate::zoo) fn from_config(config: &Map<String, Value>, seed: u64, folder: &Path) -> Model {
    let (family, spec) = spec(config);
    let names = arch::names_of(family, &spec, Format::Safetensors).expect("names");
    let tensors = store::plan(&spec.roles(), &names).expect("a plan");
    let files = Files {
        format: NumberFormat::F32,
        shards: 1,
    };
    let mut weight = |role: &Role| Ok::<_, super::Error>(random_weight(&spec, role, seed));
    files.write(folder, &tensors, &mut weight).expect("writes");
    let text = Value::Object(config.clone()).to_string();
    std::fs::write(folder.join("config.json"), text).expect("config");
    open(folder)
}

/// Opens a folder.
pub(in crate::zoo) fn open(folder: &Path) -> Model {
    let reference = ModelRef {
        label: None,
        locator: Locator::Local(folder.to_path_buf()),
    };
    let artefacts = source::open(&reference, &OpenOptions::default()).expect("files");
    Model::open(artefacts, "small").expect("a model")
}

mod tests;
