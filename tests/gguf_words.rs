//! GGUF metadata that say less than a config, or something else: an error, a refusal or a caveat.

use std::path::Path;

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{DType, Device, Tensor};
use gguf_file::Value as Field;
use kinprobe::model::arch::{self, Description};
use kinprobe::model::{Decoder, RawConfig, Site, Tap, TensorStore, Weights};
use kinprobe::source::Format;
use tempfile::TempDir;

use crate::tensor_files::{Plain, write_gguf};

/// The GGUF file of a parity fixture, in memory.
struct File {
    metadata: Vec<(String, Field)>,
    tensors: Vec<Plain>,
}

impl File {
    fn of(fixture: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/parity")
            .join(fixture)
            .join("model.gguf");
        let mut file = std::fs::File::open(&path).unwrap();
        let metadata = gguf_file::Content::read(&mut file).unwrap().metadata;
        let store = TensorStore::open_files([path.as_path()], Format::Gguf).unwrap();
        let tensor = |(name, info): (&str, &kinprobe::model::TensorInfo)| Plain {
            name: name.to_owned(),
            shape: info.shape.clone(),
            values: store.elements(name, 0..info.elements).unwrap(),
        };
        Self {
            metadata: metadata.into_iter().collect(),
            tensors: store.iter().map(tensor).collect(),
        }
    }

    fn without(mut self, keys: &[&str]) -> Self {
        let before = self.metadata.len();
        self.metadata
            .retain(|(known, _)| !keys.contains(&known.as_str()));
        assert_eq!(self.metadata.len() + keys.len(), before, "keys were there");
        self
    }

