//! What was added to one model to get the other.

mod finding;
mod grid;
mod restored;
mod spectrum;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject};
use crate::model::{Param, Part, Role, Weights};
use finding::{described, finding, words};
use grid::Grid;
use spectrum::Spectrum;

/// The same once rewritings are undone.
pub(super) const RESTORED: &dyn Evidence = &restored::Restored;

/// See [`CARD`].
pub(super) struct Difference;

static CARD: Card = Card {
    id: "weight.difference",
    version: 1,
    family: "weight.difference",
    title: "what the difference of tensors with the same role looks like",
    measures: "Number by number, suspect minus reference over matrices of the same role and shape: its standard \
               deviation in each with an interval, its kurtosis, its singular values against those of pure noise, \
               the zeros and the steps of a grid that only one side has. The statistic is how much of both is common, \
               2 <A,B> / (|A|^2 + |B|^2).",
    null: "None: it says how two related models differ, not whether they are related. Independent models have nothing in \
           common and a difference as large as both.",
    fooled_by: "A basis or an order of units that was changed on the way: then nothing is common. A noise as large as what \
                training changes, several changes one after the other.",
    cost: "One pass over all shared matrices; singular values of up to 8 differences of at most 1024 x 1024, only where \
           there is something in common.",
    reference: "Edge and threshold of noisy spectra: Gavish and Donoho, The Optimal Hard Threshold for Singular Values is \
                4/sqrt(3) (IEEE Trans. Inf. Theory 2014). One noise of one size: the report on Llama3-V (2024).",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// Numbers of each model decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// Differences whose singular values are taken.
const SPECTRA: usize = 8;

/// Least common share for which the difference is looked at more closely.
const SOMETHING: f64 = 0.02;

impl Evidence for Difference {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = (&pair.reference.model.weights, &pair.suspect.model.weights);
        let changes = compare(a, b)?;
        let Some(common) = common(&changes) else {
            return Ok(Outcome::NotApplicable(super::tensor_cosine::why_not(a, b)));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(self::common(&compare(&a.model.weights, &b.model.weights)?))
        })?;
        let mut details = controls.details(common);
        let mut story = Vec::new();
        if common > SOMETHING {
            let spectra = spectra(a, b, &changes, pair.seed)?;
            let matrices = || changes.iter().map(|change| change.role);
            let grids = [Grid::of(a, matrices())?, Grid::of(b, matrices())?];
            details.extend(numbers(&changes, &spectra, &grids));
            story = words(&details);
        }
        Ok(Outcome::Measured(Box::new(finding(
            common, &changes, &controls, details, &story,
        ))))
    }
}

/// Sums over one matrix: `x` of the reference, `y` of the suspect, `d = y - x`.
#[derive(Debug, Clone, Copy)]
struct Change {
    role: Role,
    shape: (usize, usize),
    n: f64,
    xx: f64,
    yy: f64,
    xy: f64,
    d2: f64,
    d4: f64,
    /// Numbers that are equal.
    equal: f64,
    /// Zero in the suspect only, in the reference only.
    zeroed: [f64; 2],
}

impl Change {
    fn sigma(&self) -> f64 {
        (self.d2 / self.n.max(1.0)).sqrt()
    }
}

fn compare(a: &Weights, b: &Weights) -> Result<Vec<Change>, Error> {
    let shared: Vec<(Role, (usize, usize))> = a
        .roles()
        .filter(|role| role.param == Param::Weight && !role.part.is_norm())
        .filter_map(|role| Some((*role, a.shape(role)?)))
        .filter(|(role, shape)| b.shape(role) == Some(*shape))
        .collect();
    let one = |(role, shape): &(Role, (usize, usize))| -> Result<Change, Error> {
        let mut change = Change::nothing(*role, *shape);
        let blocks = a
            .chunks(role, BLOCK_ELEMENTS)
            .zip(b.chunks(role, BLOCK_ELEMENTS));
        for (ours, theirs) in blocks {
            change.add(&ours?.1, &theirs?.1);
        }
        Ok(change)
    };
    shared.par_iter().map(one).collect()
}

impl Change {
    fn nothing(role: Role, shape: (usize, usize)) -> Self {
        Self {
            role,
            shape,
            n: 0.0,
            xx: 0.0,
            yy: 0.0,
            xy: 0.0,
            d2: 0.0,
            d4: 0.0,
            equal: 0.0,
            zeroed: [0.0; 2],
        }
    }

    fn add(&mut self, ours: &[f32], theirs: &[f32]) {
        self.n += ours.len().min(theirs.len()) as f64;
        for (x, y) in ours.iter().zip(theirs) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            let d2 = (y - x) * (y - x);
            self.xx += x * x;
            self.yy += y * y;
            self.xy += x * y;
            self.d2 += d2;
            self.d4 += d2 * d2;
            self.equal += f64::from(u8::from(x == y));
            self.zeroed[0] += f64::from(u8::from(y == 0.0 && x != 0.0));
            self.zeroed[1] += f64::from(u8::from(x == 0.0 && y != 0.0));
        }
    }
}

