//! The difference of two models whose weights were rewritten: in one basis, each hidden unit beside its
//! counterpart, at its size.

mod gains;
mod heads;
mod scale;
mod units;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::grid::Grid;
use super::spectrum::Spectrum;
use super::{Change, common, described, median, numbers, words};
use crate::evidence::control::Controls;
use crate::evidence::weight::alignment::{self, Alignment, Reading};
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair};
use crate::model::{Canonical, Model, Param, Weights};
use crate::record::WeightProfile;

/// See [`CARD`].
pub(super) struct Restored;

static CARD: Card = Card {
    id: "weight.restored_difference",
    version: 1,
    family: "weight.difference",
    title: "what the difference looks like once rewritings that keep the function are undone",
    measures: "Hidden units of corresponding layers after the residual streams were brought into one basis: each sampled unit \
               of the suspect beside the reference's most similar one, the scale that up and down can exchange and changed gains taken \
               out, and then the same numbers as weight.difference. Heads are compared by their query-key and value-output \
               products. The statistic is how much of both MLPs is common, 2 <A,B> / (|A|^2 + |B|^2).",
    null: "None: it says how two related models differ, not whether they are related. Independent models have nothing in \
           common but what picking the most similar unit gives.",
    fooled_by: "A rounding that was done before a rotation leaves no grid, zeros do not survive a rotation either. Basis and \
                counterparts are estimates: what is not found again counts as a difference. Sizes are those before gains were \
                multiplied in where the difference follows the gains, and as they are where it does not.",
    cost: "As weight.unit_agreement, for up to 4 layers.",
    reference: "Undoing the exact symmetries of the decoder, as in the canonical form; the rest as weight.difference.",
    needs: Needs::Weights,
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

/// Layers looked at, evenly chosen.
const LAYERS: usize = 4;

/// Residual coordinates of which singular values are taken, at most.
const COLUMNS: usize = 1024;

impl Evidence for Restored {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let outcome = alignment::assess(pair, &|alignment, a, b| run(alignment, a, b, pair.seed))?;
        Ok(match (outcome, pair.reference.profile) {
            (Outcome::Measured(mut finding), Some(profile)) => {
                let sigma = finding.details.get("sigma").copied();
                let share = sigma.map(|sigma| sigma / spread(profile));
                let share = share.filter(|share| share.is_finite());
                finding
                    .details
                    .extend(share.map(|share| ("sigma_of_all", share)));
                Outcome::Measured(finding)
            }
            (outcome, _) => outcome,
        })
    }
}

/// Standard deviation of the numbers of all matrices together.
fn spread(profile: &WeightProfile) -> f64 {
    let matrices = profile.roles.iter().filter(|(role, _)| !role.is_vector());
    let (mut count, mut sum, mut square) = (0.0, 0.0, 0.0);
    for (_, moments) in matrices {
        let n = moments.count as f64;
        count += n;
        sum += n * moments.mean;
        square += n * (moments.std * moments.std + moments.mean * moments.mean);
    }
    let mean = sum / count;
    (square / count - mean * mean).sqrt()
}

/// What two models in one basis have in common and what not.
struct Restoration {
    changes: Vec<Change>,
    spectra: Vec<Spectrum>,
    grids: [Grid; 2],
    /// Shares in common of query-key and of value-output products.
    heads: [Option<f64>; 2],
    /// By how much more the suspect writes to its residual stream, by layer.
    scales: Vec<f64>,
}

fn run(
    alignment: &Alignment,
    a: &Model,
    b: &Model,
    seed: u64,
) -> Result<Option<Restoration>, Error> {
    let (Ok(ours), Ok(theirs)) = (Canonical::of(a), Canonical::of(b)) else {
        return Ok(None);
    };
    let matched: Vec<(usize, usize)> = alignment.counterparts().collect();
    let step = matched.len().div_ceil(LAYERS).max(1);
    let layers: Vec<(usize, usize)> = matched.into_iter().step_by(step).collect();
    let mut best: Option<Layers> = None;
    // Hidden units that were fitted are changed ones; embeddings may be as they were, or replaced.
    for rotation in [Some(&alignment.rotation), alignment.by_vocabulary.as_ref()]
        .into_iter()
        .flatten()
    {
        let found = Layers::restored((&ours, &theirs), &layers, &snapped(rotation)?, seed)?;
        let similar = |layers: &Layers| layers.common(&alignment.fitted);
        if best
            .as_ref()
            .is_none_or(|best| similar(&found) > similar(best))
        {
            best = Some(found);
        }
    }
    let Some(best) = best.filter(|best| !best.changes.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Restoration {
        changes: best.changes,
        spectra: best.spectra,
        grids: [grid(&a.weights)?, grid(&b.weights)?],
        heads: best.heads.map(|sums| sums.common()),
        scales: best.scales,
    }))
}

/// Some layers under one rotation.
#[derive(Default)]
struct Layers {
    changes: Vec<Change>,
    spectra: Vec<Spectrum>,
    heads: [heads::Products; 2],
    scales: Vec<f64>,
}

impl Layers {
    fn restored(
        (ours, theirs): (&Canonical<'_>, &Canonical<'_>),
        layers: &[(usize, usize)],
        rotation: &Tensor,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut all = Self::default();
        for (layer, counterpart) in layers {
            let sides = [(ours, *counterpart), (theirs, *layer)];
            let mut pairs = units::beside(sides, rotation, seed)?;
            let by_rows = scale::rescale(&mut pairs)?;
            all.scales.push(scale::written(sides, by_rows)?);
            gains::regain(&mut pairs, rotation)?;
            for pair in &pairs {
                let (change, spectrum) = change(pair, rotation)?;
                all.changes.push(change);
                all.spectra.extend(spectrum);
            }
            let products = heads::products(sides, rotation, seed)?;
            for (sum, layer) in all.heads.iter_mut().zip(products) {
                sum.add(&layer);
            }
        }
        Ok(all)
    }

