//! The knife's edge: answers that noise alone may change.

use serde::Serialize;

use super::ItemChange;
use crate::baseline::Decision;
use crate::baseline::Item;
use crate::baseline::margins;
use crate::baseline::margins::Close;

/// Items of which a token, or that the text ends, was decided by less than the noise floor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnifeEdge {
    /// Margins below this are within noise, in nats.
    pub floor: f64,
    /// Their ids.
    pub items: Vec<String>,
    /// Items that changed at such a decision.
    pub changed: usize,
    /// Items with a margin as close as the widest that turned, `None` where none turned or none is known.
    pub as_close: Option<AsClose>,
    /// Whether the baseline is from before margins of later tokens were kept, so that an item is on the edge by
    /// its first token alone.
    pub first_tokens_only: bool,
}

/// How wide a margin turned, and how many were as close.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AsClose {
    /// The widest margin at which answers part, in nats.
    pub turned: f64,
    /// Items with a decision as close.
    pub items: usize,
}

/// An item then and now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub before: &'a Item,
    pub now: &'a Item,
    /// Decisions of `before` within noise.
    pub close: Close,
    /// Where `now` parts from it, and by how much that was decided.
    pub parting: Option<(Decision, f64)>,
    /// Whether a difference is one of noise.
    pub knife_edge: bool,
}

impl Pair<'_> {
    /// Whether noise may change the answer.
    pub fn is_close(&self) -> bool {
        self.close != Close::Few(0)
    }
}

/// A model that has no answer any more did not fall to the other side of a decision.
pub(super) fn pair<'a>(before: &'a Item, now: &'a Item, floor: f64) -> Pair<'a> {
    let answered = before.error.is_none() && now.error.is_none();
    let parting = answered.then(|| margins::parting(before, now)).flatten();
    Pair {
        before,
        now,
        close: margins::close(before, floor),
        parting,
        knife_edge: parting.is_some_and(|(_, margin)| margin < floor),
    }
}

pub(super) fn knife_edge(pairs: &[Pair<'_>], changes: &[ItemChange], floor: f64) -> KnifeEdge {
    let turned = changes.iter().filter_map(|change| change.margin);
    let as_close = turned.max_by(f64::total_cmp).map(|turned| AsClose {
        turned,
        items: pairs
            .iter()
            .filter(|pair| margins::reaches(pair.before, turned))
            .count(),
    });
    let close = pairs.iter().filter(|pair| pair.is_close());
    KnifeEdge {
        floor,
        items: close.map(|pair| pair.before.id.clone()).collect(),
        changed: changes.iter().filter(|one| one.knife_edge).count(),
        as_close,
        first_tokens_only: pairs.iter().any(|pair| !margins::is_known(pair.before)),
    }
}
