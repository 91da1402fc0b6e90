//! What changes the function does what it says.

use super::super::super::checkpoint::Matrix;
use super::super::super::fixtures;
use super::super::Options;
use super::super::launder;
use super::super::merge::slerp;
use super::super::merge::ties;
use super::options;
use super::steps;
use super::try_launder;
use super::weights;
use crate::model::Part;
use crate::model::Role;

#[test]
fn noise_has_its_share_of_the_deviation() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let report = try_launder(&model, "noise=0.25", 1, place.path()).expect("noise");
    assert!(!report.exact && report.distance.expect("measured") > 0.01);
    let after = weights(&fixtures::open(&place.path().join("out")));
    let before = weights(&model);
    let flat = |of: &dyn Fn(&Role, usize) -> f64, matrices: bool| -> Vec<f64> {
        let roles = before
            .iter()
            .filter(|(role, _)| !matrices || !role.is_vector());
        roles
            .flat_map(|(role, w)| {
                (0..w.values.len())
                    .map(|at| of(role, at))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let deviation = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        (square / values.len() as f64).sqrt()
    };
    let entry = |role: &Role, at: usize| f64::from(before[role].values[at]);
    let step = |role: &Role, at: usize| f64::from(after[role].values[at]) - entry(role, at);
    let ratio = deviation(&flat(&step, false)) / deviation(&flat(&entry, true));
    assert!((ratio - 0.25).abs() < 0.01, "{ratio}");
    assert!(report.notes[0].contains("standard deviation"));
}

#[test]
fn rounded_blocks_lie_on_their_grid() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let before = weights(&model);
    for bits in [4, 6, 8] {
        try_launder(&model, &format!("round={bits}"), 1, place.path()).expect("rounds");
        let after = weights(&fixtures::open(&place.path().join("out")));
        let levels = f64::from(2i32.pow(bits - 1) - 1);
        for (role, old) in &before {
            let new = &after[role];
            if role.is_vector() {
                assert_eq!(old, new, "{role}");
                continue;
            }
            let blocks = old
                .values
                .chunks(old.columns())
                .flat_map(|row| row.chunks(32));
            let rounded = new
                .values
                .chunks(old.columns())
                .flat_map(|row| row.chunks(32));
            for (old, new) in blocks.zip(rounded) {
                let largest = old.iter().fold(0.0f32, |max, x| max.max(x.abs()));
                let step = f64::from(largest) / levels;
                for (old, new) in old.iter().zip(new) {
                    let place = f64::from(*new) / step;
                    assert!((place - place.round()).abs() < 1e-4, "{role}");
                    assert!((f64::from(old - new)).abs() <= step * 0.500_01, "{role}");
                }
            }
        }
    }
}

#[test]
fn pruned_matrices_lose_their_smallest_numbers() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("gpt2", 3, place.path());
    let before = weights(&model);
    try_launder(&model, "prune=0.4", 1, place.path()).expect("prunes");
    let after = weights(&fixtures::open(&place.path().join("out")));
    for (role, old) in &before {
        let new = &after[role];
        if role.is_vector() || role.layer.is_none() {
            assert_eq!(old, new);
            continue;
        }
        let zeros = new.values.iter().filter(|x| **x == 0.0).count();
        assert_eq!(zeros, (0.4 * old.values.len() as f64).round() as usize);
        let pairs = || old.values.iter().zip(&new.values);
        let gone = pairs()
            .filter(|(_, new)| **new == 0.0)
            .map(|(old, _)| old.abs());
        let kept = pairs()
            .filter(|(_, new)| **new != 0.0)
            .map(|(old, _)| old.abs());
        assert!(gone.fold(0.0, f32::max) <= kept.fold(f32::MAX, f32::min));
    }
}

