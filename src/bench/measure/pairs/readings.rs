//! A suspect whose tensors have names that say nothing, as each of its references lets it be read.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Run;
use crate::bench::error::Error;
use crate::bench::subject::Dossier;
use crate::model;
use crate::model::Model;
use crate::model::mapping;

/// With the roles of each reference, where the suspect has none of its own.
#[derive(Default)]
pub(super) struct Readings {
    /// By reference the identity of the suspect with its roles.
    identities: BTreeMap<usize, String>,
    /// By identity: references that give the same roles share what was recorded.
    dossiers: BTreeMap<String, Dossier>,
}

impl Readings {
    /// Of `suspect` beside the references of `tasks`, recorded once for every assignment.
    ///
    /// # Errors
    /// A model that fails.
    pub(super) fn new(run: &Run<'_>, tasks: &[usize], suspect: &Dossier) -> Result<Self, Error> {
        let assigned: Result<Vec<Option<(usize, Model)>>, Error> = tasks
            .par_iter()
            .map(|&at| {
                let reference = run.plan.tasks[at].reference;
                let known = mapping::with_roles_of(&suspect.model, &run.dossiers[reference].model);
                let known = known.map_err(model::Error::from)?;
                Ok(known.map(|model| (reference, model)))
            })
            .collect();
        let mut identities = BTreeMap::new();
        let mut models = BTreeMap::new();
        for (reference, model) in assigned?.into_iter().flatten() {
            identities.insert(reference, model.identity());
            models.insert(model.identity(), model);
        }
        let recorded = models.into_par_iter().map(|(identity, model)| {
            let dossier = run.desk.with_roles(suspect, model)?;
            Ok((identity, dossier))
        });
        Ok(Self {
            identities,
            dossiers: recorded.collect::<Result<_, Error>>()?,
        })
    }

    /// Beside `reference`; none where the suspect's own names are read.
    pub(super) fn of(&self, reference: usize) -> Option<&Dossier> {
        self.dossiers.get(self.identities.get(&reference)?)
    }
}
