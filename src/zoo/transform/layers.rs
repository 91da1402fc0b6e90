//! Blocks dropped, repeated or put in another order: pruning in depth, and depth up-scaling (Kim et al.,
//! "SOLAR 10.7B", 2023, which lays two overlapping copies of a model end to end).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::super::checkpoint::Checkpoint;
use super::super::error::Error;

/// Builds a model from some blocks of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// For each block of the new model, the block of the old one that it is a copy of.
    pub from: Vec<usize>,
}

impl Layers {
    pub(super) fn apply(&self, checkpoint: &mut Checkpoint) -> Result<(), Error> {
        let count = checkpoint.size("num_hidden_layers")?;
        if self.from.is_empty() || self.from.iter().any(|&layer| layer >= count) {
            let reason = format!("blocks {:?} of a model with {count}", self.from);
            return Err(Error::Transformation { reason });
        }
        if checkpoint.config.contains_key("layer_types") {
            let reason = "blocks of several types cannot be rearranged".to_owned();
            return Err(Error::Transformation { reason });
        }
        let mut weights = BTreeMap::new();
        for (role, weight) in &checkpoint.weights {
            let Some(old) = role.layer else {
                weights.insert(*role, weight.clone());
                continue;
            };
            for (new, _) in copies(&self.from, old as usize) {
                let mut role = *role;
                role.layer = Some(new as u32);
                weights.insert(role, weight.clone());
            }
        }
        checkpoint.weights = weights;
        let key = checkpoint.key("num_hidden_layers");
        let depth = json!(self.from.len());
        checkpoint.config.insert(key.to_owned(), depth);
        Ok(())
    }
}

/// Where the copies of block `old` stand.
fn copies(from: &[usize], old: usize) -> impl Iterator<Item = (usize, &usize)> {
    from.iter()
        .enumerate()
        .filter(move |(_, source)| **source == old)
}

#[cfg(test)]
mod tests {
    use super::super::super::checkpoint::tests::small;
    use super::Layers;
    use crate::model::Part;
    use crate::model::Role;

    #[test]
    fn every_block_is_the_copy_that_was_asked_for() {
        let base = small();
        let mut grown = base.clone();
        let layers = Layers {
            from: vec![0, 1, 0, 1, 1],
        };
        layers.apply(&mut grown).expect("two blocks");
        assert_eq!(grown.config["num_hidden_layers"], 5);
        let (_, spec) = grown.described().expect("a llama");
        assert_eq!(grown.weights.len(), spec.roles().len());
        for (new, old) in layers.from.iter().enumerate() {
            for part in [Part::AttentionNorm, Part::Up] {
                assert_eq!(
                    grown.weights[&Role::layer(new, part)],
                    base.weights[&Role::layer(*old, part)]
                );
            }
        }
    }

    #[test]
    fn blocks_that_do_not_exist_are_refused() {
        for from in [vec![], vec![0, 2]] {
            let error = Layers { from }.apply(&mut small()).expect_err("refused");
            assert!(error.to_string().contains("model with 2"), "{error}");
        }
    }
}
