//! Mapping what was renamed back onto what it was made from.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::super::super::fixtures;
use super::super::super::fixtures::MODELS;
use super::launder;
use super::options;
use super::steps;
use super::weights;
use crate::model::Model;
use crate::model::mapping;
use crate::model::mapping::Clarity;
use crate::model::mapping::How;
use crate::model::mapping::Mapping;
use crate::model::mapping::WriteError;
use crate::model::store::NumberFormat;

/// A laundered copy and the true tensor of each role.
fn laundered(model: &Model, text: &str, out: &Path) -> (Model, BTreeMap<String, String>) {
    let report = launder(model, &steps(text), &options(5), out).expect(text);
    (fixtures::open(out), report.names)
}

/// The tensor that a mapping gives each role.
fn assigned(mapping: &Mapping) -> BTreeMap<String, String> {
    let pairs = mapping.pairs.iter();
    pairs
        .flat_map(|pair| {
            let roles = pair.roles.keys();
            roles.map(|role| (role.to_string(), pair.tensor.clone()))
        })
        .collect()
}

/// Rewrites a folder's one weight file: other names, and every matrix turned that `turn` picks.
fn rewritten(
    model: &Model,
    from: &Path,
    out: &Path,
    rename: impl Fn(&str) -> String,
    turn: impl Fn(usize, &str) -> bool,
) -> Model {
    std::fs::create_dir(out).expect("folder");
    let store = model.weights.store();
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (place, (name, info)) in store.iter().enumerate() {
        let mut values = store.elements(name, 0..info.elements).expect("numbers");
        let mut shape = info.shape.clone();
        if let [rows, columns] = info.shape[..]
            && turn(place, name)
        {
            values = (0..values.len())
                .map(|at| values[at % rows * columns + at / rows])
                .collect();
            shape.reverse();
        }
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        tensors.insert(rename(name), (shape, bytes));
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor");
        (name.as_str(), view)
    });
    let bytes = safetensors::serialize(views, None).expect("a file");
    std::fs::write(out.join("model.safetensors"), bytes).expect("writes");
    std::fs::copy(from.join("config.json"), out.join("config.json")).expect("config");
    fixtures::open(out)
}

fn map(suspect: &Model, reference: &Model) -> Mapping {
    mapping::map(&suspect.weights, &reference.weights).expect("a mapping")
}

/// Written with the reference's names, it says what the reference says.
fn assert_same_function(suspect: &Model, reference: &Model, mapping: &Mapping, out: &Path) {
    let written = mapping::write(suspect, reference, mapping, out, 3).expect("written");
    assert!(
        written.logit_distance < 1e-5,
        "{:?} {written:?}",
        reference.family
    );
    assert_eq!(written.top1_agreement, 1.0);
    let opened = fixtures::open(out);
    assert_eq!(opened.family, reference.family);
    let names = |model: &Model| -> Vec<String> {
        model.weights.store().names().map(str::to_owned).collect()
    };
    assert_eq!(names(&opened), names(reference));
}

#[test]
fn anonymous_tensors_of_every_family_find_their_roles() {
    for (seed, name) in (1..).zip(MODELS) {
        let place = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, seed, place.path());
        for text in [
            "rename=anonymous",
            "rename=random",
            "permute-units,permute-heads,rename=random",
        ] {
            let out = place.path().join(text);
            let (renamed, names) = laundered(&model, text, &out);
            assert!(mapping::lacks_roles(&renamed, &model), "{name}");
            let mapping = map(&renamed, &model);
            assert_eq!(assigned(&mapping), names, "{name} {text}");
            assert!(mapping.only_suspect.is_empty() && mapping.only_reference.is_empty());
            assert_eq!(mapping.clarity(), Clarity::Clear, "{name} {text}");
            assert_same_function(&renamed, &model, &mapping, &out.join("back"));
            let bound = mapping::bind(&renamed, &model, &mapping);
            assert_eq!(bound.spec.as_ref(), model.spec.as_ref(), "{name} {text}");
            assert_ne!(bound.identity(), renamed.identity());
            assert!(!mapping::lacks_roles(&bound, &model));
        }
    }
}

