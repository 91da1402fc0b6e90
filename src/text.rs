//! Foreign text, made safe to show.

use std::fmt;

/// Text that came from a model, a file or a server.
///
/// The raw string stays available for comparison and storage ([`ModelText::raw`]); `Display` is
/// what a reader may see: control characters (C0, C1, DEL), bidirectional controls and line
/// separators appear as visible escapes such as `\u{1b}`, so that no terminal, log or page can be
/// steered by them. HTML and Markdown writers escape their own syntax on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelText(String);

impl ModelText {
    /// Wraps foreign text unchanged.
    pub fn new(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// The text as it came.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The safe form, cut to at most `max` characters with a trailing `…` where something was cut.
    pub fn clipped(&self, max: usize) -> String {
        // No character shrinks when shown, so what lies beyond `max + 1` cannot matter.
        let start: String = self.0.chars().take(max.saturating_add(1)).collect();
        let shown = Self(start).to_string();
        if shown.chars().count() <= max {
            return shown;
        }
        let mut cut: String = shown.chars().take(max.saturating_sub(1)).collect();
        cut.push('…');
        cut
    }
}

impl fmt::Display for ModelText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '\r' => f.write_str("\\r")?,
                c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// Characters that steer a terminal or reorder a line instead of being read.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::ModelText;

    #[test]
    fn escapes_never_reach_the_reader() {
        let hostile = "a\u{1b}]52;c;x\u{7}\u{202e}b\u{9b}1m\n::error::\u{2028}";
        let shown = ModelText::new(hostile).to_string();
        assert_eq!(
            shown,
            "a\\u{1b}]52;c;x\\u{7}\\u{202e}b\\u{9b}1m\\n::error::\\u{2028}"
        );
        assert_eq!(ModelText::new(hostile).raw(), hostile);
    }

    #[test]
    fn clipping_counts_characters_not_bytes() {
        assert_eq!(ModelText::new("ééééé").clipped(3), "éé…");
        assert_eq!(ModelText::new("ééé").clipped(3), "ééé");
    }
}
