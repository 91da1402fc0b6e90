//! What is another than it was, by the heads alone.
//!
//! This tells files apart; what was done to weights (rounding, training, another model altogether) takes the
//! weights themselves.

use serde::Serialize;

use super::Bound;

/// One condition that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `weights`, `tokenizer`, …
    pub what: &'static str,
    /// When it was accepted.
    pub before: String,
    /// Now.
    pub now: String,
}

/// What may be said of two heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// In words.
    pub summary: &'static str,
    /// Every condition that differs.
    pub changes: Vec<Change>,
    /// What one of the two does not show, so that it may differ: its name, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
}

/// One condition that cannot be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// `weights`, `tokenizer`, …
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Of a model as it was accepted and as it is now.
pub fn changed(before: &Bound, now: &Bound) -> Changed {
    let unknown = unknown(before, now);
    let none = || "none".to_owned();
    let known = |value: &Option<String>| value.clone().unwrap_or_else(none);
    let all = [
        ("weights", known(&before.weights), known(&now.weights)),
        ("dtype", known(&before.dtype), known(&now.dtype)),
        ("tokenizer", known(&before.tokenizer), known(&now.tokenizer)),
        (
            "chat_template",
            known(&before.chat_template),
            known(&now.chat_template),
        ),
        ("engine", before.engine.clone(), now.engine.clone()),
        ("model", before.model.clone(), now.model.clone()),
    ];
    let is_unknown = |what: &str| unknown.iter().any(|one| one.what == what);
    let differing = all
        .into_iter()
        .filter(|(what, before, now)| !is_unknown(what) && before != now);
    let changes: Vec<Change> = differing
        .map(|(what, before, now)| Change { what, before, now })
        .collect();
    let is = |what: &str| changes.iter().any(|change| change.what == what);
    let summary = match () {
        () if is_unknown("model") => {
            "an endpoint beside files: what answers may run the same weights, and shows none"
        }
        () if is_unknown("weights") && changes.is_empty() => {
            "the same endpoint, by what it says of itself; it shows no weights"
        }
        () if is_unknown("weights") => {
            "another endpoint, or one that says something else of itself; it shows no weights"
        }
        () if changes.is_empty() => "the same files and the same program",
        () if is("dtype") => "weights that are stored in another numeric type",
        () if is("weights") && is("tokenizer") => "other weights and another tokenizer",
        () if is("weights") => "other weights",
        () if is("tokenizer") => "the same weights with another tokenizer",
        () if is("chat_template") => "the same weights with another chat template",
        () if is("model") => "the same weights with another config",
        () => "the same files, run by another version of the program",
    };
    Changed {
        summary,
        changes,
        unknown,
    }
}

/// What either says that it cannot say; which model it is, where one has files and the other a server.
fn unknown(before: &Bound, now: &Bound) -> Vec<Unknown> {
    let mut all = before.absent.clone();
    all.extend(now.absent.clone());
    if before.weights.is_some() != now.weights.is_some() {
        let reason = "what a server says of itself is no digest of files";
        all.insert("model".to_owned(), reason.to_owned());
    }
    let all = all.into_iter();
    all.map(|(what, reason)| Unknown { what, reason }).collect()
}
