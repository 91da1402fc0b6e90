//! Foreign text where a build server reads along.

use crate::text::ModelText;

/// At most `most` characters of one harmless line. A build server takes `##[` for a command wherever it stands,
/// and `::` where a line begins: the one is broken up, and nothing foreign is let begin a line.
pub(super) fn inert(text: &str, most: usize) -> String {
    let shown = ModelText::new(text).clipped(most);
    shown.replace("##[", "##\\[")
}
