//! Tensors that find each other by what they hold.

use std::collections::{BTreeMap, BTreeSet};

use super::assign::nearest_first;
use super::board::{Board, Found, How, Support};
use super::outlines::Outlines;
use super::rules::{self, Patterns};
use crate::model::tensors::Error;

/// Added to a cost so that among equals the order of names (`val_9` before `val_10`) is that of roles.
const ORDER: f64 = 1e-12;

/// What a distance counts between patterns that name the same part. Names may lie, so that a clear content
/// overrules them; noise can make all contents of one shape much alike, and then they decide.
const SAME_PART: f64 = 0.5;

/// Distances within a class beyond which only those of pairs are taken: some seconds of work.
const MOST_DISTANCES: usize = 1 << 24;

/// Tensors of one shape, turned or not.
#[derive(Debug, Default)]
pub(super) struct Class {
    pub held: Vec<usize>,
    pub targets: Vec<usize>,
}

impl Class {
    /// Whether not all distances are worth their time.
    fn is_huge(&self) -> bool {
        self.held.len() * self.targets.len() > MOST_DISTANCES
    }
}

/// Patterns of names that may be one renamed; where several may, the contents of all their tensors
/// together decide. Rules in words.
///
/// # Errors
/// A file that cannot be read any more.
pub(super) fn patterns(
    board: &mut Board<'_>,
    outlines: &mut Outlines<'_>,
) -> Result<Vec<String>, Error> {
    let candidates = rules::patterns(board);
    let rivals = |one: &Patterns| {
        let shares = |other: &&Patterns| other.ours == one.ours || other.theirs == one.theirs;
        candidates.iter().filter(shares).count()
    };
    let mut costs: Vec<(f64, usize)> = Vec::new();
    for (at, one) in candidates.iter().enumerate() {
        if rivals(one) == 1 {
            costs.push((0.0, at));
            continue;
        }
        let places = one.pairs.iter();
        outlines.read(
            board,
            places.clone().map(|pair| pair.0),
            places.map(|pair| pair.1),
        )?;
        let distances = one.pairs.iter().map(|(held, target, _)| {
            let (distance, _) = outlines.distance(board, *held, *target);
            distance
        });
        let distance = distances.sum::<f64>() / one.pairs.len() as f64;
        costs.push((distance * if one.same_part { SAME_PART } else { 1.0 }, at));
    }
    costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    let mut words = Vec::new();
    for (_, at) in costs {
        let one = &candidates[at];
        if ours.contains(&one.ours) || theirs.contains(&one.theirs) {
            continue;
        }
        ours.insert(one.ours);
        theirs.insert(one.theirs);
        words.push(one.words.clone());
        let looked_at = rivals(one) > 1;
        for &(held, target, turned) in &one.pairs {
            let (distance, by_content) = outlines.distance(board, held, target);
            board.pair(Found {
                held,
                target,
                turned: if looked_at { by_content } else { turned },
                how: How::Rule,
                support: Support {
                    distance: looked_at.then_some(distance),
                    ..Support::default()
                },
            });
        }
    }
    Ok(words)
}

/// Where names brought turned matrices together, those with equal sides are turned too if their content
/// says so: their shape cannot.
///
/// # Errors
/// A file that cannot be read any more.
pub(super) fn turn_squares(
    board: &mut Board<'_>,
    outlines: &mut Outlines<'_>,
) -> Result<(), Error> {
    if !board.found.iter().any(|found| found.turned) {
        return Ok(());
    }
    let square = |found: &Found| {
        let shape = board.held[found.held].shape;
        matches!(shape, [rows, columns] if rows == columns)
    };
    let places = 0..board.found.len();
    let squares: Vec<usize> = places.filter(|at| square(&board.found[*at])).collect();
    let found = squares.iter().map(|at| board.found[*at]);
    outlines.read(
        board,
        found.clone().map(|found| found.held),
        found.map(|found| found.target),
    )?;
    for at in squares {
        let found = board.found[at];
        board.found[at].turned = outlines.distance(board, found.held, found.target).1;
    }
    Ok(())
}

