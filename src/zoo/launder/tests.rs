use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::super::checkpoint::Matrix;
use super::super::fixtures;
use super::super::fixtures::MODELS;
use super::Draft;
use super::Error;
use super::LAUNDERINGS;
use super::Options;
use super::Report;
use super::Step;
use super::TOLERANCE;
use super::launder;
use crate::model::Model;
use crate::model::Part;
use crate::model::Role;

fn steps(text: &str) -> Vec<Step> {
    let parsed = text.split(',').map(str::parse);
    parsed.collect::<Result<_, _>>().expect(text)
}

fn options(seed: u64) -> Options<'static> {
    Options {
        seed,
        ..Options::default()
    }
}

/// Launders into `folder/out`.
fn try_launder(model: &Model, text: &str, seed: u64, folder: &Path) -> Result<Report, Error> {
    let out = folder.join("out");
    if out.exists() {
        std::fs::remove_dir_all(&out).expect("removes");
    }
    launder(model, &steps(text), &options(seed), &out)
}

fn weights(model: &Model) -> BTreeMap<Role, Matrix> {
    Draft::of(model)
        .expect("a draft")
        .weights()
        .expect("weights")
}

/// Roles whose numbers are not those of `before`.
fn changed(before: &BTreeMap<Role, Matrix>, after: &BTreeMap<Role, Matrix>) -> Vec<Role> {
    let differ = |role: &&Role| before.get(role) != after.get(role);
    after.keys().filter(differ).copied().collect()
}

/// What each model of the fixtures is refused, and a word of the reason.
const REFUSED: &[(&str, &str, &str)] = &[
    ("baichuan2", "fold-gains", "norm one"),
    ("baichuan2", "rotate-residual", "norm one"),
    ("baichuan2", "shift-head", "norm one"),
    ("deepseek_v2", "rotate-query-key", "latent attention"),
    ("deepseek_v3", "rotate-query-key", "latent attention"),
    ("gemma3", "rotate-residual", "permute-residual is exact"),
    ("glm4", "rotate-residual", "permute-residual is exact"),
    ("glm4", "rotate-query-key", "two halves"),
    ("gpt2", "rescale-up-down", "not linear"),
    ("gpt_neox", "rescale-up-down", "not linear"),
    ("gpt_neox", "rotate-query-key", "two halves"),
    ("olmo2", "rotate-residual", "permute-residual is exact"),
    ("olmo2", "rotate-query-key", "over all heads"),
    ("olmo2", "scale-residual", "without a norm"),
];

/// Models of the fixtures with experts.
const SPARSE: &[&str] = &[
    "deepseek_v2",
    "deepseek_v3",
    "mixtral",
    "pangu_pro_moe",
    "qwen2_moe",
    "qwen3_moe",
];

fn refusal(model: &str, step: &str) -> Option<&'static str> {
    if step == "permute-experts" && !SPARSE.contains(&model) {
        return Some("no experts");
    }
    let mut known = REFUSED.iter();
    let found = known.find(|(m, s, _)| *m == model && *s == step);
    found.map(|(_, _, reason)| *reason)
}

/// The launderings that keep the function by other numbers.
const EXACT: &[&str] = &[
    "permute-units",
    "permute-heads",
    "permute-experts",
    "permute-residual",
    "fold-gains",
    "rotate-residual",
    "scale-residual",
    "rescale-up-down",
    "rescale-value-output",
    "rotate-query-key",
    "shift-head",
];

#[test]
fn what_keeps_the_function_keeps_it_or_is_refused_for_every_family() {
    for name in MODELS {
        let place = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, 3, place.path());
        let before = weights(&model);
        for step in EXACT {
            let done = try_launder(&model, step, 5, place.path());
            if let Some(word) = refusal(name, step) {
                let reason = done.expect_err(step).to_string();
                assert!(
                    reason.contains(word) && reason.starts_with(step),
                    "{reason}"
                );
                assert!(!place.path().join("out").exists());
                continue;
            }
            let report = done.unwrap_or_else(|error| panic!("{name} {step}: {error}"));
            let distance = report.distance.expect("measured");
            assert!(distance < TOLERANCE / 10.0, "{name} {step}: {distance}");
            assert!(report.exact);
            let after = fixtures::open(&place.path().join("out"));
            let changed = changed(&before, &weights(&after));
            assert!(
                changed.len() > usize::from(*step != "shift-head"),
                "{name} {step}"
            );
        }
    }
}

#[test]
fn each_laundering_moves_the_weights_it_names_and_no_others() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let before = weights(&model);
    for (step, parts) in [
        ("permute-units", &[Part::Gate, Part::Up, Part::Down][..]),
        (
            "permute-heads",
            &[Part::Query, Part::Key, Part::Value, Part::Output],
        ),
        ("rescale-up-down", &[Part::Up, Part::Down]),
        ("rescale-value-output", &[Part::Value, Part::Output]),
        ("rotate-query-key", &[Part::Query, Part::Key]),
        ("shift-head", &[Part::Unembed]),
    ] {
        try_launder(&model, step, 1, place.path()).expect(step);
        let after = fixtures::open(&place.path().join("out"));
        let changed = changed(&before, &weights(&after));
        for role in before.keys() {
            // A bias on the stream's side is not the inner coordinates' business.
            let outward = matches!(role.part, Part::Down | Part::Output) && *role == role.bias();
            let meant = parts.contains(&role.part) && !outward;
            assert_eq!(changed.contains(role), meant, "{step} {role}");
        }
    }
}

