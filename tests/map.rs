//! `kinprobe map` on shipped models, from the command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::program::{error, json, kinprobe};

/// A copy of a shipped model without known names; the true tensor of each role.
fn anonymous(member: &str, out: &Path) -> BTreeMap<String, String> {
    let with = "permute-units,rename=anonymous";
    let out = out.to_str().unwrap();
    let report = json(&[
        "zoo",
        "launder",
        member,
        "--with",
        with,
        "--no-verify",
        "--json",
        "-o",
        out,
    ]);
    serde_json::from_value(report["names"].clone()).unwrap()
}

/// Every tensor is assigned, to the role that it was made with.
fn all_in_place(map: &Value, names: &BTreeMap<String, String>) {
    let pairs = map["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), names.len());
    for pair in pairs {
        let role = pair["roles"][0].as_str().unwrap();
        assert_eq!(pair["tensor"], names[role].as_str(), "{pair}");
    }
}

#[test]
fn a_renamed_copy_is_mapped_written_and_says_the_same() {
    let place = TempDir::new().unwrap();
    let copy = place.path().join("copy");
    let names = anonymous("zoo:base-a", &copy);
    let copy = copy.to_str().unwrap();
    let back = place.path().join("back");
    let written = back.to_str().unwrap();
    let map = json(&[
        "map",
        copy,
        "--onto",
        "zoo:base-a",
        "--write",
        written,
        "--json",
    ]);
    assert_eq!(map["schema"], "kinprobe/map/v1");
    assert_eq!(map["clarity"], "clear");
    let pairs = map["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), names.len());
    for pair in pairs {
        let role = pair["roles"][0].as_str().unwrap();
        assert_eq!(pair["tensor"], names[role].as_str(), "{pair}");
        assert_eq!(pair["how"], "content");
    }
    // Units are in another order: rounding differs, the function does not.
    assert!(
        map["written"]["logit_distance"].as_f64().unwrap() < 1e-5,
        "{map}"
    );
    assert_eq!(map["written"]["top1_agreement"], 1.0);
    let facts = json(&["inspect", written, "--json"]);
    assert_eq!(facts["not_runnable"], Value::Null);
    assert_eq!(facts["architecture"], "llama");
    assert_eq!(facts["unassigned"].as_array().unwrap().len(), 0);

    let output = kinprobe(&["map", copy, "--onto", "zoo:base-a"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("model.layers.0.self_attn.q_proj.weight"),
        "{text}"
    );
    assert!(text.contains("by shape and content; clear"), "{text}");
}

#[test]
fn a_child_is_mapped_and_a_stranger_completely_without_support() {
    let place = TempDir::new().unwrap();
    let child = place.path().join("child");
    let names = anonymous("zoo:base-a-continued", &child);
    let map = json(&[
        "map",
        child.to_str().unwrap(),
        "--onto",
        "zoo:base-a",
        "--json",
    ]);
    assert_eq!(map["clarity"], "clear");
    all_in_place(&map, &names);
    let map = json(&[
        "map",
        child.to_str().unwrap(),
        "--onto",
        "zoo:base-b",
        "--json",
    ]);
    assert_eq!(map["pairs"].as_array().unwrap().len(), names.len());
    assert_ne!(map["clarity"], "clear");
    assert_eq!(map["only_suspect"].as_array().unwrap().len(), 0);
}

#[test]
fn a_child_that_lost_its_biases_keeps_all_its_layers() {
    let place = TempDir::new().unwrap();
    let child = place.path().join("child");
    let names = anonymous("zoo:base-qwen-unbiased", &child);
    let child = child.to_str().unwrap();
    let map = json(&["map", child, "--onto", "zoo:base-qwen", "--json"]);
    assert_eq!(map["clarity"], "clear");
    all_in_place(&map, &names);
    let lacking = map["only_reference"].as_array().unwrap();
    let bias = |name: &Value| name.as_str().unwrap().ends_with("_proj.bias");
    assert_eq!((lacking.len(), lacking.iter().all(bias)), (18, true));
}

#[test]
fn what_cannot_be_mapped_is_one_line() {
    let place = TempDir::new().unwrap();
    let copy = place.path().join("copy");
    anonymous("zoo:base-a", &copy);
    let copy = copy.to_str().unwrap();
    let out = place.path().join("out");
    let out = out.to_str().unwrap();
    // A reference without roles.
    assert!(
        error(&["map", "zoo:base-a", "--onto", copy], 7).contains("its own roles are not known")
    );
    // Nothing in common.
    assert!(error(&["map", copy, "--onto", "zoo:base-wide"], 7).contains("no tensor of it"));
    // Not all that the architecture needs.
    let line = error(
        &[
            "map",
            "zoo:base-a",
            "--onto",
            "zoo:base-deep",
            "--write",
            out,
        ],
        7,
    );
    assert!(line.contains("nothing in it corresponds to"), "{line}");
    let broken = place.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("model.safetensors"), b"\x08\0\0\0\0\0\0\0{}").unwrap();
    let line = error(
        &["map", broken.to_str().unwrap(), "--onto", "zoo:base-a"],
        7,
    );
    assert!(line.contains("model.safetensors"), "{line}");
    // Nothing is left behind, and nothing is written over.
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2);
    std::fs::create_dir(out).unwrap();
    let line = error(&["map", copy, "--onto", "zoo:base-a", "--write", out], 2);
    assert!(line.contains("exists already"), "{line}");
}

/// Wider MLPs have no shape in common with the reference's: units find each other by what their matrices
/// do to the residual stream.
#[test]
fn wider_mlps_find_their_roles() {
    let place = TempDir::new().unwrap();
    let copy = place.path().join("copy");
    let names = anonymous("zoo:base-a-widened", &copy);
    let map = json(&[
        "map",
        copy.to_str().unwrap(),
        "--onto",
        "zoo:base-a",
        "--json",
    ]);
    all_in_place(&map, &names);
}
