//! Which tensor of a model without known names plays which role of another model.
//!
//! A suspect's tensors are brought to those of a reference whose roles are known: by equal names, then by
//! a change of names that several tensors share, then by shape (also turned) and content, one to one.
//!
//! # What content means here, and why index tests stay valid afterwards
//!
//! Content is compared by sorted lengths of rows and columns, sorted sizes of numbers and the share of
//! zeros, and, where both embeddings have the same tokens, by what a tensor does to directions of the
//! residual stream that the tokens define (second moments, summed over hidden units). No reordering of
//! hidden units, heads or residual coordinates of the suspect changes any of these. Which
//! tensor is assigned to which role therefore tells nothing about the order of units *within* it. If two
//! models are independent, the units of an assigned tensor are in an order that is as random as before,
//! and an exact test on these indices (`weight.row_matching`) has the null distribution that it states.
//! A matcher that looked for equal rows at equal places would itself have produced what such a test then
//! finds.
//!
//! Between independent models of the same shapes an assignment is complete and means nothing;
//! [`Support`] says how clear each one is. Nothing is invented: what has no counterpart is listed.

mod assign;
mod bearings;
mod bind;
mod board;
mod content;
mod outline;
mod outlines;
mod rules;
mod widths;
mod write;

pub use bind::{bind, lacks_roles, with_roles_of};
pub use board::{How, Support};
pub use write::{Error as WriteError, Written, write};

use std::collections::BTreeMap;

use serde::Serialize;

use super::role::Role;
use super::tensors::Error;
use super::weights::{Binding, Step, View, Weights};
use crate::source::Format;
use board::{Board, Found, Target, unclaimed};
use outlines::Outlines;

/// Tensors of a suspect, each with the reference's tensor that plays the same roles.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// In the order of the suspect's names, numbers counted as numbers.
    pub pairs: Vec<Pairing>,
    /// Tensors of the suspect that nothing in the reference corresponds to.
    pub only_suspect: Vec<String>,
    /// Tensors of the reference that nothing in the suspect corresponds to.
    pub only_reference: Vec<String>,
    /// Changes of names that several tensors share, in words.
    pub rules: Vec<String>,
}

/// Two tensors that play the same roles.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairing {
    /// The suspect's name.
    pub tensor: String,
    /// The reference's name.
    pub reference: String,
    /// What each role is made of in the suspect; layers are numbered as in the reference.
    pub roles: BTreeMap<Role, View>,
    /// Whether rows and columns changed places.
    pub transposed: bool,
    /// How they found each other.
    pub how: How,
    /// How clear it is.
    pub support: Support,
}

/// How clear a whole mapping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clarity {
    /// Names decided alone.
    Names,
    /// All tensors that content decided are mutually nearest.
    Clear,
    /// Some of them are.
    Partial,
    /// None of them is.
    Arbitrary,
}

impl Clarity {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::Names => "names alone decided",
            Self::Clear => "clear: all tensors that content decided are mutually nearest",
            Self::Partial => {
                "partly clear: not all tensors that content decided are mutually nearest"
            }
            Self::Arbitrary => "arbitrary: no two tensors are mutually nearest",
        }
    }
}

impl Mapping {
    /// How clear it is as a whole.
    pub fn clarity(&self) -> Clarity {
        let decided = self.pairs.iter().filter_map(|pair| pair.support.mutual);
        let (mutual, all) = decided.fold((0, 0), |(yes, all), mutual| {
            (yes + usize::from(mutual), all + 1)
        });
        match (mutual, all) {
            (_, 0) if self.by(How::Content) == 0 => Clarity::Names,
            (0, _) => Clarity::Arbitrary,
            (mutual, all) if mutual == all => Clarity::Clear,
            _ => Clarity::Partial,
        }
    }

    /// How many tensors found their counterpart so.
    pub fn by(&self, how: How) -> usize {
        self.pairs.iter().filter(|pair| pair.how == how).count()
    }

    /// One clause: how many by what, how clear.
    pub fn summary(&self) -> String {
        let counts = [
            (How::Name, "by name"),
            (How::Rule, "by a rule that renames"),
            (How::Content, "by shape and content"),
        ];
        let counts = counts.iter().filter_map(|(how, words)| {
            let count = self.by(*how);
            (count > 0).then(|| format!("{count} {words}"))
        });
        let counts: Vec<String> = counts.collect();
        let counts = if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        };
        format!("{counts}; {}", self.clarity().words())
    }
}

