//! `kinprobe run --until` on shipped models: asked only as long as it takes, and gone on with later.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;

/// Questions asked at most.
const QUESTIONS: usize = 160;
const PANEL: [&str; 3] = ["base-b", "base-c", "base-d"];

fn kinprobe(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kinprobe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KINPROBE_DATA")
        .args(args)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The first questions of the zoo's world as a suite of its own.
fn suite(folder: &Path) -> String {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/zoo");
    let all = fs::read_to_string(zoo.join("world-questions.jsonl")).unwrap();
    let some: String = all
        .lines()
        .take(QUESTIONS)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(folder.join("some.jsonl"), &some).unwrap();
    let hash = |text: &str| {
        let bytes = Sha256::digest(text.as_bytes());
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let manifest = fs::read_to_string(zoo.join("world-questions.yaml")).unwrap();
    let manifest = manifest
        .replace("world-questions.jsonl", "some.jsonl")
        .replace("suite: world-questions", "suite: some")
        .replace(&hash(&all), &hash(&some));
    let path = folder.join("some.yaml");
    fs::write(&path, manifest).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn two_models_are_asked_no_longer_than_needed() {
    let folder = tempfile::tempdir().unwrap();
    let suite = suite(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (panel, out) = (at("panel"), at("out"));
    let models = PANEL.map(|name| format!("zoo:{name}"));
    let mut record = vec!["run", &suite, "--json", "-o", &panel, "--model"];
    record.extend(models.iter().map(String::as_str));
    json(&kinprobe(&record));

    let runs = PANEL.map(|name| format!("run:{panel}/{name}"));
    let until = |second: &str, p: &str| {
        let mut args = vec!["run", &suite, "--json", "-o", &out, "--until", p];
        args.extend(["--model", "zoo:base-a", second, "--panel"]);
        args.extend(runs.iter().map(String::as_str));
        json(&kinprobe(&args))
    };

    // The same model under other names: found before the last question.
    let found = until("zoo:base-a-renamed", "1e-3");
    let row = &found["at_any_time"];
    let asked = row["items"].as_u64().unwrap();
    assert!(row["log10_p"].as_f64().unwrap() <= -3.0, "{row}");
    assert!(asked < QUESTIONS as u64 && asked % 32 == 0, "{row}");
    assert_eq!(found["recordings"][0]["items"], asked);
    assert_eq!(found["recordings"][0]["of_items"], QUESTIONS);
    // A second look asks nothing and says the same.
    assert_eq!(until("zoo:base-a-renamed", "1e-3"), found);

    // Recorded answers say the same, item by item, and what they could have shown.
    let [first, second] = ["base-a", "base-a-renamed"].map(|name| format!("run:{out}/{name}"));
    let mut args = vec![
        "overlap", "--json", &first, &second, "--until", "1e-3", "--panel",
    ];
    args.extend(runs.iter().map(String::as_str));
    let panel = &json(&kinprobe(&args))["panel"];
    let recorded = &panel["pairs"][0]["at_any_time"];
    assert_eq!(recorded["log10_e"], row["log10_e"]);
    let reached = recorded["until"]["reached_after"].as_u64().unwrap();
    assert!(reached <= asked && reached + 32 > asked, "{recorded}");
    assert_eq!(panel["power"]["items"], asked);
    let power = |at: usize| panel["power"]["shares"][at]["power"].as_f64().unwrap();
    assert!(
        power(0) <= power(1) && power(1) <= power(2),
        "{}",
        panel["power"]
    );

    // Another seed: asked to the end, in vain, and the panel's own numbers beside it.
    let strangers = until("zoo:base-a-twin", "1e-6");
    let row = &strangers["at_any_time"];
    assert_eq!(row["until"]["reached_after"], Value::Null, "{row}");
    assert_eq!(row["items"], QUESTIONS);

    // What stopped early is completed by a plain run, to the bytes of one that never stopped.
    let whole = at("whole");
    for out in [&out, &whole] {
        json(&kinprobe(&[
            "run",
            &suite,
            "--json",
            "-o",
            out,
            "--model",
            "zoo:base-a-renamed",
        ]));
    }
    let bytes = |out: &str| fs::read(Path::new(out).join("base-a-renamed/some.jsonl")).unwrap();
    assert_eq!(bytes(&out), bytes(&whole));
}

#[test]
fn what_cannot_stop_is_refused_with_the_way_out() {
    for (args, words) in [
        (&["--until", "2"][..], "above 0 and below 1"),
        (&["--until", "1e-6"], "--panel"),
        (
            &["--until", "1e-6", "-o", "x", "--panel", "run:x/a"],
            "name two with --model, not 1",
        ),
    ] {
        let mut all = vec!["run", "next-token", "--model", "zoo:base-a"];
        all.extend(args);
        let output = kinprobe(&all);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(words), "{text}");
    }
}
