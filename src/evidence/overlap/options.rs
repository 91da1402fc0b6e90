//! CAPA of the probabilities that models give to the options.

use rayon::prelude::*;

use super::data::Stated;
use super::pairs::LEVEL;
use super::pairs::estimate;
use super::view::View;
use crate::stat::capa::Means;
use crate::stat::capa::agreement;
use crate::stat::capa::spread;
use crate::stat::interval;
use crate::stat::random;

/// Products of a weight and a value that the intervals may take in all.
const WORK: usize = 4_000_000_000;
/// Fewest and most resamples.
const FEWEST: usize = 400;
const MOST: usize = 10_000;
/// Resamples that are summed together, while their weights stay near.
const BLOCK: usize = 8;

/// By pair `(first, second)` with `first < second`, in order: CAPA with its interval.
///
/// Measured on the items for which every log with probabilities has them, so that one set of resamples
/// serves all pairs.
pub(super) fn probabilistic(view: &View<'_>, seed: u64) -> Vec<Stated<super::data::Estimate>> {
    let columns = &view.sheet.columns;
    let with: Vec<usize> = (0..columns.len())
        .filter(|&at| columns[at].probabilities.iter().any(Option::is_some))
        .collect();
    let complete: Vec<usize> = (0..view.counted.len())
        .filter(|&item| view.counted[item] && view.sheet.items[item].gold.is_some())
        .filter(|&item| with.iter().all(|&at| columns[at].options(item).is_some()))
        .collect();
    let pairs = (0..columns.len()).flat_map(|a| (a + 1..columns.len()).map(move |b| (a, b)));
    let measured: Vec<Option<(usize, usize)>> = pairs
        .map(|(a, b)| {
            let place = |at: usize| with.iter().position(|&one| one == at);
            Some((place(a)?, place(b)?))
        })
        .collect();
    let sums = Sums::new(
        view,
        &with,
        &complete,
        measured.iter().flatten().copied().collect(),
    );
    let mut values = sums.estimates(seed).into_iter();
    measured
        .iter()
        .map(|pair| match pair {
            None => Stated::missing("the logs do not both hold probabilities of the options"),
            Some(_) if complete.is_empty() => Stated::missing(
                "there is no item for which all logs hold probabilities of the options",
            ),
            Some(_) => {
                let value = values.next().flatten();
                let n = complete.len() as u64;
                Stated::from_option(value.map(|(value, ends)| estimate(value, ends, n)), || {
                    "chance alone agrees everywhere".to_owned()
                })
            }
        })
        .collect()
}

/// What CAPA's means are taken over, item by item.
struct Sums {
    /// `1 / (K - 1)`.
    spread: Vec<f64>,
    /// By model: probability of the right option.
    right: Vec<Vec<f64>>,
    pairs: Vec<(usize, usize)>,
    /// By pair: agreement.
    agreement: Vec<Vec<f64>>,
}

type WithEnds = (f64, Option<(f64, f64)>);

impl Sums {
    fn new(view: &View<'_>, with: &[usize], items: &[usize], pairs: Vec<(usize, usize)>) -> Self {
        let options = |model: usize, item: usize| {
            view.sheet.columns[with[model]]
                .options(item)
                .unwrap_or_default()
        };
        let right = |model: usize| {
            let of = |&item: &usize| {
                let gold = view.sheet.items[item].gold.unwrap_or_default() as usize;
                options(model, item).get(gold).copied().unwrap_or(0.0)
            };
            items.iter().map(of).collect()
        };
        let agreement = |&(a, b): &(usize, usize)| {
            items
                .iter()
                .map(|&item| agreement(options(a, item), options(b, item)))
                .collect()
        };
        Self {
            spread: items
                .iter()
                .map(|&item| options(0, item).len())
                .map(spread)
                .collect(),
            right: (0..with.len()).map(right).collect(),
            agreement: pairs.par_iter().map(agreement).collect(),
            pairs,
        }
    }

    fn items(&self) -> usize {
        self.spread.len()
    }

    fn estimates(&self, seed: u64) -> Vec<Option<WithEnds>> {
        let n = self.items();
        if n == 0 || self.pairs.is_empty() {
            return Vec::new();
        }
        let draws = (WORK / (n * self.pairs.len()))
            .clamp(FEWEST, MOST)
            .next_multiple_of(BLOCK);
        let plain = self.capa(&[vec![1.0; n]]);
        let drawn: Vec<Vec<Vec<Option<f64>>>> = (0..draws / BLOCK)
            .into_par_iter()
            .map(|block| {
                let mut rng = random::stream(seed, &format!("CAPA resamples {block}"));
                let weights: Vec<Vec<f64>> = (0..BLOCK)
                    .map(|_| {
                        let mut weights = vec![0.0; n];
                        (0..n).for_each(|_| weights[random::below(&mut rng, n)] += 1.0);
                        weights
                    })
                    .collect();
                self.capa(&weights)
            })
            .collect();
        let ends = |pair: usize| {
            let mut values: Vec<f64> = drawn
                .iter()
                .flat_map(|block| block[pair].iter().flatten().copied())
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - LEVEL) / 2.0;
            let enough = values.len() * 2 > draws;
            enough.then(|| {
                (
                    interval::quantile(&values, tail),
                    interval::quantile(&values, 1.0 - tail),
                )
            })
        };
        (0..self.pairs.len())
            .map(|pair| plain[pair][0].map(|value| (value, ends(pair))))
            .collect()
    }

    /// By pair and set of weights.
    fn capa(&self, weights: &[Vec<f64>]) -> Vec<Vec<Option<f64>>> {
        let n = self.items() as f64;
        let mean =
            |values: &[f64]| -> Vec<f64> { weights.iter().map(|w| dot(w, values) / n).collect() };
        let right: Vec<Vec<f64>> = self.right.iter().map(|values| mean(values)).collect();
        let spread = mean(&self.spread);
        self.pairs
            .iter()
            .zip(&self.agreement)
            .map(|(&(a, b), agreement)| {
                let observed = mean(agreement);
                (0..weights.len())
                    .map(|draw| {
                        Means {
                            observed: observed[draw],
                            first: right[a][draw],
                            second: right[b][draw],
                            spread: spread[draw],
                        }
                        .capa()
                    })
                    .collect()
            })
            .collect()
    }
}

/// In eight partial sums, which a processor takes side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (x, y) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = x
        .remainder()
        .iter()
        .zip(y.remainder())
        .map(|(p, q)| p * q)
        .sum();
    for (x, y) in x.zip(y) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}
