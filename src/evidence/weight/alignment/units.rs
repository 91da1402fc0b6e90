//! One layer's hidden units as directions of the residual stream.

use candle_core::{D, Device, Tensor};

use crate::evidence::Error;
use crate::model::Canonical;
use crate::model::canonical::{Mlp, unit_rows};

/// Directions in which each hidden unit of a layer (all experts together) reads and writes.
#[derive(Debug, Clone)]
pub(in crate::evidence::weight) struct Units {
    /// `[units, width]` of unit length; absent without a gate.
    pub gate: Option<Tensor>,
    /// `[units, width]` of unit length.
    pub up: Tensor,
    /// `[units, width]` of unit length.
    pub down: Tensor,
    /// What no rotation of the residual stream, no rescaling and no change of sign of a unit alters,
    /// `[units, features]`.
    pub features: Vec<Vec<f32>>,
}

impl Units {
    /// Of block `layer`; `None` when a matrix is missing.
    pub fn of(model: &Canonical<'_>, layer: usize) -> Result<Option<Self>, Error> {
        let mut all: Vec<Self> = Vec::new();
        for expert in model.experts(layer) {
            match model.mlp(layer, expert)? {
                Some(mlp) => all.push(Self::of_mlp(&mlp)?),
                None => return Ok(None),
            }
        }
        let Some(first) = all.first() else {
            return Ok(None);
        };
        let gated = all.iter().all(|units| units.gate.is_some());
        let join = |part: &dyn Fn(&Self) -> Option<Tensor>| -> Result<Tensor, Error> {
            let parts: Vec<Tensor> = all.iter().filter_map(part).collect();
            Ok(Tensor::cat(&parts, 0)?)
        };
        if all.len() == 1 {
            return Ok(Some(first.clone()));
        }
        Ok(Some(Self {
            gate: gated
                .then(|| join(&|units| units.gate.clone()))
                .transpose()?,
            up: join(&|units| Some(units.up.clone()))?,
            down: join(&|units| Some(units.down.clone()))?,
            features: all.into_iter().flat_map(|units| units.features).collect(),
        }))
    }

    fn of_mlp(mlp: &Mlp) -> Result<Self, Error> {
        let down = mlp.down.t()?.contiguous()?;
        let unit = |matrix: &Tensor| Ok::<_, Error>(unit_rows(matrix)?);
        let gate = mlp.gate.as_ref().map(unit).transpose()?;
        let (up, written) = (unit(&mlp.up)?, unit(&down)?);
        let length = |matrix: &Tensor| -> Result<Vec<f32>, Error> {
            Ok(matrix.sqr()?.sum(D::Minus1)?.sqrt()?.to_vec1()?)
        };
        let angle = |a: &Tensor, b: &Tensor| -> Result<Vec<f32>, Error> {
            Ok((a * b)?.sum(D::Minus1)?.to_vec1()?)
        };
        // What an up row gains in length its down column may lose.
        let through = length(&mlp.up)?.into_iter().zip(length(&down)?);
        let through: Vec<f32> = through
            .map(|(up, down)| (up * down).max(f32::MIN_POSITIVE).ln())
            .collect();
        let up_down = angle(&up, &written)?;
        let columns = match (&gate, &mlp.gate) {
            (Some(gate), Some(stored)) => {
                let size = length(stored)?;
                let size = size
                    .into_iter()
                    .map(|size| size.max(f32::MIN_POSITIVE).ln());
                let (gate_up, gate_down) = (angle(gate, &up)?, angle(gate, &written)?);
                let signed = gate_up.iter().zip(&gate_down);
                let both = signed.map(|(x, y)| (x * y).signum() * (x * y).abs().sqrt());
                let both: Vec<f32> = both.collect();
                let absolute = |values: Vec<f32>| values.into_iter().map(f32::abs).collect();
                vec![
                    size.collect(),
                    through,
                    absolute(gate_up),
                    absolute(gate_down),
                    up_down,
                    both,
                ]
            }
            _ => vec![through, up_down],
        };
        Ok(Self {
            features: transposed(&columns),
            gate,
            up,
            down: written,
        })
    }

    /// Hidden units.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Only those at `indices`.
    pub fn at(&self, indices: &[usize]) -> Result<Self, Error> {
        let places: Vec<u32> = indices.iter().map(|at| *at as u32).collect();
        let places = Tensor::new(places, &Device::Cpu)?;
        let pick = |matrix: &Tensor| matrix.index_select(&places, 0);
        Ok(Self {
            gate: self.gate.as_ref().map(pick).transpose()?,
            up: pick(&self.up)?,
            down: pick(&self.down)?,
            features: indices
                .iter()
                .map(|at| self.features[*at].clone())
                .collect(),
        })
    }

    /// In the basis that `rotation` (`[width, other width]`) leads to.
    pub fn turned(&self, rotation: &Tensor) -> Result<Self, Error> {
        let turn = |matrix: &Tensor| matrix.matmul(rotation);
        Ok(Self {
            gate: self.gate.as_ref().map(turn).transpose()?,
            up: turn(&self.up)?,
            down: turn(&self.down)?,
            features: self.features.clone(),
        })
    }

    /// Mean cosine with every unit of `others`, `[own, others]`, and the sign that the other's up and
    /// down directions carry.
    pub fn similarities(&self, others: &Self) -> Result<(Tensor, Tensor), Error> {
        let through = (self.up.matmul(&others.up.t()?)? + self.down.matmul(&others.down.t()?)?)?;
        let (gate, matrices) = match (&self.gate, &others.gate) {
            (Some(ours), Some(theirs)) => (Some(ours.matmul(&theirs.t()?)?), 3.0),
            _ => (None, 2.0),
        };
        // The sign of a gated unit's up row can move into its down column, not so without a gate.
        let sign = match gate {
            Some(_) => through
                .ge(0f64)?
                .to_dtype(through.dtype())?
                .affine(2.0, -1.0)?,
            None => through.ones_like()?,
        };
        let mut sum = (&through * &sign)?;
        if let Some(gate) = gate {
            sum = (sum + gate)?;
        }
        Ok(((sum / matrices)?, sign))
    }
}

fn transposed(columns: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let rows = columns.first().map_or(0, Vec::len);
    (0..rows)
        .map(|row| columns.iter().map(|column| column[row]).collect())
        .collect()
}
