//! What was done to the weights, where those that were accepted are at hand.

use super::inert::inert;
use crate::report::number;
use crate::report::words as named;
use crate::verdict::Lineage;

/// Characters of a reason.
const BECAUSE: usize = 300;

/// The finding in a few words: `related, consistent with quantisation`.
pub(super) fn words(lineage: &Lineage) -> String {
    let mut words = named::lineage(lineage.conclusion).word.to_owned();
    if let Some(relation) = named::relation(lineage) {
        words += &format!(", consistent with {relation}");
    }
    inert(&words, BECAUSE)
}

/// The finding with its reason, for a terminal.
pub(super) fn lines(lineage: &Lineage) -> Vec<String> {
    let mut lines = vec![format!(
        "  by the weights, of what was accepted and of this: {}",
        words(lineage)
    )];
    lines.push(format!("    {}", inert(&lineage.because, BECAUSE)));
    if let Some(id) = &lineage.decided_by {
        let p = lineage
            .log10_p
            .map_or_else(String::new, |p| format!(", {}", number::p_value(p)));
        lines.push(format!("    decided by {id}{p}"));
    }
    lines
}
