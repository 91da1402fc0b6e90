//! Answers as numbers: which of them are the same answer, and how they read.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::Digest;
use sha2::Sha256;
use unicode_normalization_alignments::UnicodeNormalization;

use crate::record::score::normalise;

/// Characters of an answer that are kept to be shown; the whole of it was compared.
const SHOWN: usize = 400;

/// A text, once per distinct spelling.
pub type TextId = u32;

/// Texts by number.
///
/// Two answers are the same when their codes are: they are compared in Unicode normal form C as short
/// answers are scored ([`normalise`]), or byte by byte where that leaves nothing.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    spellings: HashMap<[u8; 16], TextId>,
    meanings: HashMap<[u8; 16], u32>,
    shown: Vec<Box<str>>,
    codes: Vec<u32>,
}

impl Texts {
    /// The number of this spelling.
    pub(super) fn add(&mut self, text: &str) -> TextId {
        let hash = digest(&[text]);
        if let Some(&known) = self.spellings.get(&hash) {
            return known;
        }
        let next_code = self.meanings.len() as u32;
        let code = *self
            .meanings
            .entry(digest(&[&key(text)]))
            .or_insert(next_code);
        let id = self.shown.len() as TextId;
        self.shown.push(clip(text).into());
        self.codes.push(code);
        self.spellings.insert(hash, id);
        id
    }

    /// Equal for texts that are the same answer.
    pub fn code(&self, id: TextId) -> u32 {
        self.codes.get(id as usize).copied().unwrap_or(u32::MAX)
    }

    /// How the text reads, from its beginning.
    pub fn shown(&self, id: TextId) -> &str {
        self.shown.get(id as usize).map_or("", |text| text)
    }

    /// The text as it came; `None` of a text that was too long to be kept whole.
    pub fn whole(&self, id: TextId) -> Option<&str> {
        let shown = self.shown.get(id as usize)?;
        shown.chars().nth(SHOWN).is_none().then_some(shown)
    }

    /// The whole text in Unicode normal form C.
    pub fn composed(&self, id: TextId) -> Option<String> {
        self.whole(id).map(composed)
    }
}

/// Normal form C.
fn composed(text: &str) -> String {
    text.nfc().map(|(c, _)| c).collect()
}

/// What must be equal for two answers to be the same one.
fn key(text: &str) -> String {
    let text = match text.is_ascii() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(composed(text)),
    };
    let normal = normalise(&text);
    if normal.is_empty() {
        format!("as written {text}")
    } else {
        format!("normal {normal}")
    }
}

/// The first 128 bits of a hash over parts of any length.
pub(super) fn digest(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let whole: [u8; 32] = hash.finalize().into();
    let mut start = [0; 16];
    start.copy_from_slice(&whole[..16]);
    start
}

/// The beginning of a long text.
fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Texts;

    #[test]
    fn the_same_answer_in_other_dress_has_the_same_code() {
        let mut texts = Texts::default();
        for (a, b, same) in [
            (" Paris", "paris.", true),
            ("e\u{301}t\u{e9}", "\u{e9}te\u{301}", true),
            ("A", "B", false),
            ("...", "?", false),
            ("", "", true),
            ("normal a", "a", false),
        ] {
            let [x, y] = [a, b].map(|text| texts.add(text));
            assert_eq!(texts.code(x) == texts.code(y), same, "{a:?} {b:?}");
            assert_eq!(texts.shown(x), a);
        }
    }

    #[test]
    fn long_answers_are_compared_whole_and_shown_in_part() {
        let mut texts = Texts::default();
        let long = |end: &str| format!("{}{end}", "long ".repeat(2000));
        let [x, y] = ["a", "b"].map(|end| texts.add(&long(end)));
        assert_ne!(texts.code(x), texts.code(y));
        assert!(texts.shown(x).len() < 500 && texts.shown(x).ends_with('…'));
    }
}