    fn with(mut self, key: &str, value: Field) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    fn without_tensor(mut self, name: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| tensor.name != name);
        assert_eq!(self.tensors.len() + 1, before, "{name} was there");
        self
    }

    fn take(&mut self, name: &str) -> Plain {
        let at = self.tensors.iter().position(|tensor| tensor.name == name);
        self.tensors.swap_remove(at.unwrap())
    }

    fn open(self) -> (TempDir, TensorStore) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let metadata: Vec<(&str, Field)> = self
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        let tensors = self.tensors.into_iter().map(|t| (t, GgmlDType::F32));
        write_gguf(&path, &metadata, &tensors.collect::<Vec<_>>());
        let store = TensorStore::open_files([path.as_path()], Format::Gguf).unwrap();
        (folder, store)
    }

    fn describe(self) -> Result<Description, String> {
        let (_folder, store) = self.open();
        let config = RawConfig::from_gguf(&store).map_err(|error| error.to_string())?;
        let description = arch::describe(&config, &store).map_err(|error| error.to_string())?;
        Ok(description.expect("a known architecture"))
    }

    fn refused(self) -> String {
        self.describe().unwrap().spec.unsupported.join("; ")
    }

    fn caveats(self) -> String {
        let spec = self.describe().unwrap().spec;
        assert_eq!(spec.unsupported, [""; 0]);
        spec.caveats.join("; ")
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let cases = [
        (
            File::of("glm4").with("glm4.rope.dimension_sections", Field::U32(1)),
            "glm4.rope.dimension_sections",
        ),
        (
            File::of("glm4").with("glm4.rope.scaling.yarn_beta_fast", Field::F32(32.0)),
            "rope.scaling.yarn_beta_fast",
        ),
        (
            File::of("olmo2").with("olmo2.attention.sliding_window", Field::U32(8)),
            "sliding_window",
        ),
        (
            File::of("bert").without(&["bert.attention.causal"]),
            "looks back only",
        ),
        (
            File::of("bert").with("bert.attention.causal", Field::Bool(true)),
            "looks back only",
        ),
        (
            File::of("deepseek-v3-gguf").with("deepseek2.expert_gating_func", Field::U32(3)),
            "neither `softmax` nor `sigmoid`",
        ),
        // Experts' biases without a word about what they are added to.
        (
            File::of("deepseek-v3-gguf").without(&["deepseek2.expert_gating_func"]),
            "neither `softmax` nor `sigmoid`",
        ),
        (
            File::of("deepseek-v3-gguf").with("deepseek2.nextn_predict_layers", Field::U32(1)),
            "nextn_predict_layers",
        ),
        (
            File::of("deepseek-v2-gguf").with("deepseek2.expert_weights_norm", Field::Bool(true)),
            "norm_topk_prob",
        ),
    ];
    for (file, word) in cases {
        let refused = file.refused();
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

#[test]
fn what_is_missing_is_an_error() {
    let cases = [
        (
            File::of("gpt-neox").without(&["gptneox.use_parallel_residual"]),
            "use_parallel_residual",
        ),
        (
            File::of("phi3-longrope").without_tensor("rope_factors_long.weight"),
            "long_factor",
        ),
        (
            File::of("deepseek-v2-gguf").with("deepseek2.rope.dimension_count", Field::U32(400)),
            "qk_nope_head_dim",
        ),
        (
            File::of("deepseek-v2-gguf").without(&["deepseek2.rope.dimension_count"]),
            "qk_nope_head_dim",
        ),
        (
            File::of("deepseek-v2-gguf").without(&["deepseek2.attention.value_length_mla"]),
            "v_head_dim",
        ),
        (
            File::of("glm4").with("glm4.attention.head_count", Field::U32(0)),
            "num_attention_heads",
        ),
    ];
    for (file, word) in cases {
        let error = file.describe().unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn what_is_assumed_is_stated() {
    let groups = [
        "deepseek2.expert_group_count",
        "deepseek2.expert_group_used_count",
    ];
    let older = File::of("deepseek-v3-gguf").without(&groups).caveats();
    assert!(older.contains("says nothing of groups"), "{older}");

    let mut apart = File::of("glm-gguf");
    let fused = apart.take("blk.0.attn_qkv.weight");
    for (name, rows) in [("q", 0..32), ("k", 32..48), ("v", 48..64)] {
        apart.tensors.push(Plain {
            name: format!("blk.0.attn_{name}.weight"),
            shape: vec![rows.len(), 32],
            values: fused.values[rows.start * 32..rows.end * 32].to_vec(),
        });
    }
    let apart = apart.caveats();
    assert!(apart.contains("`GlmForCausalLM`"), "{apart}");

    // A head that rotates in full has no entry to say so.
    let whole = File::of("gpt-neox").without(&["gptneox.rope.dimension_count"]);
    let rope = whole.describe().unwrap().spec.layers[0].rope.clone();
    assert_eq!(rope.expect("rotary").partial_rotary_factor, 1.0);
}

struct Logits(Option<Tensor>);

impl Tap for Logits {
    fn wants(&self, site: Site) -> bool {
        site == Site::Logits
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        self.0 = Some(value.clone());
        Ok(())
    }
}

fn logits(file: File, tokens: &Tensor) -> Vec<f32> {
    let (_folder, store) = file.open();
    let config = RawConfig::from_gguf(&store).unwrap();
    let description = arch::describe(&config, &store).unwrap().unwrap();
    let (weights, unbound) = Weights::new(store, &description.bindings);
    assert_eq!(unbound, []);
    let spec = description.readings(&weights, &unbound).spec.unwrap();
    let decoder = Decoder::load(&weights, &spec, &Device::Cpu).unwrap();
    let mut tap = Logits(None);
    decoder.forward(tokens, None, &mut tap).unwrap();
    let logits = tap.0.expect("logits").flatten_all().unwrap();
    logits.to_vec1().unwrap()
}

/// Files from before keys and values were stored in a slice per head.
#[test]
fn latent_attention_as_published_is_the_same_model() {
    const HEADS: usize = 4;
    const RANK: usize = 16;
    let mut older = File::of("deepseek-v3-gguf")
        .without(&[
            "deepseek2.attention.key_length_mla",
            "deepseek2.attention.value_length_mla",
        ])
        .with("deepseek2.attention.head_count_kv", Field::U32(4))
        .with("deepseek2.attention.key_length", Field::U32(12))
        .with("deepseek2.attention.value_length", Field::U32(6));
    for layer in 0..3 {
        let keys = older.take(&format!("blk.{layer}.attn_k_b.weight"));
        let values = older.take(&format!("blk.{layer}.attn_v_b.weight"));
        let (key, value) = (keys.shape[2], values.shape[1]);
        let mut rows = Vec::new();
        for head in 0..HEADS {
            let slice = &keys.values[head * RANK * key..(head + 1) * RANK * key];
            for row in 0..key {
                rows.extend(slice.iter().skip(row).step_by(key));
            }
            rows.extend(&values.values[head * value * RANK..(head + 1) * value * RANK]);
        }
        older.tensors.push(Plain {
            name: format!("blk.{layer}.attn_kv_b.weight"),
            shape: vec![HEADS * (key + value), RANK],
            values: rows,
        });
    }
    let tokens = Tensor::arange(3_u32, 23, &Device::Cpu).unwrap();
    let tokens = tokens
        .unsqueeze(0)
        .and_then(|t| t.to_dtype(DType::U32))
        .unwrap();
    let newer = logits(File::of("deepseek-v3-gguf"), &tokens);
    assert_eq!(logits(older, &tokens), newer);
    assert!(newer.iter().any(|logit| logit.abs() > 0.1));
}
