//! How far a model's own repetition moves.

use std::collections::BTreeMap;

use super::STEPS_PER_NAT;
use crate::record::Candidate;
use crate::record::Record;

/// Items that are asked a second time to find it.
pub const SELF_RUN_ITEMS: usize = 32;

/// Largest change of a candidate's log-probability between two recordings of one model, in nats; at least the
/// step in which log-probabilities are kept, below which a margin cannot be told from a tie.
pub fn noise_floor(first: &[Record], second: &[Record]) -> f64 {
    let first: BTreeMap<&str, &Record> = first
        .iter()
        .map(|record| (record.item.as_str(), record))
        .collect();
    let moved = second.iter().filter_map(|record| {
        let before = first.get(record.item.as_str())?;
        Some(largest(before, record))
    });
    // What moves two candidates by this much each moves their margin by twice as much.
    moved.fold(1.0 / STEPS_PER_NAT, |most, one| most.max(2.0 * one))
}

/// By ids, or by texts where a server tells no ids.
fn is_same(one: &Candidate, other: &Candidate) -> bool {
    match (one.token, other.token) {
        (Some(one), Some(other)) => one == other,
        _ => one.text == other.text,
    }
}

fn largest(before: &Record, now: &Record) -> f64 {
    let pairs = before.top.iter().filter_map(|candidate| {
        let other = now.top.iter().find(|other| is_same(candidate, other))?;
        Some((candidate.logprob - other.logprob).abs())
    });
    pairs.fold(0.0, f64::max)
}
