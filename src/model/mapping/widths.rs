//! Matrices of MLPs with another number of hidden units than the reference's.

use std::collections::BTreeMap;

use super::board::{Board, Target};
use super::content::{Class, pair, support};
use super::outlines::Outlines;
use crate::model::role::Part;
use crate::model::tensors::Error;

/// Pairs what is left once equal shapes have found each other: matrices with the residual stream on one
/// side and hidden units on the other, as many of one shape as the reference has left. Outlines are taken
/// at equal shares of sorted lengths, so that they compare whatever the number of units.
///
/// # Errors
/// A file that cannot be read any more.
pub(super) fn units(board: &mut Board<'_>, outlines: &mut Outlines<'_>) -> Result<(), Error> {
    let width = board.targets.iter().find(|target| target.is_vocabulary());
    let Some(width) = width.and_then(|target| target.shape.last()).copied() else {
        return Ok(());
    };
    let left = board.free_targets.iter().copied();
    let targets: Vec<usize> = left.filter(|at| of_units(&board.targets[*at])).collect();
    let mut shapes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &held in &board.free_held {
        if let Some(units) = other_side(board.held[held].shape, width) {
            shapes.entry(units).or_default().push(held);
        }
    }
    // Several shapes, or too few of one, are something else than the same MLPs with other units.
    let [held] = shapes.values().collect::<Vec<_>>()[..] else {
        return Ok(());
    };
    if targets.is_empty() || held.len() != targets.len() {
        return Ok(());
    }
    let class = Class {
        held: held.clone(),
        targets,
    };
    outlines.read(
        board,
        class.held.iter().copied(),
        class.targets.iter().copied(),
    )?;
    let before = board.found.len();
    pair(board, outlines, &class, |_, _| true);
    support(board, outlines, &class, before);
    Ok(())
}

/// Whether it is a whole matrix of an MLP.
fn of_units(target: &Target<'_>) -> bool {
    let mlp = |part: Part| matches!(part, Part::Gate | Part::Up | Part::Down);
    target.shape.len() == 2
        && !target.is_cut()
        && target.roles.iter().all(|(role, _)| mlp(role.part))
}

/// The side of a matrix that the residual stream is not.
fn other_side(shape: &[usize], width: usize) -> Option<usize> {
    match shape {
        [rows, columns] if *columns == width && *rows != width => Some(*rows),
        [rows, columns] if *rows == width && *columns != width => Some(*columns),
        _ => None,
    }
}
