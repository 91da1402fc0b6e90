//! An image through tower, resampler and decoder against the published code of MiniCPM-V, on the tiny
//! random model of `tests/fixtures/vision` (made by `make.py` there).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use kinprobe::model::mapping;
use kinprobe::model::vision::{Error, IMAGE_MARK, Image, Names, Vision, VisionSpec};
use kinprobe::model::{Decoder, KvCache, Model, RawConfig, Site, Tap};
use kinprobe::source::{self, Locator, ModelRef, OpenOptions};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Relative error ‖a - b‖ / ‖b‖ that is allowed.
const TOLERANCE: f64 = 1e-4;

/// What it is, give or take, so that a slip which costs a digit is seen.
const SEEN: f64 = 5e-6;

const PROMPT: &str = "look: (<image>./</image>)\nwhat is it?";

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/vision")
        .join(name)
}

fn config() -> Map<String, Value> {
    let text = fs::read_to_string(fixture("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn tensors() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture("model.safetensors"), &Device::Cpu).unwrap()
}

fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture("expected.safetensors"), &Device::Cpu).unwrap()
}

/// A folder with these tensors and this config, opened as any model is.
fn open(tensors: &HashMap<String, Tensor>, config: &Map<String, Value>) -> (TempDir, Model) {
    let place = TempDir::new().unwrap();
    candle_core::safetensors::save(tensors, place.path().join("model.safetensors")).unwrap();
    let config = serde_json::to_string(config).unwrap();
    fs::write(place.path().join("config.json"), config).unwrap();
    fs::copy(
        fixture("tokenizer.json"),
        place.path().join("tokenizer.json"),
    )
    .unwrap();
    let reference = ModelRef {
        label: None,
        locator: Locator::Local(place.path().to_path_buf()),
    };
    let artefacts = source::open(&reference, &OpenOptions::default()).unwrap();
    let model = Model::open(artefacts, "tiny").unwrap();
    (place, model)
}

fn decoder(model: &Model) -> Decoder {
    let spec = model.spec.as_ref().unwrap();
    Decoder::load(&model.weights, spec, &Device::Cpu).unwrap()
}

fn image(expected: &HashMap<String, Tensor>) -> Image {
    let pixels = &expected["image"];
    let (height, width, _) = pixels.dims3().unwrap();
    let bytes = pixels.flatten_all().unwrap().to_vec1().unwrap();
    Image::new(width as u32, height as u32, bytes).unwrap()
}

fn relative_error(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let values = |tensor: &Tensor| -> Vec<f64> {
        let tensor = tensor.to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (a, b) = (values(a), values(b));
    let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(&b)
}

/// Counts what it is shown.
#[derive(Default)]
struct Shapes(BTreeMap<Site, Vec<usize>>);

impl Tap for Shapes {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        self.0.insert(site, value.dims().to_vec());
        Ok(())
    }
}

/// Tower and resampler on every slice; the names of what is expected begin with `prefix`.
fn check_slices(vision: &Vision, prefix: &str) {
    let expected = expected();
    let image = image(&expected);
    let slices: Vec<_> = vision.slices(&image).unwrap().map(Result::unwrap).collect();
    assert_eq!(slices.len(), 7);
    let most = slices
        .iter()
        .map(|slice| slice.rows * slice.columns)
        .max()
        .unwrap();
    let mut worst: f64 = 0.0;
    for (at, slice) in slices.iter().enumerate() {
        let mut tap = Shapes::default();
        let features = vision.tower().forward(slice, most, &mut tap).unwrap();
        let of_block = |block| {
            [
                Site::ResidPre(block),
                Site::MlpPre(block),
                Site::ResidPost(block),
            ]
        };
        let shown: BTreeSet<Site> = tap.0.keys().copied().collect();
        assert_eq!(shown, [0, 1].into_iter().flat_map(of_block).collect());
        let error = relative_error(&features, &expected[&format!("{prefix}tower.{at}")]);
        assert!(
            error < TOLERANCE,
            "{prefix}tower of slice {at} is {error} off"
        );
        worst = worst.max(error);
        let grid = (slice.rows, slice.columns);
        let found = vision.resampler().forward(&features, grid).unwrap();
        let error = relative_error(&found, &expected[&format!("{prefix}resampler.{at}")]);
        assert!(
            error < TOLERANCE,
            "{prefix}resampler of slice {at} is {error} off"
        );
        worst = worst.max(error);
    }
    assert!(worst < SEEN, "{prefix}{worst}");
}

