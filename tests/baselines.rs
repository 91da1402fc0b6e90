//! `kinprobe accept` and `kinprobe check` on shipped models, from the command line.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::common::few::Few;
use crate::common::few::GENERATE;
use crate::common::few::ITEMS;
use crate::common::program::kinprobe;

/// With the baseline of `zoo:base-a`.
fn accepted(readout: &str, score: &str) -> Few {
    let few = Few::new(readout, score);
    let output = few.accept("zoo:base-a", &[], &[]);
    assert!(output.status.success(), "{output:?}");
    few
}

/// Every file below a folder with its bytes.
fn all_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all_files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_accepted_passes_on_any_number_of_threads_and_nothing_is_written() {
    let accepted = accepted(GENERATE, "exact");
    let before = all_files(Path::new(&accepted.place()));
    assert_eq!(before.len(), 1);
    for (tier, threads) in [("exact", "1"), ("answer", "3"), ("tolerance", "1")] {
        let threads = [("RAYON_NUM_THREADS", threads), ("CI", "true")];
        let output = accepted.check("zoo:base-a", &["--tier", tier], &threads);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.starts_with("+ pass  base-a  few-questions v1"),
            "{text}"
        );
    }
    assert_eq!(all_files(Path::new(&accepted.place())), before);
    // Few items decide nothing about accuracy.
    let (code, document) = accepted.checked("zoo:base-a", &["--tier", "statistical"]);
    assert_eq!(
        (code, &document["verdict"]),
        (3, &Value::from("inconclusive"))
    );
    let (code, _) = accepted.checked(
        "zoo:base-a",
        &["--tier", "statistical", "--max-drop", "0.2"],
    );
    assert_eq!(code, 0);
}

#[test]
fn another_model_fails_and_what_changed_is_named() {
    let accepted = accepted(GENERATE, "exact");
    let (code, document) = accepted.checked("base-a=zoo:base-a-sibling", &[]);
    assert_eq!(code, 1, "{document}");
    let suite = &document["suites"][0];
    assert_eq!(suite["verdict"], "fail");
    assert_eq!(suite["conditions"]["summary"], "other weights");
    assert!(suite["changed"].as_array().unwrap().len() > 2, "{suite}");
    let junit = accepted.folder.path().join("out/junit.xml");
    let more = ["--github", "--junit", junit.to_str().unwrap()];
    let output = accepted.check("base-a=zoo:base-a-finetuned", &more, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("x FAIL") && text.contains("what changed: other weights"),
        "{text}"
    );
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(
        line.starts_with("::error file=") && line.lines().count() == 2,
        "{line}"
    );
    assert!(
        line.contains("\nerror: not as accepted: few-questions"),
        "{line}"
    );
    let xml = fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("<failure") && xml.contains("changed.weights"),
        "{xml}"
    );
}

