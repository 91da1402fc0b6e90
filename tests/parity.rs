//! Logits and residual streams against those of Hugging Face's `transformers`, on the tiny random
//! models of `tests/fixtures/parity` (made by `make.py` there).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::quantized_llama;
use kinprobe::model::arch::{self, Description};
use kinprobe::model::store::{Error, plan};
use kinprobe::model::{Decoder, KvCache, RawConfig, Site, Tap, TensorStore, Tokenizer, Weights};
use kinprobe::source::Format;
use serde_json::Value;

use crate::equivalence::as_gguf;

/// Relative error ‖a - b‖ / ‖b‖ that is allowed.
const TOLERANCE: f64 = 1e-4;

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    let entries = fs::read_dir(&root).expect("fixtures are there");
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Every way in which a folder's model is stored: its weights with each of its configs, and GGUF.
fn variants(folder: &Path) -> Vec<(String, RawConfig, TensorStore)> {
    let mut found = Vec::new();
    let open = |name: &str, format| {
        let path = folder.join(name);
        TensorStore::open_files([path.as_path()], format).expect("opens")
    };
    for name in ["config.json", "config.transformers4.json"] {
        if let Ok(text) = fs::read_to_string(folder.join(name)) {
            let map = serde_json::from_str(&text).expect("JSON");
            let store = open("model.safetensors", Format::Safetensors);
            found.push((name.to_owned(), RawConfig::new(map), store));
        }
    }
    if folder.join("model.gguf").exists() {
        let store = open("model.gguf", Format::Gguf);
        let config = RawConfig::from_gguf(&store).expect("metadata");
        found.push(("model.gguf".to_owned(), config, store));
    }
    found
}

fn describe(config: &RawConfig, store: &TensorStore) -> Description {
    let description = arch::describe(config, store).expect("a config that makes sense");
    description.expect("a known architecture")
}

fn load(description: &Description, store: TensorStore) -> Decoder {
    let (weights, unbound) = Weights::new(store, &description.bindings);
    assert_eq!(unbound, [], "every role is bound");
    let readings = description.readings(&weights, &[]);
    assert_eq!(readings.spec.err(), None);
    Decoder::load(&weights, &description.spec, &Device::Cpu).expect("loads")
}

/// Keeps what is asked for.
struct Keep<'a> {
    wanted: &'a BTreeSet<Site>,
    seen: BTreeMap<Site, Tensor>,
}

impl Tap for Keep<'_> {
    fn wants(&self, site: Site) -> bool {
        self.wanted.contains(&site)
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        self.seen.insert(site, value.clone());
        Ok(())
    }
}

fn relative_error(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let values = |tensor: &Tensor| -> Vec<f64> {
        let tensor = tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all());
        tensor.and_then(|t| t.to_vec1()).expect("floats")
    };
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (a, b) = (values(a), values(b));
    let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(&b)
}

