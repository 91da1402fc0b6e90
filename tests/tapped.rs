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
    let taps = Taps {
        sites: SITES.to_vec(),
        pool,
    };
    tapped::tap(model, &suite(), &taps, (folder, memory), &Silent).unwrap();
    tapped::read(folder).unwrap()
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

#[test]
fn layer_by_layer_and_after_a_kill_the_files_are_the_same() {
    let (_weights, model) = tiny_model();
    let out = tempfile::tempdir().unwrap();
    let [whole, streamed] = ["whole", "streamed"].map(|name| out.path().join(name));
    record(&model, Pool::All, &whole, None);
    let files = bytes(&whole);
    assert!(files.len() > 2, "more than one chunk");
    record(&model, Pool::All, &streamed, Some(200_000));
    assert_eq!(
        tapped::read(&whole).unwrap().activations,
        tapped::read(&streamed).unwrap().activations
    );
    // What a kill between two chunks leaves.
    fs::remove_file(whole.join(tapped::MANIFEST)).unwrap();
    fs::remove_file(whole.join("00001.safetensors")).unwrap();
    record(&model, Pool::All, &whole, None);
    assert_eq!(bytes(&whole), files);
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

/// Written by another program: half precision, no more than the format asks for.
fn foreign(folder: &Path, prompt: &str, file: &str) {
    let values: Vec<u8> = (0..8 * 4)
        .flat_map(|at| f16::from_f32((at * at % 17) as f32).to_le_bytes())
        .collect();
    let view = TensorView::new(Dtype::F16, vec![8, 4], &values).unwrap();
    let bytes = safetensors::serialize([("blocks.0.hook_resid_post", view)], None).unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("rows.safetensors"), &bytes).unwrap();
    let hash = |bytes: &[u8]| -> String {
        Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    };
    let items: Vec<Value> = (0..8)
        .map(|at| json!({"item": format!("q{at}"), "prompt_sha256": hash(format!("{prompt} {at}").as_bytes())}))
        .collect();
    let manifest = json!({
        "schema": "kinprobe/activations/v1", "model": "elsewhere\u{1b}[2J", "suite": "theirs", "pool": "mean",
        "sites": ["blocks.0.hook_resid_post"],
        "files": [{"file": file, "sha256": hash(&bytes), "items": items}],
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
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
    ] {
        foreign(&c, "the same", "rows.safetensors");
        let text = fs::read_to_string(c.join("manifest.json")).unwrap();
        fs::write(c.join("manifest.json"), text.replace(from, to)).unwrap();
        refused(6, "manifest.json", &a, &c);
    }
}

#[test]
fn what_cannot_be_kept_is_one_line() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().display().to_string();
    let run = |site: &str| {
        [
            "run",
            "next-token",
            "-m",
            "zoo:base-a",
            "--tap",
            site,
            "-o",
            &folder,
        ]
        .map(str::to_owned)
    };
    let line = |code, site| {
        let args = run(site);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        error(&args, code)
    };
    assert!(line(7, "blocks.0.attn.hook_pattern").contains("cannot be stacked"));
    assert!(line(2, "blocks.99.hook_resid_post").contains("no site matches"));
}
