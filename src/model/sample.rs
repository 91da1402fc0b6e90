//! Which tensors of two models are read where not all of them are, and a model of which no others can be.
//!
//! The choice depends on the two models' headers, the budget and the seed alone, and is the same for both
//! models: every norm's gain as far as a quarter of the budget goes, then of a few layers at equal
//! relative depth the rows of the same hidden units of the MLP, then whole attention.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rand::Rng;

use super::{Error, Expert, Model, Part, Role};
use crate::source::Progress;
use crate::stat::random;

/// Hidden units whose rows are read per layer, at most; more sharpen no test.
const UNITS: usize = 2048;

/// What is read of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Roles that are read, with the rows where not all of them are.
    pub roles: BTreeMap<Role, Option<Range<usize>>>,
    /// Stored tensors that are read as a whole.
    pub tensors: BTreeSet<String>,
    /// Bytes of weights that are read, of stored tensors.
    pub bytes: u64,
    /// Bytes of all stored tensors.
    pub of_bytes: u64,
    /// Tensors that are read, some of them in part.
    pub touched: usize,
    /// All stored tensors.
    pub of_tensors: usize,
    /// Where the bytes lie: the place of the file and bytes of it.
    ranges: Vec<(usize, Range<u64>)>,
}

impl Sample {
    /// In words: how much of how much.
    pub fn words(&self) -> String {
        let share = 100.0 * self.bytes as f64 / self.of_bytes.max(1) as f64;
        format!(
            "{} of {} tensors (some of them in part), {:.1} of {:.1} MB ({share:.1} %)",
            self.touched,
            self.of_tensors,
            self.bytes as f64 / 1e6,
            self.of_bytes as f64 / 1e6,
        )
    }
}

/// Chooses what is read of each model of a pair, at most `budget` bytes of either.
pub fn plan(pair: [&Model; 2], budget: u64, seed: u64) -> [Sample; 2] {
    let mut drafts = pair.map(|model| Draft::new(model, budget));
    if pair
        .iter()
        .all(|model| model.weights.roles().next().is_some())
    {
        by_role(&mut drafts, seed);
    } else {
        by_name(&mut drafts, seed);
    }
    drafts.map(Draft::sample)
}

impl Model {
    /// The model with what was planned and nothing else: roles outside the sample are as if they were not
    /// there, and no method can read them by accident.
    ///
    /// # Errors
    /// Bytes that cannot be had.
    pub fn sampled(self, sample: &Sample, progress: &dyn Progress) -> Result<Self, Error> {
        if let Some(parts) = &self.artefacts.parts {
            parts.fetch(&sample.ranges, progress)?;
        }
        Ok(Self {
            weights: self.weights.sampled(sample),
            ..self
        })
    }
}

/// A role, with the rows where not all of them are wanted.
type Wanted = (Role, Option<Range<usize>>);

/// What was chosen of one model so far.
struct Draft<'m> {
    model: &'m Model,
    budget: u64,
    bytes: u64,
    roles: BTreeMap<Role, Option<Range<usize>>>,
    ranges: BTreeMap<String, Vec<Range<usize>>>,
}

