//! A tiny random Llama in a folder: byte-level tokenizer, two blocks, tied embedding.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kinprobe::model::Model;
use kinprobe::source::ModelRef;
use kinprobe::source::OpenOptions;
use kinprobe::source::open;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// Positions the model takes.
pub const POSITIONS: usize = 96;
/// Width of the residual stream.
pub const HIDDEN: usize = 32;
/// Blocks.
pub const LAYERS: usize = 2;
/// Rows of the embedding: the bytes, five merges and the end of text.
const VOCAB: usize = 256 + MERGES.len() + 1;

const MERGES: [(&str, &str); 5] = [
    ("t", "h"),
    ("th", "e"),
    ("Ġ", "the"),
    ("a", "n"),
    ("an", "d"),
];

/// Writes the model whose weights `seed` draws.
pub fn write(folder: &Path, seed: u64) {
    let config = json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"],
        "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": 48,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_act": "silu", "max_position_embeddings": POSITIONS, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": true, "eos_token_id": VOCAB - 1,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer().to_string()).unwrap();
    fs::write(folder.join("model.safetensors"), weights(seed)).unwrap();
}

/// Opens it.
pub fn opened(folder: &Path) -> Model {
    let reference: ModelRef = folder.to_str().unwrap().parse().unwrap();
    let artefacts = open(&reference, &OpenOptions::default()).unwrap();
    Model::open(artefacts, "tiny").unwrap()
}

fn weights(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shapes = vec![
        ("model.embed_tokens".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![HIDDEN / 2, HIDDEN]),
            ("self_attn.v_proj", vec![HIDDEN / 2, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![48, HIDDEN]),
            ("mlp.up_proj", vec![48, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, 48]),
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}"), shape));
        }
    }
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let values = (0..count).map(|_| match shape.len() {
                1 => 1.0 + rng.random_range(-0.1..0.1_f32),
                _ => rng.random_range(-0.5..0.5_f32),
            });
            let bytes = values.flat_map(f32::to_le_bytes).collect();
            (format!("{name}.weight"), (shape, bytes))
        })
        .collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

fn tokenizer() -> serde_json::Value {
    let mut vocab = serde_json::Map::new();
    for token in byte_alphabet() {
        vocab.insert(token.to_string(), json!(vocab.len()));
    }
    for (left, right) in MERGES {
        vocab.insert(format!("{left}{right}"), json!(vocab.len()));
    }
    let end = json!({
        "id": VOCAB - 1, "content": "<|end|>", "special": true, "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false,
    });
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [end],
        "normalizer": null, "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab,
            "merges": MERGES.map(|(left, right)| format!("{left} {right}")),
        },
    })
}

/// GPT-2's printable stand-in for every byte, in byte order.
fn byte_alphabet() -> Vec<char> {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    (0..256)
        .map(|byte| {
            let code = if printable(byte) {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap()
        })
        .collect()
}
