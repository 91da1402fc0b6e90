//! A dense model as a mixture of experts: sparse upcycling (Komatsuzaki et al. 2023), with experts that
//! are copies, parts (fine-grained, as Qwen1.5-MoE's), or copies half drawn anew (drop-upcycling,
//! Nakamura et al. 2025).

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::model::Expert;
use crate::model::Part;
use crate::model::Role;

use super::super::checkpoint::Checkpoint;
use super::super::checkpoint::Matrix;
use super::super::dice::Dice;
use super::super::error::Error;

/// Makes every MLP a mixture of experts whose outputs, averaged over tokens, are those of the MLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upcycle {
    /// Whose mixture: that decides names, config and whether there is a shared expert.
    pub family: Sparse,
    /// What an expert is made of.
    pub experts_are: Origin,
    /// Routed experts of each block.
    pub experts: usize,
    /// Of which a token passes through this many.
    pub per_token: usize,
    /// Of the router, of which units go where, and of what is drawn anew.
    pub seed: u64,
}

/// Families with mixtures of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sparse {
    /// From a Llama; no shared expert.
    Mixtral,
    /// From a Qwen2; the shared expert is the whole MLP.
    Qwen2Moe,
}

/// What an expert is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The whole MLP.
    Copies,
    /// Its share of the hidden units, each unit in one expert.
    Parts,
    /// The whole MLP, half of whose units are redrawn with their mean and deviation.
    HalfRedrawn,
}

/// Standard deviation of a new router's entries.
const ROUTER_DEVIATION: f64 = 0.02;

impl Upcycle {
    pub(super) fn apply(&self, checkpoint: &mut Checkpoint) -> Result<(), Error> {
        let dense = match self.family {
            Sparse::Mixtral => "llama",
            Sparse::Qwen2Moe => "qwen2",
        };
        let units = checkpoint.size("intermediate_size")?;
        let refuse = |reason| Err(Error::Transformation { reason });
        if checkpoint.model_type() != dense {
            return refuse(format!("{:?} is upcycled from {dense}", self.family));
        }
        if self.per_token == 0 || self.per_token > self.experts {
            return refuse(format!("{} of {} experts", self.per_token, self.experts));
        }
        if self.experts_are == Origin::Parts && !units.is_multiple_of(self.experts) {
            return refuse(format!("{units} units for {} experts", self.experts));
        }
        for layer in 0..checkpoint.size("num_hidden_layers")? {
            self.block(checkpoint, layer, units)?;
        }
        let width = match self.experts_are {
            Origin::Parts => units / self.experts,
            Origin::Copies | Origin::HalfRedrawn => units,
        };
        self.configure(&mut checkpoint.config, units, width);
        Ok(())
    }

    fn block(&self, checkpoint: &mut Checkpoint, layer: usize, units: usize) -> Result<(), Error> {
        let dense = take(checkpoint, layer)?;
        let mut dice = Dice::named(self.seed, &format!("layers.{layer}"));
        let hidden = dense.up.shape[1];
        let weights = &mut checkpoint.weights;
        let mut order: Vec<usize> = (0..units).collect();
        dice.shuffle(&mut order);
        for expert in 0..self.experts {
            let mlp = match self.experts_are {
                Origin::Copies => dense.clone(),
                Origin::Parts => {
                    let width = units / self.experts;
                    dense.part(&order[expert * width..(expert + 1) * width])
                }
                Origin::HalfRedrawn => {
                    dice.shuffle(&mut order);
                    dense.redrawn(&order[..units / 2], &mut dice)
                }
            };
            let place = Expert::Routed(expert as u32);
            mlp.scaled(self.scale()).put(weights, layer, place);
        }
        let router = (0..self.experts * hidden)
            .map(|_| (ROUTER_DEVIATION * dice.normal()) as f32)
            .collect();
        let shape = vec![self.experts, hidden];
        let router = Matrix {
            shape,
            values: router,
        };
        weights.insert(Role::layer(layer, Part::Router), router);
        if self.family == Sparse::Qwen2Moe {
            dense.put(weights, layer, Expert::Shared);
            let gate = Matrix {
                shape: vec![1, hidden],
                values: vec![0.0; hidden],
            };
            weights.insert(Role::layer(layer, Part::SharedExpertGate), gate);
        }
        Ok(())
    }

    /// By how much an expert's output grows, so that the mean over equally likely experts is the dense
    /// output: parts are weighed `1 / per_token` and hold `1 / experts` of the units; a shared expert
    /// behind a gate of zero gives half.
    fn scale(&self) -> f32 {
        let parts = match self.experts_are {
            Origin::Parts => self.experts as f32,
            Origin::Copies | Origin::HalfRedrawn => 1.0,
        };
        match self.family {
            Sparse::Mixtral => parts,
            Sparse::Qwen2Moe => 0.5 * parts,
        }
    }

    fn configure(&self, config: &mut Map<String, Value>, units: usize, width: usize) {
        let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
        set("num_experts_per_tok", json!(self.per_token));
        match self.family {
            Sparse::Mixtral => {
                set("architectures", json!(["MixtralForCausalLM"]));
                set("model_type", json!("mixtral"));
                set("num_local_experts", json!(self.experts));
                set("intermediate_size", json!(width));
                set("sliding_window", Value::Null);
                config.shift_remove("attention_bias");
                config.shift_remove("mlp_bias");
            }
            Sparse::Qwen2Moe => {
                set("architectures", json!(["Qwen2MoeForCausalLM"]));
                set("model_type", json!("qwen2_moe"));
                set("num_experts", json!(self.experts));
                set("moe_intermediate_size", json!(width));
                set("shared_expert_intermediate_size", json!(units));
                set("decoder_sparse_step", json!(1));
                set("norm_topk_prob", json!(true));
            }
        }
    }
}

