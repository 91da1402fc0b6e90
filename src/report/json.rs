//! `result.json`.

use serde::Serialize;

use crate::text::is_unsafe;

use super::error::Error;

/// Pretty JSON of `value`, ending in a newline.
///
/// Foreign text keeps its exact value and loses its power: whatever could steer a terminal, reorder
/// a line or open an HTML tag is written as a `\u` escape, which every JSON reader undoes. A figure's
/// value that is not a finite number is `null`.
///
/// # Errors
/// Only for a value that JSON has no form for.
pub fn pretty<T: Serialize>(value: &T) -> Result<String, Error> {
    let plain = serde_json::to_string_pretty(value)?;
    let mut text = String::with_capacity(plain.len() + 1);
    for c in plain.chars() {
        // Such characters stand inside strings only; the line feeds of the layout stay.
        if c == '<' || (is_unsafe(c) && c != '\n') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn hostile_text_is_inert_and_unchanged() {
        let hostile = "</script>\u{1b}[2J\u{0}\u{7f}\u{9b}\u{202e}\u{2028}\u{e0041}\r\n\"é漢";
        let json = pretty(&[hostile]).unwrap();
        assert!(!json.contains('<'));
        assert!(
            json.chars()
                .all(|c| c == '\n' || !crate::text::is_unsafe(c))
        );
        let back: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, [hostile]);
    }
}
