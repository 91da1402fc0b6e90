//! Answers against the truth.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

use super::FieldOutcome;
use super::Form;
use super::form::form;
use crate::probe::Item;
use crate::probe::Score;

/// Opening braces tried before an answer counts as holding no object: bounds the work on an answer
/// made of braces.
const MAX_STARTS: usize = 64;
/// Members beyond the target that are kept of one object, and the longest name of one.
const MAX_BEYOND: usize = 16;
const MAX_KEY: usize = 64;

/// What scoring says of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scored {
    /// Right or wrong; `None` where there is no truth.
    pub correct: Option<bool>,
    /// For [`Score::Fields`]: one outcome per field of the target, those of objects within it as
    /// `args.city`; and what such an object holds beyond the target, as wrong.
    pub fields: BTreeMap<String, FieldOutcome>,
    /// For [`Score::Fields`]: how the answer is written.
    pub form: Option<Form>,
}

/// Scores `answer` to `item`.
pub fn score(how: &Score, item: &Item, answer: &str) -> Scored {
    let form = match how {
        Score::Fields(names) => Some(form(answer, item, names)),
        Score::Exact | Score::Prefix => None,
    };
    if item.targets.is_empty() {
        return Scored {
            correct: None,
            fields: BTreeMap::new(),
            form,
        };
    }
    let (correct, fields) = match how {
        Score::Exact => {
            let given = normalise(answer);
            let equal = |target: &String| normalise(target) == given;
            let right = !given.is_empty() && item.targets.iter().any(equal);
            (right, BTreeMap::new())
        }
        Score::Prefix => {
            let begins = |target: &String| target.starts_with(answer);
            let right = !answer.is_empty() && item.targets.iter().any(begins);
            (right, BTreeMap::new())
        }
        Score::Fields(_) => {
            let fields = fields(item, answer);
            (fields.values().all(|field| field.correct), fields)
        }
    };
    Scored {
        correct: Some(correct),
        fields,
        form,
    }
}

/// Scores a structured answer to the prompt `?`, for tests elsewhere.
#[cfg(test)]
pub(crate) fn scored_fields(names: &[&str], target: &str, answer: &str) -> Scored {
    let item = Item {
        id: String::new(),
        prompt: "?".to_owned(),
        targets: vec![target.to_owned()],
        tags: Vec::new(),
        picture: None,
        group: None,
    };
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    score(&Score::Fields(names), &item, answer)
}

/// The form in which short answers are compared: white space trimmed and collapsed, lower case,
/// surrounding quotation marks and final punctuation dropped.
pub fn normalise(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let lower = words.join(" ").to_lowercase();
    let quote = |c: char| "\"'`“”‘’«»„".contains(c);
    let end = |c: char| quote(c) || c.is_whitespace() || ".,;:!?。、！？".contains(c);
    lower
        .trim_start_matches(quote)
        .trim_end_matches(end)
        .to_owned()
}

/// One outcome per field of the target, a JSON object.
fn fields(item: &Item, answer: &str) -> BTreeMap<String, FieldOutcome> {
    let given = first_object(answer).unwrap_or_default();
    let target: Map<String, Value> = item
        .targets
        .first()
        .and_then(|target| serde_json::from_str(target).ok())
        .unwrap_or_default();
    let mut fields = BTreeMap::new();
    for (name, wanted) in &target {
        field(name, given.get(name), wanted, &mut fields);
    }
    fields
}

/// One field, and those of an object in it.
fn field(
    name: &str,
    given: Option<&Value>,
    wanted: &Value,
    fields: &mut BTreeMap<String, FieldOutcome>,
) {
    let mut outcome = |name: String, given: Option<&Value>, correct| {
        let given = given.map(Value::to_string);
        fields.insert(name, FieldOutcome { given, correct });
    };
    match (wanted, given) {
        (Value::Object(wanted), Some(Value::Object(given)))
            if !(wanted.is_empty() && given.is_empty()) =>
        {
            let beyond = given.iter().filter(|(key, _)| !wanted.contains_key(*key));
            for (key, value) in beyond.take(MAX_BEYOND) {
                let key: String = key.chars().take(MAX_KEY).collect();
                outcome(format!("{name}.{key}"), Some(value), false);
            }
            for (key, value) in wanted {
                field(&format!("{name}.{key}"), given.get(key), value, fields);
            }
        }
        (Value::Object(members), _) if !members.is_empty() => {
            // Something that is no object stands for all of its fields.
            if given.is_some() {
                outcome(name.to_owned(), given, false);
            }
            for (key, value) in members {
                field(&format!("{name}.{key}"), None, value, fields);
            }
        }
        _ => {
            let correct = given.is_some_and(|value| agree(value, wanted));
            outcome(name.to_owned(), given, correct);
        }
    }
}