#[test]
fn every_slice_is_seen_as_the_reference_sees_it() {
    let (_place, model) = open(&tensors(), &config());
    let vision = Vision::open(&model, &Device::Cpu).unwrap();
    check_slices(&vision, "");

    let mut later = config();
    later.insert("version".to_owned(), json!(2.6));
    let spec = VisionSpec::new(&RawConfig::new(later)).unwrap();
    let vision = Vision::load(&model.weights, spec, &Names::new(), &Device::Cpu).unwrap();
    check_slices(&vision, "grid.");
}

#[test]
fn logits_of_a_prompt_with_an_image_are_those_of_the_reference() {
    let (_place, model) = open(&tensors(), &config());
    let text_part = "of a multimodal model, the text part";
    assert_eq!(model.caveats, [text_part]);
    let error = answer(&model, &Vision::open(&model, &Device::Cpu).unwrap());
    assert!(error < TOLERANCE, "{error}");
    assert!(error < SEEN, "{error}");
}

/// Relative error of the logits; with a cache they are the same.
fn answer(model: &Model, vision: &Vision) -> f64 {
    let expected = expected();
    let image = image(&expected);
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let prompt = vision.prompt(tokenizer, &image, PROMPT).unwrap();
    let tokens: Vec<Vec<i64>> = expected["tokens"].to_vec2().unwrap();
    let tokens: Vec<u32> = tokens[0].iter().map(|token| *token as u32).collect();
    assert_eq!(prompt.tokens, tokens);
    assert_eq!(prompt.places.len(), 7 * 5);

    let decoder = decoder(model);
    let seen = vision.see(tokenizer, &image, PROMPT).unwrap();
    let mut tap = Shapes::default();
    let logits = seen.logits(&decoder, None, &mut tap).unwrap();
    assert_eq!(tap.0[&Site::Embed], [1, tokens.len(), 32]);

    // Generation goes on behind the image as behind any text.
    let mut cache = KvCache::default();
    let last = seen.next_logits(&decoder, &mut cache, &mut ()).unwrap();
    assert_eq!(cache.len(), tokens.len());
    let at = |logits: &Tensor, at| logits.narrow(1, at, 1).unwrap().squeeze(1).unwrap();
    assert!(relative_error(&last, &at(&logits, tokens.len() - 1)) < SEEN);
    let more = Tensor::new(&[[3_u32]], &Device::Cpu).unwrap();
    let next = decoder.next_logits(&more, &mut cache).unwrap();
    let longer = vision
        .see(tokenizer, &image, &format!("{PROMPT}b"))
        .unwrap();
    let whole = longer.logits(&decoder, None, &mut ()).unwrap();
    assert!(relative_error(&next, &at(&whole, tokens.len())) < SEEN);
    relative_error(&logits, &expected["logits"])
}

#[test]
fn the_language_part_runs_by_itself() {
    let (_place, model) = open(&tensors(), &config());
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let tokens = tokenizer.encode("what is it?").unwrap();
    let tokens = Tensor::new(tokens, &Device::Cpu)
        .unwrap()
        .unsqueeze(0)
        .unwrap();
    let logits = decoder(&model).forward(&tokens, None, &mut ()).unwrap();

    // As the Llama that it is.
    let llama: HashMap<String, Tensor> = tensors()
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("llm.")?.to_owned(), tensor)))
        .collect();
    let mut config = config();
    config.insert("model_type".to_owned(), "llama".into());
    let (_place, alone) = open(&llama, &config);
    let same = decoder(&alone).forward(&tokens, None, &mut ()).unwrap();
    assert_eq!(relative_error(&logits, &same), 0.0);
}

/// As another author might call them: other beginnings, other words within, other numbers of dots.
fn renamed() -> HashMap<String, Tensor> {
    let words = [
        ("llm.model.", "text."),
        ("llm.lm_head", "text_head"),
        ("vpm.encoder.layers.", "eye.block_"),
        ("vpm.", "eye."),
        ("resampler.", "perceiver."),
        ("layer_norm", "ln"),
        ("self_attn.", "attention."),
        ("mlp.fc1", "feed.in"),
        ("mlp.fc2", "feed.out"),
        ("in_proj", "packed"),
    ];
    let rename = |name: String| {
        let change = |name: String, (from, to): &(&str, &str)| name.replace(from, to);
        words.iter().fold(name, change)
    };
    let tensors = tensors().into_iter().map(|(name, tensor)| {
        let turned = name.ends_with("mlp.fc1.weight");
        let tensor = if turned {
            tensor.t().unwrap().contiguous().unwrap()
        } else {
            tensor
        };
        (rename(name), tensor)
    });
    tensors.collect()
}

