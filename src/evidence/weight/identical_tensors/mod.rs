//! Tensors that are equal to the last bit.

mod finding;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject};
use crate::model::{Role, TensorStore};
use stored::{Apart, Side, Stored};

/// See [`CARD`].
pub(super) struct IdenticalTensors;

static CARD: Card = Card {
    id: "weight.identical_tensors",
    version: 1,
    family: "weight.bits",
    title: "bit-identical tensors",
    measures: "Stored tensors with the same bytes whatever they are called, and tensors of the same role whose numbers \
               are equal after decoding (another storage type, fused or split matrices). The statistic is the share \
               of the smaller model's numbers that lie in such tensors. Set apart and not counted: constant tensors, \
               buffers (no role in a known architecture, repeated within one model, or not of a numeric type), and \
               tensors that an independent model also has.",
    null: "Trained numbers do not coincide by chance: independent models share none, as those of the population show.",
    fooled_by: "A public component that both took honestly (an embedding table, a vision tower); tensors set by formula. \
                Any further training, noise or rounding leaves nothing identical.",
    cost: "Fingerprints of the one pass over the weights; tensors that have one fingerprint are compared byte by byte, and \
           those of one role number by number as far as they agree.",
    reference: "Byte identity as a fact apart from likelihoods: frozen tensors in the 2025 reports on depth-expanded models.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// Numbers decoded first: tensors that differ mostly differ here.
const FIRST_ELEMENTS: usize = 1 << 12;

/// Numbers of each model decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// Bytes of each model compared at a time.
const BLOCK_BYTES: usize = 1 << 18;

impl Evidence for IdenticalTensors {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let elsewhere = fingerprints(pair.population);
        let Some(found) = compare(pair.reference, pair.suspect, &elsewhere)? else {
            let reason = "the weights of one of the models were not read".to_owned();
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(compare(a, b, &BTreeSet::new())?.map(|found| found.share()))
        })?;
        Ok(Outcome::Measured(Box::new(found.finding(pair, &controls))))
    }
}

