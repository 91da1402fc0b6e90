//! `compare --depth quick`: a planned sample of the weights, of hub models by range requests.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use kinprobe::source::HubOptions;
use kinprobe::source::OpenOptions;
use kinprobe::source::Secret;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::common::hub::Fault;
use crate::common::hub::Hub;

const HIDDEN: usize = 128;
const UNITS: usize = 512;
const LAYERS: usize = 24;
const VOCAB: usize = 4096;
const INDEX: &str = "model.safetensors.index.json";

/// A Llama of random bf16 weights: about 13 MB. A child is `parent` with noise half as strong.
struct Weights(Vec<(String, Vec<usize>, Vec<f32>)>);

impl Weights {
    fn random(seed: u64) -> Self {
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
                ("mlp.gate_proj", vec![UNITS, HIDDEN]),
                ("mlp.up_proj", vec![UNITS, HIDDEN]),
                ("mlp.down_proj", vec![HIDDEN, UNITS]),
                ("input_layernorm", vec![HIDDEN]),
                ("post_attention_layernorm", vec![HIDDEN]),
            ] {
                shapes.push((format!("model.layers.{layer}.{name}"), shape));
            }
        }
        let drawn = shapes.into_iter().map(|(name, shape)| {
            let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product::<usize>())
                .map(|_| centre + rng.random_range(-0.1..0.1_f32));
            (format!("{name}.weight"), shape, values.collect())
        });
        Self(drawn.collect())
    }

    fn child(&self, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let noised = self.0.iter().map(|(name, shape, values)| {
            let values = values.iter().map(|x| x + rng.random_range(-0.05..0.05_f32));
            (name.clone(), shape.clone(), values.collect())
        });
        Self(noised.collect())
    }

    /// As files of a repository, the weights in `shards` files.
    fn files(&self, shards: usize) -> Vec<(String, Vec<u8>)> {
        let config = json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCAB,
            "hidden_size": HIDDEN, "intermediate_size": UNITS, "num_hidden_layers": LAYERS,
            "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        let mut files = vec![("config.json".to_owned(), config.to_string().into_bytes())];
        if shards == 1 {
            files.push(("model.safetensors".to_owned(), safetensors(&self.0)));
            return files;
        }
        let mut map = serde_json::Map::new();
        for (place, part) in self.0.chunks(self.0.len().div_ceil(shards)).enumerate() {
            let file = format!("model-{:05}-of-{shards:05}.safetensors", place + 1);
            for (name, ..) in part {
                map.insert(name.clone(), json!(file));
            }
            files.push((file, safetensors(part)));
        }
        let index = json!({"metadata": {}, "weight_map": map});
        files.push((INDEX.to_owned(), index.to_string().into_bytes()));
        files
    }
}

fn safetensors(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        // The upper half of an f32 is a bf16.
        data.extend(
            values
                .iter()
                .flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()),
        );
        let entry = json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string().into_bytes();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

fn put(hub: &Hub, repo: &str, files: &[(String, Vec<u8>)]) -> u64 {
    let listed: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(n, b)| (n.as_str(), b.as_slice()))
        .collect();
    let large: Vec<&str> = listed
        .iter()
        .map(|(n, _)| *n)
        .filter(|n| n.ends_with("safetensors"))
        .collect();
    hub.add(repo, &listed, &large);
    files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

