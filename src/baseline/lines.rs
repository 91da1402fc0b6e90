//! Where the items stand in a baseline's file.

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;
use super::file::bytes;

/// The line of each item's id, 1-based.
///
/// Found by the id and not by counting: a file that another program laid out anew is still a baseline.
///
/// # Errors
/// When there is no such file, or it is too large.
pub fn lines(path: &Path) -> Result<BTreeMap<String, usize>, Error> {
    Ok(of(&bytes(path)?))
}

fn of(text: &[u8]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let (mut at, mut line) = (0, 1);
    let mut last = None;
    let mut named = false;
    while let Some(byte) = text.get(at) {
        let mut next = at + 1;
        match byte {
            b'\n' => line += 1,
            b' ' | b'\t' | b'\r' => {}
            // Only the name of a member is followed by a colon.
            b':' => named = last.as_deref() == Some("id"),
            b'"' => {
                next = after_string(text, at);
                let string: Option<String> = serde_json::from_slice(&text[at..next]).ok();
                if let Some(id) = string.as_ref().filter(|_| named) {
                    found.insert(id.clone(), line);
                }
                last = string;
                named = false;
            }
            _ => named = false,
        }
        at = next;
    }
    found
}

/// The place behind the string that starts at `start`.
fn after_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::simulated;

    #[test]
    fn every_item_is_found_on_its_line() {
        let mut baseline = simulated::baseline(30, 7);
        let hostile = "\\\"id\": \"\u{202e}\n:id";
        baseline.items[3].id = hostile.to_owned();
        baseline.items[4].answer = "\"id\":\"item-0005\"".to_owned();
        baseline.items[6].answer = "id".to_owned();
        let text = crate::baseline::text(&baseline).unwrap();
        let found = of(text.as_bytes());
        assert_eq!(found.len(), 30);
        for item in &baseline.items {
            let line = text.lines().nth(found[&item.id] - 1).unwrap();
            let line: serde_json::Value =
                serde_json::from_str(line.trim().trim_end_matches(',')).unwrap();
            assert_eq!(line["id"], item.id);
        }
        // Laid out by another program, the id has a line of its own.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let tall = serde_json::to_string_pretty(&value).unwrap();
        let found = of(tall.as_bytes());
        assert_eq!(found.len(), 30);
        let line = tall.lines().nth(found["item-0005"] - 1).unwrap();
        assert_eq!(line.trim(), "\"id\": \"item-0005\",");
        // On one line they are all there.
        assert!(
            of(value.to_string().as_bytes())
                .values()
                .all(|line| *line == 1)
        );
    }

    #[test]
    fn broken_text_ends() {
        for text in [
            "",
            "\"",
            "\"\\",
            "{\"id\":",
            "{\"id\":\"\\",
            "\"id\":7,\"x\"",
        ] {
            assert!(of(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
