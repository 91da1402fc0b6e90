//! The checks as SARIF 2.1.0: what changed, at its line of the baseline's file.

mod log;
mod uri;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::Digest;
use sha2::Sha256;

use log::ArtifactLocation;
use log::AutomationDetails;
use log::Descriptor;
use log::Driver;
use log::Invocation;
use log::Level;
use log::Location;
use log::Log;
use log::Message;
use log::Notification;
use log::PhysicalLocation;
use log::Region;
use log::Row;
use log::Run;
use log::Tool;

use super::Checked;
use super::Document;
use super::inert::inert;
use super::terminal::change_line;
use crate::baseline::check::Tier;
use crate::baseline::check::Verdict;
use crate::report::Error;
use crate::report::json::pretty;

/// Of the standard.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Results that are written: more are not shown by the servers that read them.
const MOST: usize = 5000;
/// Characters of a label, an id or a reason.
const NAME: usize = 200;

/// What can be said of an item; ids are never given another meaning.
const RULES: [(&str, &str, &str); 4] = [
    (
        "answer-changed",
        "The answer, as the suite scores it, is not the one that was accepted",
        "Correct the model, or accept what it answers now with `kinprobe accept`.",
    ),
    (
        "output-changed",
        "The bytes or first tokens of the answer are not those that were accepted (tier exact)",
        "Correct the model, accept what it writes now with `kinprobe accept`, or check with --tier answer.",
    ),
    (
        "logprob-moved",
        "Log-probabilities of the first token moved beyond the limit (tier tolerance)",
        "Correct the model, accept what it computes now with `kinprobe accept`, or take a wider --abs.",
    ),
    (
        "item-vanished",
        "An item of the baseline was not asked",
        "Accept the suite as it is now with `kinprobe accept`, or bring the item back.",
    ),
];
const VANISHED: usize = 3;

/// Where a suite's baseline lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Relative to the root of the sources; absolute where it lies elsewhere.
    pub file: PathBuf,
    /// Each item's line, 1-based.
    pub lines: BTreeMap<String, usize>,
}

/// The document as SARIF; `places` in the order of its suites.
///
/// A gate that passed has no results. One that failed or could not decide has one per changed or vanished item, and
/// its reason as a notification; an item that is new has no line and is only counted in the reason.
///
/// # Errors
/// Only for data that JSON has no form for.
pub fn sarif(document: &Document, places: &[Place]) -> Result<String, Error> {
    let mut results = Vec::new();
    let mut notifications = Vec::new();
    for (checked, place) in document.suites.iter().zip(places) {
        if checked.outcome.verdict != Verdict::Pass {
            rows(checked, place, &mut results);
            notifications.push(Notification {
                level: level(checked, false),
                message: message(&format!(
                    "suite {}: {}",
                    checked.suite,
                    inert(&checked.outcome.reason, NAME)
                )),
            });
        }
    }
    if results.len() > MOST {
        // Stable: in document order within a level.
        results.sort_by_key(|row: &Row| row.level);
        notifications.push(Notification {
            level: Level::Warning,
            message: message(&format!(
                "{} more results are left out",
                results.len() - MOST
            )),
        });
        results.truncate(MOST);
    }
    let text = pretty(&Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: tool(&document.tool),
            automation_details: document.suites.first().map(automation),
            invocations: [Invocation {
                execution_successful: true,
                tool_execution_notifications: notifications,
            }],
            results,
        }],
    })?;
    Ok(text)
}

fn tool(named: &str) -> Tool {
    let (name, version) = match named.split_once(' ') {
        Some((name, version)) => (name, Some(version.to_owned())),
        None => (named, None),
    };
    let rule = |(id, short, help): &(&'static str, &str, &str)| Descriptor {
        id,
        short_description: message(short),
        help: message(help),
    };
    Tool {
        driver: Driver {
            name: name.to_owned(),
            version,
            rules: RULES.iter().map(rule).collect(),
        },
    }
}

/// One category per model, so that a server does not take another model's results for a new run of this one.
fn automation(checked: &Checked) -> AutomationDetails {
    let label = inert(&checked.label, NAME);
    // A slash would begin a category of its own, and a bracket a link.
    let harmless = |c: char| c.is_alphanumeric() || "-._=:@".contains(c);
    let label = label.replace(|c| !harmless(c), "_");
    AutomationDetails {
        id: format!("kinprobe-check/{label}/"),
    }
}

fn rows(checked: &Checked, place: &Place, results: &mut Vec<Row>) {
    let outcome = &checked.outcome;
    let file = uri::location(&place.file);
    let row = |rule: usize, level, item: &str, text: &str| Row {
        rule_id: RULES[rule].0,
        rule_index: rule,
        level,
        message: message(&format!(
            "{text}; {} v{} on {}",
            checked.suite,
            checked.suite_version,
            inert(&checked.label, NAME)
        )),
        locations: [location(&file, place.lines.get(item).copied())],
        partial_fingerprints: fingerprints(checked, item),
    };
    // Where nothing else changed it is they that failed the gate.
    let sharp = outcome.changed.iter().any(|change| !change.knife_edge);
    let rule = match outcome.gate.tier {
        Tier::Answer | Tier::Statistical => 0,
        Tier::Exact => 1,
        Tier::Tolerance => 2,
    };
    for change in &outcome.changed {
        let level = level(checked, change.knife_edge && sharp);
        results.push(row(rule, level, &change.item, &change_line(change)));
    }
    for item in &outcome.vanished {
        let text = format!("item {} was not asked", inert(item, NAME));
        results.push(row(VANISHED, level(checked, false), item, &text));
    }
}

/// How much a result of this suite weighs; less where chance may have turned it.
fn level(checked: &Checked, by_chance: bool) -> Level {
    match (checked.outcome.verdict, by_chance) {
        (Verdict::Fail, false) => Level::Error,
        (Verdict::Fail, true) | (Verdict::Inconclusive | Verdict::Pass, false) => Level::Warning,
        (Verdict::Inconclusive | Verdict::Pass, true) => Level::Note,
    }
}

fn location(file: &ArtifactLocation, line: Option<usize>) -> Location {
    Location {
        physical_location: PhysicalLocation {
            artifact_location: file.clone(),
            region: line.map(|start_line| Region { start_line }),
        },
    }
}

/// The same for the same item of the same suite and model, whatever it answers and wherever it stands.
///
/// Under two names: GitHub knows results again by the first alone.
fn fingerprints(checked: &Checked, item: &str) -> BTreeMap<&'static str, String> {
    let mut hash = Sha256::new();
    for part in [checked.suite.as_str(), checked.label.as_str(), item] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    ["primaryLocationLineHash", "kinprobeItem/v1"]
        .into_iter()
        .map(|name| (name, hash.clone()))
        .collect()
}

/// Text in which braces are no placeholders and brackets no link.
fn message(text: &str) -> Message {
    let plain = text.replace('{', "{{").replace('}', "}}");
    Message {
        text: plain.replace("](", "] ("),
    }
}
