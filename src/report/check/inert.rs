//! Foreign text where a build server reads along.

use crate::text::ModelText;

/// At most `most` characters of one harmless line. A build server takes `##[` for a command wherever it stands,
/// and `::` where a line begins: the one is broken up, and nothing foreign is let begin a line. XML has no form for
/// two characters that Unicode lets be.
pub(super) fn inert(text: &str, most: usize) -> String {
    let shown = ModelText::new(text).clipped(most);
    let shown = shown.replace("##[", "##\\[");
    shown
        .replace('\u{fffe}', "\\u{fffe}")
        .replace('\u{ffff}', "\\u{ffff}")
}
