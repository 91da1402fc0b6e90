//! The checks as Markdown, for the page that a build server shows of a run.

use std::fmt::Write;

use super::Checked;
use super::Document;
use super::inert::inert;
use super::terminal::decided;
use super::weights;
use crate::baseline::check::ItemChange;
use crate::baseline::check::Verdict;

/// Suites that are listed: a server takes a page of one MiB.
const SUITES: usize = 100;
/// Changed items that are listed.
const ITEMS: usize = 20;
/// Characters of a reason.
const REASON: usize = 300;
/// Characters of a label, an id or an answer.
const CELL: usize = 60;

/// Verdict, suites, the first changed items.
pub fn summary(document: &Document) -> String {
    let mut page = format!("### kinprobe check: {}\n\n", long(document.verdict()));
    page += "| | suite | model | tier | compared | changed | right | conditions | reason |\n";
    page += "|---|---|---|---|---:|---:|---|---|---|\n";
    for checked in document.suites.iter().take(SUITES) {
        page += &suite(checked);
    }
    let suites = document.suites.len();
    if suites > SUITES {
        let _ = writeln!(page, "\nand {} suites more", suites - SUITES);
    }
    if let Some(lineage) = &document.weights {
        let named = plain(&weights::words(lineage), REASON);
        let _ = writeln!(
            page,
            "\nBy the weights, of what was accepted and of this: {named}"
        );
    }
    page + &items(document)
}

fn long(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass, as accepted",
        Verdict::Inconclusive => "not decided",
        Verdict::Fail => "FAIL, not as accepted",
    }
}

fn suite(checked: &Checked) -> String {
    let outcome = &checked.outcome;
    let word = match outcome.verdict {
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "not decided",
        Verdict::Fail => "**FAIL**",
    };
    let [before, now] = &outcome.aggregate;
    let right = match before.scored {
        0 => "unscored".to_owned(),
        _ => format!("{} of {}, was {}", now.right, now.scored, before.right),
    };
    format!(
        "| {word} | {} v{} | {} | {} | {} | {} | {right} | {} | {} |\n",
        foreign(&checked.suite, CELL),
        checked.suite_version,
        foreign(&checked.label, CELL),
        outcome.gate.tier.name(),
        outcome.compared,
        outcome.changed.len(),
        plain(outcome.conditions.summary, REASON),
        plain(&outcome.reason, REASON)
    )
}

fn items(document: &Document) -> String {
    let all = || {
        let suites = document.suites.iter();
        suites.flat_map(|one| one.outcome.changed.iter().map(move |change| (one, change)))
    };
    let count = all().count();
    if count == 0 {
        return String::new();
    }
    let mut table = "\n| suite | item | before | now | why |\n|---|---|---|---|---|\n".to_owned();
    for (checked, change) in all().take(ITEMS) {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            foreign(&checked.suite, CELL),
            foreign(&change.item, CELL),
            foreign(&change.before, CELL),
            foreign(&change.now, CELL),
            why(change)
        );
    }
    if count > ITEMS {
        let _ = writeln!(table, "\nand {} items more", count - ITEMS);
    }
    table
}

fn why(change: &ItemChange) -> String {
    let mut why = plain(&change.why, REASON);
    if let [Some(before), Some(now)] = change.correct
        && before != now
    {
        why += if now { ", now right" } else { ", now wrong" };
    }
    if let Some(decided) = decided(change) {
        why += &plain(&format!(", {decided}"), REASON);
    }
    if change.knife_edge {
        why += ", within noise";
    }
    why
}

/// Foreign text as code, where servers look for no mentions, links or emoji.
fn foreign(text: &str, most: usize) -> String {
    match text.trim().is_empty() {
        true => "(nothing)".to_owned(),
        false => format!("<code>{}</code>", plain(text, most)),
    }
}

/// Text in which nothing is Markdown or HTML: no punctuation stands for itself.
///
/// An address of mail is looked for after entities are resolved, hence the break within.
fn plain(text: &str, most: usize) -> String {
    let mut page = String::new();
    for c in inert(text, most).chars() {
        match c {
            '@' => page.push_str("&#64;<wbr>"),
            c if c.is_ascii_punctuation() => {
                let _ = write!(page, "&#{};", u32::from(c));
            }
            c => page.push(c),
        }
    }
    page
}
