//! The checks as annotations of a GitHub workflow: one line each, `::error file=…::…`.

use super::Document;
use super::inert::inert;
use crate::baseline::check::Verdict;

/// Characters of a message.
const MESSAGE: usize = 300;
/// Changed items that are named in it.
const NAMED: usize = 3;

/// An error for a suite that failed, a warning for one that is undecided, nothing for one that passes.
pub fn annotations(document: &Document) -> String {
    let mut lines = String::new();
    for checked in &document.suites {
        let outcome = &checked.outcome;
        let (kind, word) = match outcome.verdict {
            Verdict::Pass => continue,
            Verdict::Inconclusive => ("warning", "not decided"),
            Verdict::Fail => ("error", "not as accepted"),
        };
        let items = outcome.changed.iter().take(NAMED);
        let items: Vec<String> = items.map(|one| inert(&one.item, 40)).collect();
        let items = match items.is_empty() {
            true => String::new(),
            false => format!(" ({})", items.join(", ")),
        };
        let message = inert(&outcome.reason, MESSAGE) + &items;
        lines += &format!(
            "::{kind} file={},title={}::{}\n",
            property(&inert(&checked.baseline, MESSAGE)),
            property(&format!("{} {word}", checked.suite)),
            data(&message)
        );
    }
    lines
}

/// As the runner decodes messages.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// As the runner decodes properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
