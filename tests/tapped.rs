//! `kinprobe run --tap` and `kinprobe activations`: what is inside, kept and held side by side.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;
use half::f16;
use kinprobe::model::Decoder;
use kinprobe::model::Model;
use kinprobe::model::Site;
use kinprobe::model::Tap;
use kinprobe::probe;
use kinprobe::record::Activations;
use kinprobe::record::tapped;
use kinprobe::record::tapped::Pool;
use kinprobe::record::tapped::Taps;
use kinprobe::source::Silent;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;

use crate::common::program::error;
use crate::common::program::json;
use crate::common::program::kinprobe;
use crate::common::tiny;

const SITES: [Site; 3] = [Site::MlpPre(0), Site::ResidPost(0), Site::ResidPost(1)];

fn suite() -> probe::Suite {
    let suites = probe::select(Path::new("."), &["next-token".to_owned()]).unwrap();
    suites[0].reduced(70)
}

fn tiny_model() -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 5);
    let model = tiny::opened(folder.path());
    (folder, model)
}

fn record(model: &Model, pool: Pool, folder: &Path, memory: Option<u64>) -> tapped::Tapped {
    let sites = match pool {
        Pool::Whole => vec![Site::Pattern(0), Site::Pattern(1)],
        Pool::Last | Pool::Mean | Pool::All => SITES.to_vec(),
    };
    let taps = Taps { sites, pool };
    tapped::tap(model, &suite(), &taps, (folder, memory), &Silent).unwrap();
    let read = tapped::read(folder).unwrap();
    // Without a folder between it is the same.
    let heard = tapped::hear(model, &suite(), &taps).unwrap();
    assert_eq!(heard, read.activations);
    read
}

/// All positions of one site.
struct Whole(Site, Option<Tensor>);

impl Tap for Whole {
    fn wants(&self, site: Site) -> bool {
        site == self.0
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        self.1 = Some(value.clone());
        Ok(())
    }
}

fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Rows of every pool, against one forward pass of the prompt alone.
#[test]
fn rows_are_those_of_a_forward_pass() {
    let (_weights, model) = tiny_model();
    let out = tempfile::tempdir().unwrap();
    let decoder =
        Decoder::load(&model.weights, model.spec.as_ref().unwrap(), &Device::Cpu).unwrap();
    let tokenizer = model.tokenizer.as_ref().unwrap();
    for (pool, name) in [
        (Pool::Last, "last"),
        (Pool::Mean, "mean"),
        (Pool::All, "all"),
    ] {
        let tapped = record(&model, pool, &out.path().join(name), None);
        let found = &tapped.activations;
        let (_, site) = found.stack(Site::ResidPost)[1];
        let mut row = 0;
        for item in &suite().items {
            let ids = tokenizer.encode(&item.prompt).unwrap();
            let tokens = Tensor::new(&ids[..], &Device::Cpu).unwrap();
            let mut tap = Whole(Site::ResidPost(1), None);
            decoder
                .forward(&tokens.unsqueeze(0).unwrap(), None, &mut tap)
                .unwrap();
            let whole: Vec<Vec<f32>> = tap.1.unwrap().i(0).unwrap().to_vec2().unwrap();
            let rows = found.items.iter().filter(|one| **one == item.id).count();
            if rows == 0 {
                // Longer than the model takes.
                assert!(
                    tapped
                        .manifest
                        .missing
                        .iter()
                        .any(|one| one.item == item.id)
                );
                continue;
            }
            assert!(rows == 1 || pool == Pool::All);
            let here = &site.values[row * site.width..(row + rows) * site.width];
            match pool {
                Pool::Last => assert_eq!(here, whole.last().unwrap()),
                Pool::All => {
                    assert_eq!(found.offsets[row + rows - 1] as usize, item.prompt.len());
                    assert_eq!(&here[here.len() - site.width..], whole.last().unwrap());
                }
                // Tokens inside a sign end at no place.
                Pool::Mean if !item.prompt.is_ascii() => {}
                Pool::Mean => {
                    let rest = if whole.len() > 1 { &whole[1..] } else { &whole };
                    let mean: f32 = rest.iter().map(|one| one[0]).sum::<f32>() / rest.len() as f32;
                    assert!((here[0] - mean).abs() < 1e-4, "{} {mean}", here[0]);
                }
                Pool::Whole => unreachable!(),
            }
            row += rows;
        }
        assert_eq!(row, found.items.len());
    }
}

