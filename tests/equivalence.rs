//! The same weights as a folder, as a GGUF file and on a hub: the same findings.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use assert_cmd::Command;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value as Field;
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::tensor_files::Plain;
use crate::tensor_files::write_gguf;

const BASE: &str = "datasets/zoo/base-a";

#[test]
fn folder_and_gguf_give_the_same_findings() {
    let place = TempDir::new().unwrap();
    let gguf = place.path().join("base-a.gguf");
    as_gguf(&gguf, GgmlDType::BF16);
    let folder = compare(&place, root().join(BASE).to_str().unwrap(), &[]);
    let other = compare(&place, &format!("gguf:{}", gguf.display()), &[]);
    assert_eq!(folder["findings"]["lineage"]["conclusion"], "related");
    same(&folder, &other);
}

#[cfg(feature = "hub")]
#[test]
fn folder_and_hub_give_the_same_findings() {
    let place = TempDir::new().unwrap();
    let read = |name: &str| fs::read(root().join(BASE).join(name)).unwrap();
    let weights = read("model.safetensors");
    let hub = crate::common::hub::Hub::start(
        &[
            ("config.json", &read("config.json")),
            ("tokenizer.json", &read("tokenizer.json")),
            ("model.safetensors", &weights),
        ],
        &["model.safetensors"],
    );
    let cache = place.path().join("hub");
    let env = [
        ("HF_ENDPOINT", hub.endpoint.clone()),
        ("HF_HUB_CACHE", cache.display().to_string()),
    ];
    let folder = compare(&place, root().join(BASE).to_str().unwrap(), &[]);
    let other = compare(&place, "hf:owner/name", &env);
    same(&folder, &other);
    assert_eq!(folder["models"][1]["digest"], other["models"][1]["digest"]);
    assert!(other["models"][1]["revision"].as_str().unwrap().len() == 40);
}

/// Findings and the numbers of every method, storage apart.
#[track_caller]
fn same(folder: &Value, other: &Value) {
    assert_eq!(folder["findings"], other["findings"]);
    let rows = |result: &Value| -> Vec<(Value, Value, Value)> {
        result["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["id"] != "weight.identical_tensors")
            .map(|row| {
                (
                    row["id"].clone(),
                    row["statistic"].clone(),
                    row["log10_p"].clone(),
                )
            })
            .collect()
    };
    assert_eq!(rows(folder), rows(other));
}

fn compare(place: &TempDir, suspect: &str, env: &[(&str, String)]) -> Value {
    let output = Command::cargo_bin("kinprobe")
        .unwrap()
        .current_dir(root())
        .env("KINPROBE_CACHE", place.path().join("cache"))
        .env_remove("KINPROBE_DATA")
        .env_remove("HF_HUB_OFFLINE")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .args(["compare", "zoo:base-a-finetuned", suspect, "--json"])
        .args(["--suite", "next-token", "-o"])
        .arg(place.path().join("report"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Writes the base as llama.cpp would: its names, its order of rotary rows, its metadata; `matrices` in
/// this type.
pub fn as_gguf(path: &Path, matrices: GgmlDType) {
    let json = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(root().join(BASE).join(name)).unwrap()).unwrap()
    };
    let (config, tokenizer) = (json("config.json"), json("tokenizer.json"));
    let number = |key: &str| config[key].as_u64().unwrap() as usize;
    let (heads, kv_heads) = (number("num_attention_heads"), number("num_key_value_heads"));
    let bytes = fs::read(root().join(BASE).join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<(Plain, GgmlDType)> = file
        .iter()
        .map(|(name, view)| {
            let values = bf16(view.data());
            let values = match name.rsplit_once("self_attn.").map(|(_, part)| part) {
                Some("q_proj.weight") => interleaved(&values, view.shape()[1], heads),
                Some("k_proj.weight") => interleaved(&values, view.shape()[1], kv_heads),
                _ => values,
            };
            // A norm is F32 in such files; bf16 would keep every other value as it is.
            let dtype = match view.shape().len() {
                1 => GgmlDType::F32,
                _ => matrices,
            };
            let plain = Plain {
                name: gguf_name(name),
                shape: view.shape().to_vec(),
                values,
            };
            (plain, dtype)
        })
        .collect();
    write_gguf(path, &metadata(&config, &tokenizer), &tensors);
}

fn bf16(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(2)
        .map(|two| half::bf16::from_le_bytes([two[0], two[1]]).to_f32())
        .collect()
}

/// Rows of each head from halves (first all cosines' rows, then all sines') to pairs.
fn interleaved(values: &[f32], columns: usize, heads: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    let dim = rows / heads;
    (0..rows)
        .flat_map(|row| {
            let (head, within) = (row / dim, row % dim);
            let from = head * dim + (within % 2) * dim / 2 + within / 2;
            values[from * columns..(from + 1) * columns].iter().copied()
        })
        .collect()
}

fn gguf_name(name: &str) -> String {
    const WORDS: [(&str, &str); 12] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    WORDS
        .iter()
        .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn metadata(config: &Value, tokenizer: &Value) -> Vec<(&'static str, Field)> {
    let count = |key: &str| Field::U32(config[key].as_u64().unwrap() as u32);
    let real = |key: &str| Field::F32(config[key].as_f64().unwrap() as f32);
    let mut tokens: Vec<(u64, String)> = tokenizer["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(text, id)| (id.as_u64().unwrap(), text.clone()))
        .collect();
    let special: Vec<u64> = tokenizer["added_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| {
            let id = token["id"].as_u64().unwrap();
            tokens.push((id, token["content"].as_str().unwrap().to_owned()));
            id
        })
        .collect();
    tokens.sort();
    tokens.dedup();
    let kinds = tokens
        .iter()
        .map(|(id, _)| Field::I32(if special.contains(id) { 3 } else { 1 }));
    let merges = tokenizer["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|merge| {
            Field::String(match merge {
                Value::String(pair) => pair.clone(),
                pair => format!(
                    "{} {}",
                    pair[0].as_str().unwrap(),
                    pair[1].as_str().unwrap()
                ),
            })
        });
    vec![
        ("general.architecture", Field::String("llama".into())),
        ("llama.block_count", count("num_hidden_layers")),
        ("llama.embedding_length", count("hidden_size")),
        ("llama.feed_forward_length", count("intermediate_size")),
        ("llama.attention.head_count", count("num_attention_heads")),
        (
            "llama.attention.head_count_kv",
            count("num_key_value_heads"),
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            real("rms_norm_eps"),
        ),
        ("llama.rope.freq_base", real("rope_theta")),
        ("llama.rope.dimension_count", count("head_dim")),
        ("llama.context_length", count("max_position_embeddings")),
        ("llama.vocab_size", count("vocab_size")),
        ("tokenizer.ggml.model", Field::String("gpt2".into())),
        ("tokenizer.ggml.pre", Field::String("gpt-2".into())),
        ("tokenizer.ggml.token_type", Field::Array(kinds.collect())),
        (
            "tokenizer.ggml.tokens",
            Field::Array(
                tokens
                    .iter()
                    .map(|(_, text)| Field::String(text.clone()))
                    .collect(),
            ),
        ),
        ("tokenizer.ggml.merges", Field::Array(merges.collect())),
        ("tokenizer.ggml.eos_token_id", count("eos_token_id")),
        ("tokenizer.ggml.bos_token_id", count("bos_token_id")),
        ("tokenizer.ggml.add_bos_token", Field::Bool(true)),
    ]
}