#[test]
fn turned_matrices_are_found_and_turned_back() {
    for (seed, name) in (20..).zip(MODELS) {
        let place = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, seed, place.path());
        let rename = |tensor: &str| {
            format!(
                "onnx::{:x}",
                super::super::super::dice::fnv1a(tensor.as_bytes())
            )
        };
        let out = place.path().join("turned");
        let turned = rewritten(&model, place.path(), &out, rename, |at, _| at % 3 != 0);
        let mapping = map(&turned, &model);
        for pair in &mapping.pairs {
            assert_eq!(pair.tensor, rename(&pair.reference), "{name}");
            assert_eq!(pair.how, How::Content);
        }
        assert!(mapping.pairs.iter().any(|pair| pair.transposed));
        assert!(mapping.only_reference.is_empty(), "{mapping:?}");
        assert_same_function(&turned, &model, &mapping, &place.path().join("back"));
    }
}

#[test]
fn a_changed_beginning_or_pattern_is_a_rule() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    // Llama3-V: the language model within another module.
    let out = place.path().join("within");
    let within = rewritten(
        &model,
        place.path(),
        &out,
        |name| format!("llm.{name}"),
        |_, _| false,
    );
    let mapping = map(&within, &model);
    assert_eq!(mapping.rules, ["the beginning `llm.` for ``"]);
    assert_eq!(mapping.by(How::Rule), mapping.pairs.len());
    assert_eq!(mapping.clarity(), Clarity::Names);
    assert_same_function(&within, &model, &mapping, &place.path().join("within-back"));
    // Yi: two norms with other names, in a config that does not know them.
    let out = place.path().join("two");
    let two = rewritten(
        &model,
        place.path(),
        &out,
        |name| {
            name.replace("input_layernorm", "norm_a")
                .replace("post_attention_layernorm", "norm_b")
        },
        |_, _| false,
    );
    let mapping = map(&two, &model);
    assert_eq!(mapping.by(How::Rule), 6, "{:?}", mapping.rules);
    assert_eq!(mapping.by(How::Name), mapping.pairs.len() - 6);
    for pair in mapping.pairs.iter().filter(|pair| pair.how == How::Rule) {
        assert_eq!(
            pair.tensor.contains("norm_a"),
            pair.reference.contains("input_layernorm")
        );
        assert!(
            pair.support
                .distance
                .expect("rivals were held against each other")
                < 1e-6
        );
    }
    assert_same_function(&two, &model, &mapping, &place.path().join("two-back"));
    // Other words everywhere, turned: names bring them together, content turns the square ones.
    let out = place.path().join("words");
    let words = rewritten(
        &model,
        place.path(),
        &out,
        |name| {
            name.replace("model.layers", "body")
                .replace("self_attn", "mix")
        },
        |_, name| name.contains("proj.weight"),
    );
    let mapping = map(&words, &model);
    assert!(mapping.by(How::Rule) >= 3 * 12, "{}", mapping.summary());
    assert_same_function(&words, &model, &mapping, &place.path().join("words-back"));
}