impl<'m> Draft<'m> {
    fn new(model: &'m Model, budget: u64) -> Self {
        Self {
            model,
            budget,
            bytes: 0,
            roles: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }

    /// Layers by the config, or as many as roles name.
    fn layers(&self) -> usize {
        let named = self.model.weights.roles().filter_map(|role| role.layer);
        named.max().map_or(0, |last| last as usize + 1)
    }

    fn rows(&self, role: &Role) -> Option<usize> {
        self.model.weights.shape(role).map(|(rows, _)| rows)
    }

    /// Bytes of some roles that were not chosen before; `None` where rows cannot be read apart.
    fn cost(&self, roles: &[Wanted]) -> Option<u64> {
        let mut cost = 0;
        for (role, rows) in roles {
            let (tensor, range) = self.model.weights.bytes_of(role, rows.as_ref())?;
            let known = self.ranges.get(tensor);
            let covered =
                |known: &Range<usize>| known.start <= range.start && range.end <= known.end;
            if !known.is_some_and(|ranges| ranges.iter().any(covered)) {
                cost += range.len() as u64;
            }
        }
        Some(cost)
    }

    fn add(&mut self, roles: &[Wanted]) {
        for (role, rows) in roles {
            let cost = self.cost(&[(*role, rows.clone())]).unwrap_or(0);
            if let Some((tensor, range)) = self.model.weights.bytes_of(role, rows.as_ref()) {
                self.ranges
                    .entry(tensor.to_owned())
                    .or_default()
                    .push(range);
                self.roles.insert(*role, rows.clone());
                self.bytes += cost;
            }
        }
    }

    fn sample(self) -> Sample {
        let store = self.model.weights.store();
        let mut sample = Sample {
            roles: self.roles,
            touched: self.ranges.len(),
            of_tensors: store.iter().count(),
            of_bytes: store.iter().map(|(_, info)| info.size as u64).sum(),
            ..Sample::default()
        };
        for (name, ranges) in self.ranges {
            let merged = merged(ranges);
            let size = store.info(&name).map_or(0, |info| info.size);
            if merged.first() == Some(&(0..size)) {
                sample.tensors.insert(name.clone());
            }
            sample.bytes += merged.iter().map(|range| range.len() as u64).sum::<u64>();
            let places = merged.iter().filter_map(|range| store.place(&name, range));
            sample.ranges.extend(places);
        }
        sample
    }
}

/// The same bytes as ranges that neither overlap nor touch.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Adds corresponding roles to both drafts, if both afford them within `budget`.
fn take(
    drafts: &mut [Draft<'_>; 2],
    roles: &[Vec<Wanted>; 2],
    budget: impl Fn(&Draft<'_>) -> u64,
) -> bool {
    let affordable = drafts.iter().zip(roles).all(|(draft, roles)| {
        let cost = draft.cost(roles);
        cost.is_some_and(|cost| draft.bytes + cost <= budget(draft))
    });
    if affordable {
        for (draft, roles) in drafts.iter_mut().zip(roles) {
            draft.add(roles);
        }
    }
    affordable
}

fn by_role(drafts: &mut [Draft<'_>; 2], seed: u64) {
    let depth = [drafts[0].layers(), drafts[1].layers()];
    let layers = planned_layers(depth);
    let weights = &drafts[0].model.weights;
    let vectors: Vec<Role> = weights
        .roles()
        .filter(|role| role.is_vector())
        .copied()
        .collect();
    for role in vectors {
        // Between models of one depth all layers correspond, else those of equal relative depth.
        let twin = match role.layer {
            Some(layer) if depth[0] != depth[1] => layers
                .iter()
                .find(|pair| pair[0] == layer as usize)
                .map(|pair| Role {
                    layer: Some(pair[1] as u32),
                    ..role
                }),
            _ => Some(role),
        };
        if let Some(twin) = twin {
            let both = [role, twin].map(|role| vec![(role, None)]);
            take(drafts, &both, |draft| draft.budget / 4);
        }
    }
    for (place, layer) in layers.iter().enumerate() {
        for expert in experts(drafts, *layer) {
            let mut rng = random::stream(seed, &format!("sampled units {place} {expert:?}"));
            units(drafts, *layer, expert, layers.len(), &mut rng);
        }
    }
    for layer in &layers {
        let of = |layer: usize| {
            let parts = [Part::Query, Part::Key, Part::Value, Part::Output];
            parts.map(|part| (Role::layer(layer, part), None)).to_vec()
        };
        take(drafts, &layer.map(of), |draft| draft.budget);
    }
}

/// The first, the last and the middle layer of both models.
fn planned_layers(depth: [usize; 2]) -> Vec<[usize; 2]> {
    let last = depth.map(|layers| layers.saturating_sub(1));
    let mut seen = BTreeSet::new();
    let mut chosen = vec![[0, 0], last, last.map(|last| last / 2)];
    chosen.retain(|pair| depth.iter().all(|layers| *layers > 0) && seen.insert(*pair));
    chosen
}

/// The MLPs of a layer that are read: the only one, or the first routed and the shared expert.
fn experts(drafts: &[Draft<'_>; 2], layer: [usize; 2]) -> Vec<Option<Expert>> {
    let choices = [None, Some(Expert::Routed(0)), Some(Expert::Shared)];
    let has = |expert: &Option<Expert>| {
        let mut both = drafts.iter().zip(layer);
        both.all(|(draft, layer)| draft.rows(&of_mlp(layer, Part::Up, *expert)).is_some())
    };
    choices.into_iter().filter(has).collect()
}

fn of_mlp(layer: usize, part: Part, expert: Option<Expert>) -> Role {
    Role {
        expert,
        ..Role::layer(layer, part)
    }
}

/// Rows of the same hidden units of one MLP of both models, and the matrix out of it where all units are
/// read.
fn units(
    drafts: &mut [Draft<'_>; 2],
    layer: [usize; 2],
    expert: Option<Expert>,
    layers: usize,
    rng: &mut impl Rng,
) {
    let role = |side: usize, part| of_mlp(layer[side], part, expert);
    let (Some(ours), Some(theirs)) = (
        drafts[0].rows(&role(0, Part::Up)),
        drafts[1].rows(&role(1, Part::Up)),
    ) else {
        return;
    };
    let gated = (0..2).all(|side| drafts[side].rows(&role(side, Part::Gate)).is_some());
    let parts: &[Part] = if gated {
        &[Part::Up, Part::Gate]
    } else {
        &[Part::Up]
    };
    let row = |side: usize| drafts[side].cost(&[(role(side, Part::Up), Some(0..1))]);
    let row = row(0).unwrap_or(0).max(row(1).unwrap_or(0)).max(1);
    // Half of the budget for all MLPs together.
    let afford = drafts[0].budget / 2 / (row * (layers * parts.len()) as u64);
    let most = usize::try_from(afford).unwrap_or(UNITS).min(UNITS);
    let fewer = ours.min(theirs);
    let whole = most >= ours && most >= theirs;
    let rows = if whole {
        None
    } else {
        let count = most.min(fewer);
        // An index means the same only between equal numbers of units.
        let room = if ours == theirs { fewer - count } else { 0 };
        let start = random::subset(rng, room + 1, 1);
        let start = start.first().copied().unwrap_or(0);
        (count > 0).then(|| start..start + count)
    };
    if !whole && rows.is_none() {
        return;
    }
    let of = |side: usize, parts: &[Part], rows: &Option<Range<usize>>| {
        let roles = parts.iter().map(|part| (role(side, *part), rows.clone()));
        roles.collect::<Vec<_>>()
    };
    let budget = |draft: &Draft<'_>| draft.budget;
    let block = [of(0, parts, &rows), of(1, parts, &rows)];
    // Where rows do not lie together, all of the matrix is read if it can be afforded.
    let taken = take(drafts, &block, budget)
        || take(drafts, &[of(0, parts, &None), of(1, parts, &None)], budget);
    if taken && whole {
        let down = [Part::Down];
        take(drafts, &[of(0, &down, &None), of(1, &down, &None)], budget);
    }
}

/// Tensors of one name and shape, in a random order, as long as the budget lasts.
fn by_name(drafts: &mut [Draft<'_>; 2], seed: u64) {
    let [ours, theirs] = [&drafts[0], &drafts[1]].map(|draft| draft.model.weights.store());
    let shared: Vec<(String, [usize; 2])> = ours
        .iter()
        .filter_map(|(name, info)| {
            let other = theirs
                .info(name)
                .filter(|other| other.shape == info.shape)?;
            Some((name.to_owned(), [info.size, other.size]))
        })
        .collect();
    let mut rng = random::stream(seed, "sampled tensors");
    for index in random::subset_in_any_order(&mut rng, shared.len(), shared.len()) {
        let (name, sizes) = &shared[index];
        let fits = |(draft, size): (&Draft<'_>, &usize)| draft.bytes + *size as u64 <= draft.budget;
        if !drafts.iter().zip(sizes).all(fits) {
            continue;
        }
        for (draft, size) in drafts.iter_mut().zip(sizes) {
            draft.ranges.entry(name.clone()).or_default().push(0..*size);
            draft.bytes += *size as u64;
        }
    }
}

#[cfg(test)]
mod tests;
