//! A hostile corpus is inert in every form.

use super::*;
use crate::baseline::Aggregate;
use crate::baseline::Changed;
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
        margin: None,
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
        },
        drop: None::<Drop>,
        aggregate: [aggregate.clone(), aggregate],
        vanished: vec![text.clone()],
        new: vec![text.clone()],
        conditions: Changed {
            summary: "other weights",
            changes: Vec::new(),
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
