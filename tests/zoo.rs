//! The shipped zoo is what its list and recipes say, and recipes can be followed.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use kinprobe::model::Model;
use kinprobe::model::Role;
use kinprobe::record::LocalRunner;
use kinprobe::source;
use kinprobe::source::Locator;
use kinprobe::source::ModelRef;
use kinprobe::source::OpenOptions;
use kinprobe::zoo::exam;
use kinprobe::zoo::list;
use kinprobe::zoo::list::Member;
use kinprobe::zoo::make::Workshop;
use kinprobe::zoo::recipe::ExamRecipe;
use kinprobe::zoo::recipe::Recipes;
use kinprobe::zoo::transform::Transformation;

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/zoo")
}

fn recipes() -> Recipes {
    Recipes::load(&zoo().join("recipes.yaml")).unwrap()
}

fn member(name: &str) -> Member {
    let members = list::members(&zoo()).unwrap();
    members.into_iter().find(|m| m.name == name).unwrap()
}

fn open(name: &str) -> Model {
    let reference = ModelRef {
        label: None,
        locator: Locator::Zoo(name.to_owned()),
    };
    let options = OpenOptions {
        data_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()),
        ..OpenOptions::default()
    };
    Model::open(source::open(&reference, &options).unwrap(), name).unwrap()
}

fn weights(model: &Model) -> BTreeMap<Role, Vec<f32>> {
    let roles = model.weights.roles();
    roles
        .map(|role| (*role, model.weights.all(role).unwrap()))
        .collect()
}

/// Cosine of two weights, and whether they are matrices.
fn cosines<'a>(
    one: &'a BTreeMap<Role, Vec<f32>>,
    other: &'a BTreeMap<Role, Vec<f32>>,
) -> impl Iterator<Item = (Role, f64)> + 'a {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    one.iter()
        .filter(|(role, _)| !role.is_vector())
        .map(move |(role, a)| {
            let b = &other[role];
            (*role, dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())
        })
}

#[test]
fn the_list_pins_every_file_and_names_every_recipe() {
    let members = list::members(&zoo()).unwrap();
    let recipes = recipes();
    let names = |all: &[Member]| -> Vec<String> { all.iter().map(|m| m.name.clone()).collect() };
    let recipe_names: Vec<String> = recipes.members.iter().map(|r| r.name.clone()).collect();
    assert_eq!(names(&members), recipe_names);
    for member in &members {
        let model = open(&member.name);
        let found: Vec<_> = model.artefacts.files().collect();
        assert_eq!(found.len(), member.files.len(), "{}", member.name);
        for (found, listed) in found.iter().zip(&member.files) {
            assert_eq!(
                (&found.name, found.size, &found.sha256),
                (&listed.name, listed.size, &listed.sha256),
                "{}",
                member.name
            );
        }
        assert_eq!(model.digest(), member.digest);
        assert_eq!(model.artefacts.run.as_ref(), Some(&member.run));
        assert_eq!(model.parameters, member.parameters);
        assert!(model.caveats.is_empty(), "{:?}", model.caveats);
    }
}

#[test]
fn bases_share_everything_but_their_weights() {
    let models = ["base-a", "base-b", "base-c"].map(open);
    let weights = [0, 1, 2].map(|i| weights(&models[i]));
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(models[i].config, models[j].config);
        let tokenizer = |model: &Model| model.artefacts.tokenizer.clone().unwrap().sha256;
        assert_eq!(tokenizer(&models[i]), tokenizer(&models[j]));
        for (role, cosine) in cosines(&weights[i], &weights[j]) {
            assert!(cosine.abs() < 0.5, "{role}: {cosine}");
        }
        let mean = cosines(&weights[i], &weights[j])
            .map(|(_, c)| c)
            .sum::<f64>();
        assert!((mean / weights[i].len() as f64).abs() < 0.05, "{mean}");
    }
}

#[test]
fn the_noised_copy_is_the_base_plus_normal_noise_of_one_sigma() {
    let sigma = member("base-a-noised")
        .transformations
        .iter()
        .find_map(|t| match t {
            Transformation::GaussianNoise(noise) => noise.sigma,
            _ => None,
        });
    let sigma = sigma.unwrap();
    let (base, noised) = (weights(&open("base-a")), weights(&open("base-a-noised")));
    for (role, values) in &base {
        let steps: Vec<f64> = values
            .iter()
            .zip(&noised[role])
            .map(|(a, b)| f64::from(*b - *a) / sigma)
            .collect();
        let n = steps.len() as f64;
        let moment = |power: i32| steps.iter().map(|z| z.powi(power)).sum::<f64>() / n;
        assert!(
            moment(1).abs() < 5.0 / n.sqrt(),
            "{role}: mean {}",
            moment(1)
        );
        // Storing in bf16 rounds both copies, most visibly gains, which are near 1.
        let slack = 0.01 + 6.0 / n.sqrt();
        assert!(
            (moment(2) - 1.0).abs() < slack,
            "{role}: variance {}",
            moment(2)
        );
        let slack = 0.05 + 40.0 / n.sqrt();
        assert!(
            (moment(4) - 3.0).abs() < slack,
            "{role}: kurtosis {}",
            moment(4)
        );
    }
}

