//! One set of directions in the residual streams of two models, by what the same tokens look like.
//!
//! Row `t` of both embeddings is the same token. The orthogonal matrix that carries one embedding as near
//! as can be to the other (Schönemann 1966) therefore says which direction of one residual stream is
//! which of the other, whatever the order (or basis) of coordinates: where the suspect's coordinates are
//! reordered, the matrix is reordered with them, and nothing that is measured through it changes.

use candle_core::{Device, Tensor};

use super::board::{Board, Target};
use crate::model::role::{Param, Part, Role};
use crate::model::weights::{Binding, Step, View, Weights};
use crate::stat::random;

/// Directions that are looked at.
pub(super) const DIRECTIONS: usize = 48;

/// Tokens that are looked at, evenly spaced.
const MOST_TOKENS: usize = 1 << 14;

/// Numbers of an embedding decoded at a time.
const BLOCK_ELEMENTS: usize = 1 << 20;

/// Numbers of a turned embedding beyond which its rows are not picked out.
const MOST_TURNED: usize = 1 << 24;

/// Steps of the iteration for the orthogonal factor; each makes small singular values half as large
/// again.
const STEPS: usize = 30;

/// The same directions in the coordinates of the suspect and of the reference, each `[hidden_size,
/// DIRECTIONS]`.
#[derive(Debug, Clone)]
pub(super) struct Bearings {
    pub ours: Tensor,
    pub theirs: Tensor,
}

/// Which side of a matrix is the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Rows,
    Columns,
}

impl Side {
    /// Of a target as it is stored; `None` where it touches the stream by none.
    pub fn of(target: &Target<'_>) -> Option<Self> {
        let (role, view) = target.roles.first()?;
        let writes = matches!(role.part, Part::Output | Part::Down);
        let of_heads = matches!(role.part, Part::QueryNorm | Part::KeyNorm);
        let of_units = role.param == Param::Bias && !writes && !role.part.is_norm();
        if of_heads || of_units {
            return None;
        }
        let turned = view.steps().contains(&Step::Transposed);
        Some(if writes == turned {
            Self::Columns
        } else {
            Self::Rows
        })
    }

    /// The other one.
    pub fn turned(self) -> Self {
        match self {
            Self::Rows => Self::Columns,
            Self::Columns => Self::Rows,
        }
    }
}

impl Bearings {
    /// From the two embeddings, where both are known and have as many tokens and coordinates; `None`
    /// where they have not or cannot be read.
    pub fn find(board: &Board<'_>, suspect: &Weights, reference: &Weights) -> Option<Self> {
        let role = Role::model(Part::Embed);
        let suspect = if suspect.has(&role) {
            suspect.clone()
        } else {
            let found = board.found.iter().find(|found| {
                let roles = &board.targets[found.target].roles;
                roles.iter().any(|(held, _)| *held == role)
            })?;
            let view = if found.turned {
                View::whole().transposed()
            } else {
                View::whole()
            };
            let binding = Binding::new(board.held[found.held].name, view);
            suspect.rebound(&[(role, binding)].into()).0
        };
        let shape = suspect.shape(&role)?;
        let turned = !suspect.binding(&role)?.view.steps().is_empty();
        if Some(shape) != reference.shape(&role) || (turned && shape.0 * shape.1 > MOST_TURNED) {
            return None;
        }
        let [ours, theirs] = [tokens(&suspect)?, tokens(reference)?];
        Self::between(&ours, &theirs).ok()
    }

    /// From rows of the same tokens.
    fn between(ours: &Tensor, theirs: &Tensor) -> candle_core::Result<Self> {
        let width = theirs.dim(1)?;
        let mut rng = random::stream(0, "directions");
        let scale = (width as f64).powf(-0.5);
        let directions: Vec<f32> = (0..width * DIRECTIONS)
            .map(|_| (scale * random::normal(&mut rng)) as f32)
            .collect();
        let theirs_seen = Tensor::from_vec(directions, (width, DIRECTIONS), &Device::Cpu)?;
        let carried = orthogonal(&ours.t()?.matmul(theirs)?)?;
        Ok(Self {
            ours: carried.matmul(&theirs_seen)?,
            theirs: theirs_seen,
        })
    }
}

/// The orthogonal matrix nearest to a square one, by the iteration of Newton and Schulz.
fn orthogonal(matrix: &Tensor) -> candle_core::Result<Tensor> {
    let length = matrix.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
    if !(length.is_finite() && length > 0.0) {
        candle_core::bail!("embeddings without a common direction");
    }
    let mut found = (matrix / f64::from(length))?;
    for _ in 0..STEPS {
        let cubed = found.matmul(&found.t()?.contiguous()?.matmul(&found)?)?;
        found = ((found * 1.5)? - (cubed * 0.5)?)?;
    }
    Ok(found)
}