/// Gate, up and down of one MLP or expert.
#[derive(Clone)]
struct Mlp {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// Takes a block's dense MLP out of the checkpoint.
fn take(checkpoint: &mut Checkpoint, layer: usize) -> Result<Mlp, Error> {
    let mut one = |part| {
        let role = Role::layer(layer, part);
        let missing = || Error::Transformation {
            reason: format!("no {role} to upcycle"),
        };
        checkpoint.weights.remove(&role).ok_or_else(missing)
    };
    Ok(Mlp {
        gate: one(Part::Gate)?,
        up: one(Part::Up)?,
        down: one(Part::Down)?,
    })
}

impl Mlp {
    fn put(self, weights: &mut std::collections::BTreeMap<Role, Matrix>, layer: usize, of: Expert) {
        for (part, weight) in [
            (Part::Gate, self.gate),
            (Part::Up, self.up),
            (Part::Down, self.down),
        ] {
            weights.insert(Role::layer(layer, part).of_expert(of), weight);
        }
    }

    /// Some hidden units alone.
    fn part(&self, units: &[usize]) -> Self {
        let rows = |matrix: &Matrix| {
            let width = matrix.shape[1];
            let rows = units.iter().map(|&u| &matrix.values[u * width..][..width]);
            Matrix {
                shape: vec![units.len(), width],
                values: rows.flatten().copied().collect(),
            }
        };
        let (out, old) = (self.down.shape[0], self.down.shape[1]);
        let columns = (0..out).flat_map(|row| units.iter().map(move |&unit| row * old + unit));
        Self {
            gate: rows(&self.gate),
            up: rows(&self.up),
            down: Matrix {
                shape: vec![out, units.len()],
                values: columns.map(|at| self.down.values[at]).collect(),
            },
        }
    }

    /// With some units drawn anew.
    fn redrawn(&self, units: &[usize], dice: &mut Dice) -> Self {
        let mut new = self.clone();
        let width = self.up.shape[1];
        for matrix in [&mut new.gate, &mut new.up] {
            let (mean, deviation) = moments(&matrix.values);
            for at in units.iter().flat_map(|&u| u * width..(u + 1) * width) {
                matrix.values[at] = (mean + deviation * dice.normal()) as f32;
            }
        }
        let (mean, deviation) = moments(&new.down.values);
        let (out, old) = (new.down.shape[0], new.down.shape[1]);
        for row in 0..out {
            for unit in units {
                new.down.values[row * old + unit] = (mean + deviation * dice.normal()) as f32;
            }
        }
        new
    }

    fn scaled(mut self, factor: f32) -> Self {
        for value in &mut self.down.values {
            *value *= factor;
        }
        self
    }
}

fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let squares = values.iter().map(|&x| (f64::from(x) - mean).powi(2));
    (mean, (squares.sum::<f64>() / count).sqrt())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::checkpoint::tests::small;
    use super::*;

    fn upcycled(experts_are: Origin) -> Checkpoint {
        let mut checkpoint = small();
        let upcycle = Upcycle {
            family: Sparse::Mixtral,
            experts_are,
            experts: 3,
            per_token: 2,
            seed: 4,
        };
        upcycle.apply(&mut checkpoint).expect("a llama");
        checkpoint
    }

    fn rows(matrix: &Matrix) -> BTreeSet<Vec<u32>> {
        let rows = matrix.values.chunks(matrix.shape[1]);
        rows.map(|row| row.iter().map(|x| x.to_bits()).collect())
            .collect()
    }

    #[test]
    fn parts_hold_every_unit_once() {
        let (base, sparse) = (small(), upcycled(Origin::Parts));
        let at = Role::layer(1, Part::Up);
        let mut found = BTreeSet::new();
        for expert in 0..3 {
            let part = &sparse.weights[&at.of_expert(Expert::Routed(expert))];
            assert_eq!(part.shape, [32, 64]);
            found.extend(rows(part));
        }
        assert_eq!(found, rows(&base.weights[&at]));
        assert_eq!(sparse.config["intermediate_size"], 32);
        assert!(!sparse.weights.contains_key(&at));
    }

    #[test]
    fn half_of_each_redrawn_copy_is_new() {
        let (base, sparse) = (small(), upcycled(Origin::HalfRedrawn));
        let at = Role::layer(0, Part::Gate);
        let old = rows(&base.weights[&at]);
        for expert in 0..3 {
            let new = rows(&sparse.weights[&at.of_expert(Expert::Routed(expert))]);
            assert_eq!(new.intersection(&old).count(), 48);
        }
    }

    #[test]
    fn what_is_no_dense_model_of_the_right_family_is_refused() {
        let mut again = upcycled(Origin::Copies);
        let upcycle = Upcycle {
            family: Sparse::Qwen2Moe,
            experts_are: Origin::Copies,
            experts: 2,
            per_token: 3,
            seed: 1,
        };
        let error = upcycle.apply(&mut again).expect_err("sparse").to_string();
        assert!(error.contains("qwen2"), "{error}");
        let mixtral = Upcycle {
            family: Sparse::Mixtral,
            ..upcycle
        };
        let error = mixtral.apply(&mut small()).expect_err("3 of 2").to_string();
        assert!(error.contains("3 of 2"), "{error}");
    }
}
