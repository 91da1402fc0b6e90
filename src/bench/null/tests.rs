use std::path::Path;

use super::*;
use crate::evidence;
use crate::source::Silent;
use crate::stat::random;

/// A zoo with all recipes and tokenizers, and two of the members.
fn small_zoo() -> tempfile::TempDir {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/zoo");
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    copy(
        &shipped.join("recipes.yaml"),
        &folder.path().join("recipes.yaml"),
    );
    for entry in std::fs::read_dir(&shipped).unwrap() {
        let member = entry.unwrap();
        let name = member.file_name();
        let whole = ["base-a", "base-b"].iter().any(|kept| name == *kept);
        for file in ["tokenizer.json", "config.json", "model.safetensors"] {
            let from = member.path().join(file);
            if from.exists() && (whole || file == "tokenizer.json") {
                copy(&from, &folder.path().join(&name).join(file));
            }
        }
    }
    let list = std::fs::read(shipped.join("zoo.json")).unwrap();
    let mut list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let members = list["members"].as_array_mut().unwrap();
    members.retain(|member| ["base-a", "base-b"].contains(&member["name"].as_str().unwrap()));
    std::fs::write(folder.path().join("zoo.json"), list.to_string()).unwrap();
    folder
}

#[test]
fn random_and_trained_pairs_are_measured_and_a_seed_repeats_them() {
    let (zoo, elsewhere) = (small_zoo(), small_zoo());
    let ids = ["weight.row_matching", "weight.head_index"];
    let work = |zoo: &tempfile::TempDir, seed| Work {
        zoo: zoo.path().to_path_buf(),
        methods: evidence::methods()
            .filter(|method| ids.contains(&method.card().id))
            .collect(),
        folder: zoo.path().join("work"),
        pairs: 6,
        seed,
        jobs: None,
        progress: Arc::new(Silent),
    };
    let of = |zoo, seed| run(&work(zoo, seed), "tool".to_owned()).unwrap();
    let (summary, rows) = of(&zoo, 1);
    assert_eq!((summary.random_pairs, summary.trained_pairs), (12, 1));
    for method in &summary.methods {
        assert_eq!(method.law, Law::Exact, "{}", method.id);
        assert!(method.random.pairs >= 3, "{}", method.id);
        assert_eq!(method.trained.pairs, 1, "{}", method.id);
    }
    assert!(
        rows.iter()
            .filter_map(|row| row.uniform)
            .all(|p| (0.0..=1.0).contains(&p))
    );
    assert_eq!(of(&elsewhere, 1).1, rows);
    assert_ne!(of(&zoo, 9).1, rows);
    assert!(
        to_csv(&rows)
            .unwrap()
            .starts_with("method,reference,suspect,trained,")
    );
}

fn rows(p: impl Fn(f64) -> f64, exact: bool) -> Vec<Row> {
    let mut rng = random::stream(2, "null rows");
    let row = |_| {
        let value = p(random::unit(&mut rng));
        Row {
            method: "weight.made_up",
            reference: String::new(),
            suspect: String::new(),
            trained: false,
            statistic: 0.0,
            log10_p: value.log10(),
            exact_log10_p: exact.then(|| value.log10()),
            exact_log10_p_next: None,
            uniform: exact.then_some(value),
        }
    };
    (0..1000).map(row).collect()
}

/// Half again as many small p-values as there should be are seen, and conservative ones where a bound
/// is all that is claimed are not held against it.
#[test]
fn a_test_that_leaks_is_seen() {
    let checked = |p: fn(f64) -> f64, exact| Method::of("weight.made_up", &rows(p, exact)).all;
    assert!(checked(|u| u, true).uniform_p > 0.01);
    assert!(checked(|u| u.powf(1.3), true).uniform_p < 1e-3);
    assert!(checked(|u| u.powf(1.3), false).uniform_p < 1e-3);
    assert!(checked(f64::sqrt, true).uniform_p < 1e-3);
    assert!(checked(f64::sqrt, false).uniform_p > 0.5);
    let share = checked(|u| u, true).at_most_5_percent;
    assert!((share - 0.05).abs() < 0.03, "{share}");
}