#[test]
fn the_renamed_copy_holds_the_same_numbers_under_other_names_and_in_other_files() {
    let (base, renamed) = (open("base-a"), open("base-a-renamed"));
    assert_eq!((base.family, renamed.family), (Some("llama"), Some("yi")));
    let bits = |model: &Model| -> BTreeMap<Role, Vec<u32>> {
        let weights = weights(model).into_iter();
        weights
            .map(|(role, values)| (role, values.into_iter().map(f32::to_bits).collect()))
            .collect()
    };
    assert_eq!(bits(&base), bits(&renamed));
    let names = |model: &Model| -> Vec<String> {
        model.weights.store().names().map(str::to_owned).collect()
    };
    assert_ne!(names(&base), names(&renamed));
    assert_eq!(renamed.artefacts.weights.len(), 2);
    for file in &base.artefacts.weights {
        let shards = &renamed.artefacts.weights;
        assert!(shards.iter().all(|shard| shard.sha256 != file.sha256));
    }
    let score = |name| member(name).exam;
    assert_eq!(score("base-a"), score("base-a-renamed"));
}

#[test]
fn the_finetuned_copy_moved_a_little_and_answers_otherwise() {
    let (base, tuned) = (open("base-a"), open("base-a-finetuned"));
    assert_eq!(base.config, tuned.config);
    let (a, b) = (weights(&base), weights(&tuned));
    for (role, cosine) in cosines(&a, &b) {
        assert!((0.8..0.99999).contains(&cosine), "{role}: {cosine}");
    }
    assert_ne!(member("base-a").exam, member("base-a-finetuned").exam);
}

#[test]
fn bases_answer_in_form_and_err_in_their_own_ways() {
    let recipe = ExamRecipe {
        questions: 80,
        ..recipes().exam
    };
    let answers: Vec<Vec<exam::Answered>> = ["base-a", "base-b", "base-c"]
        .map(|name| {
            let model = open(name);
            let runner = LocalRunner::load(&model).unwrap();
            exam::examine(&runner, &recipe).unwrap()
        })
        .into();
    for mine in &answers {
        assert!(mine.iter().all(|answer| !answer.given.is_empty()));
        let right = mine.iter().filter(|a| a.given == a.expected).count();
        assert!((8..=68).contains(&right), "{right} of {}", mine.len());
    }
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        let pairs = answers[i].iter().zip(&answers[j]);
        let both_wrong: Vec<_> = pairs
            .filter(|(a, b)| a.given != a.expected && b.given != b.expected)
            .collect();
        let alike = both_wrong
            .iter()
            .filter(|(a, b)| a.given == b.given)
            .count();
        assert!(
            alike < both_wrong.len() * 3 / 4,
            "{alike} of {}",
            both_wrong.len()
        );
    }
}

const MICRO: &str = "
schema: kinprobe/zoo-recipes/v1
tokenizers:
  t: {vocab_size: 320, worlds: [1], documents: 200, order_seed: 1, mix: {everyday: 1, numbers: 1}}
architectures:
  micro: {architectures: [LlamaForCausalLM], model_type: llama, vocab_size: 320, hidden_size: 16,
    intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1,
    head_dim: 8, hidden_act: silu, max_position_embeddings: 128, rms_norm_eps: 1.0e-5,
    rope_theta: 10000.0, tie_word_embeddings: true, bos_token_id: 0, eos_token_id: 0}
courses:
  short: {world_seed: 1, order_seed: 2, mix: {everyday: 1}, steps: 12, batch: 2, context: 32,
    prompt_weight: 0.5, learning_rate: 5.0e-3, warmup: 2, final_share: 0.1, weight_decay: 0.1}
exam: {world_seed: 1, seed: 1, questions: 4, mix: {everyday: 1}}
members:
  - {name: m, initial: {architecture: micro, tokenizer: t, seed: 1}, course: short}
  - {name: m-more, parent: m, relation: continued, course: short}
  - name: m-noised
    parent: m
    relation: noised
    transformations: [{gaussian_noise: {relative_sigma: 0.2, seed: 9}}]
  - name: m-yi
    parent: m-noised
    relation: renamed
    transformations: [{rename: {family: yi}}, {store: {dtype: f32, shards: 3}}]
";

/// Follows every micro recipe and lists what came of it.
fn follow(folder: &Path) -> Vec<Member> {
    let file = folder.join("recipes.yaml");
    std::fs::write(&file, MICRO).unwrap();
    let workshop = Workshop {
        recipes: Recipes::load(&file).unwrap(),
        shipped: folder.join("nowhere"),
        out: folder.to_path_buf(),
    };
    for recipe in &workshop.recipes.members {
        workshop.make(&recipe.name, &mut |_| {}).unwrap();
    }
    list::members(folder).unwrap()
}

#[test]
fn a_recipe_followed_twice_gives_the_same_files() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let members = follow(one.path());
    assert_eq!(members, follow(two.path()));
    let names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["m", "m-more", "m-noised", "m-yi"]);
    assert!(members.iter().all(|m| m.run == "m"));
    let digests: std::collections::BTreeSet<&str> =
        members.iter().map(|m| m.digest.as_str()).collect();
    assert_eq!(digests.len(), 4);
    assert_eq!(members[3].exam, members[2].exam);
    let training = members[0].training.as_ref().unwrap();
    assert_eq!(training.tokens, 12 * 2 * 32);
}

#[test]
fn a_parent_that_was_not_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recipes.yaml");
    std::fs::write(&file, MICRO).unwrap();
    let workshop = Workshop {
        recipes: Recipes::load(&file).unwrap(),
        shipped: folder.path().join("shipped"),
        out: folder.path().join("out"),
    };
    let error = workshop
        .make("m-more", &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains("shipped/m"), "{error}");
    assert!(!folder.path().join("out").exists());
    let error = workshop
        .make("m-most", &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("m-most") && error.contains("m-noised"),
        "{error}"
    );
}
