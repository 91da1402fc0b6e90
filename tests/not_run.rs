//! Models whose weights are compared although the decoder does not run them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kinprobe::evidence::{self, Assessment, Memo, Outcome, Pair, Subject};
use kinprobe::model::arch;
use kinprobe::model::{Canonical, Model, Part, RawConfig, Role, mapping};
use kinprobe::record::{self, LocalRunner};
use kinprobe::source::{Format, Silent};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::common::tiny::opened;

fn bert() -> Value {
    json!({
        "model_type": "bert", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 3, "num_attention_heads": 4, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12, "max_position_embeddings": 16, "type_vocab_size": 2,
        "position_embedding_type": "absolute", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1
    })
}

fn protein_mpnn() -> Value {
    json!({
        "model_type": "protein_mpnn", "vocab_size": 21, "hidden_size": 32, "intermediate_size": 48,
        "num_encoder_layers": 2, "num_decoder_layers": 1
    })
}

/// How tensors are stored.
#[derive(Clone, Copy, PartialEq)]
enum Stored {
    /// Under the family's names.
    Named,
    /// As a graph of operations has them: no names, matrices `[in, out]`.
    Anonymous,
}

/// A model of the family with random weights, and two tensors that have no role.
fn write(folder: &Path, config: &Value, seed: u64, stored: Stored) {
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let raw = RawConfig::new(config.as_object().unwrap().clone());
    let family = arch::family(&raw).unwrap();
    let spec = (family.spec)(&raw).unwrap();
    let names = arch::names_of(family, &spec, Format::Safetensors).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (at, (role, (rows, columns))) in spec.roles().into_iter().enumerate() {
        let shift = if role.part.is_norm() { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| shift + rng.random_range(-0.5..0.5_f32))
            .collect();
        let known = names[&role].tensor.clone();
        let (name, shape, values) = match (stored, columns) {
            (Stored::Named, 1) => (known, vec![rows], values),
            (Stored::Named, _) => (known, vec![rows, columns], values),
            (Stored::Anonymous, 1) => (format!("val_{at}"), vec![rows], values),
            (Stored::Anonymous, _) if role.part == Part::Embed => {
                (format!("val_{at}"), vec![rows, columns], values)
            }
            (Stored::Anonymous, _) => {
                let turned = (0..rows * columns)
                    .map(|to| values[to % rows * columns + to / rows])
                    .collect();
                (format!("val_{at}"), vec![columns, rows], turned)
            }
        };
        tensors.insert(name, (shape, values));
    }
    if stored == Stored::Named {
        tensors.insert("messages.W1.weight".to_owned(), (vec![2], vec![0.5; 2]));
    }
    let bytes: BTreeMap<&String, (&Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, (shape, bytes))
        })
        .collect();
    let views = bytes.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(folder.join("model.safetensors"), file).unwrap();
}

fn model(config: &Value, seed: u64, stored: Stored) -> (Model, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), config, seed, stored);
    (opened(folder.path()), folder)
}

#[test]
fn roles_are_known_and_the_reason_for_not_running_is_said() {
    for (config, words, roles) in [
        // Three tables and a norm; per block four projections, two norms, up and down, each with a
        // bias.
        (bert(), None, 5 + 3 * 16),
        // Per block a norm, up and down; a head.
        (protein_mpnn(), Some("not run"), 3 * 6 + 2),
    ] {
        let (model, _folder) = model(&config, 1, Stored::Named);
        let plan = model.plan.as_ref().unwrap();
        assert_eq!(model.weights.roles().count(), roles);
        assert_eq!(plan.roles().len(), roles);
        // An encoder runs, and is not asked.
        let why_not = match words {
            Some(_) => model.spec.clone().unwrap_err(),
            None => LocalRunner::parts(&model).unwrap_err().to_string(),
        };
        let words = words.unwrap_or("expects no next token");
        assert!(
            why_not.contains(words) && why_not.lines().count() == 1,
            "{why_not}"
        );
        let unread = model.caveats.join("; ");
        assert!(unread.contains("messages.W1.weight"), "{unread}");
        assert!(!unread.contains("config entries"), "{unread}");
    }
}

#[test]
fn the_decoder_s_blocks_follow_the_encoder_s() {
    let (model, _folder) = model(&protein_mpnn(), 1, Stored::Named);
    let tensor = |layer, part| {
        let binding = model.weights.binding(&Role::layer(layer, part));
        binding.unwrap().tensor.clone()
    };
    assert_eq!(tensor(1, Part::Up), "encoder_layers.1.dense.W_in.weight");
    assert_eq!(tensor(2, Part::Down), "decoder_layers.0.dense.W_out.weight");
}

