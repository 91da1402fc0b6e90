//! What of a model's stored tensors counts as trained numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::BLOCK_ELEMENTS;
use crate::evidence::{Error, Subject};
use crate::model::{Role, Weights};
use crate::record::WeightProfile;

/// Why an identical tensor is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    Constant,
    Buffer,
    Elsewhere,
}

impl Apart {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Buffer => "buffer",
            Self::Elsewhere => "also in an independent model",
        }
    }
}

/// One model's share in the matches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Side {
    /// Numbers in tensors that count.
    pub(super) total: u64,
    /// Of these, in identical tensors.
    pub(super) identical: u64,
    /// Tensors that count as parameters and are not identical, trivial or not.
    pub(super) unmatched: u64,
}

impl Side {
    pub(super) fn share(&self) -> f64 {
        self.identical as f64 / self.total.max(1) as f64
    }
}

/// One model as this method sees it.
pub(super) struct Stored<'a> {
    pub(super) weights: &'a Weights,
    pub(super) profile: &'a WeightProfile,
    /// Roles by the stored tensor they are made of.
    pub(super) bound: BTreeMap<&'a str, Vec<Role>>,
    /// How often each hash occurs.
    pub(super) repeats: BTreeMap<&'a str, usize>,
}

impl<'a> Stored<'a> {
    pub(super) fn new(subject: Subject<'a>) -> Option<Self> {
        let (weights, profile) = (&subject.model.weights, subject.profile?);
        let mut bound: BTreeMap<&str, Vec<Role>> = BTreeMap::new();
        for role in weights.roles() {
            if let Some(binding) = weights.binding(role) {
                bound.entry(&binding.tensor).or_default().push(*role);
            }
        }
        let mut repeats = BTreeMap::new();
        for facts in profile.tensors.values() {
            *repeats.entry(facts.fingerprint.as_str()).or_insert(0) += 1;
        }
        Some(Self {
            weights,
            profile,
            bound,
            repeats,
        })
    }

    pub(super) fn elements(&self, name: &str) -> u64 {
        self.weights
            .store()
            .info(name)
            .map_or(0, |info| info.elements as u64)
    }

    /// Whether the tensor that the role is made of is read as a whole.
    pub(super) fn reads(&self, role: &Role) -> bool {
        let binding = self.weights.binding(role);
        binding.is_some_and(|binding| self.weights.reads(&binding.tensor))
    }

    /// Whether a stored tensor is something other than trained numbers, as far as one model tells.
    pub(super) fn apart(&self, name: &str) -> Option<Apart> {
        let info = self.weights.store().info(name)?;
        let repeated = self
            .profile
            .tensors
            .get(name)
            .and_then(|facts| self.repeats.get(facts.fingerprint.as_str()))
            .is_some_and(|count| *count > 1);
        let roles = self.bound.get(name);
        let known = !self.bound.is_empty();
        match roles {
            None if known || repeated || !info.dtype.is_float() => Some(Apart::Buffer),
            None => None,
            Some(roles) => {
                let mut moments = roles.iter().map(|role| self.profile.roles.get(role));
                moments
                    .all(|m| m.is_some_and(|m| m.min == m.max))
                    .then_some(Apart::Constant)
            }
        }
    }

    /// Whether an unbound tensor holds one number only; read block by block.
    pub(super) fn is_constant(&self, name: &str) -> Result<bool, Error> {
        let store = self.weights.store();
        let n = store.info(name).map_or(0, |info| info.elements);
        let mut value = None;
        for start in (0..n).step_by(BLOCK_ELEMENTS) {
            for x in store.elements(name, start..n.min(start + BLOCK_ELEMENTS))? {
                if *value.get_or_insert(x) != x {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Tensors that count, with how many of each one's numbers are identical.
    pub(super) fn side(
        &self,
        covered: &BTreeMap<String, u64>,
        constant: &BTreeSet<String>,
    ) -> Side {
        // What is not in a sample cannot be said to be identical.
        let unread = self
            .weights
            .store()
            .names()
            .filter(|name| !self.weights.reads(name));
        let mut side = Side {
            unmatched: unread.count() as u64,
            ..Side::default()
        };
        for name in self.profile.tensors.keys() {
            let (elements, apart) = (self.elements(name), self.apart(name));
            let identical = covered.get(name).copied().unwrap_or(0).min(elements);
            if apart != Some(Apart::Buffer) && identical < elements {
                side.unmatched += 1;
            }
            if apart.is_none() && !constant.contains(name) {
                side.total += elements;
                side.identical += identical;
            }
        }
        side
    }
}