/// A row is what every token sees in those before it, with zeros behind the prompt's end.
#[test]
fn whole_patterns_are_those_of_a_forward_pass() {
    let (_weights, model) = tiny_model();
    let out = tempfile::tempdir().unwrap();
    let tapped = record(&model, Pool::Whole, out.path(), None);
    let found = &tapped.activations;
    let whole = tapped.manifest.whole.unwrap();
    let side = whole.tokens;
    assert_eq!((found.tokens, whole.heads), (Some(side), 4));
    assert!(found.offsets.is_empty() && found.items.len() > 64);
    let decoder =
        Decoder::load(&model.weights, model.spec.as_ref().unwrap(), &Device::Cpu).unwrap();
    let mut longest = 0;
    for (layer, site) in found.stack(Site::Pattern) {
        assert_eq!(site.width, 4 * side * side);
        for (item, row) in found.items.iter().zip(site.values.chunks(site.width)) {
            let suite = suite();
            let item = suite.items.iter().find(|one| one.id == *item).unwrap();
            let ids = model.tokenizer.as_ref().unwrap().encode(&item.prompt);
            let tokens = Tensor::new(&ids.unwrap()[..], &Device::Cpu).unwrap();
            let mut tap = Whole(Site::Pattern(layer), None);
            decoder
                .forward(&tokens.unsqueeze(0).unwrap(), None, &mut tap)
                .unwrap();
            let pattern = tap.1.unwrap().i(0).unwrap();
            let count = pattern.dim(1).unwrap();
            let pattern: Vec<Vec<Vec<f32>>> = pattern.to_vec3().unwrap();
            for (head, queries) in row.chunks(side * side).zip(&pattern) {
                for (at, query) in head.chunks(side).enumerate() {
                    let keys = queries.get(at).map_or(&[][..], Vec::as_slice);
                    assert_eq!(&query[..keys.len()], keys);
                    assert!(query[keys.len()..].iter().all(|weight| *weight == 0.0));
                    assert_eq!(at < count, query.iter().any(|weight| *weight != 0.0));
                }
            }
            longest = longest.max(count);
        }
    }
    assert_eq!(longest, side);
}

#[test]
fn layer_by_layer_and_after_a_kill_the_files_are_the_same() {
    let (_weights, model) = tiny_model();
    let out = tempfile::tempdir().unwrap();
    let [whole, streamed] = ["whole", "streamed"].map(|name| out.path().join(name));
    goes_on(&model, Pool::All, [&whole, &streamed]);
    let [patterns, streamed] = ["patterns", "patterns-streamed"].map(|name| out.path().join(name));
    goes_on(&model, Pool::Whole, [&patterns, &streamed]);
    // Nothing of another kind goes into the same folder.
    let taps = Taps {
        sites: SITES.to_vec(),
        pool: Pool::Last,
    };
    let other = tapped::tap(&model, &suite(), &taps, (&whole, None), &Silent).unwrap_err();
    assert!(
        other.to_string().contains("another model, suite"),
        "{other}"
    );
}

/// Records into both folders, the second layer by layer, and into the first once more after a kill.
fn goes_on(model: &Model, pool: Pool, [whole, streamed]: [&Path; 2]) {
    record(model, pool, whole, None);
    let files = bytes(whole);
    assert!(files.len() > 2, "more than one chunk");
    record(model, pool, streamed, Some(200_000));
    assert_eq!(
        tapped::read(whole).unwrap().activations,
        tapped::read(streamed).unwrap().activations
    );
    // What a kill between two chunks leaves.
    fs::remove_file(whole.join(tapped::MANIFEST)).unwrap();
    fs::remove_file(whole.join("00001.safetensors")).unwrap();
    record(model, pool, whole, None);
    assert_eq!(bytes(whole), files);
}

fn taps(folder: &Path, models: &[&str], more: &[&str]) {
    let mut args = vec!["run", "next-token", "-m"];
    args.extend(models);
    args.extend(["--tap", "blocks.*.hook_resid_post", "-o"]);
    let folder = folder.to_str().unwrap();
    args.push(folder);
    args.extend(more);
    let output = kinprobe(&args);
    assert!(output.status.success(), "{output:?}");
}

fn taps_of(folder: &Path, model: &str) -> String {
    folder
        .join(model)
        .join("next-token.taps")
        .display()
        .to_string()
}

fn evidence<'v>(report: &'v Value, id: &str) -> &'v Value {
    let rows = report["evidence"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap()
}