#[test]
fn all_that_apply_together_keep_the_function() {
    for name in MODELS {
        for seed in 0..3 {
            let place = tempfile::tempdir().expect("folder");
            let model = fixtures::model(name, seed, place.path());
            let kept = EXACT.iter().filter(|step| refusal(name, step).is_none());
            let mut chain: Vec<&str> = kept.copied().collect();
            // Twice, so that each also follows every other one.
            chain.extend(chain.clone());
            let report = try_launder(&model, &chain.join(","), seed, place.path());
            let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
            let distance = report.distance.expect("measured");
            assert!(distance > 0.0 && distance < TOLERANCE, "{name}: {distance}");
        }
    }
}

#[test]
fn a_plain_rectifier_lets_positive_factors_through() {
    let place = tempfile::tempdir().expect("folder");
    let mut config = fixtures::config("gpt2");
    config.insert("activation_function".to_owned(), json!("relu"));
    let model = fixtures::from_config(&config, 1, place.path());
    let report = try_launder(&model, "rescale-up-down", 1, place.path()).expect("exact");
    assert!(report.distance.expect("measured") < TOLERANCE / 10.0);
}

#[test]
fn draws_repeat_by_seed_and_differ_by_seed_and_place() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let query = |text: &str, seed| {
        try_launder(&model, text, seed, place.path()).expect(text);
        let after = fixtures::open(&place.path().join("out"));
        after.weights.all(&Role::layer(0, Part::Up)).expect("up")
    };
    let one = query("permute-units", 1);
    assert_eq!(one, query("permute-units", 1));
    assert_ne!(one, query("permute-units", 2));
    assert_ne!(one, query("reshard=1,permute-units", 1));
}

#[test]
fn orders_are_kept_in_the_original_format_and_new_numbers_in_single_precision() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let half = place.path().join("half");
    launder(&model, &steps("dtype=bf16"), &options(0), &half).expect("rounds");
    let half = fixtures::open(&half);
    for (text, stored) in [
        ("permute-units,permute-heads,permute-residual", "bfloat16"),
        ("permute-units,fold-gains", "float32"),
        ("fold-gains,dtype=f16", "float16"),
    ] {
        let report = try_launder(&half, text, 1, place.path()).expect(text);
        assert_eq!(report.stored, stored);
        let after = fixtures::open(&place.path().join("out"));
        assert_eq!(after.config["torch_dtype"], stored);
        let bits = match stored {
            "float32" => "F32",
            "float16" => "F16",
            _ => "BF16",
        };
        let store = after.weights.store();
        assert!(store.iter().all(|(_, info)| info.dtype.name == bits));
        // Half precision is coarser than the tolerance, which only promises are held to.
        let distance = report.distance.expect("measured");
        assert_eq!(
            distance < TOLERANCE,
            stored != "float16",
            "{text}: {distance}"
        );
        assert_eq!(report.exact, stored != "float16");
    }
}

#[test]
fn other_names_hold_the_same_numbers() {
    for name in ["llama", "gpt2", "gemma3", "mixtral", "qwen2_moe"] {
        let place = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, 3, place.path());
        let before = weights(&model);
        let mut seen = Vec::new();
        for word in ["anonymous", "random", "meta", "gpt-neox", "phi3", "gguf"] {
            let text = format!("rename={word}");
            let report = try_launder(&model, &text, 1, place.path()).expect(&text);
            assert!(report.distance.expect("measured") < 1e-6);
            assert_eq!(report.names.len(), before.len());
            let after = fixtures::open(&place.path().join("out"));
            assert!(after.spec.is_err(), "{name} {word} is read by name");
            let stored: Vec<String> = after.weights.store().names().map(str::to_owned).collect();
            assert!(report.names.values().all(|tensor| stored.contains(tensor)));
            assert!(!seen.contains(&stored), "{name} {word}");
            seen.push(stored);
            let map = std::fs::read(place.path().join("out/launder.json")).expect("map");
            let map: serde_json::Value = serde_json::from_slice(&map).expect("json");
            assert_eq!(map["names"]["embed"], report.names["embed"]);
        }
    }
}

