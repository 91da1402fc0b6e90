//! `kinprobe zoo launder` on a shipped model, from the command line.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::program::{error, kinprobe};

use kinprobe::model::Model;
use kinprobe::model::Part;
use kinprobe::model::Role;
use kinprobe::source;
use kinprobe::source::Locator;
use kinprobe::source::ModelRef;
use kinprobe::source::OpenOptions;

fn open(locator: Locator) -> Model {
    let reference = ModelRef {
        label: None,
        locator,
    };
    let options = OpenOptions {
        data_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()),
        ..OpenOptions::default()
    };
    Model::open(source::open(&reference, &options).unwrap(), "model").unwrap()
}

#[test]
fn a_laundered_copy_computes_the_same_from_other_numbers() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("copy");
    let chain = "permute-units,permute-heads,fold-gains,rotate-residual,rescale-value-output,\
                 rotate-query-key,rename=yi";
    let output = kinprobe(&[
        "zoo",
        "launder",
        "zoo:base-a",
        "--with",
        chain,
        "--seed",
        "7",
        "--json",
        "-o",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exact"], true);
    assert!(report["distance"].as_f64().unwrap() < 1e-5, "{report}");
    assert_eq!(report["steps"].as_array().unwrap().len(), 7);
    let written: Value =
        serde_json::from_slice(&std::fs::read(out.join("launder.json")).unwrap()).unwrap();
    assert_eq!(written, report);

    let (base, copy) = (
        open(Locator::Zoo("base-a".to_owned())),
        open(Locator::Local(out)),
    );
    assert_eq!(copy.family, Some("yi"));
    let spec = copy.spec.as_ref().unwrap();
    assert!(!spec.tie_word_embeddings, "the head took up the last gain");
    assert!(copy.tokenizer.is_ok());
    for part in [Part::Query, Part::Value, Part::Up, Part::Down] {
        let role = Role::layer(2, part);
        let (a, b) = (
            base.weights.all(&role).unwrap(),
            copy.weights.all(&role).unwrap(),
        );
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(x, y)| f64::from(*x) * f64::from(*y))
                .sum()
        };
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!(cosine.abs() < 0.05, "{role}: {cosine}");
    }
}

#[test]
fn words_and_refusals_have_their_exit_codes() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("copy");
    let out = out.to_str().unwrap();
    let launder = |with, more: &[&str], code| {
        let args = ["zoo", "launder", "zoo:base-a", "--with", with, "-o", out];
        error(&[&args, more].concat(), code)
    };
    assert!(launder("wash", &[], 2).contains("permute-units"));
    assert!(launder("noise=-1", &[], 2).contains("a number from 0"));
    assert!(launder("permute-experts", &[], 2).contains("no experts"));
    assert!(launder("merge-linear", &[], 2).contains("--other"));
    assert!(launder("noise=0.1", &["--other", "zoo:base-b"], 2).contains("no step"));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    std::fs::create_dir(out).unwrap();
    assert!(launder("permute-units", &[], 2).contains("exists already"));
}

#[test]
fn the_list_names_every_laundering() {
    let output = kinprobe(&["zoo", "launder", "--list"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let output = kinprobe(&["zoo", "launder", "--list", "--json"]);
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(all.len() >= 20);
    for one in all {
        assert!(text.contains(one["name"].as_str().unwrap()), "{one}");
    }
}

#[test]
fn names_that_store_gains_otherwise_are_given_the_bits_for_it() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("copy");
    let out = out.to_str().unwrap();
    let args = ["--with", "rename=gguf", "-o", out, "--json"];
    let output = kinprobe(&[["zoo", "launder", "zoo:base-gemma"].as_slice(), &args].concat());
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stored"], "float32");
}