#[test]
fn where_gains_of_layers_are_equal_the_matrices_of_a_layer_decide() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let mut ones = weights(&model);
    for (_, gain) in ones.iter_mut().filter(|(role, _)| role.part.is_norm()) {
        gain.values.fill(1.0);
    }
    let mut checkpoint = super::super::super::checkpoint::tests::small();
    checkpoint.config = fixtures::config("llama");
    checkpoint.weights = ones;
    checkpoint.storage.dtype = NumberFormat::F32;
    let folder = place.path().join("ones");
    checkpoint.write(&folder).expect("writes");
    let model = fixtures::open(&folder);
    // Layers count backwards, from another number, in names that sort otherwise.
    let rename = |name: &str| match name.split('.').collect::<Vec<_>>()[..] {
        ["model", "layers", layer, .., part, kind] => {
            let layer: usize = layer.parse().expect("a number");
            let part: String = part.chars().rev().collect();
            format!("block_{}/{part}/{kind}", 7 - layer)
        }
        _ => name.chars().rev().collect(),
    };
    let out = place.path().join("renamed");
    let renamed = rewritten(&model, &folder, &out, rename, |_, _| false);
    let mapping = map(&renamed, &model);
    for pair in &mapping.pairs {
        let (ours, theirs) = (pair.tensor.as_str(), rename(&pair.reference));
        let layer = |name: &str| name.split('/').next().map(str::to_owned);
        assert_eq!(layer(ours), layer(&theirs), "{pair:?}");
        let gain = pair.reference.contains("norm");
        assert!(gain || ours == theirs, "{pair:?}");
    }
    assert_same_function(&renamed, &model, &mapping, &place.path().join("back"));
}

#[test]
fn other_depths_leave_tensors_over_and_invent_none() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("qwen3", 3, place.path());
    let (shallow, _) = laundered(
        &model,
        "drop-layers=1,rename=random",
        &place.path().join("less"),
    );
    let mapping = map(&shallow, &model);
    assert!(mapping.only_suspect.is_empty());
    let per_layer = mapping.only_reference.len();
    assert_eq!(per_layer, 11, "{:?}", mapping.only_reference);
    let layer = |name: &String| name.split('.').nth(2).map(str::to_owned);
    let first = layer(&mapping.only_reference[0]);
    assert!(
        mapping
            .only_reference
            .iter()
            .all(|name| layer(name) == first)
    );
    let bound = mapping::bind(&shallow, &model, &mapping);
    let spec = bound.spec.as_ref().expect("it is whole, with a layer less");
    assert_eq!(spec.num_hidden_layers, 2);
    let error = mapping::write(&shallow, &model, &mapping, &place.path().join("no"), 0);
    assert!(
        matches!(error, Err(WriteError::Incomplete { .. })),
        "{error:?}"
    );
    let (deep, _) = laundered(
        &model,
        "duplicate-layers=1,rename=random",
        &place.path().join("more"),
    );
    let mapping = map(&deep, &model);
    assert!(mapping.only_reference.is_empty());
    assert_eq!(mapping.only_suspect.len(), 11);
    assert_same_function(&deep, &model, &mapping, &place.path().join("more-back"));
}

#[test]
fn strangers_are_assigned_completely_and_without_support() {
    let place = tempfile::tempdir().expect("folder");
    let folders = ["one", "two"].map(|name| place.path().join(name));
    for folder in &folders {
        std::fs::create_dir(folder).expect("folder");
    }
    let one = fixtures::model("llama", 1, &folders[0]);
    let two = fixtures::model("llama", 2, &folders[1]);
    let (renamed, _) = laundered(&two, "rename=random", &place.path().join("renamed"));
    let mapping = map(&renamed, &one);
    assert!(mapping.only_suspect.is_empty() && mapping.only_reference.is_empty());
    assert_ne!(mapping.clarity(), Clarity::Clear);
    assert!(mapping::bind(&renamed, &one, &mapping).spec.is_ok());
}

#[test]
fn models_of_other_shapes_share_no_tensor() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 1, place.path());
    let mut config = fixtures::config("qwen3");
    config.insert("hidden_size".to_owned(), 32.into());
    config.insert("intermediate_size".to_owned(), 28.into());
    config.insert("head_dim".to_owned(), 10.into());
    let folder = place.path().join("wide");
    std::fs::create_dir(&folder).expect("folder");
    let wide = fixtures::from_config(&config, 2, &folder);
    let (renamed, _) = laundered(&wide, "rename=random", &place.path().join("renamed"));
    let mapping = map(&renamed, &model);
    assert_eq!(mapping.pairs, []);
    assert_eq!(mapping.summary(), "none; names alone decided");
}