    /// Of layers that a rotation was not fitted on, where there are any.
    fn common(&self, fitted: &[usize]) -> f64 {
        let free = |change: &&Change| {
            let layer = change.role.layer.map(|layer| layer as usize);
            layer.is_none_or(|layer| !fitted.contains(&layer))
        };
        let kept: Vec<Change> = self.changes.iter().filter(free).copied().collect();
        let kept = if kept.is_empty() {
            &self.changes
        } else {
            &kept
        };
        common(kept).unwrap_or(0.0)
    }
}

fn change(pair: &units::Beside, rotation: &Tensor) -> Result<(Change, Option<Spectrum>), Error> {
    let (rows, columns) = pair.y.dims2()?;
    let mut change = Change::nothing(pair.role, (rows, columns));
    let values = |matrix: &Tensor| matrix.flatten_all()?.to_vec1::<f32>();
    let (x, y) = (values(&pair.x)?, values(&pair.y)?);
    change.add(&x, &y);
    if let (Some(gain), true) = (&pair.gain, rotation.dim(0)? == columns) {
        let back = rotation.t()?;
        let energy = |rows: &Tensor| rows.sqr()?.sum(0)?.to_dtype(DType::F64)?.to_vec1::<f64>();
        let left = energy(&(&pair.y - &pair.x)?.matmul(&back)?)?;
        let gain = gain.to_vec1::<f32>()?;
        let growth = gains::growth(&gain, &left);
        if growth != 1.0 {
            let folded = energy(&pair.x.matmul(&back)?)?;
            let pairs = folded.iter().zip(&gain).filter(|(_, gain)| **gain != 0.0);
            let stored = pairs.map(|(energy, gain)| energy / f64::from(*gain).powi(2));
            change.unfold(growth, stored.sum());
        }
    }
    Ok((change, spectrum(&x, &y, columns)))
}

/// A rotation that is nearly a permutation with signs, as exactly that: then equal numbers are equal.
fn snapped(rotation: &Tensor) -> Result<Tensor, Error> {
    let (rows, columns) = rotation.dims2()?;
    let mut values = rotation.flatten_all()?.to_vec1::<f32>()?;
    let mut taken = vec![false; columns];
    for row in values.chunks_exact_mut(columns) {
        let largest = (0..columns).max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()));
        let Some(at) = largest.filter(|at| !taken[*at] && row[*at].abs().round() == 1.0) else {
            return Ok(rotation.clone());
        };
        taken[at] = true;
        let sign = row[at].signum();
        row.fill(0.0);
        row[at] = sign;
    }
    Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
}

fn spectrum(x: &[f32], y: &[f32], columns: usize) -> Option<Spectrum> {
    let kept = columns.min(COLUMNS);
    let rows = x.chunks_exact(columns).zip(y.chunks_exact(columns));
    let difference: Vec<f64> = rows
        .flat_map(|(x, y)| x[..kept].iter().zip(&y[..kept]))
        .map(|(x, y)| f64::from(*y) - f64::from(*x))
        .collect();
    Spectrum::of_values(&difference, x.len() / columns, kept)
}

/// Of the matrices of all blocks as they are stored.
fn grid(weights: &Weights) -> Result<Grid, Error> {
    let matrices = weights
        .roles()
        .filter(|role| role.param == Param::Weight && !role.part.is_norm());
    Grid::of(weights, matrices.copied())
}

impl Reading for Restoration {
    const NOTHING: &'static str = "no layer of the suspect has an MLP and a counterpart with one";

    fn statistic(&self) -> f64 {
        common(&self.changes).unwrap_or(0.0)
    }

    fn finding(&self, alignment: &Alignment, controls: &Controls) -> Finding {
        let statistic = self.statistic();
        let mut details: BTreeMap<&'static str, f64> = controls.details(statistic);
        details.extend(alignment.details());
        details.extend(numbers(&self.changes, &self.spectra, &self.grids));
        // Zeros stay where they are stored, not where a basis has them.
        let [zeros, others] = [self.grids[0].zeros, self.grids[1].zeros];
        details.insert("zeroed_share", (others - zeros).max(0.0));
        details.insert("unzeroed_share", (zeros - others).max(0.0));
        details.insert("residual_scale", median(self.scales.clone()));
        let heads = ["common_query_key", "common_value_output"];
        details.extend(
            heads
                .into_iter()
                .zip(self.heads)
                .filter_map(|(name, share)| Some((name, share?))),
        );
        let mut explanation = format!(
            "In one basis, unit beside unit, {} matrices have {statistic:.4} in common (1 is all, 0 is nothing).",
            self.changes.len()
        );
        let story = words(&details);
        if !story.is_empty() {
            explanation += &format!(" {}.", story.join("; "));
        }
        if let [Some(query_key), Some(value_output)] = self.heads {
            explanation += &format!(
                " Of the heads' products, query with key has {query_key:.4} in common, value with output {value_output:.4}."
            );
        }
        let units = self.changes.iter().map(|change| change.shape.0 as u64);
        let n = units.sum();
        described(statistic, n, controls, details, explanation, &self.changes)
    }
}

#[cfg(test)]
mod tests;
