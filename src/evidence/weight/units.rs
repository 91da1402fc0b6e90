//! Hidden units of MLPs, and which unit of another model each is nearest to.
//!
//! Reads rows in blocks: at most two blocks of [`BLOCK_ELEMENTS`] numbers and the query rows are in
//! memory, whatever the size of the model.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::nearest::Top;
use crate::evidence::Error;
use crate::model::{Part, Role, Weights};
use crate::stat::random;

/// Numbers decoded at a time, per matrix: 16 MiB as f32.
const BLOCK_ELEMENTS: usize = 1 << 22;

/// Hidden units looked up per layer. More sharpen nothing: a child whose rows correlate with its
/// parent's as weakly as 0.1 already meets hundreds of these.
pub(super) const QUERIES: usize = 512;

/// The input matrices of one dense MLP: unit `i` is row `i` of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mlp {
    pub layer: u32,
    pub gate: Option<Role>,
    pub up: Role,
    /// Hidden units.
    pub units: usize,
    /// Width of the residual stream.
    pub width: usize,
}

/// The dense MLPs of a model, by layer.
///
/// # Errors
/// In words, when there is none.
pub(super) fn dense(weights: &Weights) -> Result<BTreeMap<u32, Mlp>, String> {
    let mut found = BTreeMap::new();
    let mut sparse = 0;
    for role in weights.roles().filter(|role| role.part == Part::Up) {
        let (Some(layer), Some((units, width))) = (role.layer, weights.shape(role)) else {
            continue;
        };
        if role.expert.is_some() {
            sparse += 1;
        } else if *role == Role::layer(layer as usize, Part::Up) {
            let gate = Role::layer(layer as usize, Part::Gate);
            let gate = (weights.shape(&gate) == Some((units, width))).then_some(gate);
            let mlp = Mlp {
                layer,
                gate,
                up: *role,
                units,
                width,
            };
            found.insert(layer, mlp);
        }
    }
    match (found.is_empty(), sparse) {
        (false, _) => Ok(found),
        (true, 0) => Err("its tensors are not known by role".to_owned()),
        (true, _) => {
            Err("every MLP is a mixture of experts, whose experts may be in any order".to_owned())
        }
    }
}

/// Rows of some units of one MLP, each of unit length, gate and up apart.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// Indices of the units, increasing.
    pub units: Vec<usize>,
    gate: Option<Tensor>,
    up: Tensor,
}

/// A query's nearest unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Nearest {
    /// Its index in the other model.
    pub unit: usize,
    /// Mean cosine of the matrices compared.
    pub similarity: f64,
    /// Whether gate rows alone and up rows alone point to the same unit; `None` without a gate.
    pub agree: Option<bool>,
}

impl Rows {
    /// The rows of `units` of `mlp`.
    pub fn of(weights: &Weights, mlp: &Mlp, units: &[usize]) -> Result<Self, Error> {
        let gain = gain(weights, mlp)?;
        let pick = |role: &Role| -> Result<Tensor, Error> {
            let mut rows = Vec::with_capacity(units.len() * mlp.width);
            for block in weights.chunks(role, BLOCK_ELEMENTS) {
                let (range, values) = block?;
                let first = units.partition_point(|unit| *unit < range.start);
                for unit in units[first..]
                    .iter()
                    .take_while(|unit| range.contains(unit))
                {
                    let at = (unit - range.start) * mlp.width;
                    rows.extend_from_slice(&values[at..at + mlp.width]);
                }
            }
            normalise(&mut rows, mlp.width, &gain);
            Ok(Tensor::from_vec(
                rows,
                (units.len(), mlp.width),
                &Device::Cpu,
            )?)
        };
        Ok(Self {
            units: units.to_vec(),
            gate: mlp.gate.as_ref().map(pick).transpose()?,
            up: pick(&mlp.up)?,
        })
    }

    /// The first `n` of them.
    pub fn first(&self, n: usize) -> Result<Self, Error> {
        let n = n.min(self.units.len());
        let narrow = |rows: &Tensor| rows.narrow(0, 0, n);
        Ok(Self {
            units: self.units[..n].to_vec(),
            gate: self.gate.as_ref().map(narrow).transpose()?,
            up: narrow(&self.up)?,
        })
    }

    /// The same rows with noise of `level` times their length added, as a child might have them.
    pub fn noised(&self, level: u32, rng: &mut ChaCha8Rng) -> Result<Self, Error> {
        let mut noise = |rows: &Tensor| -> Result<Tensor, Error> {
            let (count, width) = rows.dims2()?;
            let scale = f64::from(level) / (width as f64).sqrt();
            let mut values = rows.flatten_all()?.to_vec1::<f32>()?;
            for value in &mut values {
                *value += (scale * random::normal(rng)) as f32;
            }
            normalise(&mut values, width, &[]);
            Ok(Tensor::from_vec(values, (count, width), &Device::Cpu)?)
        };
        Ok(Self {
            units: self.units.clone(),
            gate: self.gate.as_ref().map(&mut noise).transpose()?,
            up: noise(&self.up)?,
        })
    }