/// Rows of the embedding, evenly spaced: `[tokens, hidden_size]`.
fn tokens(weights: &Weights) -> Option<Tensor> {
    let role = Role::model(Part::Embed);
    let (rows, width) = weights.shape(&role)?;
    let turned = !weights.binding(&role)?.view.steps().is_empty();
    let block = if turned { rows * width } else { BLOCK_ELEMENTS };
    let spacing = rows.div_ceil(MOST_TOKENS).max(1);
    let mut picked = Vec::new();
    for chunk in weights.chunks(&role, block) {
        let (range, values) = chunk.ok()?;
        for (row, line) in range.zip(values.chunks_exact(width.max(1))) {
            if row % spacing == 0 {
                let number = |value: &f32| if value.is_finite() { *value } else { 0.0 };
                picked.extend(line.iter().map(number));
            }
        }
    }
    let count = picked.len() / width.max(1);
    Tensor::from_vec(picked, (count, width), &Device::Cpu).ok()
}

/// What a tensor does to the directions, without what it does to all alike; nothing in it depends on
/// the order of its other side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gram(Vec<f32>);

impl Gram {
    /// Of `X^T X` less its part along `directions^T directions`, of length one.
    pub fn new(gram: &Tensor, directions: &Tensor) -> candle_core::Result<Option<Self>> {
        let plain = directions.t()?.contiguous()?.matmul(directions)?;
        let values = |x: &Tensor| -> candle_core::Result<Vec<f32>> { x.flatten_all()?.to_vec1() };
        let (gram, plain) = (values(gram)?, values(&plain)?);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum()
        };
        let share = dot(&gram, &plain) / dot(&plain, &plain);
        let rest: Vec<f64> = gram
            .iter()
            .zip(&plain)
            .map(|(a, b)| f64::from(*a) - share * f64::from(*b))
            .collect();
        let length = rest.iter().map(|x| x * x).sum::<f64>().sqrt();
        let whole = dot(&gram, &gram).sqrt();
        // A tensor that does the same to all directions has nothing left but rounding.
        if !(length.is_finite() && length > 1e-5 * whole) {
            return Ok(None);
        }
        let rest = rest.into_iter().map(|x| (x / length) as f32);
        Ok(Some(Self(rest.collect())))
    }

    /// Cosine of two.
    pub fn cosine(&self, other: &Self) -> f64 {
        let products = self.0.iter().zip(&other.0);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussian(seed: u64, rows: usize, columns: usize) -> Tensor {
        let mut rng = random::stream(seed, "bearings");
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| random::normal(&mut rng) as f32)
            .collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn seen(matrix: &Tensor, directions: &Tensor) -> Gram {
        let through = matrix.matmul(directions).unwrap();
        let gram = through.t().unwrap().contiguous().unwrap().matmul(&through);
        Gram::new(&gram.unwrap(), directions).unwrap().unwrap()
    }

    #[test]
    fn reordered_coordinates_and_rows_are_seen_as_they_were() {
        let (tokens, width) = (200, 12);
        let embed = gaussian(1, tokens, width);
        let order: Vec<u32> = (0..width as u32).map(|at| at * 5 % width as u32).collect();
        let order = Tensor::from_vec(order, width, &Device::Cpu).unwrap();
        let moved = embed.index_select(&order, 1).unwrap();
        let bearings = Bearings::between(&moved, &embed).unwrap();
        let matrix = gaussian(2, 30, width);
        let rows: Vec<u32> = (0..30).map(|at| at * 7 % 30).collect();
        let rows = Tensor::from_vec(rows, 30, &Device::Cpu).unwrap();
        let copy = matrix.index_select(&order, 1).unwrap();
        let copy = copy.index_select(&rows, 0).unwrap();
        let ours = seen(&copy, &bearings.ours);
        assert!(ours.cosine(&seen(&matrix, &bearings.theirs)) > 0.999);
        let stranger = seen(&gaussian(3, 30, width), &bearings.theirs);
        assert!(ours.cosine(&stranger).abs() < 0.5);
    }

    #[test]
    fn what_treats_all_directions_alike_has_no_bearing() {
        let directions = gaussian(4, 12, DIRECTIONS);
        let plain = directions.t().unwrap().contiguous().unwrap();
        let plain = (plain.matmul(&directions).unwrap() * 2.0).unwrap();
        assert_eq!(Gram::new(&plain, &directions).unwrap(), None);
    }
}