#[test]
fn four_bit_rounding_fails_and_another_tokenizer_is_named() {
    let accepted = accepted(GENERATE, "exact");
    let out = accepted.folder.path().join("rounded");
    let out = out.to_str().unwrap();
    let output = kinprobe(&[
        "zoo",
        "launder",
        "zoo:base-a",
        "--with",
        "round=4",
        "-o",
        out,
    ]);
    assert!(output.status.success(), "{output:?}");
    for tier in ["exact", "answer"] {
        let (code, document) = accepted.checked(&format!("base-a={out}"), &["--tier", tier]);
        assert_eq!(code, 1, "{document}");
    }
    margins_are_named(&accepted, &format!("base-a={out}"));
    let kept = accepted.folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/zoo/base-a");
    for (path, bytes) in all_files(&zoo) {
        fs::write(kept.join(path.file_name().unwrap()), bytes).unwrap();
    }
    let mut tokenizer: Value =
        serde_json::from_slice(&fs::read(kept.join("tokenizer.json")).unwrap()).unwrap();
    // Laid out otherwise it is the same tokenizer, with a rule more it is another.
    fs::write(kept.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let model = format!("base-a={}", kept.display());
    let (code, document) = accepted.checked(&model, &["--tier", "exact"]);
    let changes = |document: &Value| -> Vec<String> {
        let all = document["suites"][0]["conditions"]["changes"].as_array();
        let what = all.unwrap().iter().map(|one| one["what"].as_str().unwrap());
        what.map(str::to_owned).collect()
    };
    assert_eq!(code, 0);
    assert!(
        !changes(&document).contains(&"tokenizer".to_owned()),
        "{document}"
    );
    tokenizer["normalizer"] = serde_json::json!({ "type": "Lowercase" });
    fs::write(kept.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = r#"{"chat_template": "{{ messages }}"}"#;
    fs::write(kept.join("tokenizer_config.json"), template).unwrap();
    let (_, document) = accepted.checked(&model, &["--tier", "exact"]);
    let changes = changes(&document);
    assert!(!changes.contains(&"weights".to_owned()), "{changes:?}");
    for what in ["tokenizer", "chat_template"] {
        assert!(changes.contains(&what.to_owned()), "{changes:?}");
    }
}

/// Each item that changed has the margin at which its answers part, and stands with it on the terminal; a baseline
/// without later margins is checked by the first.
fn margins_are_named(accepted: &Few, model: &str) {
    let (_, document) = accepted.checked(model, &[]);
    let suite = &document["suites"][0];
    let floor = suite["knife_edge"]["floor"].as_f64().unwrap();
    assert_eq!(suite["knife_edge"]["first_tokens_only"], false);
    let text = accepted.check(model, &[], &[]).stdout;
    let text = String::from_utf8(text).unwrap();
    let mut behind_the_first = 0;
    for change in suite["changed"].as_array().unwrap() {
        let margin = change["margin"].as_f64().unwrap();
        assert_eq!(change["knife_edge"], margin < floor, "{change}");
        assert!(text.contains(change["item"].as_str().unwrap()), "{text}");
        let token = change["margin_of"]["token"].as_u64().unwrap();
        behind_the_first += u32::from(token > 0);
    }
    assert!(behind_the_first > 0, "{suite}");
    assert!(text.contains("widest margin that turned: "), "{text}");
    let whole = fs::read_to_string(accepted.file()).unwrap();
    let mut old: Value = serde_json::from_str(&whole).unwrap();
    for item in old["items"].as_array_mut().unwrap() {
        let item = item.as_object_mut().unwrap();
        let margins = item.remove("margins");
        let tokens = item["tokens"].as_array().unwrap().len();
        // One behind each token but the last, and one where the text ends by itself.
        let known = margins.map_or(0, |margins| margins.as_array().unwrap().len());
        assert!(known + 1 == tokens || known == tokens, "{item:?}");
    }
    fs::write(accepted.file(), old.to_string()).unwrap();
    let (code, document) = accepted.checked("zoo:base-a", &["--tier", "exact"]);
    assert_eq!(code, 0, "{document}");
    let (code, document) = accepted.checked(model, &[]);
    let suite = &document["suites"][0];
    assert_eq!(
        (code, &suite["knife_edge"]["first_tokens_only"]),
        (1, &Value::from(true))
    );
    assert_eq!(suite["changed"][0]["margin_of"], "first");
    let text = String::from_utf8(accepted.check(model, &[], &[]).stdout).unwrap();
    assert!(text.contains("margins of first tokens alone"), "{text}");
    fs::write(accepted.file(), whole).unwrap();
}

#[test]
fn accepting_again_says_how_much_changes_and_ci_is_refused() {
    let accepted = accepted("{kind: next_token}", "prefix");
    let first = fs::read_to_string(accepted.file()).unwrap();
    assert!(
        first.contains("\"inside\": [\n    {\"block\":0,"),
        "{first}"
    );
    let output = accepted.accept("zoo:base-a", &[], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(&format!("0 of {ITEMS} answers change")),
        "{text}"
    );
    assert_eq!(fs::read_to_string(accepted.file()).unwrap(), first);
    let sibling = "base-a=zoo:base-a-sibling";
    let output = accepted.accept(sibling, &[], &[("CI", "true")]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(accepted.file()).unwrap(), first);
    let output = accepted.accept(sibling, &["--even-in-ci"], &[("CI", "true")]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        !text.contains("    0 of") && text.contains("answers change"),
        "{text}"
    );
    let (code, document) = accepted.checked("zoo:base-a", &[]);
    assert_eq!(code, 1);
    assert!(document["suites"][0]["most_moved"][1].as_f64().unwrap() > 0.01);
}

#[test]
fn missing_broken_and_incomparable_baselines_have_their_exit_codes() {
    let accepted = accepted(GENERATE, "exact");
    let line = |output: Output, code| {
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stdout.is_empty());
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    };
    let missing = line(accepted.check("zoo:base-b", &[], &[]), 1);
    assert!(
        missing.contains("base-b.json: there is no baseline"),
        "{missing}"
    );
    assert!(
        !Path::new(&accepted.place())
            .join("few-questions/base-b.json")
            .exists()
    );
    let good = fs::read_to_string(accepted.file()).unwrap();
    for (from, to, words) in [
        ("kinprobe/baseline/v1", "\\u001b[2J", "schema"),
        (
            "\"suite_sha256\": \"",
            "\"suite_sha256\": \"0",
            "suite hash",
        ),
        ("\"device\": \"cpu", "\"device\": \"\\u001b[2Jgpu", "device"),
        ("\"decoding\": \"greedy", "\"decoding\": \"lazy", "decoding"),
        ("\"items\": [", "\"items\": [[", "not a baseline"),
    ] {
        fs::write(accepted.file(), good.replacen(from, to, 1)).unwrap();
        let line = line(accepted.check("zoo:base-a", &[], &[]), 6);
        assert!(line.contains(words) && !line.contains('\u{1b}'), "{line}");
    }
    let line = line(accepted.check("zoo:base-a", &["--alpha", "3"], &[]), 6);
    assert!(line.contains("base-a.json"), "{line}");
    fs::write(accepted.file(), good).unwrap();
    let output = accepted.check("zoo:base-a", &["--alpha", "3"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn sarif_points_at_the_changed_lines_and_summaries_are_appended() {
    let accepted = accepted(GENERATE, "exact");
    let place = |name: &str| accepted.folder.path().join(name);
    let (sarif, page, step) = (place("out/c.sarif"), place("out/s.md"), place("step.md"));
    let more = [
        "--sarif",
        sarif.to_str().unwrap(),
        "--summary",
        page.to_str().unwrap(),
    ];
    let env = [("GITHUB_STEP_SUMMARY", step.to_str().unwrap())];
    for _ in 0..2 {
        let output = accepted.check("base-a=zoo:base-a-sibling", &more, &env);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("### kinprobe check: FAIL"), "{text}");
    assert_eq!(text.matches("### kinprobe check: FAIL").count(), 2);
    assert!(!step.exists());
    let output = accepted.check("zoo:base-a", &[&more[..], &["--github"]].concat(), &env);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        fs::read_to_string(&step)
            .unwrap()
            .starts_with("### kinprobe check: pass")
    );
    let passed: Value = serde_json::from_slice(&fs::read(&sarif).unwrap()).unwrap();
    assert_eq!(passed["runs"][0]["results"], Value::Array(Vec::new()));
    let (_, document) = accepted.checked("base-a=zoo:base-a-sibling", &more);
    let changed = document["suites"][0]["changed"].as_array().unwrap();
    let log: Value = serde_json::from_slice(&fs::read(&sarif).unwrap()).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(changed.len() > 2 && results.len() == changed.len(), "{log}");
    let baseline = fs::read_to_string(accepted.file()).unwrap();
    let lines: Vec<&str> = baseline.lines().collect();
    for (result, change) in results.iter().zip(changed) {
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(
            uri.ends_with("baselines/few-questions/base-a.json"),
            "{uri}"
        );
        let line = place["region"]["startLine"].as_u64().unwrap() as usize;
        let item = lines[line - 1].trim().trim_end_matches(',');
        let item: Value = serde_json::from_str(item).unwrap();
        assert_eq!(item["id"], change["item"]);
    }
}

#[test]
fn weights_say_what_was_done_where_they_are_at_hand() {
    let accepted = accepted(GENERATE, "exact");
    let out = accepted.folder.path().join("rounded");
    let out = out.to_str().unwrap();
    let launder = [
        "zoo",
        "launder",
        "zoo:base-a",
        "--with",
        "round=4",
        "-o",
        out,
    ];
    let output = kinprobe(&launder);
    assert!(output.status.success(), "{output:?}");
    for (model, conclusion, relation) in [
        (out, "related", Value::from("quantised")),
        (
            "zoo:base-a-finetuned-light",
            "related",
            Value::from("fine_tuned"),
        ),
        ("zoo:base-b", "independent", Value::Null),
    ] {
        let model = format!("base-a={model}");
        let (code, document) = accepted.checked(&model, &["--was", "zoo:base-a"]);
        assert_eq!(code, 1, "{document}");
        let weights = &document["weights"];
        assert_eq!(weights["conclusion"], conclusion, "{weights}");
        assert_eq!(weights["relation"], relation, "{weights}");
    }
    // Another model than the one that was accepted says nothing.
    let output = accepted.check("zoo:base-a", &["--was", "zoo:base-b"], &[]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_early_check_asks_no_more_than_it_needs() {
    let accepted = accepted(GENERATE, "exact");
    let (code, document) = accepted.checked("base-a=zoo:base-b", &["--early"]);
    assert_eq!(code, 1, "{document}");
    let unasked = document["suites"][0]["unasked"].as_u64().unwrap();
    assert!(unasked > 0 && unasked < ITEMS as u64, "{document}");
    let (code, document) = accepted.checked("zoo:base-a", &["--early"]);
    assert_eq!(code, 0, "{document}");
    assert_eq!(document["suites"][0]["compared"], ITEMS);
    assert_eq!(document["suites"][0]["vanished"], Value::Array(Vec::new()));
}

#[test]
fn a_review_needs_a_person() {
    let accepted = accepted(GENERATE, "exact");
    let before = all_files(Path::new(&accepted.place()));
    let place = accepted.place();
    let args = [
        "review",
        "base-a=zoo:base-b",
        "--suite",
        &accepted.suite,
        "--baseline",
        &place,
    ];
    for (env, words) in [
        (&[][..], ["kinprobe check", "kinprobe accept"]),
        (&[("CI", "true")][..], ["CI is set", "kinprobe check"]),
    ] {
        let output = accepted.command(&args, env).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        for words in words {
            assert!(line.contains(words), "{line}");
        }
    }
    assert_eq!(all_files(Path::new(&place)), before);
}
