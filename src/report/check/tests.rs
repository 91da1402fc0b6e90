//! A hostile corpus is inert in every form.

use super::*;
use crate::baseline::Aggregate;
use crate::baseline::Changed;
use crate::baseline::Decision;
use crate::baseline::Unknown;
use crate::baseline::check::AsClose;
use crate::baseline::check::Drop;
use crate::baseline::check::Gate;
use crate::baseline::check::ItemChange;
use crate::baseline::check::KnifeEdge;
use crate::report::Style;

fn corpus() -> Vec<String> {
    let long = "A".repeat(1 << 20);
    let short = [
        "\u{1b}]0;title\u{7}\u{1b}[2J",
        "::add-mask::secret",
        "x\n::error::y\r\n::stop-commands::z",
        "##[add-mask]secret",
        "<script>alert(1)</script>]]>",
        "\u{202e}desrever\u{2066}",
        "\u{0}\u{8}\u{fffe}\u{ffff}",
        "%0A::error::z",
        "=cmd|' /C calc'!A1",
        "[click](javascript:alert(1)) ![x](http://x.example/y) {0} {{1}}",
        "| cell | <img src=x onerror=alert(1)> `code` **bold** | # head",
        "@somebody a@example.com www.example.com https://example.com :smile: #1",
        "a\\](b) ``` </code> <!-- --> &lt;script&gt;",
    ];
    let mut all: Vec<String> = short.into_iter().map(str::to_owned).collect();
    all.push(long);
    all
}

fn document(text: &str, verdict: Verdict) -> Document {
    let text = text.to_owned();
    let aggregate = Aggregate {
        accuracy: None,
        accuracy_interval: None,
        errors: 0,
        items: 1,
        right: 0,
        scored: 0,
    };
    let change = ItemChange {
        item: text.clone(),
        before: text.clone(),
        now: text.clone(),
        correct: [None, Some(true)],
        margin: Some(0.25),
        margin_of: Some(Decision::Token(2)),
        knife_edge: true,
        why: text.clone(),
    };
    let outcome = Outcome {
        verdict,
        reason: "one of one".to_owned(),
        gate: Gate::default(),
        compared: 1,
        unasked: 0,
        changed: vec![change],
        knife_edge: KnifeEdge {
            floor: 0.1,
            items: vec![text.clone()],
            changed: 1,
            as_close: Some(AsClose {
                turned: 0.25,
                items: 7,
            }),
            first_tokens_only: true,
        },
        drop: None::<Drop>,
        aggregate: [aggregate.clone(), aggregate],
        vanished: vec![text.clone()],
        new: vec![text.clone()],
        conditions: Changed {
            summary: "other weights",
            changes: Vec::new(),
            unknown: vec![Unknown {
                what: text.clone(),
                reason: text.clone(),
            }],
        },
        most_moved: None,
    };
    let checked = Checked {
        label: text.clone(),
        suite: "suite".to_owned(),
        suite_version: 1,
        baseline: text.clone(),
        accepted: text,
        outcome,
    };
    Document {
        tool: "kinprobe".to_owned(),
        weights: None,
        suites: vec![checked],
    }
}

fn is_inert(form: &str, own_commands: usize) {
    assert!(form.len() < 60_000, "{}", form.len());
    let steers = |c| c != '\n' && crate::text::is_unsafe(c);
    assert!(!form.chars().any(steers), "{form:?}");
    let commands = form
        .lines()
        .filter(|line| line.trim_start().starts_with("::"));
    assert_eq!(commands.count(), own_commands, "{form}");
    assert!(!form.contains("##["), "{form}");
}

#[test]
fn hostile_text_is_inert() {
    for text in corpus() {
        let document = document(&text, Verdict::Fail);
        is_inert(&terminal(&document, Style::PLAIN), 0);
        is_inert(&annotations(&document), 1);
        let xml = junit(&document).unwrap();
        is_inert(&xml, 0);
        assert!(!xml.contains("<script") && !xml.contains("]]>"), "{xml}");
        assert!(!xml.contains(['\u{fffe}', '\u{ffff}']), "not XML: {xml}");
        let page = summary(&document);
        is_inert(&page, 0);
        is_markdown_of_ours(&page);
        let sarif = sarif_of(&document);
        is_inert(&sarif, 0);
        assert!(!sarif.contains("](") && !sarif.contains('<'), "{sarif}");
        let json = json(&document).unwrap();
        assert!(!json.contains("##[") && !json.contains('<'));
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back["suites"][0]["changed"][0]["now"], text);
    }
}

#[test]
fn annotations_are_encoded_as_the_runner_decodes() {
    let line = annotations(&document("a,b:c%d", Verdict::Inconclusive));
    assert_eq!(
        line,
        "::warning file=a%2Cb%3Ac%25d,title=suite not decided::one of one (a,b:c%25d)\n"
    );
    assert_eq!(annotations(&document("a", Verdict::Pass)), "");
}

#[test]
fn verdicts_are_cases_that_pass_fail_or_are_skipped() {
    let xml = |verdict| junit(&document("a", verdict)).unwrap();
    let pass = xml(Verdict::Pass);
    assert!(
        pass.contains("tests=\"1\"") && pass.contains("failures=\"0\""),
        "{pass}"
    );
    assert!(!pass.contains("<failure") && !pass.contains("<skipped"));
    assert!(xml(Verdict::Fail).contains("<failure message=\"one of one\""));
    assert!(xml(Verdict::Inconclusive).contains("<skipped"));
}