/// Brings the tensors of `suspect` to those of `reference`.
///
/// Roles that are bound in both stay as they are. One pass over those tensors of either side that names
/// do not decide; nothing but outlines (some kB per tensor) is kept.
///
/// # Errors
/// A weight file that cannot be read any more.
pub fn map(suspect: &Weights, reference: &Weights) -> Result<Mapping, Error> {
    let mut board = Board::new(suspect, reference);
    let mut rules = Vec::new();
    rules::equal_names(&mut board);
    rules.extend(rules::affixes(&mut board));
    let mut outlines = Outlines::new(&board, [suspect, reference]);
    outlines.take_bearings(&board);
    rules.extend(content::patterns(&mut board, &mut outlines)?);
    content::turn_squares(&mut board, &mut outlines)?;
    content::all(&mut board, &mut outlines)?;
    widths::units(&mut board, &mut outlines)?;
    let llama_cpp = [suspect, reference].map(|side| side.store().format() == Format::Gguf);
    let mut pairs = bound_already(suspect, reference);
    pairs.extend(board.found.iter().map(|found| {
        let keep_order = llama_cpp[0] == llama_cpp[1];
        pairing(&board, found, keep_order)
    }));
    pairs.sort_by_cached_key(|pair| board::natural(&pair.tensor));
    let free_targets = board.free_targets.iter();
    let free_held = board.free_held.iter();
    Ok(Mapping {
        pairs,
        only_suspect: free_held
            .map(|at| board.held[*at].name.to_owned())
            .collect(),
        only_reference: free_targets
            .map(|at| board.targets[*at].name.to_owned())
            .collect(),
        rules,
    })
}

/// What the suspect's own family found by name.
fn bound_already(suspect: &Weights, reference: &Weights) -> Vec<Pairing> {
    let mut pairs: BTreeMap<&str, Pairing> = BTreeMap::new();
    for role in suspect.roles() {
        let (Some(ours), Some(theirs)) = (suspect.binding(role), reference.binding(role)) else {
            continue;
        };
        let pair = pairs.entry(&ours.tensor).or_insert_with(|| Pairing {
            tensor: ours.tensor.clone(),
            reference: theirs.tensor.clone(),
            roles: BTreeMap::new(),
            transposed: false,
            how: How::Name,
            support: Support::default(),
        });
        pair.roles.insert(*role, ours.view.clone());
    }
    pairs.into_values().collect()
}

fn pairing(board: &Board<'_>, found: &Found, keep_order: bool) -> Pairing {
    let target: &Target<'_> = &board.targets[found.target];
    let roles = target.roles.iter().map(|(role, view)| {
        // llama.cpp's order of rotary rows is one of its files, not of the numbers in them.
        let steps = view.steps().iter().filter(|step| {
            let reordered = matches!(step, Step::UnpermutedHeads(_));
            keep_order || !reordered
        });
        let first = found.turned.then_some(Step::Transposed);
        let steps: Vec<Step> = first.into_iter().chain(steps.cloned()).collect();
        (*role, View::of(straightened(steps)))
    });
    Pairing {
        tensor: board.held[found.held].name.to_owned(),
        reference: target.name.to_owned(),
        roles: roles.collect(),
        transposed: found.turned,
        how: found.how,
        support: found.support,
    }
}

/// Without turning twice at the start.
fn straightened(steps: Vec<Step>) -> Vec<Step> {
    match steps.as_slice() {
        [Step::Transposed, Step::Transposed, rest @ ..] => rest.to_vec(),
        _ => steps,
    }
}

/// What each role of the suspect is made of.
fn bindings(mapping: &Mapping) -> BTreeMap<Role, Binding> {
    let mut bindings = BTreeMap::new();
    for pair in &mapping.pairs {
        for (role, view) in &pair.roles {
            let binding = Binding::new(pair.tensor.clone(), view.clone());
            bindings.insert(*role, binding);
        }
    }
    bindings
}

/// Whether anything is stored that no role is made of.
fn has_unclaimed(weights: &Weights) -> bool {
    unclaimed(weights).next().is_some()
}