/// Models of two tokenizers meet where a token ends in both.
#[test]
fn tokenizers_meet_at_bytes() {
    let out = tempfile::tempdir().unwrap();
    let models = ["zoo:base-a", "zoo:base-a-retokenised"];
    taps(out.path(), &models, &["--pool", "all"]);
    let [a, b] = ["base-a", "base-a-retokenised"].map(|name| taps_of(out.path(), name));
    let report = json(&["activations", &a, &b, "--json"]);
    let cka = evidence(&report, "activation.linear_cka");
    let [ours, theirs] = [&a, &b].map(|path| tapped::read(Path::new(path)).unwrap().activations);
    assert_ne!(ours.items.len(), theirs.items.len());
    let shared = ours.shared_rows(&theirs);
    assert_eq!(shared.len(), kinprobe::record::MOST_ROWS);
    let place = |of: &Activations, row: usize| (of.items[row].clone(), of.offsets[row]);
    for (row, other) in &shared {
        assert_eq!(place(&ours, *row), place(&theirs, *other));
    }
    assert_eq!(cka["n"], shared.len());
    assert!(cka["statistic"].as_f64().unwrap() > 0.2, "{cka}");
}

#[test]
fn a_child_is_more_alike_than_strangers() {
    let out = tempfile::tempdir().unwrap();
    let models = [
        "zoo:base-a",
        "zoo:base-a-finetuned-light",
        "zoo:base-b",
        "zoo:base-c",
    ];
    taps(out.path(), &models, &[]);
    let path = |name| taps_of(out.path(), name);
    let (a, child, b, c) = (
        path("base-a"),
        path("base-a-finetuned-light"),
        path("base-b"),
        path("base-c"),
    );
    let folder = out.path().join("report");
    let report = json(&[
        "activations",
        &a,
        &child,
        "--panel",
        &b,
        &c,
        "-o",
        folder.to_str().unwrap(),
        "--json",
    ]);
    let cka = evidence(&report, "activation.linear_cka");
    let controls = cka["controls"].as_array().unwrap();
    assert_eq!(controls.len(), 5);
    let highest = controls
        .iter()
        .map(|control| control["statistic"].as_f64().unwrap())
        .fold(0.0, f64::max);
    assert!(cka["statistic"].as_f64().unwrap() > highest);
    assert!(folder.join("index.html").exists());
    // Weights were not at hand, and the report says so.
    assert_eq!(
        report["findings"]["architecture"]["conclusion"],
        "undetermined"
    );
}

/// Gram matrices of strangers stand in for the strangers, but not for one of the two.
#[test]
fn the_consensus_of_shipped_gram_matrices_is_taken_off() {
    let out = tempfile::tempdir().unwrap();
    let models = ["zoo:base-a", "zoo:base-a-finetuned", "zoo:base-b"];
    taps(out.path(), &models, &[]);
    let [a, child, b] =
        ["base-a", "base-a-finetuned", "base-b"].map(|name| taps_of(out.path(), name));
    let of = |a: &str, b: &str| {
        let report = json(&["activations", a, b, "--json"]);
        evidence(&report, "activation.deconfounded_cka").clone()
    };
    let (kin, stranger) = (of(&a, &child), of(&a, &b));
    assert!(kin["statistic"].as_f64() > stranger["statistic"].as_f64());
    // One run less where two runs are compared.
    for (row, shipped) in [(&kin, 13), (&stranger, 12)] {
        let words = row["explanation"].to_string();
        let expected = format!("(0 at hand, {shipped} as shipped Gram matrices)");
        assert!(words.contains(&expected), "{words}");
        let words = row["caveats"].to_string();
        assert!(
            words.contains("smollm2") && !words.contains("base-a,"),
            "{words}"
        );
    }
}