fn write(folder: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

fn compare(hub: &Hub, place: &TempDir, args: &[&str]) -> Output {
    Command::cargo_bin("kinprobe")
        .unwrap()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("KINPROBE_CACHE", place.path().join("own"))
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_HUB_CACHE", place.path().join("hub"))
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("KINPROBE_DATA")
        .args(["compare", "--depth", "quick", "--sample", "2"])
        .args(["-o", place.path().join("report").to_str().unwrap()])
        .args(args)
        .output()
        .unwrap()
}

fn json_of(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn kin_and_strangers_on_a_hub_cost_a_small_share_of_their_bytes() {
    let hub = Hub::start(&[], &[]);
    let parent = Weights::random(1);
    let total =
        put(&hub, "a/parent", &parent.files(1)) + put(&hub, "a/child", &parent.child(2).files(3));
    put(&hub, "b/other", &Weights::random(3).files(1));
    let place = TempDir::new().unwrap();

    let plan = json_of(&compare(
        &hub,
        &place,
        &["hf:a/parent", "hf:a/child", "--dry-run", "--json"],
    ));
    let planned = plan["models"][0]["sample"]["bytes"].as_u64().unwrap();
    assert!(planned > 0 && planned <= 2 << 20, "{plan}");
    let before = hub.take_sent();
    assert!(before < 150_000, "a plan needs headers only: {before}");
    let text = compare(&hub, &place, &["hf:a/parent", "hf:a/child", "--dry-run"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("a sample is read") && text.contains("budget 2.1 MB"),
        "{text}"
    );
    hub.take_sent();

    let result = json_of(&compare(
        &hub,
        &place,
        &["hf:a/parent", "hf:a/child", "--json"],
    ));
    let sent = hub.take_sent();
    assert!(before + sent < total / 4, "{before} + {sent} of {total}");
    let lineage = &result["findings"]["lineage"];
    assert_eq!(lineage["conclusion"], "related", "{lineage}");
    assert_eq!(lineage["decided_by"], "weight.row_matching", "{lineage}");
    assert_eq!(lineage["log10_lr"], Value::Null);
    let sampled = &result["coverage"]["sampled"];
    assert_eq!(sampled[0]["bytes"].as_u64(), Some(planned));
    assert!(
        sampled[0]["digests"]
            .as_str()
            .unwrap()
            .contains("not checked")
    );
    for row in result["evidence"].as_array().unwrap() {
        assert_ne!(row["status"], "failed", "{row}");
        if row["id"] == "weight.std_profile" {
            assert!(
                row["reason"]
                    .as_str()
                    .unwrap()
                    .contains("not in the sample")
            );
        }
    }
    let weights = result["models"][1]["files"].as_array().unwrap().iter();
    let mut weights =
        weights.filter(|file| file["name"].as_str().unwrap().ends_with("safetensors"));
    assert!(
        weights
            .all(|file| file["digest"] == "listed" && file["sha256"].as_str().unwrap().len() == 64)
    );
    let page = std::fs::read_to_string(place.path().join("report/index.html")).unwrap();
    assert!(page.contains("sampled"));

    // What an earlier run kept is not asked for again.
    let again = compare(&hub, &place, &["hf:a/parent", "hf:a/child"]);
    assert!(hub.take_sent() < 1000);
    assert!(String::from_utf8(again.stdout).unwrap().contains("sampled"));

    let result = json_of(&compare(
        &hub,
        &place,
        &["hf:a/parent", "hf:b/other", "--json"],
    ));
    let lineage = &result["findings"]["lineage"];
    assert_eq!(lineage["conclusion"], "undetermined", "{lineage}");
}

#[test]
fn a_local_folder_gives_the_numbers_of_the_same_model_on_the_hub() {
    let hub = Hub::start(&[], &[]);
    let parent = Weights::random(1);
    let (one, other) = (parent.files(3), parent.child(2).files(1));
    put(&hub, "a/parent", &one);
    put(&hub, "a/child", &other);
    let (place, here) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(here.path(), &one);
    let local = here.path().to_str().unwrap();
    let from_hub = json_of(&compare(
        &hub,
        &place,
        &["hf:a/parent", "hf:a/child", "--json"],
    ));
    let from_disk = json_of(&compare(&hub, &place, &[local, "hf:a/child", "--json"]));
    let numbers = |result: &Value| -> Vec<(Value, Value)> {
        let rows = result["evidence"].as_array().unwrap().iter();
        rows.map(|row| (row["statistic"].clone(), row["log10_p"].clone()))
            .collect()
    };
    assert_eq!(numbers(&from_hub), numbers(&from_disk));
    assert!(
        from_disk["coverage"]["sampled"][0]["digests"]
            .as_str()
            .unwrap()
            .contains("not known")
    );
    assert_eq!(from_disk["models"][0]["files"][1]["sha256"], "");
}

#[test]
fn a_server_without_ranges_is_refused_with_the_way_out() {
    let hub = Hub::start(&[], &[]);
    put(&hub, "a/parent", &Weights::random(1).files(1));
    hub.fault("model.safetensors", Fault::IgnoreRange);
    let place = TempDir::new().unwrap();
    let output = compare(&hub, &place, &["hf:a/parent", "zoo:base-a"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.lines().count()),
        (Some(7), 1),
        "{said}"
    );
    assert!(
        said.contains("model.safetensors") && said.contains("--depth standard"),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn an_interrupted_sample_is_taken_up_and_never_passes_for_a_file() {
    let hub = Hub::start(&[], &[]);
    put(&hub, "owner/name", &Weights::random(1).files(1));
    let place = TempDir::new().unwrap();
    let options = |sample| OpenOptions {
        sample,
        hub: HubOptions {
            endpoint: hub.endpoint.clone(),
            cache: Some(place.path().join("hub")),
            retries: 0,
            token: Secret::new("hf_AbCdEfCanary"),
            ..HubOptions::default()
        },
        ..OpenOptions::default()
    };
    hub.require_token("hf_AbCdEfCanary");
    let open = |sample| kinprobe::source::open(&"hf:owner/name".parse().unwrap(), &options(sample));
    let sampled = open(Some(1 << 20)).unwrap();
    let parts = sampled.parts.unwrap();
    let wanted = [(0, 100_000..200_000), (0, 300_000..310_000)];
    hub.fault("model.safetensors", Fault::TruncateOnce(10));
    let broken = parts
        .fetch(&wanted, &kinprobe::source::Silent)
        .unwrap_err()
        .to_string();
    assert!(
        broken.contains("model.safetensors: ") && broken.contains("run again"),
        "{broken}"
    );
    hub.take_sent();
    parts.fetch(&wanted, &kinprobe::source::Silent).unwrap();
    assert!(hub.take_sent() <= 110_000);
    let log = hub.take_log();
    assert!(
        log.iter()
            .filter(|r| r.storage)
            .all(|r| r.authorization.is_none())
    );
    let mut bytes = vec![0; 10_000];
    assert!(parts.read_at(0, &mut bytes, 300_000).unwrap());
    assert!(!parts.read_at(0, &mut bytes, 250_000).unwrap());

    // Below the bound, and at other depths, the file is fetched and checked as a whole.
    let whole = open(Some(1 << 30)).unwrap();
    assert!(whole.parts.is_none() && whole.weights[0].sha256.len() == 64);
    assert_eq!(open(None).unwrap().digest(), whole.digest());
    // With the whole file in the cache nothing more is asked for.
    hub.take_sent();
    let parts = open(Some(1 << 20)).unwrap().parts.unwrap();
    parts.fetch(&wanted, &kinprobe::source::Silent).unwrap();
    assert!(hub.take_sent() < 1000);
}
