//! The exact law of a count beside the bound that decides.

use crate::stat::law::{Law, MEETINGS};
use crate::stat::tails;

/// `exact_log10_p`, `P(T >= kept)`, and `exact_log10_p_next`, `P(T > kept)` where it is not zero, of a sum of
/// independent counts: with both a randomised p-value can be drawn, which is uniform if the test is exact.
///
/// Nothing for counts that no chance explains, whose laws were cut off before.
pub(super) fn details(laws: &[Law], kept: u64) -> Vec<(&'static str, f64)> {
    if laws.is_empty() || 2 * kept as usize > MEETINGS {
        return Vec::new();
    }
    let sum = laws
        .iter()
        .fold(Law::zero(), |sum, law| sum.plus(law).shortened());
    tail(&sum, kept)
}

/// The same of one law.
pub(super) fn tail(law: &Law, kept: u64) -> Vec<(&'static str, f64)> {
    let mut details = vec![("exact_log10_p", tails::log10(law.ln_tail(kept)))];
    let next = law.ln_tail(kept + 1);
    // Beyond the largest count nothing is left: no number stands for its logarithm.
    if next.is_finite() {
        details.push(("exact_log10_p_next", tails::log10(next)));
    }
    details
}