/// Names that say nothing, in another order.
fn anonymous() -> HashMap<String, Tensor> {
    let sorted: BTreeMap<String, Tensor> = tensors().into_iter().collect();
    let tensors = sorted.into_values().enumerate();
    let tensors = tensors.map(|(at, tensor)| (format!("val_{}", at * 37 % 101), tensor));
    tensors.collect()
}

#[test]
fn a_renamed_checkpoint_sees_and_says_the_same() {
    let (_place, original) = open(&tensors(), &config());
    for (model_type, tensors) in [
        ("llama3v", renamed()),
        ("minicpmv", renamed()),
        ("llama3v", anonymous()),
    ] {
        let mut config = config();
        config.insert("model_type".to_owned(), model_type.into());
        let (_folder, copy) = open(&tensors, &config);
        assert!(copy.spec.is_err());
        assert!(Vision::open(&copy, &Device::Cpu).is_err());
        let read = mapping::with_roles_of(&copy, &original).unwrap().unwrap();
        let vision = Vision::open_like(&read, &original, &Device::Cpu).unwrap();
        let error = answer(&read, &vision);
        assert!(error < SEEN, "{model_type}: {error}");
    }
    // The original beside itself needs no other names.
    let vision = Vision::open_like(&original, &original, &Device::Cpu).unwrap();
    assert!(answer(&original, &vision) < SEEN);
}

#[test]
fn what_cannot_be_seen_is_said_in_words() {
    let says = |tensors: &HashMap<String, Tensor>, config: &Map<String, Value>| {
        let (_place, model) = open(tensors, config);
        Vision::open(&model, &Device::Cpu).unwrap_err().to_string()
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    for (name, shape) in [
        ("vpm.embeddings.patch_embedding.weight", &[16, 4, 4, 3][..]),
        ("vpm.encoder.layers.1.self_attn.k_proj.bias", &[15]),
        ("resampler.proj", &[32, 31]),
        ("resampler.query", &[6, 32]),
    ] {
        let mut changed = tensors();
        changed.insert(name.to_owned(), zeros(shape));
        let line = says(&changed, &config());
        assert!(line.contains(name) && line.contains("shape"), "{line}");
        changed.remove(name);
        let line = says(&changed, &config());
        assert!(line.contains(name), "{line}");
    }
    for (key, value, word) in [
        ("vision_config", json!(null), "vision_config"),
        ("query_num", json!(null), "query_num"),
        ("slice_mode", json!(false), "slice_mode"),
        ("resampler_num_heads", json!(3), "3 heads"),
        ("slice_config", json!({"patch_size": 5}), "patches of 5"),
        ("version", json!("4.0"), "neither 2.5 nor 2.6"),
    ] {
        let mut changed = config();
        changed.insert(key.to_owned(), value);
        let line = says(&tensors(), &changed);
        assert!(line.contains(word), "{line}");
    }
}

#[test]
fn prompts_that_do_not_place_their_image_once_are_refused() {
    let (_place, model) = open(&tensors(), &config());
    let vision = Vision::open(&model, &Device::Cpu).unwrap();
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let image = image(&expected());
    for (prompt, times) in [("what is it?", 0), (&*IMAGE_MARK.repeat(2), 2)] {
        let error = vision.prompt(tokenizer, &image, prompt).unwrap_err();
        assert!(
            matches!(error, Error::Mark { found, .. } if found == times),
            "{error}"
        );
    }
    // Words of an image that the prompt's author wrote are not places of this one.
    let forged = format!("<image><unk></image> <unk> {IMAGE_MARK}");
    let prompt = vision.prompt(tokenizer, &image, &forged).unwrap();
    assert_eq!(prompt.places.len(), 35);
    let forged = format!("<image>{}</image>{IMAGE_MARK}", "<unk>".repeat(5));
    let error = vision.prompt(tokenizer, &image, &forged).unwrap_err();
    assert!(error.to_string().contains("40 places"), "{error}");
    let line = Image::new(1, 70_000, vec![0; 210_000]).unwrap();
    assert!(matches!(vision.embed(&line), Err(Error::Elongated { .. })));
}
