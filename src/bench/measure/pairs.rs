//! All methods on a pair, one after the other.

mod readings;

use std::collections::BTreeMap;
use std::time::Instant;

use rayon::prelude::*;

use super::Run;
use crate::bench::error::Error;
use crate::bench::memory;
use crate::bench::plan::Task;
use crate::bench::score::Measured;
use crate::bench::score::Score;
use crate::bench::score::Status;
use crate::bench::subject::Dossier;
use crate::evidence::Evidence;
use crate::evidence::Memo;
use crate::evidence::Needs;
use crate::evidence::Pair;
use crate::evidence::Subject;
use readings::Readings;

impl Run<'_> {
    /// Tasks of one suspect; where it could not be made, why.
    pub(super) fn pairs(
        &self,
        tasks: &[usize],
        suspect: &Result<&Dossier, String>,
        stranger: Option<usize>,
    ) -> Result<Vec<(usize, Measured)>, Error> {
        let readings = match suspect {
            Ok(suspect) => Readings::new(self, tasks, suspect)?,
            Err(_) => Readings::default(),
        };
        tasks
            .par_iter()
            .map(|&at| {
                let task = &self.plan.tasks[at];
                let suspect = suspect
                    .clone()
                    .map(|own| readings.suspect(task.reference).unwrap_or(own));
                let suspect = self.unless_mixed(task.reference, stranger, &suspect);
                let scores: Vec<Score> = match &suspect {
                    Ok(suspect) => {
                        let own = &self.dossiers[task.reference];
                        let reference = readings.reference(task.reference).unwrap_or(own);
                        self.assessed(task, reference, suspect)
                    }
                    Err(reason) => {
                        let absent =
                            |card| Score::absent(card, Status::NoSuchSuspect, reason.clone());
                        let methods = self.work.methods.iter();
                        methods.map(|method| absent(method.card())).collect()
                    }
                };
                let scores = self.journal.append(&self.key(task), &scores)?;
                let task = task.clone();
                Ok((at, Measured { task, scores }))
            })
            .collect()
    }

    /// Every method on a pair.
    fn assessed(&self, task: &Task, reference: &Dossier, suspect: &Dossier) -> Vec<Score> {
        let pair = self.pair(reference.subject(), suspect.subject());
        let panel: Vec<Subject<'_>> = self
            .plan
            .panel(task)
            .into_iter()
            .map(|place| self.dossiers[place].subject())
            .collect();
        let beside = Pair {
            population: &panel,
            ..self.pair(reference.subject(), suspect.subject())
        };
        let methods = self.work.methods.iter();
        let scores = methods.map(|method| match method.card() {
            card if self.listens(card.id) => {
                let own = [reference, suspect].map(|one| one.subject_of(card.id));
                assess(*method, &self.pair(own[0], own[1]))
            }
            card if card.needs == Needs::Panel => assess(*method, &beside),
            _ => assess(*method, &pair),
        });
        scores.collect()
    }

    /// Whether something was recorded for this method alone.
    fn listens(&self, method: &str) -> bool {
        self.work.taps.iter().any(|one| one.method == method)
    }

    /// A suspect that was mixed with a stranger who is the reference's own kin no longer stands in the known relation.
    fn unless_mixed<'b>(
        &self,
        reference: usize,
        stranger: Option<usize>,
        suspect: &Result<&'b Dossier, String>,
    ) -> Result<&'b Dossier, String> {
        match stranger {
            Some(other) if !self.plan.strangers[reference].contains(&other) => Err(format!(
                "{} was mixed into the suspect",
                self.plan.members[other].name
            )),
            _ => suspect.clone(),
        }
    }

    /// The bare pair: controls are pairs of their own here, and would only cost time; but for methods that
    /// are made for a panel.
    fn pair<'b>(&self, reference: Subject<'b>, suspect: Subject<'b>) -> Pair<'b> {
        Pair {
            reference,
            suspect,
            population: &[],
            derived: None,
            references: &[],
            seed: self.work.seed,
            memo: Memo::default(),
        }
    }

    /// What each method needs on the first pair, alone.
    pub(super) fn memory(&self) -> BTreeMap<&'static str, u64> {
        let Some(task) = self.plan.tasks.first() else {
            return BTreeMap::new();
        };
        let grown = |method: &&'static dyn Evidence| {
            let of = |place: usize| self.dossiers[place].subject_of(method.card().id);
            let pair = self.pair(of(task.reference), of(task.suspect));
            let (_, bytes) = memory::growth(|| method.assess(&pair).is_ok());
            Some((method.card().id, bytes?))
        };
        self.work.methods.iter().filter_map(grown).collect()
    }
}

fn assess(method: &dyn Evidence, pair: &Pair<'_>) -> Score {
    let start = Instant::now();
    let outcome = method.assess(pair).map_err(|error| error.to_string());
    Score::of(method.card(), outcome, start.elapsed().as_secs_f64())
}