impl Change {
    /// Sizes before a gain was multiplied in, by which squares of the difference grew `growth`-fold and
    /// those of the reference from `stored` to what they are.
    fn unfold(&mut self, growth: f64, stored: f64) {
        let shrunk = stored / self.xx;
        self.xx *= shrunk;
        self.yy *= shrunk;
        self.xy *= shrunk;
        self.d2 /= growth;
        self.d4 /= growth * growth;
    }
}

fn common(changes: &[Change]) -> Option<f64> {
    let sum = |of: &dyn Fn(&Change) -> f64| changes.iter().map(of).sum::<f64>();
    let all = sum(&|change| change.xx + change.yy);
    let common = 2.0 * sum(&|change| change.xy) / all;
    common.is_finite().then_some(common)
}

/// Of evenly chosen matrices of blocks that did change.
fn spectra(
    a: &Weights,
    b: &Weights,
    changes: &[Change],
    seed: u64,
) -> Result<Vec<Spectrum>, Error> {
    let in_blocks = |change: &&Change| {
        change.role.layer.is_some() && change.role.part != Part::Router && change.d2 > 0.0
    };
    let changed: Vec<&Change> = changes.iter().filter(in_blocks).collect();
    let step = changed.len().div_ceil(SPECTRA).max(1);
    // A step that shares no divisor with the kinds of matrix per block, so that every kind is met.
    let chosen: Vec<&&Change> = changed.iter().step_by(step | 1).collect();
    chosen
        .par_iter()
        .filter_map(|change| Spectrum::of(a, b, &change.role, change.shape, seed).transpose())
        .collect()
}

/// The numbers that a verdict and a reader need.
fn numbers(
    changes: &[Change],
    spectra: &[Spectrum],
    grids: &[Grid; 2],
) -> BTreeMap<&'static str, f64> {
    let sum = |of: &dyn Fn(&Change) -> f64| changes.iter().map(of).sum::<f64>();
    let n = sum(&|change| change.n);
    let d2 = sum(&|change| change.d2);
    let sigma = (d2 / n).sqrt();
    let mut numbers = BTreeMap::from([
        ("equal_share", sum(&|change| change.equal) / n),
        ("zeroed_share", sum(&|change| change.zeroed[0]) / n),
        ("unzeroed_share", sum(&|change| change.zeroed[1]) / n),
        ("slope", sum(&|change| change.xy) / sum(&|change| change.xx)),
        ("sigma", sigma),
        ("sigma_share", sigma / (sum(&|change| change.xx) / n).sqrt()),
        // Of a normal law the variance of the variance is 2 sigma^4 / n.
        ("sigma_low", sigma * (1.0 - 1.96 / (2.0 * n).sqrt())),
        ("sigma_high", sigma * (1.0 + 1.96 / (2.0 * n).sqrt())),
        ("grid_bits_reference", grids[0].bits),
        ("grid_bits_suspect", grids[1].bits),
        ("grid_error_reference", grids[0].error),
        ("grid_error_suspect", grids[1].error),
        ("distinct_reference", grids[0].distinct),
        ("distinct_suspect", grids[1].distinct),
    ]);
    let sigmas: Vec<f64> = changes.iter().map(Change::sigma).collect();
    if d2 > 0.0 {
        let mean = sigmas.iter().sum::<f64>() / sigmas.len() as f64;
        let square = sigmas.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        numbers.insert("sigma_spread", (square / sigmas.len() as f64).sqrt() / mean);
        // Per matrix, so that different sizes of difference do not look like heavy tails.
        let changed = changes.iter().filter(|change| change.d2 > 0.0);
        let kurtosis = |change: &Change| change.d4 * change.n / (change.d2 * change.d2);
        numbers.insert("kurtosis", median(changed.map(kurtosis).collect()));
    }
    if !spectra.is_empty() {
        numbers.insert(
            "top_over_edge",
            median(spectra.iter().map(|one| one.top_over_edge).collect()),
        );
        numbers.insert(
            "rank",
            median(spectra.iter().map(|one| one.rank as f64).collect()),
        );
        numbers.insert(
            "rank_energy",
            median(spectra.iter().map(|one| one.energy).collect()),
        );
        numbers.insert(
            "rank_cliff",
            median(spectra.iter().map(|one| one.cliff).collect()),
        );
    }
    let embedding = changes
        .iter()
        .find(|change| change.role.part == Part::Embed);
    if let Some(embedding) = embedding {
        let all = embedding.xx + embedding.yy;
        numbers.insert("common_embedding", 2.0 * embedding.xy / all);
    }
    let body: Vec<Change> = changes
        .iter()
        .filter(|c| c.role.layer.is_some())
        .copied()
        .collect();
    numbers.extend(common(&body).map(|common| ("common_body", common)));
    for (name, parts) in [
        ("common_query_key", [Part::Query, Part::Key]),
        ("common_value_output", [Part::Value, Part::Output]),
    ] {
        let changes: Vec<Change> = changes
            .iter()
            .filter(|change| parts.contains(&change.role.part))
            .copied()
            .collect();
        numbers.extend(common(&changes).map(|common| (name, common)));
    }
    numbers.retain(|_, value| value.is_finite());
    numbers
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
