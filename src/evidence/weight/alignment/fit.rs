//! The rotation of the residual stream that carries one model's directions onto the other's.

use candle_core::{DType, Device, Tensor};

use super::units::Units;
use crate::evidence::Error;
use crate::stat::spectral;

/// Rounds of matching and turning at most.
const ROUNDS: usize = 16;

/// A round that gains less than this is the last.
const LEAST_GAIN: f64 = 5e-4;

/// A layer of the reference and one of the suspect whose units are matched.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    pub ours: Units,
    pub theirs: Units,
}

/// Pairs of units and how much each counts.
pub(super) type Pairs = Vec<(usize, usize, f32)>;

/// A rotation with what it achieves.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    /// `[width, other width]`, f32: rows of the reference times this are in the suspect's basis.
    pub rotation: Tensor,
    /// Mean cosine of matched units' directions.
    pub similarity: f64,
}

/// Matches units under `rotation`, turns so that matched units' directions agree as well as possible,
/// and so on until nothing is gained.
///
/// Neither step looks at the order of units or of residual coordinates: permuting the units of a model
/// permutes the matches and leaves the rotation, rotating its residual stream rotates it.
pub(super) fn refine(layers: &[Layers], mut rotation: Tensor) -> Result<Option<Fit>, Error> {
    let mut last = f64::NEG_INFINITY;
    let mut best: Option<Fit> = None;
    for _ in 0..ROUNDS {
        let mut matched = Vec::with_capacity(layers.len());
        let (mut sum, mut count) = (0.0, 0.0);
        for layer in layers {
            let pairs = mutual(&layer.theirs, &layer.ours.turned(&rotation)?)?;
            sum += pairs.iter().map(|pair| f64::from(pair.2)).sum::<f64>();
            count += layer.theirs.len() as f64;
            matched.push(pairs);
        }
        let similarity = sum / f64::max(count, 1.0);
        if best
            .as_ref()
            .is_none_or(|best| similarity > best.similarity)
        {
            best = Some(Fit {
                rotation: rotation.clone(),
                similarity,
            });
        }
        if similarity - last < LEAST_GAIN {
            break;
        }
        last = similarity;
        match from_pairs(layers, &matched)? {
            Some(turned) => rotation = turned,
            None => break,
        }
    }
    Ok(best)
}

/// Units that are each other's nearest: `(theirs, ours, similarity)`.
fn mutual(theirs: &Units, ours: &Units) -> Result<Pairs, Error> {
    let (similar, _) = theirs.similarities(ours)?;
    let (rows, columns) = similar.dims2()?;
    let values = similar.flatten_all()?.to_vec1::<f32>()?;
    let mut of_column = vec![(f32::NEG_INFINITY, 0); columns];
    let mut of_row = Vec::with_capacity(rows);
    for (row, line) in values.chunks_exact(columns.max(1)).enumerate() {
        let mut best = (f32::NEG_INFINITY, 0);
        for (column, value) in line.iter().enumerate() {
            if *value > best.0 {
                best = (*value, column);
            }
            if *value > of_column[column].0 {
                of_column[column] = (*value, row);
            }
        }
        of_row.push(best);
    }
    let pairs = of_row.into_iter().enumerate();
    Ok(pairs
        .filter(|(row, (_, column))| of_column.get(*column).is_some_and(|best| best.1 == *row))
        .map(|(row, (value, column))| (row, column, value.max(0.0)))
        .collect())
}

/// The rotation that brings matched units' directions together, weighted; `None` without any.
pub(super) fn from_pairs(layers: &[Layers], matched: &[Pairs]) -> Result<Option<Tensor>, Error> {
    let mut cross: Option<Tensor> = None;
    for (layer, pairs) in layers.iter().zip(matched) {
        if pairs.is_empty() {
            continue;
        }
        let column = |at: &dyn Fn(&(usize, usize, f32)) -> usize| -> Vec<usize> {
            pairs.iter().map(at).collect()
        };
        let theirs = layer.theirs.at(&column(&|pair| pair.0))?;
        let ours = layer.ours.at(&column(&|pair| pair.1))?;
        let weights: Vec<f32> = pairs.iter().map(|pair| pair.2).collect();
        let weights = Tensor::from_vec(weights, (pairs.len(), 1), &Device::Cpu)?;
        let sign = sign(&ours, &theirs)?;
        let product = |a: &Tensor, b: &Tensor, weights: &Tensor| -> candle_core::Result<Tensor> {
            a.broadcast_mul(weights)?.t()?.matmul(b)
        };
        let signed = (&weights * &sign)?;
        let mut sum = (product(&ours.up, &theirs.up, &signed)?
            + product(&ours.down, &theirs.down, &signed)?)?;
        if let (Some(a), Some(b)) = (&ours.gate, &theirs.gate) {
            sum = (sum + product(a, b, &weights)?)?;
        }
        cross = Some(match cross {
            Some(all) => (all + sum)?,
            None => sum,
        });
    }
    match cross {
        Some(cross) => polar(&cross),
        None => Ok(None),
    }
}

/// Signs of matched units' up and down directions, `[pairs, 1]`: as their angles with the gates say,
/// which no rotation changes; all positive without gates.
fn sign(ours: &Units, theirs: &Units) -> Result<Tensor, Error> {
    let (Some(gate), Some(other)) = (&ours.gate, &theirs.gate) else {
        return Ok(Tensor::ones((ours.len(), 1), DType::F32, &Device::Cpu)?);
    };
    let angle = |gate: &Tensor, direction: &Tensor| (gate * direction)?.sum_keepdim(1);
    let up = (angle(gate, &ours.up)? * angle(other, &theirs.up)?)?;
    let down = (angle(gate, &ours.down)? * angle(other, &theirs.down)?)?;
    let same = (up + down)?.ge(0f64)?;
    Ok(same.to_dtype(DType::F32)?.affine(2.0, -1.0)?)
}

/// The orthogonal matrix (or partial isometry) nearest to `cross`; `None` where there is none.
pub(super) fn polar(cross: &Tensor) -> Result<Option<Tensor>, Error> {
    let (rows, columns) = cross.dims2()?;
    let values = cross
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1::<f64>()?;
    let Some(found) = spectral::polar(&values, rows, columns) else {
        return Ok(None);
    };
    let found = Tensor::from_vec(found, (rows, columns), &Device::Cpu)?;
    Ok(Some(found.to_dtype(DType::F32)?))
}