/// The first `{…}` of `text` that is a JSON object, whatever stands around it.
pub fn first_object(text: &str) -> Option<Map<String, Value>> {
    text.match_indices('{')
        .take(MAX_STARTS)
        .find_map(|(start, _)| {
            let rest = &text[start..];
            serde_json::from_str(&rest[..balanced(rest)?]).ok()
        })
}

/// Length of the balanced object at the start of `text`; braces inside strings do not count.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether two JSON values mean the same: strings as [`normalise`] has them, numbers also when
/// written as strings, lists and objects member by member.
fn agree(given: &Value, wanted: &Value) -> bool {
    match (given, wanted) {
        (Value::Object(given), Value::Object(wanted)) => {
            given.len() == wanted.len()
                && wanted
                    .iter()
                    .all(|(key, value)| given.get(key).is_some_and(|other| agree(other, value)))
        }
        (Value::Array(given), Value::Array(wanted)) => {
            given.len() == wanted.len()
                && given
                    .iter()
                    .zip(wanted)
                    .all(|(given, wanted)| agree(given, wanted))
        }
        (given, wanted) => match (number(given), number(wanted)) {
            (Some(given), Some(wanted)) => given == wanted,
            (None, None) => scalar(given).is_some_and(|text| Some(text) == scalar(wanted)),
            _ => false,
        },
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(normalise(text)),
        Value::Bool(_) | Value::Null => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::agree;
    use super::first_object;
    use super::normalise;
    use super::score;
    use crate::probe::Item;
    use crate::probe::Score;

    fn item(targets: &[&str]) -> Item {
        Item {
            id: "x".to_owned(),
            prompt: "?".to_owned(),
            targets: targets.iter().map(|t| (*t).to_owned()).collect(),
            tags: Vec::new(),
            picture: None,
            group: None,
        }
    }

    #[test]
    fn exact_answers_survive_dress_not_content() {
        let paris = item(&["Paris", "city of Paris"]);
        for (answer, right) in [
            (" Paris", true),
            ("PARIS.\n", true),
            ("\"Paris\"!", true),
            ("City  of\tParis", true),
            ("„Paris“", true),
            ("Paris, France", false),
            ("Pari", false),
            ("", false),
            (" . ", false),
        ] {
            let scored = score(&Score::Exact, &paris, answer);
            assert_eq!(scored.correct, Some(right), "{answer:?}");
        }
        assert_eq!(score(&Score::Exact, &item(&[]), "x").correct, None);
        assert_eq!(normalise("  «Où ?» "), "où");
        assert_eq!(
            score(&Score::Exact, &item(&["-3.5"]), "3.5").correct,
            Some(false)
        );
    }

    #[test]
    fn a_prefix_is_a_start_of_the_continuation() {
        let fox = item(&[" brown fox"]);
        for (answer, right) in [
            (" b", true),
            (" brown fox", true),
            ("", false),
            ("brown", false),
            (" brown fox jumps", false),
            ("\u{fffd}", false),
        ] {
            let scored = score(&Score::Prefix, &fox, answer);
            assert_eq!(scored.correct, Some(right), "{answer:?}");
        }
    }

    #[test]
    fn fields_are_scored_one_by_one() {
        let how = Score::Fields(vec!["action".into(), "element".into(), "value".into()]);
        let click = item(&[r#"{"action":"type","element":"b7","value":"Two words"}"#]);
        let scored = score(&how, &click, r#"{"action": "TYPE", "element": "b8"} done"#);
        assert_eq!(scored.correct, Some(false));
        let rows: Vec<(&str, Option<&str>, bool)> = scored
            .fields
            .iter()
            .map(|(name, f)| (name.as_str(), f.given.as_deref(), f.correct))
            .collect();
        assert_eq!(
            rows,
            [
                ("action", Some("\"TYPE\""), true),
                ("element", Some("\"b8\""), false),
                ("value", None, false)
            ]
        );
        let right = r#"Sure: {"element":"b7","value":" two  words","action":"type","why":"}"}"#;
        assert_eq!(score(&how, &click, right).correct, Some(true));
        let nothing = score(&how, &click, "I would click b7.");
        assert_eq!(nothing.correct, Some(false));
        assert!(nothing.fields.values().all(|field| field.given.is_none()));
    }

    /// Right and wrong is as before: an object agrees when it has the target's members and no others.
    #[test]
    fn arguments_are_fields_of_their_own() {
        let how = Score::Fields(vec!["tool".into(), "args".into()]);
        let call = item(&[r#"{"tool":"send","args":{"to":"Ines","n":3}}"#]);
        let none = item(&[r#"{"tool":"rooms","args":{}}"#]);
        let outcomes = |item: &Item, answer: &str| {
            let scored = score(&how, item, answer);
            let fields: Vec<(String, bool)> = scored
                .fields
                .into_iter()
                .map(|(name, field)| (name, field.correct))
                .collect();
            (scored.correct == Some(true), fields)
        };
        let named = |fields: &[(&str, bool)]| -> Vec<(String, bool)> {
            let owned = fields
                .iter()
                .map(|(name, right)| ((*name).to_owned(), *right));
            owned.collect()
        };
        for (item, answer, right, fields) in [
            (
                &call,
                r#"{"tool":"send","args":{"to":"ines","n":"3"}}"#,
                true,
                named(&[("args.n", true), ("args.to", true), ("tool", true)]),
            ),
            (
                &call,
                r#"{"tool":"send","args":{"to":"Ines","n":3,"why":1}}"#,
                false,
                named(&[
                    ("args.n", true),
                    ("args.to", true),
                    ("args.why", false),
                    ("tool", true),
                ]),
            ),
            (
                &call,
                r#"{"tool":"send","args":"Ines"}"#,
                false,
                named(&[
                    ("args", false),
                    ("args.n", false),
                    ("args.to", false),
                    ("tool", true),
                ]),
            ),
            (
                &call,
                "send",
                false,
                named(&[("args.n", false), ("args.to", false), ("tool", false)]),
            ),
            (
                &none,
                r#"{"tool":"rooms","args":{}}"#,
                true,
                named(&[("args", true), ("tool", true)]),
            ),
            (
                &none,
                r#"{"tool":"rooms","args":{"a":1}}"#,
                false,
                named(&[("args.a", false), ("tool", true)]),
            ),
            (
                &none,
                r#"{"tool":"rooms"}"#,
                false,
                named(&[("args", false), ("tool", true)]),
            ),
        ] {
            assert_eq!(outcomes(item, answer), (right, fields), "{answer}");
        }
        assert!(score(&how, &none, "rooms").form.is_some());
        assert!(score(&Score::Exact, &none, "rooms").form.is_none());
    }

    #[test]
    fn the_first_whole_object_is_found() {
        for (text, keys) in [
            (r#"{"a":1}"#, Some("a")),
            (
                r#"```json
{"a":"}{"} ```"#,
                Some("a"),
            ),
            (r#"{oops} then {"b":2}"#, Some("b")),
            (r#"{ {"c":3}"#, Some("c")),
            (r#"{"a":"\"}"}"#, Some("a")),
            (r#"{"a":1"#, None),
            ("none", None),
            ("}{", None),
        ] {
            let found = first_object(text);
            let key = found
                .as_ref()
                .and_then(|o| o.keys().next())
                .map(String::as_str);
            assert_eq!(key, keys, "{text}");
        }
        assert!(first_object(&"{".repeat(100_000)).is_none());
    }

    #[test]
    fn values_agree_by_meaning() {
        let value = |text: &str| serde_json::from_str(text).expect("test value");
        for (a, b, same) in [
            ("2", "\"2\"", true),
            ("2.0", "2", true),
            ("\"2\"", "\"2.0\"", true),
            ("true", "\"true\"", true),
            ("null", "\"\"", false),
            ("[1,2]", "[2,1]", false),
            (r#"{"x":1,"y":"A"}"#, r#"{"y":"a","x":"1"}"#, true),
            (r#"{"x":1}"#, r#"{"x":1,"y":2}"#, false),
            ("{}", "\"{}\"", false),
        ] {
            assert_eq!(agree(&value(a), &value(b)), same, "{a} {b}");
        }
    }
}
