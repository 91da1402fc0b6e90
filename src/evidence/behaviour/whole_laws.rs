//! Whole laws of the next token, as recordings keep them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::items;
use crate::evidence::Subject;
use crate::record::{PROJECTED, Place, Record};

/// What both models' projections are over, where that is one.
pub(super) fn vocabulary<'a>(a: Subject<'a>, b: Subject<'a>) -> Option<&'a str> {
    let mut over = a
        .recordings
        .iter()
        .filter_map(|one| one.vocabulary.as_deref());
    over.find(|over| has(b, over))
}

/// Whether a model's expectations were recorded over that vocabulary.
pub(super) fn has(one: Subject<'_>, vocabulary: &str) -> bool {
    let mut over = one.recordings.iter().map(|one| one.vocabulary.as_deref());
    over.any(|over| over == Some(vocabulary))
}

/// What models expect at the places that all have: projections, less their mean over the places, of
/// length 1 at each place.
pub(super) struct Laws {
    /// `[places, PROJECTED]` of each.
    pub models: Vec<Vec<f64>>,
    pub places: usize,
    /// Places of each prompt.
    pub items: Vec<Range<usize>>,
}

impl Laws {
    pub fn of(models: &[Subject<'_>], vocabulary: &str) -> Self {
        let mut laws = Self {
            models: vec![Vec::new(); models.len()],
            places: 0,
            items: Vec::new(),
        };
        for suite in items::shared(models[0], models[1]) {
            let records: Option<Vec<BTreeMap<&str, &Record>>> = models
                .iter()
                .map(|model| {
                    let mut all = model.recordings.iter().filter(|one| suite.is_of(one));
                    let fits = all.find(|one| one.vocabulary.as_deref() == Some(vocabulary))?;
                    let by_id = fits.records.iter().map(|one| (one.item.as_str(), one));
                    Some(by_id.collect())
                })
                .collect();
            let Some(records) = records else { continue };
            for (first, _) in &suite.items {
                let id = first.item.as_str();
                let of_item: Option<Vec<&Record>> =
                    records.iter().map(|one| one.get(id).copied()).collect();
                if let Some(of_item) = of_item {
                    laws.add(&of_item);
                }
            }
        }
        laws.centre();
        laws
    }

    /// One prompt, as each model read it.
    fn add(&mut self, records: &[&Record]) {
        let start = self.places;
        for place in &records[0].places {
            let at: Option<Vec<&[f32]>> = records
                .iter()
                .map(|record| {
                    let of = |other: &Place| other.offset;
                    let at = record.places.binary_search_by_key(&place.offset, of).ok()?;
                    let projection = record.places[at].projection.as_slice();
                    (projection.len() == PROJECTED).then_some(projection)
                })
                .collect();
            let Some(at) = at else { continue };
            for (model, projection) in self.models.iter_mut().zip(at) {
                model.extend(projection.iter().copied().map(f64::from));
            }
            self.places += 1;
        }
        if self.places > start {
            self.items.push(start..self.places);
        }
    }

    fn centre(&mut self) {
        for model in &mut self.models {
            for at in 0..PROJECTED {
                let mean =
                    model.iter().skip(at).step_by(PROJECTED).sum::<f64>() / self.places as f64;
                let column = model.iter_mut().skip(at).step_by(PROJECTED);
                column.for_each(|value| *value -= mean);
            }
            for place in model.chunks_exact_mut(PROJECTED) {
                let length = place.iter().map(|value| value * value).sum::<f64>().sqrt();
                if length > 0.0 {
                    place.iter_mut().for_each(|value| *value /= length);
                }
            }
        }
    }

    /// The sum over some places of the correlation of two models' laws.
    fn sum(&self, places: Range<usize>, a: usize, b: usize) -> f64 {
        let of =
            |model: usize| &self.models[model][places.start * PROJECTED..places.end * PROJECTED];
        of(a).iter().zip(of(b)).map(|(x, y)| x * y).sum()
    }

    pub fn correlation(&self, a: usize, b: usize) -> f64 {
        (self.sum(0..self.places, a, b) / self.places as f64).min(1.0)
    }

    /// Of some of the prompts.
    pub fn mean_over(&self, drawn: &[usize], a: usize, b: usize) -> Option<f64> {
        let items = || drawn.iter().map(|&at| &self.items[at]);
        let places: usize = items().map(ExactSizeIterator::len).sum();
        let sum: f64 = items().map(|item| self.sum(item.clone(), a, b)).sum();
        (places > 0).then(|| sum / places as f64)
    }

    /// Of all models with all.
    pub fn correlations(&self) -> Vec<f64> {
        let n = self.models.len();
        let mut all = vec![1.0; n * n];
        for i in 0..n {
            for j in i + 1..n {
                let one = self.correlation(i, j);
                (all[i * n + j], all[j * n + i]) = (one, one);
            }
        }
        all
    }
}
