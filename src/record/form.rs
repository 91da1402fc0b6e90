//! How a structured answer is written: what is wrong with its JSON, and which keys nobody asked for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::probe::Item;

/// Objects within objects that are followed.
const MAX_DEPTH: usize = 32;
/// Keys that are kept, and the longest of them.
const MAX_KEYS: usize = 64;
const MAX_KEY: usize = 64;

/// How a structured answer is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// What is wrong with it as JSON.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signatures: BTreeSet<Signature>,
    /// Its keys, those of objects within it too, that stand nowhere in the prompt.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unprompted: BTreeSet<String>,
    /// Of these, keys that the suite's schemas have for other items: the item's own target lacks them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub leaked: BTreeSet<String>,
}

/// A way of not being one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// No `{` anywhere.
    NoObject,
    /// The answer ends inside an object.
    UnclosedObject,
    /// The answer ends inside a string.
    UnclosedString,
    /// Something else that is no JSON.
    NotJson,
    /// `'` for `"`.
    SingleQuotes,
    /// A key without quotes.
    UnquotedKey,
    /// A word without quotes as a value (`yes`, `True`).
    BareWord,
    /// Two members without a comma between them.
    MissingComma,
    /// A comma before the end.
    TrailingComma,
    /// One key twice in one object.
    RepeatedKey,
    /// A wanted key in other letters (`Action`, `toolName` for `tool_name`).
    KeyCase,
    /// More than one object.
    SeveralObjects,
    /// Words before the object.
    TextBefore,
    /// Words after the object.
    TextAfter,
    /// A fence of three backticks.
    CodeFence,
}

impl Signature {
    /// The name in recordings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoObject => "no_object",
            Self::UnclosedObject => "unclosed_object",
            Self::UnclosedString => "unclosed_string",
            Self::NotJson => "not_json",
            Self::SingleQuotes => "single_quotes",
            Self::UnquotedKey => "unquoted_key",
            Self::BareWord => "bare_word",
            Self::MissingComma => "missing_comma",
            Self::TrailingComma => "trailing_comma",
            Self::RepeatedKey => "repeated_key",
            Self::KeyCase => "key_case",
            Self::SeveralObjects => "several_objects",
            Self::TextBefore => "text_before",
            Self::TextAfter => "text_after",
            Self::CodeFence => "code_fence",
        }
    }
}

/// Reads `answer` to `item` of a suite whose schemas have `fields`.
pub(super) fn form(answer: &str, item: &Item, fields: &[String]) -> Form {
    let mut form = Form::default();
    let Some(start) = answer.find('{') else {
        form.signatures.insert(Signature::NoObject);
        return form;
    };
    let mut reader = Reader {
        rest: &answer[start..],
        signatures: BTreeSet::new(),
        keys: BTreeSet::new(),
    };
    let whole = reader.object(0).is_some();
    form.signatures = reader.signatures;
    let after = if whole { reader.rest } else { "" };
    surroundings(&answer[..start], after, &mut form.signatures);
    let target = item.targets.first().map_or("", String::as_str);
    for key in &reader.keys {
        let wanted = |name: &&String| same_letters(name, key) && *name != key;
        if fields.iter().any(|name| wanted(&name)) && !fields.contains(key) {
            form.signatures.insert(Signature::KeyCase);
        }
        if !names(&item.prompt, key) {
            form.unprompted.insert(key.clone());
            if fields.contains(key) && !names(target, key) {
                form.leaked.insert(key.clone());
            }
        }
    }
    form
}

/// Fences and words around the object.
fn surroundings(before: &str, after: &str, signatures: &mut BTreeSet<Signature>) {
    if before.contains("```") || after.contains("```") {
        signatures.insert(Signature::CodeFence);
    }
    let words = |text: &str| {
        let text = text.replace("```json", "").replace("```", "");
        !text.trim().is_empty()
    };
    if words(before) {
        signatures.insert(Signature::TextBefore);
    }
    if after.contains('{') {
        signatures.insert(Signature::SeveralObjects);
    } else if words(after) {
        signatures.insert(Signature::TextAfter);
    }
}

/// Whether two names are the same but for capitals, `_` and `-`.
fn same_letters(a: &str, b: &str) -> bool {
    let letters = |name: &str| -> String {
        name.chars()
            .filter(|c| !matches!(c, '_' | '-'))
            .flat_map(char::to_lowercase)
            .collect()
    };
    letters(a) == letters(b)
}

