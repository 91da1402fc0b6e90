//! The checks on a terminal: the verdict first, then what changed.

use super::Checked;
use super::Document;
use super::inert::inert;
use super::weights;
use crate::baseline::Decision;
use crate::baseline::check::ItemChange;
use crate::baseline::check::Outcome;
use crate::baseline::check::Tier;
use crate::baseline::check::Verdict;
use crate::report::Style;

/// Changed items that are shown, and items that are named where a few will do; JSON has all of them.
const NAMED: usize = 8;
/// Changed items that are named with their margins.
const LISTED: usize = 100;
/// Characters of an answer.
const ANSWER: usize = 40;
/// Characters of a path: as long as systems allow.
const PLACE: usize = 4096;
/// Characters of an item's id.
const ID: usize = 60;

/// All checks, a paragraph each, ending in a newline.
pub fn screen(document: &Document, style: Style) -> String {
    let mut lines = Vec::new();
    for checked in &document.suites {
        paragraph(checked, style, &mut lines);
    }
    if let Some(lineage) = &document.weights {
        lines.extend(weights::lines(lineage));
    }
    lines.join("\n") + "\n"
}

fn paragraph(checked: &Checked, style: Style, lines: &mut Vec<String>) {
    let outcome = &checked.outcome;
    let (mark, word) = match outcome.verdict {
        Verdict::Pass => ("+", "pass"),
        Verdict::Inconclusive => ("?", "inconclusive"),
        Verdict::Fail => ("x", "FAIL"),
    };
    let label = inert(&checked.label, 40);
    lines.push(style.bold(&format!(
        "{mark} {word}  {label}  {} v{}  ({})",
        checked.suite,
        checked.suite_version,
        outcome.gate.tier.name()
    )));
    let mut say = |text: &str| lines.push(format!("    {text}"));
    say(&outcome.reason);
    for text in facts(outcome) {
        say(&text);
    }
    // Those that noise does not explain come first.
    let (edge, sharp): (Vec<&ItemChange>, Vec<_>) =
        outcome.changed.iter().partition(|one| one.knife_edge);
    let all: Vec<&ItemChange> = sharp.iter().chain(&edge).copied().collect();
    for change in all.iter().take(NAMED) {
        say(&change_line(change));
    }
    if sharp.len() > NAMED && outcome.gate.tier != Tier::Tolerance {
        say(&beyond_noise(&sharp));
    }
    if all.len() > NAMED {
        let more = all.len() - NAMED;
        say(&format!("… and {more} more (all with --json)"));
    }
    let accepted = inert(&checked.accepted, 120);
    lines.push(style.dim(&format!("    accepted {accepted}")));
    let place = inert(&checked.baseline, PLACE);
    lines.push(style.dim(&format!("    baseline {place}")));
}

/// What else is to be said, a line each.
pub(super) fn facts(outcome: &Outcome) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(drop) = &outcome.drop {
        facts.push(format!(
            "accuracy: {} lost, {} won of {}; a drop of {:.0} points would fail the statistical tier with \
             probability {:.2}",
            drop.lost,
            drop.won,
            drop.items,
            100.0 * drop.stated_drop,
            drop.power
        ));
    }
    let conditions = &outcome.conditions;
    if !conditions.changes.is_empty() {
        let what: Vec<&str> = conditions.changes.iter().map(|one| one.what).collect();
        facts.push(format!(
            "what changed: {} ({})",
            conditions.summary,
            what.join(", ")
        ));
    }
    if !conditions.unknown.is_empty() {
        let what: Vec<&str> = conditions.unknown.iter().map(|one| &*one.what).collect();
        facts.push(format!(
            "not known of an endpoint, so not compared: {}",
            inert(&what.join(", "), PLACE)
        ));
    }
    if let Some((block, share)) = outcome.most_moved.filter(|(_, share)| *share > 0.0) {
        facts.push(format!(
            "inside: the residual stream moved most after block {block}, by {:.2} % of its norm",
            100.0 * share
        ));
    }
    if outcome.unasked > 0 {
        facts.push(format!(
            "decided after {} items; {} were not asked",
            outcome.compared, outcome.unasked
        ));
    }
    facts.extend(on_edge(outcome));
    for (what, items) in [("vanished", &outcome.vanished), ("new", &outcome.new)] {
        if !items.is_empty() {
            facts.push(format!("{} items {what}: {}", items.len(), ids(items)));
        }
    }
    facts
}

/// What noise may change, and how far beyond it answers did.
fn on_edge(outcome: &Outcome) -> Vec<String> {
    let edge = &outcome.knife_edge;
    let mut facts = Vec::new();
    if !edge.items.is_empty() {
        facts.push(format!(
            "on the knife's edge (a margin below {:.4} nats): {}; {} of {} changed there",
            edge.floor,
            ids(&edge.items),
            edge.changed,
            edge.items.len()
        ));
    }
    if let Some(close) = &edge.as_close {
        facts.push(format!(
            "widest margin that turned: {:.2} nats; {} of {} items have a decision as close",
            close.turned, close.items, outcome.compared
        ));
    }
    if edge.first_tokens_only && !outcome.changed.is_empty() {
        facts.push(
            "the baseline knows the margins of first tokens alone: accepted anew, it has later ones as well"
                .to_owned(),
        );
    }
    facts
}

fn ids(items: &[String]) -> String {
    let shown = items.iter().take(NAMED);
    let mut shown: Vec<String> = shown.map(|id| inert(id, ID)).collect();
    if items.len() > NAMED {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// Items that changed at margins beyond noise, with these.
fn beyond_noise(sharp: &[&ItemChange]) -> String {
    let one = |change: &&&ItemChange| match change.margin {
        Some(margin) => format!("{} {margin:.2}", inert(&change.item, ID)),
        None => inert(&change.item, ID),
    };
    let mut named: Vec<String> = sharp.iter().take(LISTED).map(|c| one(&c)).collect();
    if sharp.len() > LISTED {
        named.push(format!("and {} more", sharp.len() - LISTED));
    }
    let count = sharp.len();
    format!(
        "{count} beyond noise, with their margins in nats: {}",
        named.join(", ")
    )
}

/// By how much the tokens were decided at which a changed answer parts, in words.
pub(super) fn decided(change: &ItemChange) -> Option<String> {
    let margin = change.margin?;
    Some(match change.margin_of? {
        Decision::Token(at) => format!("margin {margin:.4} at token {}", at + 1),
        Decision::Later => format!("parts behind the kept tokens, least margin {margin:.4}"),
        Decision::First => format!("margin {margin:.4} of the first token"),
    })
}

/// One changed item.
pub(super) fn change_line(change: &ItemChange) -> String {
    let shown = |text: &str, most| inert(text, most);
    let right = |correct: Option<bool>| match correct {
        Some(true) => "right",
        Some(false) => "wrong",
        None => "unscored",
    };
    let [before, now] = change.correct;
    let mut line = format!(
        "item {}: `{}` -> `{}` ({} -> {}",
        shown(&change.item, ID),
        shown(&change.before, ANSWER),
        shown(&change.now, ANSWER),
        right(before),
        right(now)
    );
    if change.before == change.now {
        line.push_str(&format!("; {}", shown(&change.why, 80)));
    }
    if let Some(decided) = decided(change) {
        line += &format!("; {decided}");
    }
    if change.knife_edge {
        line.push_str("; knife's edge");
    }
    line + ")"
}
