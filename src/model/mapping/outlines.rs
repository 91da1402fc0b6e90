//! Outlines of both sides' tensors, read when they are first needed.

use candle_core::Tensor;

use super::bearings::{Bearings, Side};
use super::board::Board;
use super::outline::Outline;
use crate::model::tensors::{Error, TensorStore};
use crate::model::weights::Weights;

/// Root of the distance of sizes that weighs the distance of directions: directions decide, and sizes
/// where directions say nothing or both are those of a copy.
const ROOT: f64 = 0.125;

/// What was read so far, by place on the board.
#[derive(Debug)]
pub(super) struct Outlines<'a> {
    sides: [&'a Weights; 2],
    bearings: Option<Bearings>,
    held: Vec<Option<Outline>>,
    targets: Vec<Option<Outline>>,
}

impl<'a> Outlines<'a> {
    /// Of the tensors of suspect and reference.
    pub fn new(board: &Board<'_>, sides: [&'a Weights; 2]) -> Self {
        Self {
            sides,
            bearings: None,
            held: vec![None; board.held.len()],
            targets: vec![None; board.targets.len()],
        }
    }

    /// Finds the directions of both residual streams, once both embeddings are known; what was read
    /// without them is read again when it is needed.
    pub fn take_bearings(&mut self, board: &Board<'_>) {
        if self.bearings.is_none() {
            let [suspect, reference] = self.sides;
            self.bearings = Bearings::find(board, suspect, reference);
            if self.bearings.is_some() {
                self.held.fill(None);
                self.targets.fill(None);
            }
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
        let [ours, theirs] = self.sides.map(Weights::store);
        let seen = self.bearings.as_ref();
        let [to_ours, to_theirs] = [seen.map(|seen| &seen.ours), seen.map(|seen| &seen.theirs)];
        fill(&mut self.held, (ours, to_ours), held, |at| {
            board.held[at].name
        })?;
        fill(&mut self.targets, (theirs, to_theirs), targets, |at| {
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
        let side = Side::of(&board.targets[target]);
        let apart = |turned: bool| {
            let sizes = ours.distance(theirs, turned);
            if !self.sees(shape) {
                return sizes;
            }
            let cosine = side.and_then(|side| {
                let our_side = if turned { side.turned() } else { side };
                Some(ours.gram(our_side)?.cosine(theirs.gram(side)?))
            });
            (1.0 - cosine.unwrap_or(0.0)).max(0.0) * sizes.powf(ROOT)
        };
        let straight = apart(false);
        match (shape, wanted) {
            ([rows, columns], [r, c]) if rows == columns && (rows, columns) == (r, c) => {
                let turned = apart(true);
                (straight.min(turned), turned < straight)
            }
            ([rows, columns], [r, c]) if rows != r && columns != c && (rows, columns) == (c, r) => {
                (apart(true), true)
            }
            // A table of tokens that was turned and has other tokens as well.
            ([_, columns], [r, c]) if columns != c && shape.contains(c) && columns != r => {
                (apart(true), true)
            }
            // The residual stream is the rows of the one and the columns of the other, which have other
            // numbers of hidden units.
            ([rows, columns], [r, c]) if rows == c && rows != columns && columns != r => {
                (apart(true), true)
            }
            _ => (straight, false),
        }
    }
}

impl Outlines<'_> {
    /// Whether directions of the residual stream may tell tensors of this shape apart.
    fn sees(&self, shape: &[usize]) -> bool {
        let width = self.bearings.as_ref().map(|seen| seen.ours.dims());
        width.is_some_and(|dims| dims.first().is_some_and(|width| shape.contains(width)))
    }

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
    (store, directions): (&TensorStore, Option<&Tensor>),
    wanted: impl IntoIterator<Item = usize>,
    name: impl Fn(usize) -> &'b str,
) -> Result<(), Error> {
    let missing: Vec<usize> = wanted
        .into_iter()
        .filter(|at| known.get(*at).is_some_and(Option::is_none))
        .collect();
    let read = Outline::read_all(store, missing.iter().map(|at| name(*at)), directions)?;
    for at in missing {
        known[at] = read.get(name(at)).cloned();
    }
    Ok(())
}
