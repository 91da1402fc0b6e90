//! By how much the tokens of an answer were decided, and which of them made another one.

use serde::Serialize;

use super::FIRST_TOKENS;
use super::Item;
use crate::record::Record;

/// Margins are kept to no less than this, in nats.
const LEAST_DIGIT: i32 = -4;

/// A decision of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The token of this number, from 0, or the text's end in its place.
    Token(usize),
    /// The closest one behind the tokens that are kept.
    Later,
    /// The first token, where no other margin is known.
    First,
}

/// How many decisions of an answer lie within noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// So many.
    Few(u32),
    /// At least one, behind the kept tokens, of which the closest alone is known.
    Unknown,
}

/// Margins from the second token on, of those that are kept.
pub(super) fn kept(record: &Record) -> Vec<f64> {
    let margins = record.margins.iter().take(FIRST_TOKENS).skip(1);
    margins.copied().map(two_digits).collect()
}

/// The closest decision behind them.
pub(super) fn later(record: &Record) -> Option<(usize, f64)> {
    let later = record.margins.iter().copied().enumerate();
    let least = later
        .skip(FIRST_TOKENS)
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((least.0, two_digits(least.1)))
}

/// Whether margins are known of all tokens that are kept, and not of the first alone.
pub(super) fn is_known(item: &Item) -> bool {
    item.tokens.len() <= 1 || !item.margins.is_empty()
}

/// Where `now` parts from `before`, and by how much that was decided when it was accepted, as far as it is known.
///
/// `None` where both have the same tokens: no decision made them differ.
pub(super) fn parting(before: &Item, now: &Item) -> Option<(Decision, f64)> {
    let first = |margin: f64| (Decision::First, margin);
    if !is_known(before) {
        return before.margin.map(first);
    }
    let same = before.tokens.iter().zip(&now.tokens);
    let place = same.take_while(|(before, now)| before == now).count();
    let at = |margin: f64| (Decision::Token(place), margin);
    match place {
        0 => before.margin.map(at),
        FIRST_TOKENS.. => before.later.map(|(_, least)| (Decision::Later, least)),
        _ if before.tokens.len() == place && now.tokens.len() == place => None,
        _ => before.margins.get(place - 1).copied().map(at),
    }
}

/// Decisions of `item` below `floor`.
pub(super) fn close(item: &Item, floor: f64) -> Close {
    if item.later.is_some_and(|(_, least)| least < floor) {
        return Close::Unknown;
    }
    let margins = item.margin.iter().chain(&item.margins);
    Close::Few(margins.fold(0, |close, margin| close + u32::from(*margin < floor)))
}

/// Whether any decision of `item` was as close as `margin`.
pub(super) fn reaches(item: &Item, margin: f64) -> bool {
    let later = item.later.iter().map(|(_, least)| least);
    let mut margins = item.margin.iter().chain(&item.margins).chain(later);
    margins.any(|one| *one <= margin)
}

/// Why the margins of a file's item cannot be true.
pub(super) fn at_odds(item: &Item) -> Option<&'static str> {
    let later = item.later.map(|(_, least)| least);
    let mut all = item.margin.iter().chain(&item.margins).chain(&later);
    if all.any(|margin| *margin < 0.0) {
        return Some("a margin below zero");
    }
    if item.margins.len() > item.tokens.len().min(FIRST_TOKENS - 1) {
        return Some("more margins than tokens");
    }
    let is_early = |place: usize| place < FIRST_TOKENS || item.tokens.len() < FIRST_TOKENS;
    item.later
        .is_some_and(|(place, _)| is_early(place))
        .then_some("a later margin among those of its first tokens")
}

/// To two significant digits.
fn two_digits(margin: f64) -> f64 {
    if margin <= 0.0 {
        return 0.0;
    }
    let last = (margin.log10().floor() as i32 - 1).max(LEAST_DIGIT);
    let scale = 10_f64.powi(-last);
    (margin * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::simulated;

    fn item(tokens: &[u32], margins: &[f64]) -> Item {
        let mut item = simulated::baseline(1, 3).items.remove(0);
        item.tokens = tokens.to_vec();
        item.margin = margins.first().copied();
        item.margins = margins.iter().skip(1).copied().collect();
        item.later = None;
        item
    }

    #[test]
    fn answers_part_where_their_tokens_do() {
        // Three tokens, and the end of the text.
        let before = item(&[7, 8, 9], &[1.0, 2.0, 3.0, 4.0]);
        for (now, parted) in [
            (&[5, 8, 9][..], Some((Decision::Token(0), 1.0))),
            (&[7, 5, 9], Some((Decision::Token(1), 2.0))),
            (&[7, 8], Some((Decision::Token(2), 3.0))),
            (&[7, 8, 9, 5], Some((Decision::Token(3), 4.0))),
            (&[], Some((Decision::Token(0), 1.0))),
            (&[7, 8, 9], None),
        ] {
            assert_eq!(parting(&before, &item(now, &[])), parted, "{now:?}");
        }
        // One that was cut goes on only where the program does.
        let cut = item(&[7, 8], &[1.0, 2.0]);
        assert_eq!(parting(&cut, &item(&[7, 8, 9], &[])), None);
        assert_eq!(parting(&cut, &item(&[7], &[])).unwrap().1, 2.0);
    }

    #[test]
    fn behind_the_kept_tokens_the_closest_counts() {
        let tokens: Vec<u32> = (0..FIRST_TOKENS as u32).collect();
        let mut before = item(&tokens, &[1.0; FIRST_TOKENS]);
        assert_eq!(parting(&before, &before), None);
        before.later = Some((20, 0.01));
        assert_eq!(parting(&before, &before), Some((Decision::Later, 0.01)));
        assert_eq!(close(&before, 0.02), Close::Unknown);
        assert_eq!(close(&before, 0.005), Close::Few(0));
        assert_eq!(at_odds(&before), None);
        before.later = Some((15, 0.01));
        assert!(at_odds(&before).is_some());
    }

    #[test]
    fn where_one_margin_is_known_it_counts() {
        let before = item(&[7, 8, 9], &[0.5]);
        assert!(!is_known(&before));
        let now = item(&[7, 8, 5], &[]);
        assert_eq!(parting(&before, &now), Some((Decision::First, 0.5)));
        assert_eq!(close(&before, 0.6), Close::Few(1));
        assert!(reaches(&before, 0.5) && !reaches(&before, 0.4));
        // One token has no other.
        assert!(is_known(&item(&[7], &[0.5])));
    }

    #[test]
    fn two_digits_are_kept() {
        for (margin, kept) in [
            (12.345, 12.0),
            (123.45, 120.0),
            (1.25001, 1.3),
            (0.12345, 0.12),
            (0.00449, 0.0045),
            (0.00044, 0.0004),
            (0.00002, 0.0),
            (0.0, 0.0),
            (0.096, 0.096),
        ] {
            assert_eq!(two_digits(margin), kept);
        }
    }
}
