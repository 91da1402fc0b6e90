//! Models whose tensors have names that say nothing, as the other side of each pair lets them be read.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Run;
use crate::bench::error::Error;
use crate::bench::subject::Dossier;
use crate::model;
use crate::model::Model;
use crate::model::mapping;

/// With the roles of the other side, where a model has none of its own.
#[derive(Default)]
pub(super) struct Readings {
    /// By reference the identity of the suspect with that one's roles.
    identities: BTreeMap<usize, String>,
    /// The suspect by identity: references that give the same roles share what was recorded.
    suspects: BTreeMap<String, Dossier>,
    /// References with the suspect's roles.
    references: BTreeMap<usize, Dossier>,
}

impl Readings {
    /// Of both sides of `tasks`, all of one `suspect`, recorded once for every assignment.
    ///
    /// # Errors
    /// A model that fails.
    pub(super) fn new(run: &Run<'_>, tasks: &[usize], suspect: &Dossier) -> Result<Self, Error> {
        let references: Vec<usize> = tasks
            .iter()
            .map(|&at| run.plan.tasks[at].reference)
            .collect();
        let mut readings = Self::of_suspect(run, &references, suspect)?;
        let recorded = references.into_par_iter().map(|reference| {
            let own = &run.dossiers[reference];
            let other = readings.suspect(reference).unwrap_or(suspect);
            let known = with_roles_of(own, other)?.map(|model| run.desk.with_roles(own, model));
            Ok(known.transpose()?.map(|dossier| (reference, dossier)))
        });
        let recorded: Result<Vec<Option<(usize, Dossier)>>, Error> = recorded.collect();
        readings.references = recorded?.into_iter().flatten().collect();
        Ok(readings)
    }

    fn of_suspect(run: &Run<'_>, references: &[usize], suspect: &Dossier) -> Result<Self, Error> {
        let assigned = references.par_iter().map(|&reference| {
            let known = with_roles_of(suspect, &run.dossiers[reference])?;
            Ok(known.map(|model| (reference, model)))
        });
        let assigned: Result<Vec<Option<(usize, Model)>>, Error> = assigned.collect();
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
            suspects: recorded.collect::<Result<_, Error>>()?,
            references: BTreeMap::new(),
        })
    }

    /// The suspect beside `reference`; none where its own names are read.
    pub(super) fn suspect(&self, reference: usize) -> Option<&Dossier> {
        self.suspects.get(self.identities.get(&reference)?)
    }

    /// `reference` beside the suspect; none where its own names are read.
    pub(super) fn reference(&self, reference: usize) -> Option<&Dossier> {
        self.references.get(&reference)
    }
}

/// `one` with the roles of `other`, where it has none of its own.
fn with_roles_of(one: &Dossier, other: &Dossier) -> Result<Option<Model>, Error> {
    let known = mapping::with_roles_of(&one.model, &other.model).map_err(model::Error::from)?;
    Ok(known)
}