/// Of every tensor of independent models.
fn fingerprints(population: &[Subject<'_>]) -> BTreeSet<String> {
    let profiles = population.iter().filter_map(|subject| subject.profile);
    profiles
        .flat_map(|profile| {
            profile
                .tensors
                .values()
                .map(|facts| facts.fingerprint.clone())
        })
        .collect()
}

/// One identical tensor.
#[derive(Debug, Clone, PartialEq)]
struct Match {
    reference: String,
    suspect: String,
    what: String,
    how: &'static str,
    apart: Option<Apart>,
}

#[derive(Debug, Clone, PartialEq)]
struct Found {
    matches: Vec<Match>,
    reference: Side,
    suspect: Side,
    /// Roles with one shape in both, and how many of them are identical.
    roles: (u64, u64),
    same_container: bool,
    /// Stored tensors of the model that has fewer.
    compared: u64,
}

fn compare(
    reference: Subject<'_>,
    suspect: Subject<'_>,
    elsewhere: &BTreeSet<String>,
) -> Result<Option<Found>, Error> {
    let (Some(a), Some(b)) = (Stored::new(reference), Stored::new(suspect)) else {
        return Ok(None);
    };
    let mut matches = same_bytes(&a, &b, elsewhere)?;
    let paired: BTreeSet<(String, String)> = matches
        .iter()
        .map(|m| (m.reference.clone(), m.suspect.clone()))
        .collect();
    let (shared, equal) = same_role(&a, &b, &paired)?;
    let mut covered = [BTreeMap::new(), BTreeMap::new()];
    for m in &matches {
        covered[0].insert(m.reference.clone(), a.elements(&m.reference));
        covered[1].insert(m.suspect.clone(), b.elements(&m.suspect));
    }
    for role in &equal {
        let names = [a.weights.binding(role), b.weights.binding(role)];
        let [Some(ours), Some(theirs)] = names.map(|b| b.map(|b| b.tensor.clone())) else {
            continue;
        };
        let size = a
            .weights
            .shape(role)
            .map_or(0, |(rows, columns)| (rows * columns) as u64);
        *covered[0].entry(ours.clone()).or_insert(0) += size;
        *covered[1].entry(theirs.clone()).or_insert(0) += size;
        if !paired.contains(&(ours.clone(), theirs.clone())) {
            let constant = a.profile.roles.get(role).is_some_and(|m| m.min == m.max);
            matches.push(Match {
                reference: ours,
                suspect: theirs,
                what: role.to_string(),
                how: "same numbers",
                apart: constant.then_some(Apart::Constant),
            });
        }
    }
    let constant = |pick: fn(&Match) -> &String| -> BTreeSet<String> {
        let apart = matches.iter().filter(|m| m.apart.is_some());
        apart.map(|m| pick(m).clone()).collect()
    };
    Ok(Some(Found {
        reference: a.side(&covered[0], &constant(|m| &m.reference)),
        suspect: b.side(&covered[1], &constant(|m| &m.suspect)),
        roles: (shared, equal.len() as u64),
        same_container: a.weights.store().format() == b.weights.store().format(),
        compared: a.profile.tensors.len().min(b.profile.tensors.len()) as u64,
        matches,
    }))
}

/// Stored tensors with equal bytes, those with equal names first. A fingerprint only says where to look.
fn same_bytes(
    a: &Stored<'_>,
    b: &Stored<'_>,
    elsewhere: &BTreeSet<String>,
) -> Result<Vec<Match>, Error> {
    let mut theirs: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for (name, facts) in &b.profile.tensors {
        theirs.entry(&facts.fingerprint).or_default().push(name);
    }
    let mut matches = Vec::new();
    for (name, facts) in &a.profile.tensors {
        let Some(others) = theirs.get_mut(facts.fingerprint.as_str()) else {
            continue;
        };
        let place = others.iter().position(|other| *other == name).unwrap_or(0);
        if others.is_empty() || a.elements(name) == 0 {
            continue;
        }
        if !equal_bytes(a.weights.store(), name, b.weights.store(), others[place])? {
            continue;
        }
        let other = others.remove(place);
        let decodable = a
            .weights
            .store()
            .info(name)
            .is_some_and(|info| info.dtype.is_decodable());
        let mut apart = a.apart(name).or_else(|| b.apart(other));
        if apart.is_none() && elsewhere.contains(&facts.fingerprint) {
            apart = Some(Apart::Elsewhere);
        }
        if apart.is_none()
            && decodable
            && !a.bound.contains_key(name.as_str())
            && a.is_constant(name)?
        {
            apart = Some(Apart::Constant);
        }
        matches.push(Match {
            reference: name.clone(),
            suspect: other.clone(),
            what: format!("{:?}", facts.shape),
            how: "same bytes",
            apart,
        });
    }
    Ok(matches)
}

/// Whether two stored tensors are equal to the last byte; read as far as they are.
fn equal_bytes(a: &TensorStore, ours: &str, b: &TensorStore, theirs: &str) -> Result<bool, Error> {
    let size = |store: &TensorStore, name: &str| store.info(name).map(|info| info.size);
    let Some(n) = size(a, ours).filter(|n| size(b, theirs) == Some(*n)) else {
        return Ok(false);
    };
    let mut blocks = [vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]];
    for start in (0..n).step_by(BLOCK_BYTES) {
        let [x, y] = &mut blocks;
        let (x, y) = (
            &mut x[..BLOCK_BYTES.min(n - start)],
            &mut y[..BLOCK_BYTES.min(n - start)],
        );
        a.read_bytes(ours, start, x)?;
        b.read_bytes(theirs, start, y)?;
        if x != y {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Roles of one shape in both: how many, and which are equal number by number. Of stored tensors that
/// are `paired` it is known.
fn same_role(
    a: &Stored<'_>,
    b: &Stored<'_>,
    paired: &BTreeSet<(String, String)>,
) -> Result<(u64, Vec<Role>), Error> {
    let shared: Vec<Role> = a
        .weights
        .roles()
        .filter(|role| b.weights.has(role) && a.weights.shape(role) == b.weights.shape(role))
        .filter(|role| a.reads(role) && b.reads(role))
        .copied()
        .collect();
    let equal: Vec<Option<Role>> = shared
        .par_iter()
        .map(|role| Ok(equal(a, b, role, paired)?.then_some(*role)))
        .collect::<Result<_, Error>>()?;
    Ok((shared.len() as u64, equal.into_iter().flatten().collect()))
}

fn equal(
    a: &Stored<'_>,
    b: &Stored<'_>,
    role: &Role,
    paired: &BTreeSet<(String, String)>,
) -> Result<bool, Error> {
    let (Some(ours), Some(theirs)) = (a.weights.binding(role), b.weights.binding(role)) else {
        return Ok(false);
    };
    let types = [(a, ours), (b, theirs)].map(|(stored, binding)| {
        let facts = stored.profile.tensors.get(&binding.tensor);
        facts.map(|facts| &facts.dtype)
    });
    let pair = (ours.tensor.clone(), theirs.tensor.clone());
    if ours.view == theirs.view && types[0] == types[1] && paired.contains(&pair) {
        return Ok(true);
    }
    for block in [FIRST_ELEMENTS, BLOCK_ELEMENTS] {
        let pairs = a
            .weights
            .chunks(role, block)
            .zip(b.weights.chunks(role, block));
        for (ours, theirs) in pairs.take(if block == FIRST_ELEMENTS {
            1
        } else {
            usize::MAX
        }) {
            let (ours, theirs) = (ours?.1, theirs?.1);
            if ours
                .iter()
                .zip(&theirs)
                .any(|(x, y)| x.to_bits() != y.to_bits())
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