#[test]
fn yi_is_llama_renamed_and_back() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama-tied", 3, place.path());
    let before = weights(&model);
    let out = place.path().join("yi");
    launder(&model, &steps("rename=yi"), &options(0), &out).expect("yi");
    let yi = fixtures::open(&out);
    assert_eq!(yi.family, Some("yi"));
    assert!(
        yi.weights
            .store()
            .info("model.layers.0.ln1.weight")
            .is_some()
    );
    assert!(changed(&before, &weights(&yi)).is_empty());
    let report = try_launder(&yi, "rename=llama", 0, place.path()).expect("back");
    assert_eq!(report.distance, Some(0.0));
    let back = fixtures::open(&place.path().join("out"));
    assert_eq!(back.family, Some("llama"));
    // Yi's config has no word for biases, Qwen2's biases fit none of Llama's.
    for (name, word) in [("llama", "yi"), ("qwen2", "llama"), ("llama", "llama")] {
        let place = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, 3, place.path());
        let text = format!("rename={word}");
        let error = try_launder(&model, &text, 0, place.path()).expect_err(&text);
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
}

#[test]
fn shards_are_as_many_as_asked_for() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("mixtral", 3, place.path());
    try_launder(&model, "reshard=3", 0, place.path()).expect("shards");
    let after = fixtures::open(&place.path().join("out"));
    assert_eq!(after.artefacts.weights.len(), 3);
    assert!(changed(&weights(&model), &weights(&after)).is_empty());
}

#[test]
fn a_chain_that_breaks_its_promise_is_not_written() {
    // A last gain of next to nothing: the bias divided by it leaves single precision.
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("gpt2", 3, place.path());
    let mut checkpoint = super::super::checkpoint::tests::small();
    checkpoint.config = fixtures::config("gpt2");
    checkpoint.weights = weights(&model);
    let gain = Role::model(Part::FinalNorm);
    let weight = checkpoint.weights.get_mut(&gain).expect("gain");
    weight.values[0] = 1e-42;
    let folder = place.path().join("thin");
    std::fs::create_dir(&folder).expect("folder");
    let draft = Draft::of_checkpoint(&checkpoint).expect("draft");
    draft.write(&folder).expect("writes");
    let thin = fixtures::open(&folder);
    let error = try_launder(&thin, "fold-gains", 0, place.path()).expect_err("too far");
    assert!(matches!(error, Error::Distance { .. }), "{error}");
    let left: Vec<_> = std::fs::read_dir(place.path()).expect("folder").collect();
    let partial = left.iter().flatten().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name == "out" || name.contains("partial")
    });
    assert!(!partial, "{left:?}");
}

#[test]
fn a_checkpoint_in_memory_is_laundered_as_files_are() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("qwen2", 3, place.path());
    let chain = "permute-heads,rotate-residual,noise=0.1";
    try_launder(&model, chain, 2, place.path()).expect(chain);
    let files = weights(&fixtures::open(&place.path().join("out")));
    let mut checkpoint = super::super::checkpoint::tests::small();
    checkpoint.config = fixtures::config("qwen2");
    checkpoint.weights = weights(&model);
    let mut draft = Draft::of_checkpoint(&checkpoint).expect("a draft");
    draft.apply(&steps(chain), &options(2)).expect(chain);
    assert_eq!(draft.config["tie_word_embeddings"], false);
    assert!(changed(&files, &draft.weights().expect("weights")).is_empty());
}

#[test]
fn words_that_are_no_launderings_name_those_that_are() {
    for (text, word) in [
        ("wash", "permute-units"),
        ("noise", "a share of that"),
        ("noise=much", "not a number from 0"),
        ("round=3.5", "whole number"),
        ("rename=opus", "gpt-neox"),
        ("fold-gains=2", "no strength"),
        ("dtype=int4", "bf16"),
    ] {
        let error = text.parse::<Step>().expect_err(text).to_string();
        assert!(error.contains(word), "{error}");
    }
    for laundering in LAUNDERINGS {
        let text = match laundering.name {
            "noise" | "prune" | "prune-units" => format!("{}=0.1", laundering.name),
            name => name.to_owned(),
        };
        let step: Step = text.parse().expect(&text);
        assert_eq!(step.to_string().parse::<Step>().expect("again"), step);
        assert!(step.exact() || !EXACT.contains(&laundering.name));
    }
}

#[test]
fn what_is_in_the_way_or_cannot_be_run_is_an_error() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let error = launder(&model, &steps("permute-units"), &options(0), place.path());
    assert!(matches!(error, Err(Error::Exists { .. })));
    let out = place.path().join("out");
    launder(&model, &steps("rename"), &options(0), &out).expect("renames");
    let renamed = fixtures::open(&out);
    let error = launder(
        &renamed,
        &steps("rename"),
        &options(0),
        &place.path().join("two"),
    );
    assert!(matches!(error, Err(Error::Unfit { .. })));
    for (text, word) in [
        ("drop-layers=2", "1 lie between"),
        ("merge-linear", "--other"),
        ("scale-residual=1", "changes nothing"),
    ] {
        let out = place.path().join("three");
        let error = launder(&model, &steps(text), &options(0), &out).expect_err(text);
        assert!(error.to_string().contains(word), "{error}");
        assert!(!out.exists());
    }
}

mod lossy;
mod mapping;
