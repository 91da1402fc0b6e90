//! Another tokenizer, and embeddings that start anew.

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use crate::model::Part;
use crate::model::Role;

use super::super::checkpoint::Checkpoint;
use super::super::checkpoint::Matrix;
use super::super::dice::Dice;

/// Replaces the tokenizer; embedding and head become random with the spread of the old ones, to be
/// trained again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapTokenizer {
    /// Name of the new tokenizer in the recipes.
    pub tokenizer: String,
    /// Of the new rows.
    pub seed: u64,
}

impl SwapTokenizer {
    /// `tokenizer` is the new `tokenizer.json`, of `vocab_size` tokens.
    pub(super) fn apply(&self, checkpoint: &mut Checkpoint, tokenizer: Vec<u8>, vocab_size: usize) {
        for role in [Role::model(Part::Embed), Role::model(Part::Unembed)] {
            let Some(old) = checkpoint.weights.get(&role) else {
                continue;
            };
            let width = old.shape[1];
            let squares = old.values.iter().map(|&x| f64::from(x).powi(2));
            let spread = (squares.sum::<f64>() / old.values.len() as f64).sqrt();
            let mut dice = Dice::named(self.seed, &role.to_string());
            let values = (0..vocab_size * width)
                .map(|_| (spread * dice.normal()) as f32)
                .collect();
            let shape = vec![vocab_size, width];
            checkpoint.weights.insert(role, Matrix { shape, values });
        }
        checkpoint
            .config
            .insert("vocab_size".to_owned(), json!(vocab_size));
        checkpoint.tokenizer = tokenizer;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::checkpoint::Matrix;
    use super::super::super::checkpoint::tests::small;
    use super::SwapTokenizer;
    use crate::model::Part;
    use crate::model::Role;

    #[test]
    fn embeddings_are_new_with_the_old_spread_and_blocks_stay() {
        let mut checkpoint = small();
        let embed = Matrix {
            shape: vec![50, 64],
            values: vec![0.5; 50 * 64],
        };
        let role = Role::model(Part::Embed);
        checkpoint.weights.insert(role, embed);
        let base = checkpoint.clone();
        let swap = SwapTokenizer {
            tokenizer: "other".to_owned(),
            seed: 1,
        };
        swap.apply(&mut checkpoint, b"{\"a\":1}".to_vec(), 80);
        let new = &checkpoint.weights[&role];
        assert_eq!(new.shape, [80, 64]);
        let squares = new.values.iter().map(|x| x * x).sum::<f32>();
        let spread = (squares / new.values.len() as f32).sqrt();
        assert!((spread - 0.5).abs() < 0.02, "{spread}");
        assert_eq!(checkpoint.config["vocab_size"], 80);
        for (role, weight) in &base.weights {
            assert!(role.part == Part::Embed || checkpoint.weights[role] == *weight);
        }
    }
}
