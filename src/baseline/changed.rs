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
}

/// Of a model as it was accepted and as it is now.
pub fn changed(before: &Bound, now: &Bound) -> Changed {
    let none = || "none".to_owned();
    let known = |value: &Option<String>| value.clone().unwrap_or_else(none);
    let all = [
        ("weights", before.weights.clone(), now.weights.clone()),
        ("dtype", before.dtype.clone(), now.dtype.clone()),
        ("tokenizer", known(&before.tokenizer), known(&now.tokenizer)),
        (
            "chat_template",
            known(&before.chat_template),
            known(&now.chat_template),
        ),
        ("engine", before.engine.clone(), now.engine.clone()),
        ("model", before.model.clone(), now.model.clone()),
    ];
    let differing = all.into_iter().filter(|(_, before, now)| before != now);
    let changes: Vec<Change> = differing
        .map(|(what, before, now)| Change { what, before, now })
        .collect();
    let is = |what: &str| changes.iter().any(|change| change.what == what);
    let summary = match () {
        () if changes.is_empty() => "the same files and the same program",
        () if is("dtype") => "weights that are stored in another numeric type",
        () if is("weights") && is("tokenizer") => "other weights and another tokenizer",
        () if is("weights") => "other weights",
        () if is("tokenizer") => "the same weights with another tokenizer",
        () if is("chat_template") => "the same weights with another chat template",
        () if is("model") => "the same weights with another config",
        () => "the same files, run by another version of the program",
    };
    Changed { summary, changes }
}
