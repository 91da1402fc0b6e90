//! A recording -> a baseline.

use super::Accepted;
use super::Aggregate;
use super::Baseline;
use super::Bound;
use super::CANDIDATES;
use super::FIRST_TOKENS;
use super::Head;
use super::Item;
use super::STEPS_PER_NAT;
use super::check::Gate;
use super::extract::extracted;
use super::extract::short_hash;
use super::extract::shown;
use super::inside::layers;
use super::margins;
use crate::probe::Score;
use crate::record::Activations;
use crate::record::Record;
use crate::stat::interval::wilson;

/// Level of the interval of accuracy.
const LEVEL: f64 = 0.95;

/// What was answered under `bound`, with what was inside, as `accepted` takes responsibility for it.
pub fn make(
    (records, activations): (&[Record], Option<&Activations>),
    score: &Score,
    bound: Bound,
    accepted: Accepted,
    (gate, noise_floor): (Gate, f64),
) -> Baseline {
    let items: Vec<Item> = records.iter().map(|record| item(score, record)).collect();
    Baseline {
        head: Head {
            accepted,
            aggregate: aggregate(&items),
            bound,
            gate,
            inside: activations.map(layers).unwrap_or_default(),
            noise_floor: to_digits(noise_floor, 4),
        },
        items,
    }
}

/// One line.
pub(super) fn item(score: &Score, record: &Record) -> Item {
    let extracted = extracted(score, record);
    let steps = |logprob: f64| (logprob * STEPS_PER_NAT).round() as i32;
    let margin = match (&record.margins[..], &record.top[..]) {
        ([first, ..], _) => Some(*first),
        ([], [best, second, ..]) => Some(best.logprob - second.logprob),
        _ => None,
    };
    let top = record.top.iter().take(CANDIDATES);
    // Candidates are compared by their ids: without those there is nothing to compare.
    let top = top.map(|one| Some((one.token?, steps(one.logprob))));
    let top: Option<Vec<(u32, i32)>> = top.collect();
    Item {
        answer: shown(&extracted),
        correct: record.correct,
        error: record.error.as_deref().map(shown),
        extracted: short_hash(&extracted),
        id: record.item.clone(),
        later: margins::later(record),
        margin: margin.map(|margin| to_digits(margin, 4)),
        margins: margins::kept(record),
        sha256: short_hash(&record.answer),
        tokens: record.tokens.iter().take(FIRST_TOKENS).copied().collect(),
        top: top.unwrap_or_default(),
    }
}

/// Counts over `items`.
pub(super) fn aggregate(items: &[Item]) -> Aggregate {
    let scored = items.iter().filter(|item| item.correct.is_some()).count();
    let right = items.iter().filter(|item| item.correct == Some(true));
    let right = right.count();
    let (low, high) = wilson(right as u64, scored as u64, LEVEL);
    let known = |value: f64| (scored > 0).then(|| to_digits(value, 4));
    Aggregate {
        accuracy: known(right as f64 / scored as f64),
        accuracy_interval: known(low).zip(known(high)).map(|(low, high)| [low, high]),
        errors: items.iter().filter(|item| item.error.is_some()).count(),
        items: items.len(),
        right,
        scored,
    }
}

/// Rounded to a fixed number of digits after the point, zero without a sign.
pub(super) fn to_digits(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale + 0.0
}
