//! Models behind a server, from the command line; the server is on this machine.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::common::few::Few;
use crate::common::few::GENERATE;
use crate::common::few::ITEMS;
use crate::common::served::Said;
use crate::common::served::Server;

const KEY: &str = "sk-canary-0123456789abcdef";

/// A few questions, a cache and a key of its own.
struct Place {
    few: Few,
}

impl Place {
    fn new(readout: &str, score: &str) -> Self {
        let few = Few::new(readout, score);
        let cache = few.path("cache");
        Self {
            few: few
                .with("KINPROBE_CACHE", &cache)
                .with("OPENAI_API_KEY", KEY),
        }
    }

    fn run(&self, model: &str, out: &str, more: &[&str]) -> Output {
        let out = self.few.path(out);
        let args = ["run", &self.few.suite, "--model", model, "-o", &out];
        self.few.program(&[&args, more].concat())
    }

    /// Exit code, document, and what was said on the way.
    fn check(&self, model: &str, more: &[&str]) -> (i32, Value, String) {
        let output = self.few.check(model, &[more, &["--json"]].concat(), &[]);
        let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let words = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), document, words)
    }

    /// Lines of a recording.
    fn recorded(&self, out: &str, label: &str) -> Vec<Value> {
        let file = self.few.path(&format!("{out}/{label}/few-questions.jsonl"));
        let text = fs::read_to_string(&file).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Says something of every prompt that another model does not say.
fn rule(name: &'static str) -> impl Fn(&str, usize) -> Said + Send + Sync {
    move |prompt, max_tokens| Said {
        text: format!(" {name} of {} and {max_tokens}\nmore", prompt.len()),
        ended: false,
        prompt_tokens: prompt.len(),
        first: vec![(format!(" {name}"), -0.25), (" other".to_owned(), -2.5)],
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn ok(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn answers_are_recorded_and_what_a_server_cannot_show_is_not() {
    let place = Place::new(GENERATE, "exact");
    let server = Server::start("toy", rule("toy"));
    ok(&place.run(&server.reference("toy"), "runs", &[]));
    let lines = place.recorded("runs", "toy");
    assert_eq!(lines.len(), 1 + ITEMS);
    let head = &lines[0];
    let digest = head["model_digest"].as_str().unwrap();
    assert!(
        digest.starts_with("endpoint:") && digest.len() == 9 + 64,
        "{digest}"
    );
    let engine = head["engine"].as_str().unwrap();
    for words in [
        server.base.as_str(),
        "completions",
        "fp-1",
        "owned_by tests",
        "repeatable",
    ] {
        assert!(engine.contains(words), "{engine}");
    }
    assert!(head["absent"]["tokens"].as_str().unwrap().contains("ids"));
    assert!(
        head["decoding"]
            .as_str()
            .unwrap()
            .contains("no chat template")
    );
    let first = &lines[1];
    assert!(
        first["answer"].as_str().unwrap().ends_with("and 12"),
        "{first}"
    );
    assert!(first["prompt_tokens"].as_u64().unwrap() > 0);
    assert_eq!(first["top"][0]["text"], " toy");
    assert_eq!(first["top"][0]["logprob"], -0.25);
    assert!(first["top"][0].get("token").is_none(), "{first}");
}

#[test]
fn chat_is_asked_where_nothing_else_is_served_and_said() {
    let place = Place::new("{kind: next_token}", "prefix");
    let server = Server::start("toy", rule("toy"));
    server.chat_only();
    ok(&place.run(&server.reference("toy"), "runs", &[]));
    let lines = place.recorded("runs", "toy");
    let head = &lines[0];
    assert!(
        head["engine"]
            .as_str()
            .unwrap()
            .contains("chat completions"),
        "{head}"
    );
    assert!(
        head["decoding"].as_str().unwrap().contains("user message"),
        "{head}"
    );
    assert_eq!(lines[1]["top"][1]["logprob"], -2.5);
}

/// A shipped model behind a server answers as it answers here, and in the same order however many questions are
/// in flight.
#[test]
fn a_served_model_answers_as_its_files_do() {
    for (readout, score) in [(GENERATE, "exact"), ("{kind: next_token}", "prefix")] {
        let place = Place::new(readout, score);
        let server = Server::of_zoo("base-a");
        ok(&place.run("zoo:base-a", "files", &[]));
        ok(&place.run(
            &server.reference("base-a"),
            "served",
            &["--concurrency", "7"],
        ));
        ok(&place.run(&server.reference("base-a"), "one", &["--concurrency", "1"]));
        let here = place.recorded("files", "base-a");
        let there = place.recorded("served", "base-a");
        assert_eq!(there, place.recorded("one", "base-a"));
        for (here, there) in here.iter().zip(&there).skip(1) {
            for what in ["item", "answer", "correct", "prompt_tokens"] {
                assert_eq!(here[what], there[what], "{here}\n{there}");
            }
            assert_eq!(here["top"][0]["text"], there["top"][0]["text"]);
            assert_eq!(here["top"][0]["logprob"], there["top"][0]["logprob"]);
        }
    }
}

/// The main use: the same weights behind another runtime.
#[test]
fn an_endpoint_is_checked_against_what_files_answered() {
    let place = Place::new(GENERATE, "exact");
    ok(&place.few.accept("zoo:base-a", &[], &[]));
    let server = Server::of_zoo("base-a");
    let model = format!("base-a={}", server.reference("base-a"));
    for tier in ["answer", "exact"] {
        let (code, document, words) = place.check(&model, &["--tier", tier]);
        assert_eq!(code, 0, "{tier}: {words} {document}");
        let outcome = &document["suites"][0];
        let unknown = outcome["conditions"]["unknown"].as_array().unwrap();
        let unknown: Vec<&str> = unknown
            .iter()
            .map(|one| one["what"].as_str().unwrap())
            .collect();
        let all = [
            "chat_template",
            "device",
            "dtype",
            "model",
            "tokenizer",
            "tokens",
            "weights",
        ];
        assert_eq!(unknown, all);
    }
    // Nothing is said of what cannot be seen.
    let (code, document, _) = place.check(&model, &["--tier", "tolerance"]);
    assert_eq!(code, 3, "{document}");

    let other = Server::of_zoo("base-b");
    let model = format!("base-a={}", other.reference("base-b"));
    let (code, document, _) = place.check(&model, &[]);
    assert_eq!(code, 1, "{document}");
    // What is known and differs is not compared.
    server.chat_only();
    let model = format!("base-a={}", server.reference("base-a"));
    let (code, _, words) = place.check(&model, &[]);
    assert_eq!(code, 6);
    assert!(words.contains("decoding was"), "{words}");
    let (code, _, words) = place.check(&model, &["--was", "zoo:base-a"]);
    assert_eq!(code, 2, "{words}");
}

#[test]
fn an_endpoint_is_accepted_and_a_changed_one_is_named() {
    let place = Place::new(GENERATE, "exact");
    let server = Server::start("toy", rule("toy"));
    let model = server.reference("toy");
    ok(&place.few.accept(&model, &[], &[]));
    let (code, document, words) = place.check(&model, &["--tier", "exact"]);
    assert_eq!(code, 0, "{words}");
    let conditions = &document["suites"][0]["conditions"];
    assert!(
        conditions["changes"].as_array().unwrap().is_empty(),
        "{conditions}"
    );
    server.fingerprint("fp-2");
    let (code, document, _) = place.check(&model, &["--tier", "exact"]);
    assert_eq!(code, 0);
    let conditions = &document["suites"][0]["conditions"];
    let changed: Vec<&str> = conditions["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(changed, ["engine", "model"], "{conditions}");
    // Files against what an endpoint answered.
    let (code, _, words) = place.check("toy=zoo:base-a", &[]);
    assert_eq!(code, 1, "{words}");
}

#[test]
fn only_behaviour_is_compared() {
    let place = Place::new(GENERATE, "exact");
    let server = Server::of_zoo("base-a-finetuned");
    let out = place.few.path("report");
    let output = place.few.program(&[
        "compare",
        "zoo:base-a",
        &server.reference("base-a-finetuned"),
        "--suite",
        &place.few.suite,
        "--json",
        "-o",
        &out,
    ]);
    ok(&output);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"]["lineage"]["conclusion"], "undetermined");
    let rows = report["evidence"].as_array().unwrap();
    let mut measured = 0;
    for row in rows {
        let id = row["id"].as_str().unwrap();
        if id.starts_with("behaviour.") {
            measured += usize::from(row["status"] == "measured");
        } else {
            assert_eq!(row["status"], "not_applicable", "{row}");
            assert_eq!(row["reason"], "an endpoint shows answers alone", "{row}");
        }
    }
    assert!(measured >= 3, "{measured} of {}", rows.len());
    let card = &report["models"][1];
    assert!(card.get("parameters").is_none(), "{card}");
    assert!(
        card["digest"].as_str().unwrap().starts_with("endpoint:"),
        "{card}"
    );
    // At a depth that asks for no answers there is nothing to do.
    let model = server.reference("base-a-finetuned");
    let output = place
        .few
        .program(&["compare", "zoo:base-a", &model, "--depth", "standard"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// One cache, two models of one server: both are asked.
#[test]
fn models_do_not_share_answers() {
    let place = Place::new(GENERATE, "exact");
    let first = Server::start("toy", rule("toy"));
    let second = Server::start("toy", rule("other"));
    for server in [&first, &second] {
        let model = server.reference("toy");
        ok(&place
            .few
            .program(&["run", &place.few.suite, "--model", &model]));
        assert!(server.take_prompts().len() >= ITEMS);
    }
    let mut answers: Vec<String> = files(&place.few.folder.path().join("cache"))
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    answers.sort();
    assert_eq!(answers.len(), 2);
    assert_ne!(answers[0], answers[1]);
    // What is recorded of the same server is not asked again: the handshake says that it is the same.
    let model = first.reference("toy");
    ok(&place
        .few
        .program(&["run", &place.few.suite, "--model", &model]));
    assert!(first.take_prompts().len() < ITEMS);
}

#[test]
fn a_killed_run_asks_only_what_is_missing() {
    let place = Place::new(GENERATE, "exact");
    let server = Server::start("toy", rule("toy"));
    let model = server.reference("toy");
    ok(&place.run(&model, "whole", &[]));
    server.delay(Duration::from_millis(40));
    let out = place.few.path("killed");
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_kinprobe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "run",
            &place.few.suite,
            "--model",
            &model,
            "-o",
            &out,
            "--concurrency",
            "1",
        ])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let journal = Path::new(&out).join("toy/few-questions.jsonl");
    let lines = || fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
    while lines() < 2 && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let done = lines() - 1;
    assert!((1..ITEMS).contains(&done), "killed after {done}");
    server.delay(Duration::ZERO).take_log();
    ok(&place.run(&model, "killed", &[]));
    let prompts = server.take_prompts();
    // Two of them are those of the handshake.
    assert_eq!(prompts.len(), ITEMS - done + 2);
    assert_eq!(
        place.recorded("killed", "toy"),
        place.recorded("whole", "toy")
    );
}

/// A server that repeats the key wherever it can: in its header, its fingerprint and its answers.
#[test]
fn the_key_is_nowhere() {
    let place = Place::new(GENERATE, "exact");
    let server = Server::start("toy", rule("toy"));
    server.require_key(KEY).echo_keys();
    let model = server.reference("toy");
    let out = place.few.path("report");
    let mut said = vec![
        place.run(&model, "runs", &[]),
        place.few.accept(&model, &[], &[]),
        place.few.program(&[
            "compare",
            "zoo:base-a",
            &model,
            "--suite",
            &place.few.suite,
            "-o",
            &out,
        ]),
        place.few.program(&[
            "check",
            &model,
            "--suite",
            &place.few.suite,
            "--baseline",
            &place.few.path("baselines"),
        ]),
    ];
    for output in &said {
        ok(output);
    }
    // Not accepted, and quoted by the server; in an address, and refused.
    server.require_key("another-key-altogether");
    let refused = place.run(&model, "refused", &[]);
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    let with_user = model.replace("http://", &format!("http://{KEY}:{KEY}@"));
    let typed = place.run(&with_user, "refused", &[]);
    assert_eq!(typed.status.code(), Some(2), "{typed:?}");
    let typed_bare = place.run(
        &with_user[with_user.find("http").unwrap()..],
        "refused",
        &[],
    );
    assert_eq!(typed_bare.status.code(), Some(2), "{typed_bare:?}");
    said.extend([refused, typed, typed_bare]);
    let has = |bytes: &[u8]| bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
    for output in &said {
        assert!(!has(&output.stdout) && !has(&output.stderr), "{output:?}");
    }
    let written = files(place.few.folder.path());
    assert!(written.len() > 8);
    for file in written {
        assert!(!has(&fs::read(&file).unwrap()), "{}", file.display());
    }
    let requests = server.take_log();
    assert!(
        requests
            .iter()
            .all(|one| !has(&one.body) && !has(one.target.as_bytes()))
    );
    assert!(
        requests
            .iter()
            .any(|one| one.header("authorization").is_some())
    );
}

#[test]
fn verbs_that_need_files_refuse_in_one_line_and_ask_nothing() {
    let place = Place::new(GENERATE, "exact");
    let server = Server::start("toy", rule("toy"));
    let model = server.reference("toy");
    let out = place.few.path("out");
    for args in [
        &["inspect", &model][..],
        &["probe", &model, "--text", "x"],
        &["map", &model, "--onto", "zoo:base-a"],
        &["map", "zoo:base-a", "--onto", &model],
        &["zoo", "launder", &model, "--with", "rename=yi", "-o", &out],
        &["parents", &model, "--of", "zoo:base-a", "zoo:base-b"],
        &["compare", &model, "zoo:base-a", "--offline"],
    ] {
        let output = place.few.program(args);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{args:?}");
        assert_eq!(words.lines().count(), 1, "{args:?}: {words}");
        let reason = ["answers alone", "offline no request"];
        assert!(
            reason.iter().any(|reason| words.contains(reason)),
            "{args:?}: {words}"
        );
    }
    assert!(server.take_log().is_empty());
}
