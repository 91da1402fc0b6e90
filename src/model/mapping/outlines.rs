//! Outlines of both sides' tensors, read when they are first needed.

use super::board::Board;
use super::outline::Outline;
use crate::model::tensors::{Error, TensorStore};

/// What was read so far, by place on the board.
#[derive(Debug)]
pub(super) struct Outlines<'a> {
    stores: [&'a TensorStore; 2],
    held: Vec<Option<Outline>>,
    targets: Vec<Option<Outline>>,
}

impl<'a> Outlines<'a> {
    /// Of the suspect's tensors in the first store and the reference's in the second.
    pub fn new(board: &Board<'_>, stores: [&'a TensorStore; 2]) -> Self {
        Self {
            stores,
            held: vec![None; board.held.len()],
            targets: vec![None; board.targets.len()],
        }
    }

    /// Reads those of `held` and `targets` that were not read yet.
    ///
    /// # Errors
    /// A file that cannot be read any more, a type that cannot be decoded.
    pub fn read(
        &mut self,
        board: &Board<'_>,
        held: impl IntoIterator<Item = usize>,
        targets: impl IntoIterator<Item = usize>,
    ) -> Result<(), Error> {
        let [ours, theirs] = self.stores;
        fill(&mut self.held, ours, held, |at| board.held[at].name)?;
        fill(&mut self.targets, theirs, targets, |at| {
            board.targets[at].name
        })
    }

    /// The distance of two tensors that were read, and whether it is that of the turned one. A matrix
    /// whose sides are equal is turned where that is nearer.
    pub fn distance(&self, board: &Board<'_>, held: usize, target: usize) -> (f64, bool) {
        let (Some(Some(ours)), Some(Some(theirs))) =
            (self.held.get(held), self.targets.get(target))
        else {
            return (1.0, false);
        };
        let (shape, wanted) = (board.held[held].shape, board.targets[target].shape);
        let straight = ours.distance(theirs, false);
        match (shape, wanted) {
            ([rows, columns], [r, c]) if rows == columns && (rows, columns) == (r, c) => {
                let turned = ours.distance(theirs, true);
                (straight.min(turned), turned < straight)
            }
            ([rows, columns], [r, c]) if rows != r && columns != c && (rows, columns) == (c, r) => {
                (ours.distance(theirs, true), true)
            }
            // A table of tokens that was turned and has other tokens as well.
            ([_, columns], [r, c]) if columns != c && shape.contains(c) && columns != r => {
                (ours.distance(theirs, true), true)
            }
            _ => (straight, false),
        }
    }
}

impl Outlines<'_> {
    /// Middle size of a tensor's numbers; of a target's if `of_target`.
    pub fn level(&self, at: usize, of_target: bool) -> f64 {
        let known = if of_target { &self.targets } else { &self.held };
        let outline = known.get(at).and_then(Option::as_ref);
        outline.map_or(0.0, Outline::level)
    }
}

/// Reads the outlines that are missing in `known`.
fn fill<'b>(
    known: &mut [Option<Outline>],
    store: &TensorStore,
    wanted: impl IntoIterator<Item = usize>,
    name: impl Fn(usize) -> &'b str,
) -> Result<(), Error> {
    let missing: Vec<usize> = wanted
        .into_iter()
        .filter(|at| known.get(*at).is_some_and(Option::is_none))
        .collect();
    let read = Outline::read_all(store, missing.iter().map(|at| name(*at)))?;
    for at in missing {
        known[at] = read.get(name(at)).cloned();
    }
    Ok(())
}
