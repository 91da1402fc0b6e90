//! What training may change: every weight, or low-rank differences to frozen ones.

use std::collections::BTreeMap;

use candle_core::Device;
use candle_core::Tensor;
use candle_core::Var;

use crate::model::Decoder;
use crate::model::DecoderSpec;
use crate::model::Mode;
use crate::model::Part;
use crate::model::Role;

use super::dice::Dice;
use super::error::Error;
use super::recipe::Lora;
use super::train::Tensors;

/// Weights with the variables that they are made of.
pub(super) struct Pupil {
    weights: BTreeMap<Role, Weight>,
    /// What a low-rank difference is multiplied by.
    scale: f64,
}

enum Weight {
    Trained(Var),
    Frozen(Tensor),
    /// `W + scale * B A`: `A` `[rank, in]`, `B` `[out, rank]`.
    Adapted {
        frozen: Tensor,
        a: Var,
        b: Var,
    },
}

impl Pupil {
    /// All of `start` as variables or, with `lora`, differences to the matrices inside its blocks.
    pub(super) fn new(start: &Tensors, lora: Option<&Lora>) -> Result<Self, Error> {
        let mut weights = BTreeMap::new();
        for (role, tensor) in start {
            let weight = match lora {
                None => Weight::Trained(Var::from_tensor(tensor)?),
                Some(lora) if adapted(role) => adapt(role, tensor, lora)?,
                Some(_) => Weight::Frozen(tensor.clone()),
            };
            weights.insert(*role, weight);
        }
        let scale = lora.map_or(0.0, |lora| lora.alpha / lora.rank as f64);
        Ok(Self { weights, scale })
    }

    /// The variables, in the order of their roles.
    pub(super) fn vars(&self) -> Vec<Var> {
        let vars = self.weights.values().flat_map(|weight| match weight {
            Weight::Trained(var) => vec![var.clone()],
            Weight::Frozen(_) => Vec::new(),
            Weight::Adapted { a, b, .. } => vec![a.clone(), b.clone()],
        });
        vars.collect()
    }

    /// The model as the variables stand; gradients flow back to them.
    pub(super) fn decoder(&self, spec: &DecoderSpec) -> Result<Decoder, Error> {
        let mut get = |role: &Role| {
            let weight = self.weights.get(role);
            weight.map(|weight| self.tensor(weight)).transpose()
        };
        Ok(Decoder::from_tensors(spec, Mode::Differentiable, &mut get)?)
    }

    /// The weights as they stand, differences added.
    pub(super) fn tensors(&self) -> Result<Tensors, Error> {
        self.weights
            .iter()
            .map(|(role, weight)| Ok((*role, self.tensor(weight)?.detach().copy()?)))
            .collect()
    }

    fn tensor(&self, weight: &Weight) -> candle_core::Result<Tensor> {
        match weight {
            Weight::Trained(var) => Ok(var.as_tensor().clone()),
            Weight::Frozen(tensor) => Ok(tensor.clone()),
            Weight::Adapted { frozen, a, b } => frozen + (b.matmul(a)? * self.scale)?,
        }
    }
}

/// Whether LoRA adapts it: the projections of the blocks.
fn adapted(role: &Role) -> bool {
    !role.is_vector() && role.layer.is_some() && role.part != Part::Router
}

fn adapt(role: &Role, frozen: &Tensor, lora: &Lora) -> Result<Weight, Error> {
    let (out, inward) = frozen.dims2()?;
    let mut dice = Dice::named(lora.seed, &role.to_string());
    let deviation = (inward as f64).sqrt().recip();
    let a: Vec<f32> = (0..lora.rank * inward)
        .map(|_| (deviation * dice.normal()) as f32)
        .collect();
    let a = Tensor::from_vec(a, (lora.rank, inward), &Device::Cpu)?;
    let b = Tensor::zeros((out, lora.rank), frozen.dtype(), &Device::Cpu)?;
    Ok(Weight::Adapted {
        frozen: frozen.clone(),
        a: Var::from_tensor(&a)?,
        b: Var::from_tensor(&b)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Tensors {
        let matrix = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32 / 7.0).collect();
            Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("sized")
        };
        let gain = Tensor::from_vec(vec![1f32; 6], 6, &Device::Cpu).expect("sized");
        Tensors::from([
            (Role::model(Part::Embed), matrix(9, 6)),
            (Role::layer(0, Part::AttentionNorm), gain),
            (Role::layer(0, Part::Up), matrix(8, 6)),
        ])
    }

    fn values(tensor: &Tensor) -> Vec<Vec<f32>> {
        tensor.to_vec2().expect("a matrix")
    }

    #[test]
    fn a_difference_starts_at_zero_and_has_the_given_rank() {
        let lora = Lora {
            rank: 2,
            alpha: 4.0,
            seed: 3,
        };
        let start = start();
        let pupil = Pupil::new(&start, Some(&lora)).expect("adapts");
        let vars = pupil.vars();
        assert_eq!(vars.len(), 2, "one matrix lies in a block");
        let up = Role::layer(0, Part::Up);
        let untrained = pupil.tensors().expect("tensors");
        assert_eq!(values(&untrained[&up]), values(&start[&up]));
        let ones = Tensor::ones((8, 2), candle_core::DType::F32, &Device::Cpu);
        vars[1].set(&ones.expect("sized")).expect("same shape");
        let trained = pupil.tensors().expect("tensors");
        let a = values(vars[0].as_tensor());
        let (new, old) = (values(&trained[&up]), values(&start[&up]));
        for (new, old) in new.iter().zip(&old) {
            for column in 0..6 {
                let step = 2.0 * (a[0][column] + a[1][column]);
                assert!((new[column] - old[column] - step).abs() < 1e-5);
            }
        }
        let embed = Role::model(Part::Embed);
        assert_eq!(values(&trained[&embed]), values(&start[&embed]));
    }

    #[test]
    fn without_lora_every_weight_is_a_variable() {
        let pupil = Pupil::new(&start(), None).expect("starts");
        assert_eq!(pupil.vars().len(), 3);
    }
}