#[test]
fn pruned_units_are_the_smallest_and_the_config_says_so() {
    for (name, key, width) in [
        ("llama", "intermediate_size", 15),
        ("gpt2", "n_inner", 15),
        ("mixtral", "intermediate_size", 15),
        ("qwen2_moe", "moe_intermediate_size", 7),
    ] {
        let place = tempfile::tempdir().expect("folder");
        let model = fixtures::model(name, 3, place.path());
        let before = weights(&model);
        try_launder(&model, "prune-units=0.25", 1, place.path()).expect(name);
        let after = fixtures::open(&place.path().join("out"));
        assert_eq!(after.config[key], width, "{name}");
        let after = weights(&after);
        for (role, new) in after.iter().filter(|(role, _)| role.part == Part::Down) {
            if *role == role.bias() {
                continue;
            }
            let up = Role {
                part: Part::Up,
                ..*role
            };
            let kept = after[&up].values.chunks(24);
            let units: Vec<usize> = kept
                .map(|row| {
                    let mut old = before[&up].values.chunks(24);
                    old.position(|other| other == row).expect("an old row")
                })
                .collect();
            assert!(units.is_sorted());
            let mut down = before[role].clone();
            down.take_columns(&units);
            assert_eq!(&down, new, "{name} {role}");
            let smallest = norm(&before, &up, role, &units).fold(f64::MAX, f64::min);
            let count = before[&up].rows();
            let gone: Vec<usize> = (0..count).filter(|unit| !units.contains(unit)).collect();
            assert_eq!(gone.len(), count / 4 + usize::from(count % 4 > 1), "{name}");
            let largest = norm(&before, &up, role, &gone).fold(0.0, f64::max);
            assert!(largest <= smallest, "{name} {role}");
        }
    }
}

/// Squared norms of units, gate included.
fn norm<'a>(
    weights: &'a std::collections::BTreeMap<Role, Matrix>,
    up: &'a Role,
    down: &'a Role,
    units: &'a [usize],
) -> impl Iterator<Item = f64> + 'a {
    let square = |x: &f32| f64::from(*x).powi(2);
    units.iter().map(move |&unit| {
        let gate = Role {
            part: Part::Gate,
            ..*up
        };
        let rows = [weights.get(up), weights.get(&gate)].into_iter().flatten();
        let inward: f64 = rows
            .map(|w| {
                w.values[unit * 24..(unit + 1) * 24]
                    .iter()
                    .map(square)
                    .sum::<f64>()
            })
            .sum();
        let down = &weights[down];
        let outward = down.values.iter().skip(unit).step_by(down.columns());
        inward + outward.map(square).sum::<f64>()
    })
}

#[test]
fn layers_go_and_come_where_the_report_says() {
    let place = tempfile::tempdir().expect("folder");
    for (name, key) in [
        ("llama", "num_hidden_layers"),
        ("gpt2", "n_layer"),
        ("gemma3", "num_hidden_layers"),
    ] {
        let place = place.path().join(name);
        std::fs::create_dir(&place).expect("folder");
        let model = fixtures::model(name, 3, &place);
        let before = weights(&model);
        for (text, blocks) in [
            ("drop-layers", &[0, 2][..]),
            ("duplicate-layers=1", &[0, 1, 1, 2]),
        ] {
            let report = try_launder(&model, text, 1, &place).expect(text);
            let shown: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            assert!(
                report.notes[0].ends_with(&shown.join(", ")),
                "{:?}",
                report.notes
            );
            let after = fixtures::open(&place.join("out"));
            assert_eq!(after.config[key], blocks.len());
            let spec = after.spec.as_ref().expect("runs");
            let old = &model.spec.as_ref().expect("runs").layers;
            for (new, from) in blocks.iter().enumerate() {
                assert_eq!(spec.layers[new], old[*from]);
                for part in [Part::Query, Part::Down, Part::MlpNorm] {
                    let read = after.weights.all(&Role::layer(new, part)).expect("weight");
                    assert_eq!(read, before[&Role::layer(*from, part)].values);
                }
            }
        }
    }
}