#[test]
fn logits_and_residuals_are_those_of_transformers() {
    let mut families = BTreeSet::new();
    let (mut checked, mut wrong) = (0, Vec::new());
    for folder in fixtures() {
        let name = folder.file_name().expect("a name").to_string_lossy();
        let expected = folder.join("expected.safetensors");
        let mut expected =
            candle_core::safetensors::load(expected, &Device::Cpu).expect("expected values");
        let tokens = expected.remove("tokens").expect("tokens");
        let tokens = tokens.to_dtype(DType::U32).expect("small ids");
        let wanted: BTreeSet<Site> = expected
            .keys()
            .map(|name| name.parse().expect("a site"))
            .collect();
        for (variant, config, store) in variants(&folder) {
            let description = describe(&config, &store);
            let spec = &description.spec;
            if spec.caveats != caveats(&name, &variant) {
                wrong.push(format!("{name}/{variant}: {:?}", spec.caveats));
            }
            let logits = usize::from(spec.kind.has_head());
            assert_eq!(wanted.len(), spec.num_hidden_layers + 1 + logits);
            families.insert(spec.family);
            let decoder = load(&description, store);
            let mut tap = Keep {
                wanted: &wanted,
                seen: BTreeMap::new(),
            };
            decoder.forward(&tokens, None, &mut tap).expect("runs");
            for (site, value) in &tap.seen {
                let error = relative_error(value, &expected[&site.to_string()]);
                if error.is_nan() || error >= TOLERANCE {
                    wrong.push(format!("{name}/{variant}: {site} is {error} off"));
                }
                checked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Those that are compared and not run have no oracle; that of MiniCPM-V is in `vision`, those of other
    // readers of pictures in `reading`.
    let others = ["minicpmv", "paddleocr-vl", "protein_mpnn", "trocr"];
    let run = |id: &&str| !others.contains(id);
    let all = arch::FAMILIES.iter().map(|family| family.id);
    let all: BTreeSet<&str> = all.filter(run).collect();
    assert_eq!(families, all, "every family has a fixture");
    assert!(checked > 150, "{checked}");
}

#[test]
fn a_gguf_file_says_what_its_origin_says() {
    let mut compared = 0;
    for folder in fixtures() {
        let mut maps = BTreeMap::new();
        for (variant, config, _) in variants(&folder) {
            maps.insert(variant, config.map().clone());
        }
        let (Some(gguf), Some(origin)) = (
            maps.get("model.gguf"),
            maps.get("config.transformers4.json")
                .or(maps.get("config.json")),
        ) else {
            continue;
        };
        for (key, value) in gguf {
            let Some(other) = origin.get(key) else {
                continue;
            };
            assert!(
                agree(value, other),
                "{}: {key} is {value}",
                folder.display()
            );
            compared += 1;
        }
        let shared = ["model_type", "vocab_size", "tie_word_embeddings"];
        assert!(shared.iter().all(|key| gguf.contains_key(*key)));
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn what_is_read_of_a_gguf_file_is_written_as_it_was() {
    let mut compared = 0;
    for folder in fixtures() {
        for (variant, config, store) in variants(&folder) {
            if variant != "model.gguf" {
                continue;
            }
            let description = describe(&config, &store);
            let (weights, _) = Weights::new(store, &description.bindings);
            let roles = description.spec.roles();
            let planned = plan(&roles, &description.bindings).expect("a plan");
            for tensor in planned {
                let values: Result<_, Error> =
                    tensor.values(&mut |role| Ok(weights.all(role).expect("reads")));
                let info = weights.store().info(&tensor.name).expect("is stored");
                let stored = weights.store().elements(&tensor.name, 0..info.elements);
                let at = format!("{}: {}", folder.display(), tensor.name);
                assert_eq!(values.expect("values"), stored.expect("reads"), "{at}");
                let axes = |shape: &[usize]| -> Vec<usize> {
                    shape.iter().copied().filter(|axis| *axis != 1).collect()
                };
                assert_eq!(axes(&tensor.shape), axes(&info.shape), "{at}");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

/// Whether two entries say the same; objects, where both say something.
fn agree(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut shared = a.iter().filter_map(|(key, a)| Some((a, b.get(key)?)));
            shared.all(|(a, b)| agree(a, b))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// What a fixture's config is expected to leave to say.
fn caveats(name: &str, variant: &str) -> &'static [&'static str] {
    match (name, variant == "model.gguf") {
        ("gemma3-vision", _) => &["of a multimodal model, the text part"],
        ("bert", false) => {
            &["2 stored tensors have no place in a bert model, the first is `pooler.dense.bias`"]
        }
        ("gpt-neox" | "gpt-neox-serial", true) => {
            &["a GGUF file of this family holds no rotary base: 10000 is taken, as llama.cpp does"]
        }
        ("deepseek-v2-gguf", true) => &[
            "the file does not say how groups of experts are ranked: by their best expert, as in \
             DeepSeek-V2",
            "the file holds one of YaRN's `mscale` and `mscale_all_dim`: both are taken to be it",
        ],
        ("deepseek-v3-gguf", true) => {
            &["the file holds one of YaRN's `mscale` and `mscale_all_dim`: both are taken to be it"]
        }
        _ => &[],
    }
}

#[test]
fn quantised_blocks_run_as_candle_transformers_runs_them() {
    let place = tempfile::tempdir().expect("folder");
    let path = place.path().join("base-a.gguf");
    as_gguf(&path, GgmlDType::Q4_1);
    let (tokenizer, decoder) = open_as_stored(&path);
    let mut oracle = Oracle::open(&path);
    for prompt in ["Question: Where does", "fn main() {"] {
        let prompt = tokenizer.encode(prompt).expect("encodes");
        assert_eq!(greedy(&decoder, &prompt, 32), oracle.greedy(&prompt, 32));
    }
}

/// Against candle-transformers' own quantised Llama, on a real file: set `KINPROBE_TEST_GGUF` to a
/// GGUF of Llama's architecture (SmolLM2-135M-Instruct) and run with `--ignored`.
///
/// Both multiply by the file's blocks with activations rounded to 8 bits or, with
/// `CANDLE_DEQUANTIZE_ALL=1`, both in f32.
#[test]
#[ignore = "needs a real GGUF file, named by KINPROBE_TEST_GGUF"]
#[expect(clippy::print_stdout, reason = "run by hand, for its figures")]
fn a_real_gguf_file_runs_as_candle_transformers_runs_it() {
    let path = std::env::var("KINPROBE_TEST_GGUF").expect("KINPROBE_TEST_GGUF names a file");
    let path = Path::new(&path);
    let (tokenizer, decoder) = open_as_stored(path);
    let mut oracle = Oracle::open(path);

    for prompt in [
        "The capital of France is",
        "Once upon a time",
        "def fibonacci(n):",
    ] {
        let prompt = tokenizer.encode(prompt).expect("encodes");
        let ours = greedy(&decoder, &prompt, 32);
        let theirs = oracle.greedy(&prompt, 32);
        let same = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
        println!(
            "{same} of 32: {:?}",
            tokenizer.decode(&ours).expect("decodes")
        );
        assert_eq!(same, 32);
    }

    let (mut agree, mut all) = (0, 0);
    let texts = [
        include_str!("../LICENSE-APACHE"),
        include_str!("../src/model/decoder.rs"),
    ];
    for text in texts {
        let tokens = tokenizer.encode(text).expect("encodes");
        for window in tokens[..500].chunks(250) {
            // The oracle gives the last position's logits only, so both go token by token.
            let ours = top_of_each(&decoder, window);
            let theirs = oracle.top_of_each(window);
            agree += ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
            all += window.len();
        }
    }
    println!("top-1 agreement {agree} of {all}");
    assert!(all >= 1000 && agree * 1000 >= all * 995, "{agree} of {all}");
}

fn open_as_stored(path: &Path) -> (Tokenizer, Decoder) {
    let store = TensorStore::open_files([path], Format::Gguf).expect("opens");
    let tokenizer = Tokenizer::from_gguf(store.metadata(), "file").expect("a tokenizer");
    let config = RawConfig::from_gguf(&store).expect("metadata");
    let description = describe(&config, &store);
    let (weights, unbound) = Weights::new(store, &description.bindings);
    assert_eq!(unbound, []);
    let decoder = Decoder::load_as_stored(&weights, &description.spec).expect("loads");
    (tokenizer, decoder)
}

/// The most likely continuation, one token at a time.
fn greedy(decoder: &Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut cache = KvCache::default();
    let mut next = |tokens: &[u32]| {
        let tokens = Tensor::new(tokens, &Device::Cpu).and_then(|t| t.unsqueeze(0));
        let logits = decoder.next_logits(&tokens.expect("tokens"), &mut cache);
        top(&logits.expect("runs"))
    };
    let mut found = vec![next(prompt)];
    while found.len() < count {
        let last = found[found.len() - 1];
        found.push(next(&[last]));
    }
    found
}

/// The most likely successor of each token.
fn top_of_each(decoder: &Decoder, tokens: &[u32]) -> Vec<u32> {
    let mut cache = KvCache::default();
    let mut next = |token: &u32| {
        let token = Tensor::new(&[[*token]], &Device::Cpu).expect("a token");
        top(&decoder.next_logits(&token, &mut cache).expect("runs"))
    };
    tokens.iter().map(&mut next).collect()
}

fn top(logits: &Tensor) -> u32 {
    let top = logits.flatten_all().and_then(|logits| logits.argmax(0));
    top.and_then(|top| top.to_scalar()).expect("an id")
}

struct Oracle(quantized_llama::ModelWeights);

impl Oracle {
    fn open(path: &Path) -> Self {
        let mut file = fs::File::open(path).expect("opens");
        let content = gguf_file::Content::read(&mut file).expect("GGUF");
        let model = quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu);
        Self(model.expect("Llama"))
    }

    fn next(&mut self, tokens: &[u32], position: usize) -> u32 {
        let tokens = Tensor::new(tokens, &Device::Cpu).and_then(|t| t.unsqueeze(0));
        let logits = self.0.forward(&tokens.expect("tokens"), position);
        top(&logits.expect("runs"))
    }

    fn greedy(&mut self, prompt: &[u32], count: usize) -> Vec<u32> {
        let mut found = vec![self.next(prompt, 0)];
        while found.len() < count {
            let last = found[found.len() - 1];
            found.push(self.next(&[last], prompt.len() + found.len() - 1));
        }
        found
    }

    fn top_of_each(&mut self, tokens: &[u32]) -> Vec<u32> {
        let positions = tokens.iter().enumerate();
        positions
            .map(|(at, token)| self.next(&[*token], at))
            .collect()
    }
}
