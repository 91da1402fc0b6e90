//! Toy models with what was recorded of them.

use super::{Pair, Subject};
use crate::model::Model;
use crate::model::toy::Toy;
use crate::record::{Activations, Moments, Recording, TensorFacts, WeightProfile};
use crate::stat::moments::Running;

/// An opened toy with what was recorded of it.
pub(crate) struct Open {
    pub model: Model,
    pub profile: WeightProfile,
    pub recordings: Vec<Recording>,
    pub activations: Option<Activations>,
    _folder: tempfile::TempDir,
}

impl Open {
    /// `toy` written, opened and profiled.
    pub fn new(toy: &Toy) -> Self {
        let (model, folder) = toy.open();
        Self {
            profile: profile(&model),
            model,
            recordings: Vec::new(),
            activations: None,
            _folder: folder,
        }
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            profile: Some(&self.profile),
            recordings: &self.recordings,
            activations: self.activations.as_ref(),
            missing: None,
        }
    }
}

/// The pair without a population.
pub(crate) fn pair<'a>(reference: &'a Open, suspect: &'a Open) -> Pair<'a> {
    Pair {
        reference: reference.subject(),
        suspect: suspect.subject(),
        population: &[],
        derived: None,
        seed: 0,
    }
}

fn profile(model: &Model) -> WeightProfile {
    use sha2::Digest as _;
    let store = model.weights.store();
    let facts = |name: &str, shape: &[usize]| TensorFacts {
        dtype: "F32".to_owned(),
        shape: shape.to_vec(),
        sha256: sha2::Sha256::digest(store.bytes(name).unwrap())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect(),
    };
    let moments = |values: &[f32]| {
        let mut running = Running::default();
        running.extend(values);
        Moments {
            count: running.count(),
            mean: running.mean(),
            std: running.std(),
            min: running.min(),
            max: running.max(),
        }
    };
    let weights = &model.weights;
    WeightProfile {
        tensors: store
            .iter()
            .map(|(name, info)| (name.to_owned(), facts(name, &info.shape)))
            .collect(),
        roles: weights
            .roles()
            .map(|role| (*role, moments(&weights.all(role).unwrap())))
            .collect(),
    }
}
