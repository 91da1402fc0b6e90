//! Random models of the zoo's constructions, made small: two of them have nothing in common.

use std::path::Path;

use crate::model::Model;
use crate::source;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::source::OpenOptions;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::make;
use super::recipe::Recipes;
use super::transform::Origin;
use super::transform::Sparse;
use super::transform::Transformation;
use super::transform::Upcycle;

/// Blocks of a small model.
const LAYERS: usize = 2;

/// By how much its residual stream, its heads and its MLPs are narrower.
const NARROWER: usize = 2;

/// Experts of the construction that has some, and how many a token passes through.
const EXPERTS: (usize, usize) = (4, 2);

/// Where the recipes lie in the zoo's folder.
const RECIPES: &str = "recipes.yaml";

/// A construction without weights.
#[derive(Debug, Clone)]
pub struct Construction {
    /// Of the architecture in the recipes, `+experts` behind it for a mixture.
    pub name: String,
    empty: Checkpoint,
    experts: bool,
}

/// Every architecture that a base of the recipes in `zoo` has, and a mixture of experts of the first that is
/// upcycled.
///
/// # Errors
/// Recipes or shipped tokenizers that cannot be read.
pub fn constructions(zoo: &Path) -> Result<Vec<Construction>, Error> {
    let recipes = Recipes::load(&zoo.join(RECIPES))?;
    let mut found: Vec<Construction> = Vec::new();
    for recipe in &recipes.members {
        let Some(initial) = &recipe.initial else {
            continue;
        };
        if found.iter().any(|one| one.name == initial.architecture) {
            continue;
        }
        let path = zoo.join(&recipe.name).join("tokenizer.json");
        let tokenizer = std::fs::read(&path).map_err(Error::io(&path))?;
        let config = recipes.architectures[&initial.architecture].clone();
        let mut empty = Checkpoint::empty(config, tokenizer);
        narrow(&mut empty)?;
        let name = initial.architecture.clone();
        if empty.model_type() == "llama" && !found.iter().any(|one| one.experts) {
            found.push(Construction {
                name: format!("{name}+experts"),
                empty: empty.clone(),
                experts: true,
            });
        }
        found.push(Construction {
            name,
            empty,
            experts: false,
        });
    }
    Ok(found)
}

/// Fewer blocks, narrower everything; as many heads as before.
fn narrow(checkpoint: &mut Checkpoint) -> Result<(), Error> {
    for word in ["hidden_size", "intermediate_size"] {
        let size = checkpoint.size(word)? / NARROWER;
        checkpoint.set(word, size.into());
    }
    if let Ok(size) = checkpoint.size("head_dim") {
        checkpoint.set("head_dim", (size / NARROWER).into());
    }
    checkpoint.set("num_hidden_layers", LAYERS.into());
    if let Some(kinds) = checkpoint.config.get_mut("layer_types")
        && let Some(kinds) = kinds.as_array_mut()
    {
        // The last of each kind of block stays.
        let from = kinds.len().saturating_sub(LAYERS);
        kinds.drain(..from);
    }
    Ok(())
}

impl Construction {
    /// A model with the weights that training starts from under `seed`, written to `folder` and opened as
    /// any model is.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn draw(&self, seed: u64, folder: &Path) -> Result<Model, Error> {
        let mut checkpoint = self.empty.clone();
        make::start(&mut checkpoint, seed)?;
        if self.experts {
            let (experts, per_token) = EXPERTS;
            let upcycle = Transformation::Upcycle(Upcycle {
                family: Sparse::Mixtral,
                experts_are: Origin::Copies,
                experts,
                per_token,
                seed,
            });
            upcycle.apply(&mut checkpoint, &|_| {
                Err(Error::tokenizer("an upcycled model keeps its tokenizer"))
            })?;
        }
        checkpoint.write(folder)?;
        let reference = ModelRef {
            label: None,
            locator: Locator::Local(folder.to_path_buf()),
        };
        let artefacts = source::open(&reference, &OpenOptions::default())?;
        let label = format!("{} of seed {seed}", self.name);
        Ok(Model::open(artefacts, &label)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_construction_draws_a_model_that_its_seed_decides() {
        let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/zoo");
        let all = constructions(&zoo).unwrap();
        assert!(all.len() >= 7, "{all:?}");
        assert_eq!(all.iter().filter(|one| one.experts).count(), 1);
        for one in &all {
            let folder = tempfile::tempdir().unwrap();
            let place = |name: &str| folder.path().join(name);
            let model = one.draw(3, &place("a")).unwrap();
            let spec = model.spec.as_ref().unwrap();
            assert_eq!(spec.num_hidden_layers, LAYERS, "{}", one.name);
            assert!(spec.num_attention_heads >= 4 && model.tokenizer.is_ok());
            assert_eq!(spec.moe.is_some(), one.experts);
            let again = one.draw(3, &place("b")).unwrap();
            let other = one.draw(4, &place("c")).unwrap();
            assert_eq!(model.digest(), again.digest());
            assert_ne!(model.digest(), other.digest());
        }
    }
}
