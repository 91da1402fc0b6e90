//! The tensors of both sides, and which of them have found each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::role::{Part, Role};
use crate::model::tensors::{TensorInfo, TensorStore};
use crate::model::weights::{Step, View, Weights};

/// A tensor of the suspect that no role claims.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
}

/// A tensor of the reference with the roles that it holds.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub roles: Vec<(Role, &'a View)>,
}

/// How a tensor came to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By its name, as the family writes it.
    Name,
    /// By a rule that renames several tensors alike.
    Rule,
    /// By shape and content.
    Content,
}

/// How clear a pairing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Support {
    /// Distance of the two contents, between 0 (all sorted numbers equal) and 1; absent where content was
    /// not looked at.
    pub distance: Option<f64>,
    /// One less the ratio of this distance to that of the next best target: 1 where only this target is
    /// alike, 0 where another is as near or nearer. Absent where there is no other.
    pub margin: Option<f64>,
    /// Whether each of the two is nearest to the other.
    pub mutual: Option<bool>,
}

/// Two tensors that found each other, as places on the board.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub held: usize,
    pub target: usize,
    pub turned: bool,
    pub how: How,
    pub support: Support,
}

/// What is left to match and what was found.
#[derive(Debug)]
pub(super) struct Board<'a> {
    pub held: Vec<Held<'a>>,
    pub targets: Vec<Target<'a>>,
    pub free_held: BTreeSet<usize>,
    pub free_targets: BTreeSet<usize>,
    pub found: Vec<Found>,
}

impl<'a> Board<'a> {
    /// Tensors of `suspect` that it has no role for, against those of `reference` whose roles it lacks.
    pub fn new(suspect: &'a Weights, reference: &'a Weights) -> Self {
        let mut held: Vec<Held<'a>> = unclaimed(suspect)
            .map(|(name, info)| Held {
                name,
                shape: &info.shape,
            })
            .collect();
        held.sort_by_cached_key(|one| natural(one.name));
        let mut by_tensor: BTreeMap<&str, Vec<(Role, &View)>> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for role in reference.roles() {
            let Some(binding) = reference.binding(role) else {
                continue;
            };
            let roles = by_tensor.entry(&binding.tensor).or_default();
            if roles.is_empty() {
                order.push(&binding.tensor);
            }
            roles.push((*role, &binding.view));
        }
        let targets = order.into_iter().filter_map(|name| {
            let roles = by_tensor.remove(name)?;
            let lacking = roles.iter().all(|(role, _)| !suspect.has(role));
            lacking.then_some(Target {
                name,
                shape: &reference.store().info(name)?.shape,
                roles,
            })
        });
        let targets: Vec<Target<'a>> = targets.collect();
        Self {
            free_held: (0..held.len()).collect(),
            free_targets: (0..targets.len()).collect(),
            held,
            targets,
            found: Vec::new(),
        }
    }

    /// Takes both from the board.
    pub fn pair(&mut self, found: Found) {
        self.free_held.remove(&found.held);
        self.free_targets.remove(&found.target);
        self.found.push(found);
    }

    /// Whether names may bring the two together, and whether the one is then turned: as many axes, and
    /// the same lengths where a role is cut out of them.
    pub fn may_share_a_name(&self, held: usize, target: usize) -> Option<bool> {
        let (held, target) = (&self.held[held], &self.targets[target]);
        if held.shape == target.shape {
            return Some(false);
        }
        if let [rows, columns] = held.shape
            && target.shape == [*columns, *rows]
        {
            return Some(true);
        }
        (held.shape.len() == target.shape.len() && !target.is_cut()).then_some(false)
    }
}

impl Target<'_> {
    /// Block of its roles; `None` for those of the whole model.
    pub fn layer(&self) -> Option<u32> {
        self.roles.first().and_then(|(role, _)| role.layer)
    }

    /// Whether a role is a part of it.
    pub fn is_cut(&self) -> bool {
        let cuts = |step: &Step| {
            matches!(
                step,
                Step::Rows(_) | Step::RowsOfEach { .. } | Step::Slice(_)
            )
        };
        self.roles
            .iter()
            .any(|(_, view)| view.steps().iter().any(cuts))
    }

    /// Whether it is a table with a row for each token.
    pub fn is_vocabulary(&self) -> bool {
        let table = |role: &Role| matches!(role.part, Part::Embed | Part::Unembed);
        let [(role, view)] = self.roles.as_slice() else {
            return false;
        };
        table(role) && view.steps().is_empty()
    }
}

/// Stored numbers that no role is made of.
pub(super) fn unclaimed(weights: &Weights) -> impl Iterator<Item = (&str, &TensorInfo)> {
    let claimed: BTreeSet<&str> = weights
        .roles()
        .filter_map(|role| Some(weights.binding(role)?.tensor.as_str()))
        .collect();
    let store: &TensorStore = weights.store();
    store.iter().filter(move |(name, info)| {
        let numbers = info.dtype.is_float() || info.dtype.is_quantised();
        numbers && info.dtype.is_decodable() && !claimed.contains(name)
    })
}

/// A piece of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    Number(u64),
    Text(String),
}

/// A name as text and numbers, so that 10 comes after 9.
pub(super) fn natural(name: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits);
        let (piece, left) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(match piece.parse() {
            Ok(number) if digits => Piece::Number(number),
            _ => Piece::Text(piece.to_owned()),
        });
        rest = left;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["val_10", "val_9", "a.2.b", "a.10.b", "", "7"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["", "7", "a.2.b", "a.10.b", "val_9", "val_10"]);
    }
}
