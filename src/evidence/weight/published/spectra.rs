//! Singular values of the attention products of every layer (GhostSpec), and the curves made of them.

use candle_core::{Device, Tensor};

use super::attention::Attention;
use super::frame;
use crate::evidence::Error;
use crate::model::Model;
use crate::stat::{alignment, random, spectral};

/// Directions of the residual stream, on either side, between which a product is taken: the time of
/// singular values grows with the cube.
pub(super) const DIRECTIONS: usize = 512;

/// Singular values of `W_Q^T W_K` and of `W_O W_V`, descending.
pub(super) struct Layer {
    pub products: [Vec<f64>; 2],
}

/// Every layer's, or in words why not. Seeded by `seed`, and alike for models of one width.
pub(super) fn of(model: &Model, seed: u64) -> Result<Result<Vec<Layer>, String>, Error> {
    let depth = frame::depth(&model.weights);
    if depth == 0 {
        return Ok(Err("its tensors are not known by role".to_owned()));
    }
    let mut layers = Vec::with_capacity(depth);
    let mut sides: Option<[Tensor; 2]> = None;
    for layer in 0..depth {
        let attention = match Attention::of(model, layer)? {
            Ok(attention) => attention,
            Err(reason) => return Ok(Err(reason)),
        };
        let width = attention.key.dim(1)?;
        if sides.is_none() && width > DIRECTIONS {
            sides = Some([
                directions(width, seed, "left")?,
                directions(width, seed, "right")?,
            ]);
        }
        let Some(products) = products(&attention, sides.as_ref())? else {
            return Ok(Err(format!(
                "attention of layer {layer} is not finite or zero"
            )));
        };
        layers.push(Layer { products });
    }
    Ok(Ok(layers))
}

/// `[width, DIRECTIONS]` of independent normal numbers.
fn directions(width: usize, seed: u64, side: &str) -> Result<Tensor, Error> {
    let mut rng = random::stream(seed, &format!("ghostspec {side} {width}"));
    let values: Vec<f32> = (0..width * DIRECTIONS)
        .map(|_| random::normal(&mut rng) as f32)
        .collect();
    Ok(Tensor::from_vec(values, (width, DIRECTIONS), &Device::Cpu)?)
}

fn products(
    attention: &Attention,
    sides: Option<&[Tensor; 2]>,
) -> Result<Option<[Vec<f64>; 2]>, Error> {
    let (query, output) = (attention.query.t()?.contiguous()?, &attention.output);
    let (key, value) = (&attention.key, &attention.value);
    let (lefts, rights) = match sides {
        None => ([query, output.clone()], [key.clone(), value.clone()]),
        Some([left, right]) => {
            let left = left.t()?.contiguous()?;
            (
                [left.matmul(&query)?, left.matmul(output)?],
                [key.matmul(right)?, value.matmul(right)?],
            )
        }
    };
    let mut found = [Vec::new(), Vec::new()];
    for ((left, right), found) in lefts.iter().zip(&rights).zip(&mut found) {
        let product = left.matmul(right)?;
        let (rows, columns) = product.dims2()?;
        match spectral::singular_values(&frame::doubles(&product)?, rows, columns) {
            Some(values) if values.first().is_some_and(|top| *top > 0.0) => *found = values,
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Exponential of the entropy of the singular values taken as shares, rounded down, at least two
/// where there are two.
///
/// Reference: Roy and Vetterli, "The effective rank" (EUSIPCO 2007).
pub(super) fn effective_rank(values: &[f64]) -> usize {
    let sum: f64 = values.iter().sum();
    let entropy: f64 = values
        .iter()
        .map(|value| value / sum)
        .filter(|share| *share > 0.0)
        .map(|share| -share * share.ln())
        .sum();
    // A sum of logarithms may fall short of a whole number by rounding.
    let rank = (entropy.exp() + 1e-9) as usize;
    rank.max(2).min(values.len())
}

/// The largest `rank` values, moved and scaled to run from 1 to 0; zeros where they are all equal.
pub(super) fn normalised(values: &[f64], rank: usize) -> Vec<f64> {
    let top = &values[..rank.min(values.len())];
    let (Some(first), Some(last)) = (top.first(), top.last()) else {
        return Vec::new();
    };
    let span = first - last;
    top.iter()
        .map(|value| {
            if span > 0.0 {
                (value - last) / span
            } else {
                0.0
            }
        })
        .collect()
}

/// Layers of the two models paired in order by `distance`, row-major; the penalty for skipped layers,
/// which the paper does not state, is a tenth of the mean distance.
pub(super) fn paired(distance: &[f64], rows: usize, columns: usize) -> Option<Vec<(usize, usize)>> {
    let penalty = frame::mean(distance)? / 10.0;
    alignment::in_order(distance, rows, columns, penalty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::toy::{Dims, Toy};

    #[test]
    fn ranks_and_scales_of_known_values() {
        assert_eq!(effective_rank(&[1.0; 7]), 7);
        assert_eq!(effective_rank(&[1.0, 1.0, 1.0, 0.0, 0.0]), 3);
        assert_eq!(effective_rank(&[5.0, 0.0, 0.0]), 2);
        assert_eq!(normalised(&[9.0, 5.0, 1.0, 0.5], 3), vec![1.0, 0.5, 0.0]);
        assert_eq!(normalised(&[2.0, 2.0], 2), vec![0.0, 0.0]);
    }

    /// Between random directions a product keeps the shape of its spectrum, whatever its basis.
    #[test]
    fn wide_streams_are_looked_at_from_random_sides() {
        let dims = Dims {
            layers: 1,
            width: DIRECTIONS + 8,
            units: 8,
            vocab: 4,
        };
        let (model, _folder) = Toy::new(1, dims).open();
        let found = of(&model, 3).unwrap().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].products[0].len(), DIRECTIONS);
        assert!(
            found[0]
                .products
                .iter()
                .flatten()
                .all(|value| *value >= 0.0)
        );
        let again = of(&model, 3).unwrap().unwrap();
        assert_eq!(found[0].products, again[0].products);
    }
}
