//! Which layers a rotation is fitted between, and the fits from every start.

use candle_core::Tensor;

use super::fit::{self, Fit, Layers, Pairs};
use super::units::Units;
use super::{COMPARED_UNITS, GOOD_FIT, Start};
use crate::evidence::Error;
use crate::model::Canonical;

/// Which layer of the reference each fitted layer is held against, by start.
pub(super) struct Partners {
    /// `[start][fitted layer]`: the layer, and the pairs of units to start with where the start is no rotation.
    chosen: Vec<Vec<(usize, Pairs)>>,
}

impl Partners {
    /// One pass over the reference's layers; `None` when one has no complete MLP.
    pub fn find(
        ours: &Canonical<'_>,
        targets: &[Units],
        starts: &[(Start, Option<Tensor>)],
    ) -> Result<Option<Self>, Error> {
        let mut best = vec![vec![f64::NEG_INFINITY; targets.len()]; starts.len()];
        let mut chosen = vec![vec![(0, Pairs::new()); targets.len()]; starts.len()];
        let probes: Result<Vec<Units>, Error> = targets
            .iter()
            .map(|units| units.at(&(0..COMPARED_UNITS.min(units.len())).collect::<Vec<_>>()))
            .collect();
        let probes = probes?;
        for layer in 0..ours.spec.num_hidden_layers {
            let Some(units) = Units::of(ours, layer)? else {
                return Ok(None);
            };
            for (start, (_, rotation)) in starts.iter().enumerate() {
                let turned = rotation.as_ref().map(|r| units.turned(r)).transpose()?;
                for (target, probe) in probes.iter().enumerate() {
                    let (score, pairs) = match &turned {
                        Some(turned) => (mean_nearest(probe, turned)?, Pairs::new()),
                        None => by_features(&targets[target], &units),
                    };
                    if score > best[start][target] {
                        best[start][target] = score;
                        chosen[start][target] = (layer, pairs);
                    }
                }
            }
        }
        Ok(Some(Self { chosen }))
    }

    /// Every start refined on its partners, up to one that fits well.
    pub fn fits(
        &self,
        ours: &Canonical<'_>,
        targets: &[Units],
        starts: Vec<(Start, Option<Tensor>)>,
    ) -> Result<Vec<(Start, Fit)>, Error> {
        let mut fits = Vec::new();
        for ((start, rotation), chosen) in starts.into_iter().zip(&self.chosen) {
            let mut layers = Vec::with_capacity(targets.len());
            for ((layer, _), target) in chosen.iter().zip(targets) {
                if let Some(units) = Units::of(ours, *layer)? {
                    layers.push(Layers {
                        ours: units,
                        theirs: target.clone(),
                    });
                }
            }
            let rotation = match rotation {
                Some(rotation) => Some(rotation),
                None => {
                    let pairs: Vec<Pairs> = chosen.iter().map(|(_, pairs)| pairs.clone()).collect();
                    fit::from_pairs(&layers, &pairs)?
                }
            };
            let Some(rotation) = rotation else { continue };
            let fit = fit::refine(&layers, rotation)?;
            let good = fit.as_ref().is_some_and(|fit| fit.similarity > GOOD_FIT);
            fits.extend(fit.map(|fit| (start, fit)));
            if good {
                break;
            }
        }
        Ok(fits)
    }
}

/// Mean over `queries` of the similarity of the nearest of `units`.
pub(super) fn mean_nearest(queries: &Units, units: &Units) -> Result<f64, Error> {
    let (similar, _) = queries.similarities(units)?;
    Ok(f64::from(similar.max(1)?.mean_all()?.to_scalar::<f32>()?))
}

/// Units that are each other's nearest by features, weighted by how much nearer they are than the
/// second; and how near the nearest ones are.
fn by_features(theirs: &Units, ours: &Units) -> (f64, Pairs) {
    let width = |units: &Units| units.features.first().map_or(0, Vec::len);
    if width(ours) == 0 || width(ours) != width(theirs) {
        return (f64::NEG_INFINITY, Pairs::new());
    }
    let (theirs, ours) = (standardised(&theirs.features), standardised(&ours.features));
    let mut of_ours = vec![(f32::INFINITY, 0); ours.len()];
    let mut of_theirs = Vec::with_capacity(theirs.len());
    for (row, query) in theirs.iter().enumerate() {
        let (mut best, mut second) = ((f32::INFINITY, 0), f32::INFINITY);
        for (column, other) in ours.iter().enumerate() {
            let gaps = query.iter().zip(other);
            let distance: f32 = gaps.map(|(a, b)| (a - b).powi(2)).sum();
            if distance < best.0 {
                second = best.0;
                best = (distance, column);
            } else if distance < second {
                second = distance;
            }
            if distance < of_ours[column].0 {
                of_ours[column] = (distance, row);
            }
        }
        of_theirs.push((best, second));
    }
    let mut distances: Vec<f32> = of_theirs.iter().map(|(best, _)| best.0).collect();
    distances.sort_by(f32::total_cmp);
    let middle = distances
        .get(distances.len() / 2)
        .copied()
        .unwrap_or(f32::INFINITY);
    let pairs = of_theirs.iter().enumerate();
    let mutual = pairs.filter(|(row, ((_, column), _))| of_ours[*column].1 == *row);
    let weight = |best: f32, second: f32| 1.0 - (best / second.max(f32::MIN_POSITIVE)).min(1.0);
    (
        f64::from(-middle),
        mutual
            .map(|(row, ((best, column), second))| (row, *column, weight(*best, *second)))
            .collect(),
    )
}

/// Every feature with its mean taken away, in units of its spread: a scale of the whole residual stream
/// is free, and moves a feature of all units alike.
fn standardised(features: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let n = features.len().max(1) as f32;
    let mut rows = features.to_vec();
    for at in 0..features.first().map_or(0, Vec::len) {
        let mean = features.iter().map(|row| row[at]).sum::<f32>() / n;
        let square = features
            .iter()
            .map(|row| (row[at] - mean).powi(2))
            .sum::<f32>();
        let spread = (square / n).sqrt().max(f32::MIN_POSITIVE);
        for row in &mut rows {
            row[at] = (row[at] - mean) / spread;
        }
    }
    rows
}
