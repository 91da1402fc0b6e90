//! Suites of pictures: rendered, read back, refused, and recorded of a model that sees.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use kinprobe::probe;
use kinprobe::probe::Item;
use kinprobe::probe::Picture;
use kinprobe::probe::Readout;
use kinprobe::probe::Suite;
use kinprobe::probe::render::script;
use kinprobe::probe::render::script::Labels;
use kinprobe::probe::render::script::Source;
use kinprobe::record::Answer;
use kinprobe::record::Failure;
use kinprobe::record::RecordingStore;
use kinprobe::record::Runner;
use kinprobe::record::run_suite;
use kinprobe::source::Silent;

use crate::common::program::error;
use crate::common::program::json;
use crate::common::program::kinprobe;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// 24 pictures of three signs in a folder, and the suite's file.
fn rendered(folder: &Path) -> String {
    let out = text(folder);
    let args = [
        "suite", "render", "script", "--seed", "7", "--items", "24", "-o", out, "--json",
    ];
    json(&args)["file"].as_str().unwrap().to_owned()
}

#[test]
fn the_shipped_script_is_what_its_seed_gives() {
    let made = script::render(&script::Wish {
        writings: None,
        seed: 0,
        items: script::ITEMS,
        labels: Labels::Invented,
        source: Source::Invented,
    });
    let rendered = made.unwrap().rendered;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/script");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(rendered.dataset == read("invented-script.jsonl"));
    assert_eq!(rendered.manifest, read("invented-script.yaml"));
    for name in ["invented-script", "tangut"] {
        let suite = probe::load(&folder.join(format!("{name}.yaml"))).unwrap();
        assert_eq!(suite.items.len(), 1000);
        let sides = suite
            .items
            .iter()
            .map(|item| item.picture.as_ref().unwrap().sides());
        assert!(sides.clone().all(|sides| sides == (48, 48)));
        assert!(
            suite
                .items
                .iter()
                .all(|item| item.group.is_some() && item.targets.len() == 1)
        );
    }
}

#[test]
fn the_program_renders_the_same_bytes_twice_and_reads_them_back() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (rendered(a.path()), rendered(b.path()));
    let dataset = |file: &str| fs::read(file.replace(".yaml", ".jsonl")).unwrap();
    assert!(dataset(&one) == dataset(&two));
    let shown = json(&["suite", "show", &one, "--items", "9", "--json"]);
    let items = shown["items"].as_array().unwrap();
    assert_eq!(items[8]["group"], "s0001");
    assert_eq!(items[8]["picture"]["width"], 48);
    let refused = error(
        &[
            "suite",
            "render",
            "script",
            "--labels",
            "true",
            "-o",
            text(a.path()),
        ],
        2,
    );
    assert!(refused.contains("no true characters"), "{refused}");
}

#[test]
fn a_model_of_text_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let suite = rendered(folder.path());
    let out = folder.path().join("out");
    let args = ["run", &suite, "--model", "zoo:base-a", "-o", text(&out)];
    let refused = error(&args, 7);
    assert!(
        refused.contains("shows pictures, which this model does not read"),
        "{refused}"
    );
    assert!(!out.exists() || fs::read_dir(&out).unwrap().next().is_none());
}