#[test]
fn gram_matrices_are_written_and_checked() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("grams");
    let grams = folder.display().to_string();
    let path = |name: &str| out.path().join(name);
    for name in ["a", "b"] {
        foreign(&path(name), "the same", "rows.safetensors");
    }
    foreign(&path("c"), "another", "rows.safetensors");
    let one = |label: &str, name: &str| format!("{label}={}", path(name).display());
    let write = ["--write-grams", &grams, "--licence", "none"];
    let both = [one("x", "a"), one("y", "b")];
    let run = [&["activations", &both[0], "--panel", &both[1]], &write[..]];
    let written = json(&[&run.concat()[..], &["--json"]].concat());
    assert_eq!(written["models"].as_array().unwrap().len(), 2);
    assert_eq!(written["models"][1]["kept"], json!([0]));
    let prompts: std::collections::BTreeMap<String, String> = (0..8)
        .map(|at| {
            (
                format!("q{at}"),
                sha256(format!("the same {at}").as_bytes()),
            )
        })
        .collect();
    let read = || kinprobe::record::grams::read(&folder, Pool::Mean, &prompts);
    let found = read().unwrap();
    let labels: Vec<&str> = found.iter().map(|one| one.label.as_str()).collect();
    assert_eq!(labels, ["x", "y"]);
    // As the activations have it, in any order and of some prompts.
    let items = ["q5", "q1", "q7", "q0", "q2"];
    let kept = found[0].on(&items).unwrap();
    let rows = tapped::read(&path("a")).unwrap().activations;
    let site = &rows.sites[0];
    let values: Vec<f32> = [5, 1, 7, 0, 2]
        .iter()
        .flat_map(|row| &site.values[row * 4..(row + 1) * 4])
        .copied()
        .collect();
    let own = kinprobe::stat::cka::CentredGram::new(&values, 5).unwrap();
    let alike = kept[0].as_ref().unwrap().cka(&own).unwrap();
    assert!(alike > 0.99999, "{alike}");
    assert!(found[0].on(&["q0", "q1", "q2", "unknown"]).is_none());
    // Other prompts, and a damaged file.
    let other = one("z", "c");
    let line = error(&[&["activations", &other], &write[..]].concat(), 6);
    assert!(line.contains("read 0 of the 8 prompts"), "{line}");
    fs::write(folder.join("theirs.mean.x.safetensors"), b"torn").unwrap();
    let reason = read().unwrap_err().to_string();
    assert!(reason.contains("sha256"), "{reason}");
}

/// Attention patterns of a child, and the published method that reads them.
#[test]
fn changes_of_patterns_tell_a_child_from_a_stranger() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().display().to_string();
    let models = ["zoo:base-a", "zoo:base-a-finetuned", "zoo:base-b"];
    let suite = "datasets/minimal-pairs/minimal-pairs.yaml";
    let patterns = ["--tap", "blocks.*.attn.hook_pattern", "--pool", "whole"];
    let run = [
        &["run", suite, "-m"],
        &models[..],
        &patterns,
        &["-o", &folder],
    ];
    let output = kinprobe(&run.concat());
    assert!(output.status.success(), "{output:?}");
    let [a, child, b] = ["base-a", "base-a-finetuned", "base-b"].map(|model| {
        let taps = out.path().join(model).join("minimal-pairs.taps");
        taps.display().to_string()
    });
    let of = |a: &str, b: &str| {
        let report = json(&["activations", a, b, "--published", "--json"]);
        evidence(&report, "activation.attndiff").clone()
    };
    let [itself, kin, stranger] = [&a, &child, &b].map(|b| of(&a, b));
    let number = |row: &Value| row["statistic"].as_f64().unwrap();
    assert!((number(&itself) - 1.0).abs() < 1e-9, "{itself}");
    assert!(number(&kin) > number(&stranger) + 0.05, "{kin} {stranger}");
    for row in [&itself, &kin, &stranger] {
        let forms = row["table"]["rows"].as_array().unwrap();
        let forms: Vec<&Value> = forms.iter().map(|form| &form[0]).collect();
        let known = ["described", "debiased", "head_norms", "mean_over_heads"];
        // Prompts are not all as long, and some words are not the same number of tokens.
        assert_eq!(forms, known, "{row}");
        let left = 60 - row["n"].as_u64().unwrap();
        let caveats = row["caveats"].to_string();
        assert!(
            left > 0 && caveats.contains(&format!("{left} pairs")),
            "{row}"
        );
    }
    // Beside ours it stands when it is asked for.
    let report = json(&["activations", &a, &child, "--json"]);
    let rows = report["evidence"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["id"] != "activation.attndiff"));
}

