//! How far a model's own repetition moves.

use std::collections::BTreeMap;

use super::STEPS_PER_NAT;
use crate::record::Candidate;
use crate::record::Record;

/// Items that are asked a second time to find it.
pub const SELF_RUN_ITEMS: usize = 32;

/// Largest change of a margin between two recordings of one model, twofold, in nats; at least the step in which
/// log-probabilities are kept, below which a margin cannot be told from a tie.
///
/// Twofold, because items are looked at that were not asked again and may move more. Margins are compared token by
/// token as long as both answers have the same; those of the first tokens also by the log-probabilities of all
/// candidates, two of which may move a margin by twice what each moves.
pub fn noise_floor(first: &[Record], second: &[Record]) -> f64 {
    let first: BTreeMap<&str, &Record> = first
        .iter()
        .map(|record| (record.item.as_str(), record))
        .collect();
    let moved = second.iter().filter_map(|record| {
        let before = first.get(record.item.as_str())?;
        Some(largest(before, record))
    });
    moved.fold(1.0 / STEPS_PER_NAT, |most, one| most.max(2.0 * one))
}

/// By ids, or by texts where a server tells no ids.
fn is_same(one: &Candidate, other: &Candidate) -> bool {
    match (one.token, other.token) {
        (Some(one), Some(other)) => one == other,
        _ => one.text == other.text,
    }
}

/// Of two answers to one item.
fn largest(before: &Record, now: &Record) -> f64 {
    of_candidates(before, now).max(of_margins(before, now))
}

/// The decision where they part is the last that both made of the same text: there the margin went through zero.
fn of_margins(before: &Record, now: &Record) -> f64 {
    let same = before.tokens.iter().zip(&now.tokens);
    let same = same.take_while(|(before, now)| before == now).count();
    let parted = before.tokens.len().max(now.tokens.len()) > same;
    let both = before.margins.iter().zip(&now.margins).take(same + 1);
    let moves = both.enumerate().map(|(place, (before, now))| match parted {
        true if place == same => before + now,
        _ => (before - now).abs(),
    });
    moves.fold(0.0, f64::max)
}

fn of_candidates(before: &Record, now: &Record) -> f64 {
    let pairs = before.top.iter().filter_map(|candidate| {
        let other = now.top.iter().find(|other| is_same(candidate, other))?;
        Some((candidate.logprob - other.logprob).abs())
    });
    pairs.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::simulated;

    #[test]
    fn later_tokens_make_the_floor_as_well() {
        let first = simulated::records(&simulated::world(4, 3));
        let least = 1.0 / STEPS_PER_NAT;
        assert_eq!(noise_floor(&first, &first), least);
        let mut moved = first.clone();
        moved[2].margins[3] += 0.1;
        assert!((noise_floor(&first, &moved) - 0.2).abs() < 1e-9);
        // Another token in its place: what was ahead by so much is behind by so much.
        let mut parted = first.clone();
        let was = parted[2].margins[3];
        parted[2].tokens[3] += 1;
        parted[2].margins[3] = 0.1;
        assert!((noise_floor(&first, &parted) - 2.0 * (was + 0.1)).abs() < 1e-9);
        // What follows it is another text, and says nothing.
        parted[2].margins[4] += 100.0;
        assert!((noise_floor(&first, &parted) - 2.0 * (was + 0.1)).abs() < 1e-9);
    }
}