/// Everything that is left, within each shape.
///
/// # Errors
/// A file that cannot be read any more.
pub(super) fn all(board: &mut Board<'_>, outlines: &mut Outlines<'_>) -> Result<(), Error> {
    // The embedding first: it says which direction of one residual stream is which of the other.
    let is_table = |class: &Class| {
        let mut targets = class.targets.iter();
        targets.any(|target| board.targets[*target].is_vocabulary())
    };
    let (tables, classes): (Vec<Class>, Vec<Class>) =
        classes(board).into_iter().partition(is_table);
    for class in &tables {
        let before = board.found.len();
        outlines.read(
            board,
            class.held.iter().copied(),
            class.targets.iter().copied(),
        )?;
        pair(board, outlines, class, |_, _| true);
        support(board, outlines, class, before);
    }
    outlines.take_bearings(board);
    for class in &classes {
        outlines.read(
            board,
            class.held.iter().copied(),
            class.targets.iter().copied(),
        )?;
    }
    let chosen = layers(board, outlines, &classes);
    for class in &classes {
        let before = board.found.len();
        let votes = votes(board);
        let vote = |held: usize| votes.get(&split(board.held[held].name)?.0).copied();
        let voted: BTreeMap<usize, u32> = class
            .held
            .iter()
            .filter_map(|held| Some((*held, vote(*held)?)))
            .collect();
        let layer_of: BTreeMap<usize, Option<u32>> = class
            .targets
            .iter()
            .map(|target| (*target, board.targets[*target].layer()))
            .collect();
        // What the rest of a layer matched comes first, then the layers that fit best, then the rest.
        let known = |held: usize, target: usize| {
            voted
                .get(&held)
                .is_some_and(|layer| layer_of[&target] == Some(*layer))
        };
        let fitting =
            |_: usize, target: usize| layer_of[&target].is_none_or(|layer| chosen.contains(&layer));
        pair(board, outlines, class, known);
        pair(board, outlines, class, fitting);
        pair(board, outlines, class, |_, _| true);
        support(board, outlines, class, before);
    }
    vocabularies(board, outlines)
}

/// Pairs what is free in a class and allowed.
pub(super) fn pair(
    board: &mut Board<'_>,
    outlines: &Outlines<'_>,
    class: &Class,
    allowed: impl Fn(usize, usize) -> bool,
) {
    let free = |all: &[usize], left: &BTreeSet<usize>| -> Vec<usize> {
        all.iter().copied().filter(|at| left.contains(at)).collect()
    };
    let held = free(&class.held, &board.free_held);
    let targets = free(&class.targets, &board.free_targets);
    if held.is_empty() || targets.is_empty() {
        return;
    }
    let order = |all: &[usize]| -> BTreeMap<usize, f64> {
        let places = all.iter().enumerate();
        places
            .map(|(place, at)| (*at, place as f64 / all.len() as f64))
            .collect()
    };
    let (held_order, target_order) = (order(&held), order(&targets));
    let cost = |held: usize, target: usize| {
        allowed(held, target).then(|| {
            let (distance, turned) = outlines.distance(board, held, target);
            let disorder = (held_order[&held] - target_order[&target]).abs();
            distance + ORDER * (disorder + f64::from(u8::from(turned)))
        })
    };
    let level = |at: usize, of_target: bool| outlines.level(at, of_target);
    let pairs = nearest_first(&held, &targets, cost, level);
    for (held, target) in pairs {
        let (distance, turned) = outlines.distance(board, held, target);
        board.pair(Found {
            held,
            target,
            turned,
            how: How::Content,
            support: Support {
                distance: Some(distance),
                ..Support::default()
            },
        });
    }
}