/// Written by another program: half precision, no more than the format asks for.
fn foreign(folder: &Path, prompt: &str, file: &str) {
    let values: Vec<u8> = (0..8 * 4)
        .flat_map(|at| f16::from_f32((at * at % 17) as f32).to_le_bytes())
        .collect();
    let view = TensorView::new(Dtype::F16, vec![8, 4], &values).unwrap();
    let bytes = safetensors::serialize([("blocks.0.hook_resid_post", view)], None).unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("rows.safetensors"), &bytes).unwrap();
    let items: Vec<Value> = (0..8)
        .map(|at| json!({"item": format!("q{at}"), "prompt_sha256": sha256(format!("{prompt} {at}").as_bytes())}))
        .collect();
    let manifest = json!({
        "schema": "kinprobe/activations/v1", "model": "elsewhere\u{1b}[2J", "suite": "theirs", "pool": "mean",
        "sites": ["blocks.0.hook_resid_post"],
        "files": [{"file": file, "sha256": sha256(&bytes), "items": items}],
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn activations_of_other_programs_are_read_and_checked() {
    let out = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| out.path().join(name));
    foreign(&a, "the same", "rows.safetensors");
    foreign(&b, "the same", "rows.safetensors");
    foreign(&c, "another", "rows.safetensors");
    let path = |folder: &Path| folder.display().to_string();
    let report = json(&["activations", &path(&a), &path(&b), "--json"]);
    let cka = evidence(&report, "activation.linear_cka");
    assert_eq!(cka["n"], 8);
    assert!((cka["statistic"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert!(!report.to_string().contains('\u{1b}'));
    let refused = |code: i32, words: &str, a: &Path, b: &Path| {
        let line = error(&["activations", &path(a), &path(b)], code);
        assert!(line.contains(words), "{line}");
    };
    refused(6, "item `q0` is one prompt in", &a, &c);
    foreign(&c, "the same", "../rows.safetensors");
    refused(6, "does not lie beside it", &a, &c);
    foreign(&c, "the same", "rows.safetensors");
    fs::write(c.join("rows.safetensors"), b"torn").unwrap();
    refused(6, "sha256", &a, &c);
    fs::write(c.join("manifest.json"), b"{\"schema\": 3").unwrap();
    refused(6, "manifest.json", &a, &c);
    for (from, to) in [
        ("hook_resid_post", "hook_nothing"),
        ("kinprobe/activations/v1", "kinprobe/activations/v9"),
        ("\"q1\"", "\"q0\""),
        ("\"mean\"", "\"whole\""),
        (
            "\"mean\"",
            "\"mean\", \"whole\": {\"heads\": 1, \"tokens\": 2}",
        ),
        (
            "\"mean\"",
            "\"whole\", \"whole\": {\"heads\": 1, \"tokens\": 2}",
        ),
    ] {
        foreign(&c, "the same", "rows.safetensors");
        let text = fs::read_to_string(c.join("manifest.json")).unwrap();
        fs::write(c.join("manifest.json"), text.replace(from, to)).unwrap();
        refused(6, "manifest.json", &a, &c);
    }
}

/// Patterns of whole prompts, too, may be another program's.
#[test]
fn a_pattern_is_as_wide_as_its_manifest_says() {
    let out = tempfile::tempdir().unwrap();
    let patterns = |shape: &str| {
        let folder = out.path().join("a");
        foreign(&folder, "the same", "rows.safetensors");
        let old = "blocks.0.hook_resid_post";
        let new = "blocks.0.attn.hook_pattern";
        let file = fs::read(folder.join("rows.safetensors")).unwrap();
        let store = safetensors::SafeTensors::deserialize(&file).unwrap();
        let view = store.tensor(old).unwrap();
        let bytes = safetensors::serialize([(new, view)], None).unwrap();
        fs::write(folder.join("rows.safetensors"), &bytes).unwrap();
        let path = folder.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap().replace(old, new);
        let text = text.replace(&sha256(&file), &sha256(&bytes));
        let pool = format!("\"whole\", \"whole\": {shape}");
        fs::write(&path, text.replace("\"mean\"", &pool)).unwrap();
        tapped::read(&folder)
    };
    let read = patterns("{\"heads\": 1, \"tokens\": 2}").unwrap();
    assert_eq!(read.activations.tokens, Some(2));
    for shape in [
        "{\"heads\": 4, \"tokens\": 2}",
        "{\"heads\": 1, \"tokens\": 18446744073709551615}",
    ] {
        let reason = patterns(shape).unwrap_err().to_string();
        assert!(reason.contains("heads and tokens"), "{reason}");
    }
    let reason = patterns("null").unwrap_err().to_string();
    assert!(reason.contains("`whole: {heads, tokens}`"), "{reason}");
}

#[test]
fn what_cannot_be_kept_is_one_line() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().display().to_string();
    let line = |code, site, pool| {
        let run = ["run", "next-token", "-m", "zoo:base-a", "-o", &folder];
        error(&[&run[..], &["--tap", site, "--pool", pool]].concat(), code)
    };
    for pool in ["last", "mean", "all"] {
        let line = line(7, "blocks.0.attn.hook_pattern", pool);
        assert!(line.contains("cannot be stacked") && line.contains("--pool whole"));
    }
    assert!(line(7, "blocks.0.attn.hook_attn_scores", "whole").contains("kinprobe probe"));
    assert!(line(7, "blocks.0.hook_resid_post", "whole").contains("`--pool last`"));
    assert!(line(2, "blocks.99.hook_resid_post", "last").contains("no site matches"));
    assert!(line(2, "blocks.0.hook_resid_post", "some").contains("`whole`"));
}
