//! What merges are made of: each is made once more and held against its parents, number by number.

use rayon::prelude::*;

use super::change::Made;
use super::error::Error;
use super::measure::Run;
use super::plan::Mix;
use crate::evidence::mixture::Mixture;
use crate::evidence::mixture::mixture;
use crate::model::Model;
use crate::source;
use crate::source::Locator;
use crate::source::ModelRef;

/// One merge beside its parents.
#[derive(Debug, Clone)]
pub struct Merge {
    /// Place of the change among the plan's.
    pub change: usize,
    /// Place of the suspect, the first parent.
    pub suspect: usize,
    /// The second parent, and what both were merged over.
    pub mix: Mix,
    /// Of the suspect and the second parent.
    pub mixture: Mixture,
}

impl Run<'_> {
    /// Every base under every change that is a merge and nothing else.
    pub(super) fn merges(&self) -> Result<Vec<Merge>, Error> {
        let places = |change: usize| {
            let bases = 0..self.plan.members.len();
            bases.filter_map(move |suspect| {
                let member = &self.plan.members[suspect];
                let mix = self.mix(change, suspect)?;
                (member.base && member.zoo).then_some((change, suspect, mix))
            })
        };
        let changes = 0..self.plan.changes.len();
        let alone = changes.filter(|at| self.plan.changes[*at].steps().len() == 1);
        let all: Vec<(usize, usize, Mix)> = alone.flat_map(places).collect();
        let found: Result<Vec<Option<Merge>>, Error> =
            all.into_par_iter().map(|one| self.merge(one)).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn merge(&self, (change, suspect, mix): (usize, usize, Mix)) -> Result<Option<Merge>, Error> {
        let model = |place: usize| &*self.dossiers[place].model;
        let folder = self.work.folder.join("models");
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let mixed = [Some(model(mix.other)), mix.base.map(model)];
        let seed = self.work.seed;
        let made = self.plan.changes[change].make(model(suspect), mixed, seed, &folder);
        let made = match made {
            Ok(made) => made,
            Err(Made::NotApplicable(_)) => return Ok(None),
            Err(Made::Failed(error)) => return Err(error),
        };
        let place = ModelRef {
            label: None,
            locator: Locator::Local(made.clone()),
        };
        let merged = Model::open(source::open(&place, &self.work.options)?, "merge")?;
        let found = mixture(&[model(suspect), model(mix.other)], &merged);
        if !self.work.keep_models {
            std::fs::remove_dir_all(&made).map_err(Error::io(&made))?;
        }
        Ok(found?.map(|mixture| Merge {
            change,
            suspect,
            mix,
            mixture,
        }))
    }
}