#[test]
fn checkpoints_of_tensorflow_call_gains_gamma() {
    let (published, folder) = model(&bert(), 1, Stored::Named);
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes)
        .matches("LayerNorm.weight")
        .count();
    assert_eq!(text, 1 + 3 * 2);
    // Names of one length, so that the header keeps its own.
    let swap = |bytes: Vec<u8>, from: &str, to: &str| {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let mut out = bytes;
        let mut at = 0;
        while let Some(found) = out[at..].windows(from.len()).position(|part| part == from) {
            out[at + found..at + found + from.len()].copy_from_slice(to);
            at += found + from.len();
        }
        out
    };
    let bytes = swap(bytes, "LayerNorm.weight\"", "LayerNorm.gamma\" ");
    fs::write(&path, swap(bytes, "LayerNorm.bias\"", "LayerNorm.beta\"")).unwrap();
    let older = opened(folder.path());
    assert_eq!(older.plan, published.plan);
}

#[test]
fn gains_on_the_stream_are_not_folded() {
    let (model, _folder) = model(&bert(), 1, Stored::Named);
    let canonical = Canonical::of(&model).unwrap();
    let values = |role: &Role| {
        let matrix = canonical.matrix(role).unwrap().unwrap();
        matrix.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    for part in [Part::Query, Part::Value, Part::Up] {
        let role = Role::layer(1, part);
        assert_eq!(values(&role), model.weights.all(&role).unwrap(), "{role}");
    }
    for part in [Part::Output, Part::Down] {
        let role = Role::layer(1, part);
        let stored = model.weights.all(&role).unwrap();
        let (rows, columns) = model.weights.shape(&role).unwrap();
        let mean = |column: usize| {
            let sum: f32 = (0..rows).map(|row| stored[row * columns + column]).sum();
            sum / rows as f32
        };
        for (at, value) in values(&role).iter().enumerate() {
            let centred = stored[at] - mean(at % columns);
            assert!((value - centred).abs() < 1e-5, "{role}: {value} {centred}");
        }
    }
    assert!(
        canonical.head(&[1, 2]).unwrap().is_none(),
        "an encoder has none"
    );
}

pub fn assessed(a: &Model, b: &Model) -> Vec<Assessment> {
    let profiles = [a, b].map(|model| record::profile(model, &Silent).unwrap());
    let subject = |at: usize| Subject {
        model: [a, b][at],
        profile: Some(&profiles[at]),
        recordings: &[],
        activations: None,
        patches: Err("it sees nothing"),
        missing: Some("not run"),
    };
    let pair = Pair {
        reference: subject(0),
        suspect: subject(1),
        population: &[],
        derived: None,
        references: &[],
        seed: 0,
        memo: Memo::default(),
    };
    evidence::assess_all(&pair, true, |_| {})
}

fn log10_p(all: &[Assessment], id: &str) -> Option<f64> {
    let one = all.iter().find(|one| one.card.id == id)?;
    one.finding()?.log10_p
}

#[test]
fn exact_tests_know_a_copy_from_a_stranger() {
    for config in [bert(), protein_mpnn()] {
        let (one, _folder) = model(&config, 1, Stored::Named);
        let (other, _other) = model(&config, 2, Stored::Named);
        let (kin, strangers) = (assessed(&one, &one), assessed(&one, &other));
        for id in [
            "weight.row_matching",
            "weight.residual_index",
            "weight.aligned_rows",
        ] {
            let (copy, stranger) = (log10_p(&kin, id).unwrap(), log10_p(&strangers, id).unwrap());
            assert!(copy < -9.0 && stranger > -4.0, "{id}: {copy} {stranger}");
        }
        for assessment in kin.iter().chain(&strangers) {
            let outcome = assessment.outcome.as_ref();
            assert!(outcome.is_ok(), "{}: {outcome:?}", assessment.card.id);
            if let Ok(Outcome::Measured(finding)) = outcome {
                assert!(finding.statistic.is_finite(), "{}", assessment.card.id);
            }
        }
    }
}

#[test]
fn an_encoder_without_names_finds_its_roles() {
    let (reference, _folder) = model(&bert(), 1, Stored::Named);
    let (suspect, _suspect) = model(&bert(), 1, Stored::Anonymous);
    assert!(suspect.plan.is_err());
    let bound = mapping::with_roles_of(&suspect, &reference)
        .unwrap()
        .unwrap();
    let roles = |model: &Model| model.plan.as_ref().unwrap().roles();
    assert_eq!(roles(&bound), roles(&reference));
    assert!(bound.spec.is_ok(), "an encoder runs");
    for role in reference.weights.roles() {
        let (ours, theirs) = (&bound.weights, &reference.weights);
        assert_eq!(ours.all(role).unwrap(), theirs.all(role).unwrap(), "{role}");
    }
}

#[test]
fn what_is_read_with_another_s_config_is_another_model_with_another_config() {
    let (suspect, folder) = model(&bert(), 1, Stored::Anonymous);
    let mut other = bert();
    other["layer_norm_eps"] = json!(1e-3);
    let bound = |suspect: &Model, config: &Value| {
        let (reference, _folder) = model(config, 1, Stored::Named);
        let bound = mapping::with_roles_of(suspect, &reference).unwrap();
        bound.unwrap().identity()
    };
    // Its own config is enough.
    assert_eq!(bound(&suspect, &bert()), bound(&suspect, &other));
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let suspect = opened(folder.path());
    assert_ne!(bound(&suspect, &bert()), bound(&suspect, &other));
}
