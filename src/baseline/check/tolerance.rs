//! The tier of numbers: log-probabilities of the first token's candidates.

use super::Gate;
use super::Judgement;
use super::Pair;
use super::Verdict;
use super::silence;
use crate::baseline::Item;
use crate::baseline::STEPS_PER_NAT;

/// Both numbers are rounded to half a step, so that their difference is known to one step.
const UNKNOWN: f64 = 1.0 / STEPS_PER_NAT;

/// What certainly differs by more than `abs`.
pub(super) fn differs(pair: &Pair<'_>, gate: &Gate) -> Option<String> {
    silence(pair).or_else(|| {
        let (token, most) = largest(pair)?;
        let beyond = most - UNKNOWN > gate.abs;
        beyond.then(|| format!("token {token} moved by {most:.3} nats"))
    })
}

/// Fails where a candidate moved by more than `abs` and its rounding, passes where none can have.
pub(super) fn judge(pairs: &[Pair<'_>], gate: &Gate) -> Judgement {
    let beyond = pairs
        .iter()
        .filter(|pair| differs(pair, gate).is_some())
        .count();
    let moved = |pair: &Pair<'_>| largest(pair).map(|(_, most)| most);
    let known: Vec<f64> = pairs.iter().filter_map(moved).collect();
    let most = known.iter().copied().fold(0.0, f64::max);
    let (abs, all) = (gate.abs, pairs.len());
    let (verdict, reason) = if beyond > 0 {
        let reason =
            format!("{beyond} of {all} items moved by more than {abs} nats (most {most:.3})");
        (Verdict::Fail, reason)
    } else if known.is_empty() {
        (
            Verdict::Inconclusive,
            "no item has probabilities of tokens whose ids both sides know; --tier answer needs none".to_owned(),
        )
    } else if most + UNKNOWN > abs {
        let reason = format!("the largest move of {most:.3} nats is within rounding of {abs}");
        (Verdict::Inconclusive, reason)
    } else {
        let reason =
            format!("no candidate of {all} items moved by more than {abs} nats (most {most:.3})");
        (Verdict::Pass, reason)
    };
    Judgement { verdict, reason }
}

/// The candidate that moved most, in nats: of one that only one side keeps, at least how far it lies from the
/// last that the other side keeps.
fn largest(pair: &Pair<'_>) -> Option<(u32, f64)> {
    let one_way = |from: &Item, to: &Item| {
        let last = to.top.last()?.1;
        let moves = from.top.iter().map(|(token, steps)| {
            let same = to.top.iter().find(|(other, _)| other == token);
            let apart = match same {
                Some((_, other)) => steps.saturating_sub(*other).saturating_abs(),
                None => steps.saturating_sub(last).max(0),
            };
            (*token, apart)
        });
        moves.max_by_key(|(_, apart)| *apart)
    };
    let forth = one_way(pair.before, pair.now)?;
    let back = one_way(pair.now, pair.before)?;
    let (token, steps) = if back.1 > forth.1 { back } else { forth };
    Some((token, f64::from(steps) / STEPS_PER_NAT))
}
