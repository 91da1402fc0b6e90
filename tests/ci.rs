//! What CI is given: the action and the hooks, held against the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::program::kinprobe;

fn yaml(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every string below a value, with the members that lead to it.
fn strings(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Array(all) => {
            for one in all {
                strings(one, path, found);
            }
        }
        Value::Object(members) => {
            for (name, one) in members {
                strings(one, &format!("{path}.{name}"), found);
            }
        }
        _ => {}
    }
}

fn help(verb: &str) -> String {
    let output = kinprobe(&[verb, "--help"]);
    assert!(output.status.success(), "{verb}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Long flags of a text.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let long = words.filter(|word| word.len() > 2 && word.starts_with("--"));
    long.map(str::to_owned).collect()
}

fn check_step() -> String {
    let action = yaml("action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["id"] == "check").unwrap();
    step["run"].as_str().unwrap().to_owned()
}

#[test]
fn inputs_reach_the_action_as_data_and_its_flags_exist() {
    let action = yaml("action.yml");
    let mut all = Vec::new();
    strings(&action, "", &mut all);
    let mut passed = 0;
    for (path, text) in &all {
        if text.contains("inputs.") && text.contains("${{") {
            assert!(path.starts_with(".runs.steps.env."), "{path}: {text}");
            passed += 1;
        }
        if path.ends_with(".run") {
            assert!(!text.contains("${{"), "{text}");
        }
    }
    assert_eq!(passed, action["inputs"].as_object().unwrap().len());
    let run = check_step();
    assert!(run.contains("kinprobe\" check "), "{run}");
    let (named, known) = (flags(&run), flags(&help("check")));
    assert!(named.contains("--junit"), "{named:?}");
    assert!(named.is_subset(&known), "{named:?} of {known:?}");
    let described = action["inputs"]["args"]["description"].as_str().unwrap();
    assert!(flags(described).is_subset(&known), "{described}");
}

#[test]
fn hooks_name_a_verb_that_exists() {
    let hooks = yaml(".pre-commit-hooks.yaml");
    let ids: Vec<_> = hooks
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, ["kinprobe-suites", "kinprobe-baselines"]);
    for hook in hooks.as_array().unwrap() {
        let entry: Vec<&str> = hook["entry"].as_str().unwrap().split(' ').collect();
        assert_eq!((entry[0], entry.len()), ("kinprobe", 2));
        assert!(help(entry[1]).contains("FILE"));
    }
}

/// The check step as a runner runs it, on inputs that a shell would evaluate.
#[test]
fn the_action_evaluates_nothing_and_says_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home/target/release");
    fs::create_dir_all(&home).unwrap();
    let program = assert_cmd::cargo::cargo_bin("kinprobe");
    fs::hard_link(&program, home.join("kinprobe"))
        .or_else(|_| fs::copy(&program, home.join("kinprobe")).map(|_| ()))
        .unwrap();
    let place = folder.path().join("baselines");
    let place = place.to_str().unwrap();
    let accepted = kinprobe(&[
        "accept",
        "--even-in-ci",
        "zoo:base-a",
        "--suite",
        "short-answer",
        "--reason",
        "first",
        "--to",
        place,
    ]);
    assert!(accepted.status.success(), "{accepted:?}");
    let evil = "$(touch hit) `touch hit` ; touch hit";
    let cases = [
        (
            "zoo:base-a",
            "short-answer",
            "--tier exact",
            0,
            "pass",
            true,
        ),
        (
            "base-a=zoo:base-a-sibling",
            " short-answer\n",
            "",
            1,
            "fail",
            true,
        ),
        (evil, "short-answer", "", 1, "error", false),
        ("--help", evil, "", 2, "error", false),
        ("zoo:base-a", "short-answer", evil, 2, "error", false),
        ("zoo:base-a", "", "", 2, "error", false),
    ];
    for (model, suites, more, code, verdict, whole) in cases {
        let out = folder.path().join("output");
        let _ = fs::remove_file(&out);
        let done = Command::new("bash")
            .args([
                "--noprofile",
                "--norc",
                "-e",
                "-o",
                "pipefail",
                "-c",
                &check_step(),
            ])
            .current_dir(folder.path())
            .env("KINPROBE_HOME", folder.path().join("home"))
            .env("KINPROBE_DATA", env!("CARGO_MANIFEST_DIR"))
            .env("RUNNER_TEMP", folder.path())
            .env("GITHUB_OUTPUT", &out)
            .env("GITHUB_STEP_SUMMARY", folder.path().join("step.md"))
            .env("KINPROBE_MODEL", model)
            .env("KINPROBE_SUITES", suites)
            .env("KINPROBE_BASELINES", place)
            .env("KINPROBE_ARGS", more)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(code), "{model}: {done:?}");
        let out = fs::read_to_string(out).unwrap();
        assert!(
            out.starts_with(&format!("exit-code={code}\nverdict={verdict}\njunit=")),
            "{out}"
        );
        assert_eq!(out.ends_with("/junit.xml\n"), whole, "{out}");
        assert!(!folder.path().join("hit").exists());
    }
    let page = fs::read_to_string(folder.path().join("step.md")).unwrap();
    assert_eq!(page.matches("### kinprobe check: ").count(), 2, "{page}");
}

#[test]
fn lint_reads_baselines_and_suites() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.json");
    fs::write(&bad, "{\"schema\": \"\u{202e}\"}").unwrap();
    let odd = folder.path().join("odd.txt");
    fs::write(&odd, "x").unwrap();
    let suite = "probes/short-answer.yaml";
    let output = kinprobe(&["lint", suite, "probes/next-token.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"2 files are whole\n");
    let output = kinprobe(&["lint", bad.to_str().unwrap(), suite, odd.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let lines = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("bad.json") && lines[1].contains("odd.txt"),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("error: ") && !line.contains('\u{202e}'))
    );
}