fn sarif_of(document: &Document) -> String {
    let changed = document.suites.iter().flat_map(|one| &one.outcome.changed);
    let place = Place {
        file: "tests/base lines/a.json".into(),
        lines: changed
            .zip(40..)
            .map(|(one, line)| (one.item.clone(), line))
            .collect(),
    };
    sarif(document, &vec![place; document.suites.len()]).unwrap()
}

/// Tags and table cells are the template's; the rest of the punctuation is entities.
fn is_markdown_of_ours(page: &str) {
    let mut tables = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        tables.push(line.matches('|').count());
    }
    assert_eq!(tables, [10, 10, 10, 6, 6, 6], "{page}");
    let mut rest = page.to_owned();
    for ours in [
        "<code>",
        "</code>",
        "<wbr>",
        "**FAIL**",
        "**FAIL**",
        "kinprobe check: ",
    ] {
        rest = rest.replace(ours, "");
    }
    assert!(
        !rest.contains(['<', '>', '`', '*', '[', ']', '(', '@', '!', '_']),
        "{page}"
    );
    let ours = |word: &str| !word.contains("://") && !word.contains("www.");
    assert!(rest.split(' ').all(ours), "{page}");
}

#[test]
fn what_changed_has_its_line_level_and_a_stable_fingerprint() {
    let value = |document: &Document| -> serde_json::Value {
        serde_json::from_str(&sarif_of(document)).unwrap()
    };
    let mut document = document("a{0}", Verdict::Fail);
    document.tool = "kinprobe 1.2.3".to_owned();
    let outcome = &mut document.suites[0].outcome;
    outcome.vanished.clear();
    let mut sharp = outcome.changed[0].clone();
    sharp.item = "b".to_owned();
    sharp.knife_edge = false;
    outcome.changed.push(sharp);
    let run = value(&document)["runs"][0].clone();
    assert_eq!(run["tool"]["driver"]["version"], "1.2.3");
    let results = run["results"].as_array().unwrap();
    let levels: Vec<_> = results.iter().map(|one| &one["level"]).collect();
    assert_eq!(levels, ["warning", "error"]);
    for (result, line) in results.iter().zip(40..) {
        assert_eq!(result["ruleId"], "answer-changed");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(
            place["artifactLocation"]["uri"],
            "tests/base%20lines/a.json"
        );
        assert_eq!(place["region"]["startLine"], line);
    }
    let text = results[0]["message"]["text"].as_str().unwrap();
    assert!(text.contains("a{{0}}"), "{text}");
    let print = |value: &serde_json::Value| value["results"][0]["partialFingerprints"].clone();
    document.suites[0].outcome.changed[0].now = "else".to_owned();
    document.suites[0].outcome.verdict = Verdict::Inconclusive;
    let later = value(&document)["runs"][0].clone();
    assert_eq!(print(&later), print(&run));
    assert_ne!(results[1]["partialFingerprints"], print(&run));
    assert_eq!(later["results"][0]["level"], "note");
    assert_eq!(later["results"][1]["level"], "warning");
    // Nothing sharp changed: the knife-edge items are what failed.
    let outcome = &mut document.suites[0].outcome;
    outcome.changed.truncate(1);
    outcome.vanished = vec!["gone".to_owned()];
    outcome.verdict = Verdict::Fail;
    let run = value(&document)["runs"][0].clone();
    assert_eq!(run["results"][0]["level"], "error");
    assert_eq!(run["results"][1]["ruleId"], "item-vanished");
    assert!(run["results"][1]["locations"][0]["physicalLocation"]["region"].is_null());
    document.suites[0].outcome.verdict = Verdict::Pass;
    assert_eq!(
        value(&document)["runs"][0]["results"],
        serde_json::json!([])
    );
}

#[test]
fn the_summary_says_the_verdict_first() {
    let page = summary(&document("a", Verdict::Fail));
    assert!(page.starts_with("### kinprobe check: FAIL"), "{page}");
    assert!(
        page.contains("| **FAIL** | <code>suite</code> v1 |"),
        "{page}"
    );
    let page = summary(&document("a", Verdict::Pass));
    assert!(page.starts_with("### kinprobe check: pass"), "{page}");
}

/// For `tests/real/validate_ci.py`: every form of the hostile corpus, as files.
#[test]
fn the_corpus_is_written_where_asked() {
    let Some(folder) = std::env::var_os("KINPROBE_HOSTILE_OUT") else {
        return;
    };
    let verdicts = [Verdict::Fail, Verdict::Inconclusive, Verdict::Pass];
    for (at, (text, verdict)) in corpus()
        .iter()
        .flat_map(|text| verdicts.map(|verdict| (text, verdict)))
        .enumerate()
    {
        let document = document(text, verdict);
        for (extension, form) in [
            ("xml", junit(&document).unwrap()),
            ("sarif", sarif_of(&document)),
            ("md", summary(&document)),
        ] {
            let name = format!("hostile-{at:02}.{extension}");
            std::fs::write(std::path::Path::new(&folder).join(name), form).unwrap();
        }
    }
}
