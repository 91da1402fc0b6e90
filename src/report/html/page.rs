//! What every page shares: the style sheet, the policy that forbids all else, and safe text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::text::ModelText;

/// The one style sheet.
const CSS: &str = include_str!("../templates/page.css");

/// Most characters of a name, a digest or a cell.
const WORD: usize = 160;
/// Most characters of an explanation.
const SENTENCE: usize = 1200;
/// Most lines of a prompt or an answer.
const PASSAGE_LINES: usize = 14;

/// Head and foot of a page.
pub(in crate::report) struct Shell {
    /// Of the window.
    pub title: String,
    /// Program name and version.
    pub tool: String,
    /// The style sheet; trusted, and therefore the only thing that is not escaped.
    pub css: &'static str,
    /// Content security policy: no script, no request, no picture but those in the page, and no style but the
    /// one above.
    pub policy: String,
}

impl Shell {
    pub fn new(title: &str, tool: &str) -> Self {
        let hash = STANDARD.encode(Sha256::digest(CSS.as_bytes()));
        Self {
            title: shown(title),
            tool: shown(tool),
            css: CSS,
            policy: format!(
                "default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
            ),
        }
    }
}

/// A foreign name or value, safe and clipped.
pub(in crate::report) fn shown(text: &str) -> String {
    ModelText::new(text).clipped(WORD)
}

/// A foreign sentence, safe and clipped.
pub(in crate::report) fn sentence(text: &str) -> String {
    ModelText::new(text).clipped(SENTENCE)
}

/// A foreign text of several lines, each of them safe, clipped to `limit` characters in all.
pub(in crate::report) fn passage(text: &str, limit: usize) -> String {
    let mut left = limit;
    let mut lines = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if left == 0 || i == PASSAGE_LINES {
            lines.push("…".to_owned());
            break;
        }
        let line = ModelText::new(line).clipped(left);
        left -= line.chars().count().min(left);
        lines.push(line);
    }
    lines.join("\n")
}

/// A name for use in `id` and `href="#…"`.
pub(in crate::report) fn anchor(prefix: &str, name: &str) -> String {
    let safe: String = name
        .chars()
        .take(80)
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{prefix}-{safe}")
}

#[cfg(test)]
mod tests {
    use super::{CSS, anchor, passage};

    #[test]
    fn a_passage_keeps_its_lines_and_loses_its_controls() {
        assert_eq!(passage("if x:\n\ty\u{1b}[2J", 100), "if x:\n\\ty\\u{1b}[2J");
        assert_eq!(passage(&"ab\n".repeat(9), 4), "ab\nab\n…");
        assert_eq!(passage(&"x".repeat(1_000_000), 3), "xx…");
        assert_eq!(anchor("e", "a.b\"c"), "e-a-b-c");
    }

    /// WCAG 2.2 relative luminance.
    fn luminance(hex: &str) -> f64 {
        let channel = |i: usize| {
            let c = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// `--name: #rrggbb` of the light (first) or dark (second) theme.
    fn color(name: &str, theme: usize) -> &'static str {
        let key = format!("--{name}: #");
        let (at, _) = CSS.match_indices(&key).nth(theme).unwrap();
        &CSS[at + key.len() - 1..at + key.len() + 6]
    }

    #[test]
    fn both_themes_keep_text_and_lines_readable() {
        for theme in [0, 1] {
            for (ink, ground, least) in [
                ("ink", "paper", 7.0),
                ("ink", "card", 7.0),
                ("soft", "paper", 4.5),
                ("soft", "card", 4.5),
                ("link", "paper", 4.5),
                ("link", "card", 4.5),
                ("reference", "card", 3.0),
                ("suspect", "card", 3.0),
            ] {
                let (a, b) = (
                    luminance(color(ink, theme)),
                    luminance(color(ground, theme)),
                );
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(
                    contrast >= least,
                    "{ink} on {ground}, theme {theme}: {contrast:.2}"
                );
            }
        }
    }
}
