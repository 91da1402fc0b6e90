use super::*;
use crate::model::sample;
use crate::model::toy::{Dims, Toy};
use crate::model::{Part, Role};
use crate::source::{OpenOptions, Silent, open};

/// Blocks are cut differently, and short sums are rounded to f32.
fn close(a: &Moments, b: &Moments) {
    assert_eq!((a.count, a.min, a.max), (b.count, b.min, b.max));
    let scale = a.std.max(a.mean.abs());
    assert!((a.mean - b.mean).abs() <= 1e-6 * scale, "{a:?} {b:?}");
    assert!((a.std - b.std).abs() <= 1e-6 * scale, "{a:?} {b:?}");
}

/// Stretches of stored tensors against the roles' own views: plain, fused and transposed ones.
#[test]
fn one_pass_gives_what_the_views_give() {
    for name in ["base-a", "base-gpt2", "base-gemma", "base-qwen-experts"] {
        let Ok(artefacts) = open(
            &format!("zoo:{name}").parse().unwrap(),
            &OpenOptions::default(),
        ) else {
            panic!("zoo:{name} is not there");
        };
        let model = Model::open(artefacts, name).unwrap();
        let profile = profile(&model, &Silent).unwrap();
        assert_eq!(profile.roles.len(), model.weights.roles().count());
        for (role, moments) in &profile.roles {
            close(moments, &pass::of_role(&model.weights, role).unwrap());
        }
        for (name, facts) in &profile.tensors {
            let bytes = model.weights.store().bytes(name).unwrap();
            let fingerprint = twox_hash::XxHash3_128::oneshot(&bytes);
            assert_eq!(facts.fingerprint, format!("{fingerprint:032x}"));
        }
    }
}

#[test]
fn of_a_sample_only_what_is_in_it_is_read() {
    let dims = Dims {
        layers: 5,
        width: 16,
        units: 64,
        vocab: 40,
    };
    let (model, _folder) = Toy::new(1, dims).open();
    let [sample, _] = sample::plan([&model, &model], 12_288, 7);
    let model = model.sampled(&sample, &Silent).unwrap();
    let profile = of_test_model(&model);
    let up = Role::layer(0, Part::Up);
    assert!(sample.roles[&up].is_some());
    assert!(!profile.tensors.contains_key(&up.to_string()));
    let gain = Role::layer(0, Part::MlpNorm);
    assert!(profile.tensors.contains_key(&gain.to_string()));
    assert!(profile.roles.keys().eq(sample.roles.keys()));
}