#[test]
fn merges_follow_their_formulas() {
    let place = tempfile::tempdir().expect("folder");
    let model = |seed: u64| {
        let folder = place.path().join(seed.to_string());
        std::fs::create_dir(&folder).expect("folder");
        fixtures::model("llama", seed, &folder)
    };
    let (mine, theirs, base) = (model(1), model(2), model(3));
    let [a, b, c] = [&mine, &theirs, &base].map(weights);
    let chosen = Options {
        other: Some(&theirs),
        base: Some(&base),
        ..options(4)
    };
    let merged = |text: &str| {
        let out = place.path().join(text);
        launder(&mine, &steps(text), &chosen, &out).expect(text);
        weights(&fixtures::open(&out))
    };
    let doubles = |m: &Matrix| -> Vec<f64> { m.values.iter().map(|x| f64::from(*x)).collect() };
    let near = |found: &Matrix, meant: &[f64]| {
        let off = found
            .values
            .iter()
            .zip(meant)
            .map(|(x, y)| (f64::from(*x) - y).abs());
        off.fold(0.0, f64::max) < 1e-6
    };
    let linear = merged("merge-linear=0.25");
    let arc = merged("merge-slerp=0.25");
    let trimmed = merged("merge-ties=0.5");
    let thinned = merged("merge-dare=0.75");
    let mut kept = 0;
    for role in a.keys() {
        let (x, y, z) = (doubles(&a[role]), doubles(&b[role]), doubles(&c[role]));
        let mean: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 0.75 * x + 0.25 * y).collect();
        assert!(near(&linear[role], &mean), "{role}");
        assert!(near(&arc[role], &slerp(&x, &y, 0.25)), "{role}");
        assert!(near(&trimmed[role], &ties(&z, &[&x, &y], 0.5)), "{role}");
        for (at, value) in thinned[role].values.iter().enumerate() {
            // Each side is there four times too large, halved, or not at all.
            let (one, two) = (2.0 * (x[at] - z[at]), 2.0 * (y[at] - z[at]));
            let meant = [0.0, one, two, one + two].map(|step| z[at] + step);
            let found = meant
                .iter()
                .position(|m| (f64::from(*value) - m).abs() < 1e-5);
            kept += [0, 1, 1, 2][found.expect("one of four")];
        }
    }
    let numbers: usize = a.values().map(|w| w.values.len()).sum();
    let share = f64::from(kept) / (2.0 * numbers as f64);
    assert!((share - 0.25).abs() < 0.02, "{share}");

    let other = place.path().join("wide");
    std::fs::create_dir(&other).expect("folder");
    let wide = fixtures::model("llama-tied", 1, &other);
    let chosen = Options {
        other: Some(&wide),
        ..options(0)
    };
    let out = place.path().join("never");
    let error = launder(&mine, &steps("merge-linear"), &chosen, &out).expect_err("unlike");
    assert!(
        error.to_string().contains("same weights by role"),
        "{error}"
    );
}

#[test]
fn the_arc_keeps_the_norm_and_trimming_elects_signs() {
    // A quarter of the way from one axis to the other.
    let quarter = std::f64::consts::FRAC_PI_8;
    let found = slerp(&[1.0, 0.0], &[0.0, 1.0], 0.25);
    assert!((found[0] - quarter.cos()).abs() < 1e-12 && (found[1] - quarter.sin()).abs() < 1e-12);
    assert_eq!(slerp(&[1.0, 2.0], &[2.0, 4.0], 0.5), [1.5, 3.0]);
    assert_eq!(slerp(&[0.0], &[1.0], 0.5), [0.5]);

    // By hand: of four differences two stay each. First: 4, -3; second: -1 and 5 (index 1 and 3).
    let base = [1.0; 4];
    let one = [5.0, -2.0, 1.5, 1.0];
    let two = [1.0, 0.0, 1.5, 6.0];
    let found = ties(&base, &[&one, &two], 0.5);
    assert_eq!(found, [5.0, -1.0, 1.0, 6.0]);
    // Opposite signs: the larger wins alone.
    assert_eq!(ties(&[0.0], &[&[3.0], &[-1.0]], 1.0), [3.0]);
    assert_eq!(ties(&[0.0], &[&[3.0], &[1.0]], 1.0), [2.0]);
}

#[test]
fn exact_steps_behind_a_lossy_one_are_judged_by_themselves() {
    let place = tempfile::tempdir().expect("folder");
    let model = fixtures::model("llama", 3, place.path());
    let chain = "noise=0.2,rotate-residual,permute-units";
    let report = try_launder(&model, chain, 1, place.path()).expect(chain);
    assert!(report.distance.expect("measured") > 0.01);
    assert!(report.distance_of_exact_steps.expect("judged") < 1e-5);
    let report = try_launder(&model, "rotate-residual,noise=0.2", 1, place.path()).expect(chain);
    assert_eq!(report.distance_of_exact_steps, None);
}
