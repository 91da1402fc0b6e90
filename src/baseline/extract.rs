//! An answer as its suite scores it, and as a line of a file shows it.

use sha2::Digest;
use sha2::Sha256;

use crate::probe::Score;
use crate::record::Record;
use crate::record::normalise;
use crate::text::ModelText;

/// Most bytes that a shown answer takes in the file.
const SHOWN_BYTES: usize = 120;

/// What is compared of an answer: for short answers their normal form, for structured ones the value of every
/// scored field, else the answer itself.
pub(super) fn extracted(score: &Score, record: &Record) -> String {
    match score {
        Score::Prefix => record.answer.clone(),
        Score::Fields(_) if !record.fields.is_empty() => {
            let fields = record.fields.iter().map(|(name, field)| {
                let given = field.given.as_deref().map(normalise);
                format!("{name}={}", given.as_deref().unwrap_or("(missing)"))
            });
            fields.collect::<Vec<_>>().join("; ")
        }
        Score::Exact | Score::Fields(_) => normalise(&record.answer),
    }
}

/// First 16 hex digits of a sha256.
pub(super) fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// `text`, harmless and cut to what a line has room for.
pub(super) fn shown(text: &str) -> String {
    let mut shown = ModelText::new(text).clipped(SHOWN_BYTES);
    // As JSON, where a backslash takes two bytes.
    let room = |text: &str| text.len() + text.matches(['\\', '"']).count() <= SHOWN_BYTES;
    if room(&shown) {
        return shown;
    }
    while !room(&shown) || shown.len() + '…'.len_utf8() > SHOWN_BYTES {
        shown.pop();
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(shown("yes"), "yes");
        for hostile in [
            "\u{1b}[2J".repeat(1000),
            "漢".repeat(1000),
            "\"\\".repeat(1000),
        ] {
            let text = shown(&hostile);
            let json = serde_json::to_string(&text).unwrap();
            assert!(json.len() <= SHOWN_BYTES + 8, "{}", json.len());
            assert!(text.ends_with('…') && !text.contains('\u{1b}'));
        }
    }
}