    /// Each query's nearest unit among all of `mlp`, for several sets of queries in one pass over
    /// the weights.
    ///
    /// Nearest by `cos(gate) + |cos(up)|` (the sign of an up row can be moved into the down
    /// projection without changing the model), or by `cos(up)` where one side has no gate. Ties fall to
    /// a random one, so that no rule about indices enters.
    pub fn nearest(
        queries: &[&Self],
        weights: &Weights,
        mlp: &Mlp,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Vec<Nearest>>, Error> {
        let gain = gain(weights, mlp)?;
        let gated = mlp
            .gate
            .filter(|_| queries.iter().all(|q| q.gate.is_some()));
        let mut best: Vec<Vec<Best>> = queries
            .iter()
            .map(|set| vec![Best::default(); set.units.len()])
            .collect();
        let mut gates = gated
            .as_ref()
            .map(|role| weights.chunks(role, BLOCK_ELEMENTS));
        for block in weights.chunks(&mlp.up, BLOCK_ELEMENTS) {
            let (range, up) = block?;
            let up = unit_rows(up, mlp.width, &gain)?;
            let gate = match gates.as_mut().and_then(Iterator::next) {
                Some(block) => Some(unit_rows(block?.1, mlp.width, &gain)?),
                None => None,
            };
            for (set, best) in queries.iter().zip(&mut best) {
                let ups = cosines(&set.up, &up)?;
                let gates = match (&set.gate, &gate) {
                    (Some(set), Some(gate)) => Some(cosines(set, gate)?),
                    _ => None,
                };
                for (q, best) in best.iter_mut().enumerate() {
                    let row = q * range.len()..(q + 1) * range.len();
                    let gates = gates.as_ref().map(|gates| &gates[row.clone()]);
                    best.see(range.start, gates, &ups[row], rng);
                }
            }
        }
        let found = best.into_iter();
        Ok(found
            .map(|set| {
                set.into_iter()
                    .map(|best| best.found(gated.is_some()))
                    .collect()
            })
            .collect())
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Best {
    both: Top,
    gate: Top,
    up: Top,
}

impl Best {
    fn see(&mut self, start: usize, gates: Option<&[f32]>, ups: &[f32], rng: &mut ChaCha8Rng) {
        match gates {
            None => {
                for (i, up) in ups.iter().enumerate() {
                    self.both.see(*up, start + i, rng);
                }
            }
            Some(gates) => {
                for (i, (gate, up)) in gates.iter().zip(ups).enumerate() {
                    self.gate.see(*gate, start + i, rng);
                    self.up.see(up.abs(), start + i, rng);
                    self.both.see(gate + up.abs(), start + i, rng);
                }
            }
        }
    }

    fn found(self, gated: bool) -> Nearest {
        let matrices = if gated { 2.0 } else { 1.0 };
        Nearest {
            unit: self.both.unit,
            similarity: f64::from(self.both.value) / matrices,
            agree: gated.then_some(self.gate.unit == self.up.unit),
        }
    }
}

/// The gain of the norm before the MLP: scaling it and dividing the matrices by it leaves the model
/// as it is, so both models are compared with it folded in. Empty where it is not known.
fn gain(weights: &Weights, mlp: &Mlp) -> Result<Vec<f32>, Error> {
    let role = Role::layer(mlp.layer as usize, Part::MlpNorm);
    match weights.shape(&role) {
        Some((n, 1)) if n == mlp.width => Ok(weights.all(&role)?),
        _ => Ok(Vec::new()),
    }
}

fn unit_rows(mut values: Vec<f32>, width: usize, gain: &[f32]) -> Result<Tensor, Error> {
    normalise(&mut values, width, gain);
    let rows = values.len() / width.max(1);
    Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
}

/// Every row times `gain`, then at unit length. A row without a finite length becomes zero, which ties
/// with every other.
fn normalise(values: &mut [f32], width: usize, gain: &[f32]) {
    for row in values.chunks_mut(width.max(1)) {
        for (value, gain) in row.iter_mut().zip(gain) {
            *value *= gain;
        }
        let square: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let length = square.sqrt();
        let fine = length.is_finite() && length > 0.0;
        for value in row {
            *value = if fine {
                (f64::from(*value) / length) as f32
            } else {
                0.0
            };
        }
    }
}

/// Cosines of unit rows, row-major `[queries, rows]`.
fn cosines(queries: &Tensor, rows: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(queries.matmul(&rows.t()?)?.flatten_all()?.to_vec1()?)
}