/// Whether `word` stands in `text` as a word of its own.
fn names(text: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(letter) && !text[at + word.len()..].starts_with(letter)
    })
}

/// Reads an object as far as one can guess what was meant.
struct Reader<'a> {
    rest: &'a str,
    signatures: BTreeSet<Signature>,
    keys: BTreeSet<String>,
}

impl Reader<'_> {
    /// An object from its brace on; `None` where nothing can be read any more.
    fn object(&mut self, depth: usize) -> Option<()> {
        if depth == MAX_DEPTH {
            return self.stop(Signature::NotJson);
        }
        self.skip(1);
        let mut own = BTreeSet::new();
        loop {
            if self.peek(Signature::UnclosedObject)? == '}' {
                // Only a comma leads here with members before it.
                if !own.is_empty() {
                    self.signatures.insert(Signature::TrailingComma);
                }
                self.skip(1);
                return Some(());
            }
            let key = self.key()?;
            if !own.insert(key.clone()) {
                self.signatures.insert(Signature::RepeatedKey);
            }
            if self.keys.len() < MAX_KEYS && !key.is_empty() {
                self.keys.insert(key.chars().take(MAX_KEY).collect());
            }
            if self.peek(Signature::UnclosedObject)? != ':' {
                return self.stop(Signature::NotJson);
            }
            self.skip(1);
            self.value(depth)?;
            if self.ends_with('}')? {
                return Some(());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        if depth == MAX_DEPTH {
            return self.stop(Signature::NotJson);
        }
        self.skip(1);
        let mut first = true;
        loop {
            if self.peek(Signature::UnclosedObject)? == ']' {
                if !first {
                    self.signatures.insert(Signature::TrailingComma);
                }
                self.skip(1);
                return Some(());
            }
            first = false;
            self.value(depth)?;
            if self.ends_with(']')? {
                return Some(());
            }
        }
    }

    /// What follows a member: `true` at the end that `closing` makes, `false` before another member.
    fn ends_with(&mut self, closing: char) -> Option<bool> {
        match self.peek(Signature::UnclosedObject)? {
            ',' => {
                self.skip(1);
                Some(false)
            }
            end if end == closing => {
                self.skip(1);
                Some(true)
            }
            '"' | '\'' => {
                self.signatures.insert(Signature::MissingComma);
                Some(false)
            }
            _ => self.stop(Signature::NotJson),
        }
    }

    fn key(&mut self) -> Option<String> {
        match self.peek(Signature::UnclosedObject)? {
            quote @ ('"' | '\'') => self.string(quote),
            first if first.is_alphanumeric() || first == '_' => {
                let word = self.word();
                if self.rest.trim_start().is_empty() {
                    return self.stop(Signature::UnclosedObject);
                }
                self.signatures.insert(Signature::UnquotedKey);
                Some(word)
            }
            _ => self.stop(Signature::NotJson),
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek(Signature::UnclosedObject)? {
            '{' => self.object(depth + 1),
            '[' => self.array(depth + 1),
            quote @ ('"' | '\'') => self.string(quote).map(drop),
            _ => {
                let word = self.word();
                if word.is_empty() {
                    return self.stop(Signature::NotJson);
                }
                if serde_json::from_str::<serde_json::Value>(&word).is_err() {
                    self.signatures.insert(Signature::BareWord);
                }
                Some(())
            }
        }
    }

    /// A string from its quotation mark on.
    fn string(&mut self, quote: char) -> Option<String> {
        if quote == '\'' {
            self.signatures.insert(Signature::SingleQuotes);
        }
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if !escaped && c == quote {
                self.skip(at + 1);
                return Some(text);
            }
            escaped = !escaped && c == '\\';
            if !escaped {
                text.push(c);
            }
        }
        self.rest = "";
        self.stop(Signature::UnclosedString)
    }

    /// Up to white space or a mark that ends a bare word.
    fn word(&mut self) -> String {
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || ",:{}[]\"'".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    /// The next character that is no white space; at the end of the answer `signature` is noted.
    fn peek(&mut self, signature: Signature) -> Option<char> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next() {
            Some(c) => Some(c),
            None => self.stop(signature),
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn stop<T>(&mut self, signature: Signature) -> Option<T> {
        self.signatures.insert(signature);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Signature;
    use super::Signature::*;
    use super::form;
    use crate::probe::Item;

    fn item(prompt: &str, target: &str) -> Item {
        Item {
            id: "x".to_owned(),
            prompt: prompt.to_owned(),
            targets: vec![target.to_owned()],
            tags: Vec::new(),
            picture: None,
            group: None,
        }
    }

    fn fields() -> Vec<String> {
        ["action", "element", "vorm", "tool_name"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn every_signature_has_its_answer() {
        let cases: &[(&str, &[Signature])] = &[
            (r#" {"action": "click", "n": [1, {"x": null}]}"#, &[]),
            ("click b1", &[NoObject]),
            ("", &[NoObject]),
            (r#"{"action": "click""#, &[UnclosedObject]),
            (r#"{"action""#, &[UnclosedObject]),
            (r#"{"action": {"a": 1}"#, &[UnclosedObject]),
            (r#"{"action": "cli"#, &[UnclosedString]),
            ("{'action': 'click'}", &[SingleQuotes]),
            (r#"{action: "click"}"#, &[UnquotedKey]),
            (r#"{"action": click}"#, &[BareWord]),
            (r#"{"done": True}"#, &[BareWord]),
            (r#"{"a": "b" "c": 1}"#, &[MissingComma]),
            (r#"{"a": 1,}"#, &[TrailingComma]),
            (r#"{"a": [1,]}"#, &[TrailingComma]),
            (r#"{"a": 1, "a": 2}"#, &[RepeatedKey]),
            (r#"{"Action": 1, "toolName": 2}"#, &[KeyCase]),
            (r#"{"a": 1} {"a": 2}"#, &[SeveralObjects]),
            (r#"Sure: {"a": 1}"#, &[TextBefore]),
            (r#"{"a": 1} done"#, &[TextAfter]),
            ("```json\n{\"a\": 1}\n```", &[CodeFence]),
            (r#"{"a": "\"}"}"#, &[]),
            (r#"{"a" = 1}"#, &[NotJson]),
            (r#"{"a": }"#, &[NotJson]),
            ("{}", &[]),
        ];
        for (answer, wanted) in cases {
            let found = form(answer, &item("?", "{}"), &fields());
            let found: Vec<Signature> = found.signatures.into_iter().collect();
            assert_eq!(&found, wanted, "{answer}");
        }
        let deep = "{\"a\":".repeat(100_000);
        let found = form(&deep, &item("?", "{}"), &fields());
        assert!(found.signatures.contains(&NotJson));
    }

    #[test]
    fn keys_that_no_prompt_gave_are_kept_apart_from_those_of_other_schemas() {
        let asked = item("vormal: press. The key element", r#"{"action":"x"}"#);
        let answer = r#"{"vorm": 1, "element": 2, "action": 3, "mine": {"own": 4}}"#;
        let found = form(answer, &asked, &fields());
        let unprompted: Vec<&String> = found.unprompted.iter().collect();
        assert_eq!(unprompted, ["action", "mine", "own", "vorm"]);
        // The target has `action`, the prompt names `element`, `vormal` is another word.
        assert_eq!(found.leaked.into_iter().collect::<Vec<_>>(), ["vorm"]);
    }

    #[test]
    fn names_are_those_of_the_recording() {
        let all = [
            NoObject,
            UnclosedObject,
            UnclosedString,
            NotJson,
            SingleQuotes,
            UnquotedKey,
            BareWord,
            MissingComma,
            TrailingComma,
            RepeatedKey,
            KeyCase,
            SeveralObjects,
            TextBefore,
            TextAfter,
            CodeFence,
        ];
        for signature in all {
            let text = serde_json::to_string(&signature).unwrap();
            assert_eq!(text, format!("\"{}\"", signature.name()));
        }
    }

    proptest! {
        /// What a JSON reader takes has no fault but those of words around it and letters of keys.
        #[test]
        fn json_is_well_formed(keys in prop::collection::btree_set("[a-z]{1,4}", 0..5), value in ".{0,9}") {
            let object: serde_json::Map<String, serde_json::Value> = keys
                .into_iter()
                .map(|key| (key, serde_json::json!([value, {"k": value}, 1.5])))
                .collect();
            let text = serde_json::Value::Object(object).to_string();
            let found = form(&text, &item("?", "{}"), &fields());
            prop_assert!(found.signatures.is_empty(), "{text} {found:?}");
        }

        #[test]
        fn any_answer_can_be_read(answer in r#"[{}\[\]":,'a1 \\]{0,40}"#) {
            let found = form(&answer, &item("?", "{}"), &fields());
            let object = crate::record::first_object(&answer);
            let clean = found.signatures.is_empty();
            prop_assert!(!clean || object.is_some(), "{answer}: {found:?}");
        }
    }
}