/// Says of each pair found since `before` how its distance compares with those of the other tensors of
/// its class.
pub(super) fn support(
    board: &mut Board<'_>,
    outlines: &Outlines<'_>,
    class: &Class,
    before: usize,
) {
    if class.is_huge() {
        return;
    }
    for at in before..board.found.len() {
        let found = board.found[at];
        let own = outlines.distance(board, found.held, found.target).0;
        let least = |costs: &mut dyn Iterator<Item = f64>| costs.reduce(f64::min);
        let others = class.targets.iter().filter(|other| **other != found.target);
        let next = least(&mut others.map(|other| outlines.distance(board, found.held, *other).0));
        let rivals = class.held.iter().filter(|other| **other != found.held);
        let rival =
            least(&mut rivals.map(|other| outlines.distance(board, *other, found.target).0));
        let nearest = |other: Option<f64>| other.is_none_or(|other| own <= other);
        board.found[at].support = Support {
            distance: Some(own),
            margin: next.map(|next| if next > own { 1.0 - own / next } else { 0.0 }),
            mutual: Some(nearest(next) && nearest(rival)),
        };
    }
}

/// What is free by shape: matrices before vectors, large before small.
fn classes(board: &Board<'_>) -> Vec<Class> {
    let key = |shape: &[usize]| {
        let mut sides = shape.to_vec();
        if shape.len() == 2 {
            sides.sort_unstable();
        }
        sides
    };
    let mut classes: BTreeMap<Vec<usize>, Class> = BTreeMap::new();
    for &held in &board.free_held {
        let class = classes.entry(key(board.held[held].shape)).or_default();
        class.held.push(held);
    }
    for &target in &board.free_targets {
        let class = classes.entry(key(board.targets[target].shape)).or_default();
        class.targets.push(target);
    }
    let mut sorted: Vec<(Vec<usize>, Class)> = classes
        .into_iter()
        .filter(|(_, class)| !class.held.is_empty() && !class.targets.is_empty())
        .collect();
    sorted.sort_by_key(|(sides, _)| {
        let elements: usize = sides.iter().product();
        (sides.len() < 2, std::cmp::Reverse(elements))
    });
    sorted.into_iter().map(|(_, class)| class).collect()
}

/// The layers of the reference that a suspect with fewer of them fits best: those whose tensors have
/// the nearest counterparts.
fn layers(board: &Board<'_>, outlines: &Outlines<'_>, classes: &[Class]) -> BTreeSet<u32> {
    let mut costs: BTreeMap<u32, f64> = BTreeMap::new();
    for class in classes.iter().filter(|class| !class.is_huge()) {
        for (layer, targets) in by_layer(board, class) {
            let nearest = targets.iter().map(|target| {
                let distances = class.held.iter();
                let distances = distances.map(|held| outlines.distance(board, *held, *target).0);
                distances.fold(1.0, f64::min)
            });
            *costs.entry(layer).or_default() += nearest.sum::<f64>();
        }
    }
    let mut order: Vec<(u32, f64)> = costs.into_iter().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    order
        .into_iter()
        .take(complete_layers(board, classes))
        .map(|(layer, _)| layer)
        .collect()
}

/// How many layers the suspect has tensors for. Vectors are asked only where no matrix is left: a copy may
/// lack some in every layer (biases).
fn complete_layers(board: &Board<'_>, classes: &[Class]) -> usize {
    let of = |class: &Class| {
        let most = by_layer(board, class).values().map(Vec::len).max()?;
        Some(class.held.len() / most)
    };
    let is_of_matrices =
        |class: &&Class| class.held.iter().any(|at| board.held[*at].shape.len() > 1);
    let (matrices, vectors): (Vec<&Class>, Vec<&Class>) = classes.iter().partition(is_of_matrices);
    let least = |classes: Vec<&Class>| classes.into_iter().filter_map(of).min();
    least(matrices).or(least(vectors)).unwrap_or(0)
}