#[test]
fn pictures_of_one_s_own_become_a_suite() {
    let folder = tempfile::tempdir().unwrap();
    let suite = probe::load(Path::new(&rendered(folder.path()))).unwrap();
    let images = folder.path().join("mine");
    fs::create_dir(&images).unwrap();
    let mut table = "file,label,group\n".to_owned();
    for item in suite.items.iter().take(10) {
        let name = format!("{}.png", item.id);
        fs::write(images.join(&name), item.picture.as_ref().unwrap().bytes()).unwrap();
        table += &format!(
            "{name},{},{}\n",
            item.targets[0],
            item.group.as_ref().unwrap()
        );
    }
    let names = folder.path().join("names.csv");
    fs::write(&names, table).unwrap();
    let out = folder.path().join("suite");
    let args = |out: &Path| {
        let (images, names, out) = (text(&images), text(&names), text(out));
        [
            "suite", "render", "pictures", "--images", images, "--names", names, "-o", out,
            "--json",
        ]
        .map(str::to_owned)
    };
    let owned = args(&out);
    let made = json(&owned.each_ref().map(String::as_str));
    let mine = probe::load(Path::new(made["file"].as_str().unwrap())).unwrap();
    assert_eq!(mine.items.len(), 10);
    assert_eq!(mine.items[3].picture, suite.items[3].picture);
    // A changed picture makes another suite, a broken one none.
    let shown = out.join("pictures/s0000-0.png");
    fs::write(&shown, suite.items[20].picture.as_ref().unwrap().bytes()).unwrap();
    let changed = probe::load(Path::new(made["file"].as_str().unwrap())).unwrap();
    assert_ne!(changed.sha256, mine.sha256);
    fs::write(&shown, b"\x89PNG\r\n\x1a\n").unwrap();
    let checked = kinprobe(&["suite", "validate", made["file"].as_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(2));
    let reason = probe::load(Path::new(made["file"].as_str().unwrap()))
        .unwrap_err()
        .to_string();
    assert!(
        reason.contains("pictures.jsonl:1: picture `pictures/s0000-0.png`: the picture is broken"),
        "{reason}"
    );
}

/// A model that knows some of the signs, and guesses at the others.
struct Eye {
    identity: String,
    /// By the picture's hash.
    truths: BTreeMap<String, String>,
    /// What it knows and guesses follows from this.
    habit: u64,
    seen: Mutex<usize>,
}

impl Eye {
    fn new(label: &str, habit: u64, suite: &Suite) -> Self {
        let truth = |item: &Item| {
            let picture = item.picture.as_ref().unwrap();
            (picture.sha256.clone(), item.targets[0].clone())
        };
        Self {
            identity: format!("sha256:{label}"),
            truths: suite.items.iter().map(truth).collect(),
            habit,
            seen: Mutex::new(0),
        }
    }
}

impl Runner for Eye {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn engine(&self) -> String {
        "eye".to_owned()
    }

    fn sees(&self) -> bool {
        true
    }

    fn look(&self, _: &str, picture: &Picture, _: &Readout) -> Result<Answer, Failure> {
        *self.seen.lock().unwrap() += 1;
        let pixels = picture.rgb().unwrap().pixels;
        let dark: u64 = pixels.iter().map(|pixel| u64::from(*pixel)).sum();
        let text = match (dark ^ self.habit).wrapping_mul(self.habit) >> 7 & 7 {
            0..=2 => self.truths[&picture.sha256].clone(),
            guess => format!("guess {}", guess & 1),
        };
        Ok(Answer {
            prompt_tokens: Some(1),
            text,
            tokens: vec![1],
            top: Vec::new(),
            margins: Vec::new(),
            inside: None,
            places: Vec::new(),
        })
    }

    fn answer(&self, _: &str, _: &Readout) -> Result<Answer, Failure> {
        unreachable!("every item has a picture")
    }
}

#[test]
fn a_model_that_sees_is_shown_each_picture_and_its_group_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let suite = probe::load(Path::new(&rendered(folder.path()))).unwrap();
    let runs = folder.path().join("runs");
    for (label, habit) in [
        ("a", 3_001),
        ("b", 3_001),
        ("c", 7_919),
        ("d", 104_729),
        ("e", 611_953),
    ] {
        let eye = Eye::new(label, habit, &suite);
        let store = RecordingStore::named(&runs, label);
        let (recording, _) = run_suite(&eye, &suite, &store, &Silent).unwrap();
        assert_eq!(recording.records[8].group.as_deref(), Some("s0001"));
        let hashes = recording.records.iter().map(|record| &record.prompt_sha256);
        assert_eq!(hashes.collect::<BTreeSet<_>>().len(), 24);
        assert_eq!(*eye.seen.lock().unwrap(), 24);
    }
    let run = |label: &str| format!("run:{}", text(&runs.join(label)));
    let (a, b, c, d, e) = (run("a"), run("b"), run("c"), run("d"), run("e"));
    let found = json(&["overlap", &a, &b, "--panel", &c, &d, &e, "--json"]);
    // The writings of a sign are permuted among each other.
    let words = found.to_string();
    let mut tested = words.split(r#"{"index":"twin items""#).skip(1);
    let permuted = |one: &str| one.starts_with(r#","null":"#) && one.contains(r#""items":24"#);
    assert!(tested.any(permuted), "{words}");
}

/// The architecture of the real one, with random weights: what it says means nothing, and is said of the
/// picture that it is shown.
#[test]
fn a_model_with_a_vision_tower_reads_pictures_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let suite = rendered(folder.path());
    let out = folder.path().join("out");
    let args = [
        "run",
        &suite,
        "--model",
        "tests/fixtures/vision",
        "-o",
        text(&out),
        "--json",
    ];
    let rows = json(&args);
    assert!(rows.to_string().contains(r#""answered":24"#), "{rows}");
    let files: Vec<_> = fs::read_dir(out.join("vision")).unwrap().collect();
    assert_eq!(files.len(), 1);
    let recording = kinprobe::record::read(&files[0].as_ref().unwrap().path()).unwrap();
    let suite = probe::load(Path::new(&suite)).unwrap();
    // Pictures of the same sign give other numbers, and the same picture the same ones.
    let of = |at: usize| -> Vec<String> {
        let top = recording.records[at].top.iter();
        top.map(|one| format!("{:?} {:.6}", one.token, one.logprob))
            .collect()
    };
    assert_ne!(of(0), of(1));
    let model = kinprobe::source::open(
        &"tests/fixtures/vision".parse().unwrap(),
        &kinprobe::source::OpenOptions::from_env(),
    );
    let model = kinprobe::model::Model::open(model.unwrap(), "vision").unwrap();
    let runner = kinprobe::record::LocalRunner::load(&model).unwrap();
    let item = &suite.items[5];
    let again = runner
        .look(&item.prompt, item.picture.as_ref().unwrap(), &suite.readout)
        .unwrap();
    let again: Vec<String> = again
        .top
        .iter()
        .map(|one| format!("{:?} {:.6}", one.token, one.logprob))
        .collect();
    assert_eq!(again, of(5));
    let blind = runner.answer(&item.prompt, &suite.readout).unwrap();
    assert_ne!(blind.prompt_tokens, recording.records[5].prompt_tokens);
}

/// The suspect's names are its own and its class is nobody's; both are shown pictures all the same, and so
/// are the models that they are held against.
#[test]
fn a_masked_copy_is_compared_by_what_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "suite",
        "render",
        "script",
        "--items",
        "40",
        "--writings",
        "9",
        "-o",
        text(folder.path()),
        "--json",
    ];
    let suite = json(&args)["file"].as_str().unwrap().to_owned();
    assert!(suite.ends_with("invented-script-0-40-by-9.yaml"), "{suite}");
    let out = folder.path().join("report");
    let pair = ["zoo:script-original", "zoo:script-suspect"];
    let report = json(&[
        "compare",
        pair[0],
        pair[1],
        "--suite",
        &suite,
        "-o",
        text(&out),
        "--json",
    ]);
    let lineage = &report["findings"]["lineage"];
    assert_eq!(lineage["conclusion"], "related", "{lineage}");
    assert_eq!(report["coverage"]["suites"][0]["answered"], 40);
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("<img class=\"sign\" src=\"data:image/png;base64,"));
    let signs = fs::read(out.join("signs/result.json")).unwrap();
    let signs: serde_json::Value = serde_json::from_slice(&signs).unwrap();
    let runs = signs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 9, "the pair and seven strangers");
    assert!(runs.iter().all(|run| run["answered"] == 40));
}

#[test]
fn pictures_are_not_shown_to_models_of_text() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/script/invented-script.yaml");
    let args = [
        "compare",
        "zoo:base-a",
        "zoo:base-b",
        "--suite",
        text(&suite),
    ];
    let line = error(&args, 7);
    assert!(line.contains("shows pictures"), "{line}");
}
