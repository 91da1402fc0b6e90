//! `kinprobe parents` on shipped models, from the command line.

use tempfile::TempDir;

use crate::common::program::{error, json, kinprobe};

#[test]
fn a_merge_is_told_with_its_shares_in_every_block() {
    let folder = TempDir::new().unwrap();
    let merged = folder.path().join("merged");
    let merged = merged.to_str().unwrap();
    json(&[
        "zoo",
        "launder",
        "zoo:base-a-finetuned-heavy",
        "--with",
        "merge-linear=0.3",
        "--other",
        "zoo:base-a-continued",
        "--no-verify",
        "--json",
        "-o",
        merged,
    ]);
    let args = [
        "parents",
        merged,
        "--of",
        "zoo:base-a-finetuned-heavy",
        "zoo:base-a-continued",
    ];
    let found = json(&[&args[..], &["--json"]].concat());
    assert_eq!(found["schema"], "kinprobe/parents/v1");
    assert_eq!(found["conclusion"], "merged");
    assert_eq!(found["named"], serde_json::json!([0, 1]));
    let layers = found["mixture"]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 7);
    for part in layers.iter().chain([&found["mixture"]["whole"]]) {
        let share = part["shares"][1].as_f64().unwrap();
        assert!((share - 0.3).abs() < 0.02, "{part}");
    }
    let shown = kinprobe(&args);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("consistent with a mixture"), "{text}");
}

#[test]
fn what_cannot_be_asked_is_one_line() {
    let twice = error(
        &["parents", "zoo:base-a", "--of", "zoo:base-b", "zoo:base-b"],
        2,
    );
    assert!(
        twice.contains("zoo:base-b") && twice.contains("once"),
        "{twice}"
    );
    let absent = error(&["parents", "zoo:nobody", "--of", "zoo:base-b"], 2);
    assert!(absent.contains("nobody"), "{absent}");
}
