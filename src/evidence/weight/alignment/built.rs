//! How a model is built, as far as a relation shows in it.

use crate::evidence::Error;
use crate::model::Canonical;

/// What a relation shows in besides the numbers themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::evidence::weight) struct Built {
    /// MLPs per layer; more than one are experts.
    pub experts: usize,
    /// Hidden units of a layer, all experts together.
    pub units: usize,
    /// Share of the gains before attention and MLP that are one number throughout: folded ones are.
    pub constant_gains: f64,
    /// Spread of the logarithm of up rows' lengths.
    pub up_spread: f64,
}

impl Built {
    pub fn of(model: &Canonical<'_>) -> Result<Self, Error> {
        let middle = model.spec.num_hidden_layers / 2;
        let experts = model.experts(middle);
        let (mut units, mut lengths) = (0, Vec::new());
        for expert in &experts {
            if let Some(mlp) = model.mlp(middle, *expert)? {
                units += mlp.up.dim(0)?;
                lengths.extend(mlp.up.sqr()?.sum(1)?.to_vec1::<f32>()?);
            }
        }
        let logs: Vec<f64> = lengths
            .iter()
            .filter(|square| **square > 0.0)
            .map(|square| f64::from(*square).ln() / 2.0)
            .collect();
        let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        let square = logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        Ok(Self {
            experts: experts.len(),
            units,
            constant_gains: model.constant_gains()?,
            up_spread: (square / logs.len().max(1) as f64).sqrt(),
        })
    }
}
