//! Weights of every family that is run, through every method that reads weights: the tiny models of
//! `tests/fixtures/parity`.

use std::path::Path;

use kinprobe::evidence::{Assessment, Outcome};
use kinprobe::model::{Canonical, Model, Part, Role};

use crate::common::tiny::opened;
use crate::not_run::assessed;

fn model(name: &str) -> Model {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    opened(&root.join(name))
}

/// Pairs of one family or near it, so that as much as possible applies.
const PAIRS: &[(&str, &str)] = &[
    ("bert", "bert"),
    ("deepseek-v2", "deepseek-v2"),
    ("deepseek-v2", "deepseek-v3"),
    ("deepseek-v3", "llama"),
    ("glm", "glm4"),
    ("gpt-neox", "gpt-neox-serial"),
    ("internlm2", "llama-biases"),
    ("olmo2", "llama"),
    ("pangu-pro-moe", "qwen2-moe"),
    ("phi3", "phi3-longrope"),
    ("qwen3-moe", "qwen3"),
];

#[test]
fn every_method_measures_or_says_why_not() {
    for (a, b) in PAIRS {
        let all = assessed(&model(a), &model(b));
        assert!(all.len() > 10);
        for Assessment { card, outcome, .. } in &all {
            let outcome = outcome.as_ref();
            assert!(outcome.is_ok(), "{a}, {b}: {}: {outcome:?}", card.id);
            if let Ok(Outcome::Measured(finding)) = outcome {
                assert!(finding.statistic.is_finite(), "{a}, {b}: {}", card.id);
            }
        }
    }
}

#[test]
fn a_copy_of_every_family_is_known_for_one() {
    for name in [
        "bert",
        "deepseek-v2",
        "deepseek-v3",
        "glm4",
        "gpt-neox",
        "internlm2",
        "olmo2",
        "pangu-pro-moe",
        "phi3",
        "qwen3-moe",
    ] {
        let model = model(name);
        let all = assessed(&model, &model);
        let one = |id: &str| all.iter().find(|one| one.card.id == id);
        let p = one("weight.row_matching").and_then(|one| one.finding()?.log10_p);
        assert!(p.is_some_and(|p| p < -9.0), "{name}: {p:?}");
    }
}

#[test]
fn latent_attention_has_no_plain_queries_keys_and_values() {
    for (name, plain_query) in [("deepseek-v2", true), ("deepseek-v3", false)] {
        let model = model(name);
        let canonical = Canonical::of(&model).unwrap();
        assert!(canonical.attention(0).unwrap().is_none());
        let query = Role::layer(0, Part::Query);
        assert_eq!(model.weights.has(&query), plain_query);
        let all = assessed(&model, &model);
        let curve = all.iter().find(|one| one.card.id == "weight.std_profile");
        let said = curve.and_then(Assessment::finding).unwrap();
        let said = format!("{:?}", said.caveats);
        assert!(said.contains("k is missing") && said.contains("v is missing"));
        assert_eq!(said.contains("q is missing"), !plain_query, "{name}");
        // What reads the stream reads it through the norm before attention, gains folded in.
        let down = Role::layer(0, Part::KvDown);
        let folded = canonical.matrix(&down).unwrap().unwrap();
        let folded = folded.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let stored = model.weights.all(&down).unwrap();
        let norm = Role::layer(0, Part::AttentionNorm);
        let gain = model.weights.all(&norm).unwrap();
        for (at, value) in folded.iter().enumerate() {
            assert_eq!(*value, stored[at] * gain[at % gain.len()], "{name}");
        }
    }
}
