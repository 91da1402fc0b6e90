//! The tier that compares answers as the suite scores them.

use super::Gate;
use super::Pair;
use super::silence;

/// What differs in what is scored.
pub(super) fn differs(pair: &Pair<'_>, _: &Gate) -> Option<String> {
    let same = pair.before.extracted == pair.now.extracted;
    silence(pair).or_else(|| (!same).then(|| "another answer".to_owned()))
}