/// Targets of a class that are in a layer, by its number.
fn by_layer(board: &Board<'_>, class: &Class) -> BTreeMap<u32, Vec<usize>> {
    let mut in_layer: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for &target in &class.targets {
        if let Some(layer) = board.targets[target].layer() {
            in_layer.entry(layer).or_default().push(target);
        }
    }
    in_layer
}

/// A name's beginning up to its first number, that number, and the rest.
fn split(name: &str) -> Option<((&str, u64), &str)> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let (stem, numbered) = name.split_at(start);
    let end = numbered.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = numbered.split_at(end);
    Some(((stem, number.parse().ok()?), rest))
}

/// Names as layers have them: the same endings behind each of several numbers. By beginning and number,
/// the endings.
fn groups<'a>(board: &Board<'a>) -> BTreeMap<(&'a str, u64), BTreeSet<&'a str>> {
    let mut groups: BTreeMap<(&str, u64), BTreeSet<&str>> = BTreeMap::new();
    for held in &board.held {
        if let Some((group, rest)) = split(held.name) {
            groups.entry(group).or_default().insert(rest);
        }
    }
    let mut endings: BTreeMap<&str, Vec<&BTreeSet<&str>>> = BTreeMap::new();
    for ((stem, _), rests) in &groups {
        endings.entry(stem).or_default().push(rests);
    }
    let regular =
        |all: &Vec<&BTreeSet<&str>>| all.len() > 1 && all.iter().all(|one| *one == all[0]);
    let regular: BTreeSet<&str> = endings
        .iter()
        .filter_map(|(stem, all)| regular(all).then_some(*stem))
        .collect();
    groups.retain(|(stem, _), _| regular.contains(stem));
    groups
}

/// The layer that most matched matrices of a group of names went to.
fn votes<'a>(board: &Board<'a>) -> BTreeMap<(&'a str, u64), u32> {
    let groups = groups(board);
    let mut counts: BTreeMap<(&str, u64), BTreeMap<u32, usize>> = BTreeMap::new();
    for found in &board.found {
        let held = &board.held[found.held];
        let layer = board.targets[found.target].layer();
        let group = split(held.name).map(|(group, _)| group);
        let group = group.filter(|group| groups.contains_key(group));
        if let (Some(layer), Some(group), true) = (layer, group, held.shape.len() > 1) {
            *counts.entry(group).or_default().entry(layer).or_default() += 1;
        }
    }
    let clear = counts.into_iter().filter_map(|(group, layers)| {
        let all: usize = layers.values().sum();
        let (layer, most) = layers.into_iter().max_by_key(|(_, count)| *count)?;
        (2 * most > all).then_some((group, layer))
    });
    clear.collect()
}

/// Tables of tokens may have other tokens: as wide as the reference's, higher than wide.
fn vocabularies(board: &mut Board<'_>, outlines: &mut Outlines<'_>) -> Result<(), Error> {
    let targets = board.free_targets.iter().copied();
    let targets: Vec<usize> = targets
        .filter(|target| board.targets[*target].is_vocabulary())
        .collect();
    let width = |target: usize| board.targets[target].shape.last().copied();
    let Some(width) = targets.first().and_then(|target| width(*target)) else {
        return Ok(());
    };
    let table = |held: &usize| match board.held[*held].shape {
        [rows, columns] => rows.min(columns) == &width && rows != columns,
        _ => false,
    };
    let held: Vec<usize> = board.free_held.iter().copied().filter(table).collect();
    let rows = |at: &usize| board.held[*at].shape.iter().copied().max();
    let highest = held.iter().filter_map(rows).max();
    let held: Vec<usize> = held.into_iter().filter(|at| rows(at) == highest).collect();
    outlines.read(board, held.iter().copied(), targets.iter().copied())?;
    let class = Class { held, targets };
    let before = board.found.len();
    pair(board, outlines, &class, |_, _| true);
    support(board, outlines, &class, before);
    Ok(())
}
