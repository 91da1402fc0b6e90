//! Tokens that two vocabularies share.

use crate::model::{Model, Part, Role};
use crate::stat::random;

/// Rows of two embeddings that stand for the same tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    /// Ids in the first model.
    pub ours: Vec<u32>,
    /// Ids in the second, in the same order.
    pub theirs: Vec<u32>,
    /// Tokens shared in all, of which these are a random choice.
    pub of: usize,
}

/// At most `most` tokens that both vocabularies write alike, in a fixed order. Without tokenizers, rows
/// of equally long embeddings are taken to stand for the same tokens.
///
/// # Errors
/// In words, when there is none.
pub(super) fn shared(a: &Model, b: &Model, most: usize, seed: u64) -> Result<Shared, String> {
    let rows = |model: &Model| {
        let shape = model.weights.shape(&Role::model(Part::Embed));
        shape.map_or(0, |(rows, _)| rows)
    };
    let (x, y) = (rows(a), rows(b));
    let pairs: Vec<(u32, u32)> = match (&a.tokenizer, &b.tokenizer) {
        (Ok(ours), Ok(theirs)) => {
            let theirs = theirs.vocab();
            let both = ours.vocab().iter();
            both.filter_map(|(token, id)| Some((*id, *theirs.get(token)?)))
                .filter(|(one, other)| (*one as usize) < x && (*other as usize) < y)
                .collect()
        }
        (Err(_), Err(_)) if x == y => (0..x as u32).map(|id| (id, id)).collect(),
        (Err(reason), _) | (_, Err(reason)) => {
            return Err(format!("tokens cannot be paired: {reason}"));
        }
    };
    if pairs.is_empty() {
        return Err("the two vocabularies share no token that has an embedding".to_owned());
    }
    let mut rng = random::stream(seed, "shared tokens");
    let chosen = random::subset(&mut rng, pairs.len(), most.min(pairs.len()));
    Ok(Shared {
        ours: chosen.iter().map(|at| pairs[*at].0).collect(),
        theirs: chosen.iter().map(|at| pairs[*at].1).collect(),
        of: pairs.len(),
    })
}
