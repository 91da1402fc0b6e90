//! Tensors that are equal to the last bit.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::{Role, Weights};
use crate::record::WeightProfile;
use crate::text::ModelText;

/// See [`CARD`].
pub(super) struct IdenticalTensors;

static CARD: Card = Card {
    id: "weight.identical_tensors",
    version: 1,
    family: "weight.bits",
    title: "bit-identical tensors",
    measures: "Stored tensors with the same sha256 whatever they are called, and tensors of the same role whose numbers \
               are equal after decoding (another storage type, fused or split matrices). The statistic is the share \
               of the smaller model's numbers that lie in such tensors. Set apart and not counted: constant tensors, \
               buffers (no role in a known architecture, repeated within one model, or not of a numeric type), and \
               tensors that an independent model also has.",
    null: "Trained numbers do not coincide by chance: independent models share none, as those of the population show.",
    fooled_by: "A public component that both took honestly (an embedding table, a vision tower); tensors set by formula. \
                Any further training, noise or rounding leaves nothing identical.",
    cost: "Hashes of the one pass over the weights; tensors of one role are read again only as far as they agree.",
    reference: "Byte identity as a fact apart from likelihoods: frozen tensors in the 2025 reports on depth-expanded models.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// Numbers decoded first: tensors that differ mostly differ here.
const FIRST_ELEMENTS: usize = 1 << 12;

/// Numbers of each model decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// Rows of detail.
const MOST_ROWS: usize = 400;

impl Evidence for IdenticalTensors {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let elsewhere = hashes(pair.population);
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

/// Hashes of every tensor of independent models.
fn hashes(population: &[Subject<'_>]) -> BTreeSet<String> {
    let profiles = population.iter().filter_map(|subject| subject.profile);
    profiles
        .flat_map(|profile| profile.tensors.values().map(|facts| facts.sha256.clone()))
        .collect()
}

/// Why an identical tensor is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    Constant,
    Buffer,
    Elsewhere,
}

impl Apart {
    fn words(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Buffer => "buffer",
            Self::Elsewhere => "also in an independent model",
        }
    }
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

/// One model's share in the matches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Side {
    /// Numbers in tensors that count.
    total: u64,
    /// Of these, in identical tensors.
    identical: u64,
    /// Tensors that count as parameters and are not identical, trivial or not.
    unmatched: u64,
}

impl Side {
    fn share(&self) -> f64 {
        self.identical as f64 / self.total.max(1) as f64
    }
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

/// One model as this method sees it.
struct Stored<'a> {
    weights: &'a Weights,
    profile: &'a WeightProfile,
    /// Roles by the stored tensor they are made of.
    bound: BTreeMap<&'a str, Vec<Role>>,
    /// How often each hash occurs.
    repeats: BTreeMap<&'a str, usize>,
}

impl<'a> Stored<'a> {
    fn new(subject: Subject<'a>) -> Option<Self> {
        let (weights, profile) = (&subject.model.weights, subject.profile?);
        let mut bound: BTreeMap<&str, Vec<Role>> = BTreeMap::new();
        for role in weights.roles() {
            if let Some(binding) = weights.binding(role) {
                bound.entry(&binding.tensor).or_default().push(*role);
            }
        }
        let mut repeats = BTreeMap::new();
        for facts in profile.tensors.values() {
            *repeats.entry(facts.sha256.as_str()).or_insert(0) += 1;
        }
        Some(Self {
            weights,
            profile,
            bound,
            repeats,
        })
    }

    fn elements(&self, name: &str) -> u64 {
        self.weights
            .store()
            .info(name)
            .map_or(0, |info| info.elements as u64)
    }

    /// Whether the tensor that the role is made of is read as a whole.
    fn reads(&self, role: &Role) -> bool {
        let binding = self.weights.binding(role);
        binding.is_some_and(|binding| self.weights.reads(&binding.tensor))
    }

    /// Whether a stored tensor is something other than trained numbers, as far as one model tells.
    fn apart(&self, name: &str) -> Option<Apart> {
        let info = self.weights.store().info(name)?;
        let repeated = self
            .profile
            .tensors
            .get(name)
            .and_then(|facts| self.repeats.get(facts.sha256.as_str()))
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
    fn is_constant(&self, name: &str) -> Result<bool, Error> {
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
    fn side(&self, covered: &BTreeMap<String, u64>, constant: &BTreeSet<String>) -> Side {
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

fn compare(
    reference: Subject<'_>,
    suspect: Subject<'_>,
    elsewhere: &BTreeSet<String>,
) -> Result<Option<Found>, Error> {
    let (Some(a), Some(b)) = (Stored::new(reference), Stored::new(suspect)) else {
        return Ok(None);
    };
    let mut matches = same_bytes(&a, &b, elsewhere)?;
    let (shared, equal) = same_role(&a, &b)?;
    let paired: BTreeSet<(String, String)> = matches
        .iter()
        .map(|m| (m.reference.clone(), m.suspect.clone()))
        .collect();
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

/// Stored tensors with equal hashes, those with equal names first.
fn same_bytes(
    a: &Stored<'_>,
    b: &Stored<'_>,
    elsewhere: &BTreeSet<String>,
) -> Result<Vec<Match>, Error> {
    let mut theirs: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for (name, facts) in &b.profile.tensors {
        theirs.entry(&facts.sha256).or_default().push(name);
    }
    let mut matches = Vec::new();
    for (name, facts) in &a.profile.tensors {
        let Some(others) = theirs.get_mut(facts.sha256.as_str()) else {
            continue;
        };
        let place = others.iter().position(|other| *other == name).unwrap_or(0);
        if others.is_empty() || a.elements(name) == 0 {
            continue;
        }
        let other = others.remove(place);
        let decodable = a
            .weights
            .store()
            .info(name)
            .is_some_and(|info| info.dtype.is_decodable());
        let mut apart = a.apart(name).or_else(|| b.apart(other));
        if apart.is_none() && elsewhere.contains(&facts.sha256) {
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

/// Roles of one shape in both: how many, and which are equal number by number.
fn same_role(a: &Stored<'_>, b: &Stored<'_>) -> Result<(u64, Vec<Role>), Error> {
    let shared: Vec<Role> = a
        .weights
        .roles()
        .filter(|role| b.weights.has(role) && a.weights.shape(role) == b.weights.shape(role))
        .filter(|role| a.reads(role) && b.reads(role))
        .copied()
        .collect();
    let equal: Vec<Option<Role>> = shared
        .par_iter()
        .map(|role| Ok(equal(a, b, role)?.then_some(*role)))
        .collect::<Result<_, Error>>()?;
    Ok((shared.len() as u64, equal.into_iter().flatten().collect()))
}

fn equal(a: &Stored<'_>, b: &Stored<'_>, role: &Role) -> Result<bool, Error> {
    let (Some(ours), Some(theirs)) = (a.weights.binding(role), b.weights.binding(role)) else {
        return Ok(false);
    };
    let hash = |stored: &Stored<'_>, name: &str| {
        stored
            .profile
            .tensors
            .get(name)
            .map(|facts| (facts.sha256.clone(), facts.dtype.clone()))
    };
    if ours.view == theirs.view && hash(a, &ours.tensor) == hash(b, &theirs.tensor) {
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

impl Found {
    /// Of the model that has the larger part in common.
    fn share(&self) -> f64 {
        self.reference.share().max(self.suspect.share())
    }

    fn counted(&self) -> impl Iterator<Item = &Match> {
        self.matches.iter().filter(|m| m.apart.is_none())
    }

    fn finding(&self, pair: &Pair<'_>, controls: &Controls) -> Finding {
        let counted = self.counted().count();
        let apart = self.matches.len() - counted;
        let renamed = self.counted().filter(|m| m.reference != m.suspect).count();
        let mut details = controls.details(self.share());
        details.extend([
            ("share_of_reference", self.reference.share()),
            ("share_of_suspect", self.suspect.share()),
            ("unmatched_reference", self.reference.unmatched as f64),
            ("unmatched_suspect", self.suspect.unmatched as f64),
            ("roles_shared", self.roles.0 as f64),
            ("roles_identical", self.roles.1 as f64),
            ("identical_tensors", counted as f64),
            ("set_apart", apart as f64),
        ]);
        if self.same_container {
            details.insert("renamed_tensors", renamed as f64);
        }
        let mut caveats = Vec::new();
        if pair.population.is_empty() {
            caveats.push(
                "no independent model was at hand to show which tensors anyone may have".to_owned(),
            );
        }
        Finding {
            statistic: self.share(),
            n: self.compared,
            null: format!(
                "trained numbers do not coincide by chance; {}",
                controls.words(self.share())
            ),
            log10_p: None,
            interval: None,
            details,
            explanation: self.explanation(counted, apart, renamed),
            caveats,
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: (!self.matches.is_empty()).then(|| self.table()),
        }
    }

    fn explanation(&self, counted: usize, apart: usize, renamed: usize) -> String {
        let mut text = if counted == 0 {
            "No trained tensor is bit-identical".to_owned()
        } else {
            format!(
                "{counted} tensors are bit-identical: {:.1} % of the reference's and {:.1} % of the suspect's numbers",
                100.0 * self.reference.share(),
                100.0 * self.suspect.share()
            )
        };
        if self.same_container && renamed > 0 {
            text += &format!("; {renamed} of them are stored under another name");
        }
        if apart > 0 {
            text += &format!("; {apart} identical constants or buffers are set apart");
        }
        text + "."
    }

    fn table(&self) -> Table {
        let shown = |name: &str| ModelText::new(name).clipped(80);
        let mut rows: Vec<Vec<String>> = self
            .matches
            .iter()
            .take(MOST_ROWS)
            .map(|m| {
                vec![
                    shown(&m.reference),
                    shown(&m.suspect),
                    m.what.clone(),
                    m.how.to_owned(),
                    m.apart.map_or("yes", Apart::words).to_owned(),
                ]
            })
            .collect();
        if self.matches.len() > MOST_ROWS {
            let more = format!("and {} more", self.matches.len() - MOST_ROWS);
            rows.push([more.as_str(), "", "", "", ""].map(str::to_owned).to_vec());
        }
        let columns = ["reference", "suspect", "shape or role", "how", "counts"];
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows,
        }
    }
}

#[cfg(test)]
mod tests;
