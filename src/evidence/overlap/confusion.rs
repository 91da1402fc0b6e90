//! Which right answers a model takes for which others, and whether two models do so in the same way.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::data::Stated;
use super::view::{UNKNOWN, View};
use crate::record::import::TextId;
use crate::stat::order::median;

/// How alike the confusions of two models are beyond what is common: over the confusions that either of them
/// has, the cosine of both tables after the panel's mean table is taken off. Mistakes that everybody makes
/// cancel, and that two models fail to make a mistake of others makes them no more alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// Right answers that were asked for several times, or questions with several renderings.
    pub classes: u64,
    /// Kinds of confusion (what was right, what was said) that either model has.
    pub kinds: u64,
    /// The cosine.
    pub overlap: f64,
    /// Pairs of panel members, each centred on the rest of the panel.
    pub panel_pairs: u64,
    /// Their median cosine.
    pub panel_median: f64,
    /// Their largest.
    pub panel_largest: f64,
}

/// A model's wrong answers: what was right, what was said, and in what share of the times that it was asked.
type Confusions = BTreeMap<(usize, u32), f64>;

/// The tables of all models.
pub(super) struct Tables {
    classes: u64,
    of_models: Vec<Confusions>,
    panel: Vec<usize>,
    /// Cosines of the panel's own pairs, each beside the rest.
    among_panel: Vec<f64>,
}

impl Tables {
    /// From free answers to items that are renderings of one question, or have one right answer.
    pub fn new(view: &View<'_>, panel: &[usize]) -> Self {
        let (class_of, classes) = classes(view);
        let mut tables = Self {
            classes,
            of_models: (0..view.columns.len())
                .into_par_iter()
                .map(|model| confusions(view, model, &class_of))
                .collect(),
            panel: panel.to_vec(),
            among_panel: Vec::new(),
        };
        let pairs = panel.iter().enumerate();
        let pairs = pairs.flat_map(|(at, a)| panel[at + 1..].iter().map(move |b| (*a, *b)));
        let pairs: Vec<(usize, usize)> = pairs.collect();
        tables.among_panel = pairs
            .par_iter()
            .filter_map(|(a, b)| tables.cosine(*a, *b))
            .collect();
        tables
    }

    /// Two models beside the panel.
    pub fn of(&self, first: usize, second: usize) -> Stated<Confusion> {
        if self.classes == 0 {
            return Stated::missing("nothing free is asked for twice, in two renderings or items");
        }
        let found = self
            .cosine(first, second)
            .zip(median(self.among_panel.iter().copied()));
        let kinds = |model: usize| self.of_models[model].keys();
        let mut kinds: Vec<&(usize, u32)> = kinds(first).chain(kinds(second)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let value = found.map(|(overlap, panel_median)| Confusion {
            classes: self.classes,
            kinds: kinds.len() as u64,
            overlap,
            panel_pairs: self.among_panel.len() as u64,
            panel_median,
            panel_largest: self.among_panel.iter().copied().fold(f64::MIN, f64::max),
        });
        Stated::from_option(value, || {
            "one of the two, or the panel, confuses nothing".to_owned()
        })
    }

    /// Cosine of two tables less the mean of the panel's without the two; `None` where neither confuses
    /// anything, or one has what the panel has.
    fn cosine(&self, first: usize, second: usize) -> Option<f64> {
        let others = self.panel.iter().filter(|&&at| at != first && at != second);
        let others: Vec<&Confusions> = others.map(|at| &self.of_models[*at]).collect();
        let mut cells: BTreeMap<(usize, u32), [f64; 3]> = BTreeMap::new();
        let pair = [&self.of_models[first], &self.of_models[second]];
        for (place, table) in pair.into_iter().enumerate() {
            for (cell, share) in table {
                cells.entry(*cell).or_default()[place] = *share;
            }
        }
        for (cell, shares) in &mut cells {
            let theirs = others.iter().filter_map(|table| table.get(cell));
            shares[2] = theirs.sum::<f64>() / others.len().max(1) as f64;
        }
        let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
        for [a, b, mean] in cells.into_values() {
            let (a, b) = (a - mean, b - mean);
            both += a * b;
            one += a * a;
            other += b * b;
        }
        let cosine = both / (one * other).sqrt();
        cosine.is_finite().then_some(cosine)
    }
}

/// What the items of a class have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Same<'a> {
    /// They are renderings of one question.
    Group(u32),
    /// One right answer, where logs name it.
    Targets(&'a [TextId]),
}

/// By item the number of its class, where it is free and others are of that class; how many classes there are.
fn classes(view: &View<'_>) -> (Vec<Option<usize>>, u64) {
    let mut items: BTreeMap<(u32, Same<'_>), Vec<usize>> = BTreeMap::new();
    for (at, item) in view.sheet.items.iter().enumerate() {
        let same = match (item.group, &item.targets[..]) {
            (Some(group), _) => Same::Group(group),
            (None, []) => continue,
            (None, targets) => Same::Targets(targets),
        };
        if view.options[usize::from(view.kind[at])] == 0 && view.counted[at] {
            items.entry((item.suite, same)).or_default().push(at);
        }
    }
    let mut class_of = vec![None; view.sheet.items.len()];
    let several = items.into_values().filter(|items| items.len() > 1);
    let mut classes = 0;
    for (class, items) in several.enumerate() {
        classes += 1;
        for at in items {
            class_of[at] = Some(class);
        }
    }
    (class_of, classes)
}

fn confusions(view: &View<'_>, model: usize, class_of: &[Option<usize>]) -> Confusions {
    let column = &view.columns[model];
    let mut asked: BTreeMap<usize, f64> = BTreeMap::new();
    let mut wrong: Confusions = BTreeMap::new();
    for (at, class) in class_of.iter().enumerate() {
        let (Some(class), Some(right)) = (class, column.right[at]) else {
            continue;
        };
        *asked.entry(*class).or_default() += 1.0;
        if !right && column.codes[at] != UNKNOWN {
            *wrong.entry((*class, column.codes[at])).or_default() += 1.0;
        }
    }
    for ((class, _), share) in &mut wrong {
        *share /= asked[class];
    }
    wrong
}
