//! Runs the plan: models are opened and recorded once, pairs are measured in parallel.

mod pairs;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::Digest;
use sha2::Sha256;

use super::change::Made;
use super::error::Error;
use super::journal::Header;
use super::journal::Journal;
use super::listening::Listening;
use super::memory;
use super::merges::Merge;
use super::plan::Mix;
use super::plan::Plan;
use super::plan::Task;
use super::score::Measured;
use super::score::Score;
use super::subject::Desk;
use super::subject::Dossier;
use crate::evidence;
use crate::evidence::Evidence;
use crate::evidence::Needs;
use crate::probe::Suite;
use crate::record::RecordingStore;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::source::Progress;

/// How the plan is run.
pub struct Work {
    /// How models are opened.
    pub options: OpenOptions,
    /// Journal, recordings and changed models are kept here.
    pub folder: PathBuf,
    /// Methods to run, in the order of a report.
    pub methods: Vec<&'static dyn Evidence>,
    /// Asked of every model.
    pub suites: Vec<Suite>,
    /// Recorded of every model for single methods.
    pub taps: Vec<Listening>,
    /// Of every random choice.
    pub seed: u64,
    /// Threads; all cores when absent.
    pub jobs: Option<usize>,
    /// Whether changed models stay on disk.
    pub keep_models: bool,
    /// Who is told how far it is.
    pub progress: Arc<dyn Progress>,
}

/// What was measured.
#[derive(Debug)]
pub struct Bench {
    /// In the order of the plan.
    pub measured: Vec<Measured>,
    /// Digest of every member.
    pub digests: BTreeMap<String, String>,
    /// Growth of peak memory by method, on one pair, where the system tells.
    pub memory: BTreeMap<&'static str, u64>,
    /// Peak memory of the whole process.
    pub peak: Option<u64>,
    /// What merges were made of, by the numbers.
    pub merges: Vec<Merge>,
    /// Pairs that an earlier run had finished.
    pub resumed: usize,
}

impl Work {
    /// The methods whose id is one of `ids`; all when there is none.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`].
    pub fn methods(ids: &[String]) -> Result<Vec<&'static dyn Evidence>, Error> {
        let all: Vec<&'static dyn Evidence> = evidence::methods().collect();
        let known: Vec<&str> = all.iter().map(|method| method.card().id).collect();
        if let Some(id) = ids.iter().find(|id| !known.contains(&id.as_str())) {
            return Err(Error::UnknownMethod {
                id: id.clone(),
                known: known.join(", "),
            });
        }
        Ok(all
            .into_iter()
            .filter(|method| ids.is_empty() || ids.iter().any(|id| id == method.card().id))
            .collect())
    }
}

/// Measures every task of `plan` that the journal does not hold yet.
///
/// # Errors
/// Models or folders that cannot be read or written; what was finished is kept.
pub fn measure(plan: &Plan, work: &Work) -> Result<Bench, Error> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(jobs) = work.jobs {
        pool = pool.num_threads(jobs);
    }
    pool.build()?.install(|| Run::new(plan, work)?.all())
}

pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub work: &'a Work,
    desk: Desk<'a>,
    journal: Journal,
    pub dossiers: Vec<Dossier>,
}

/// Tasks with one suspect under one change.
type Group = (usize, usize, Vec<usize>);

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, work: &'a Work) -> Result<Self, Error> {
        let asks = |method: &&dyn Evidence| {
            matches!(
                method.card().needs,
                Needs::Activations | Needs::Answers | Needs::Panel
            )
        };
        let suites = if work.methods.iter().any(asks) {
            &work.suites[..]
        } else {
            &[]
        };
        let desk = Desk {
            options: work.options.clone(),
            suites,
            taps: &work.taps,
            store: RecordingStore::keyed(work.folder.join("recordings")),
        };
        let header = Header {
            build: build()?,
            seed: work.seed,
            suites: suites.iter().map(|suite| suite.sha256.clone()).collect(),
            taps: work.taps.iter().map(ToString::to_string).collect(),
        };
        let journal = Journal::open(&work.folder.join("scores.jsonl"), &header)?;
        let bar = work
            .progress
            .start("opening models", plan.members.len() as u64);
        let dossiers: Result<Vec<Dossier>, Error> = plan
            .members
            .par_iter()
            .map(|member| {
                let dossier = desk
                    .dossier(&member.place, &member.name)
                    .map_err(Error::of(&member.name));
                bar.advance(1);
                dossier
            })
            .collect();
        Ok(Self {
            plan,
            work,
            desk,
            journal,
            dossiers: dossiers?,
        })
    }

    fn all(&self) -> Result<Bench, Error> {
        let memory = self.memory();
        let tasks = &self.plan.tasks;
        let mut results: Vec<Option<Measured>> = tasks.iter().map(|task| self.kept(task)).collect();
        let resumed = results.iter().flatten().count();
        let bar = self.work.progress.start("pairs", tasks.len() as u64);
        bar.advance(resumed as u64);
        let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (at, task) in tasks.iter().enumerate() {
            if results[at].is_none() {
                groups
                    .entry((task.change, task.suspect))
                    .or_default()
                    .push(at);
            }
        }
        let groups: Vec<Group> = groups
            .into_iter()
            .map(|((change, suspect), tasks)| (change, suspect, tasks))
            .collect();
        let fresh: Result<Vec<Vec<(usize, Measured)>>, Error> = groups
            .par_iter()
            .map(|group| {
                let done = self.group(group);
                bar.advance(group.2.len() as u64);
                done
            })
            .collect();
        for (at, one) in fresh?.into_iter().flatten() {
            results[at] = Some(one);
        }
        let digest = |dossier: &Dossier| (dossier.model.label.clone(), dossier.model.digest());
        Ok(Bench {
            measured: results.into_iter().flatten().collect(),
            digests: self.dossiers.iter().map(digest).collect(),
            memory,
            merges: self.merges()?,
            peak: memory::peak(),
            resumed,
        })
    }

    /// All scores of a task, if an earlier run finished them.
    fn kept(&self, task: &Task) -> Option<Measured> {
        let key = self.key(task);
        let kept = |method: &&dyn Evidence| {
            let card = method.card();
            self.journal.score(&key, card.id, card.version).cloned()
        };
        let scores: Option<Vec<Score>> = self.work.methods.iter().map(kept).collect();
        Some(Measured {
            task: task.clone(),
            scores: scores?,
        })
    }

    fn key(&self, task: &Task) -> String {
        let digest = |place: usize| self.dossiers[place].model.digest();
        let mix = self.mix(task.change, task.suspect);
        let mixed = |place: Option<usize>| place.map(digest).unwrap_or_default();
        format!(
            "{} {} {} {}{}",
            digest(task.reference),
            digest(task.suspect),
            self.plan.changes[task.change].name(),
            mixed(mix.map(|mix| mix.other)),
            mixed(mix.and_then(|mix| mix.base)),
        )
    }

    /// What a merge mixes into a suspect: the first base of an independent run that has its shapes, or,
    /// over a common base, the first of its family.
    pub fn mix(&self, change: usize, suspect: usize) -> Option<Mix> {
        let change = &self.plan.changes[change];
        if !change.needs_other() {
            return None;
        }
        let shapes = |place: usize| {
            let weights = &self.dossiers[place].model.weights;
            let roles = weights.roles().map(|role| (*role, weights.shape(role)));
            roles.collect::<Vec<_>>()
        };
        let wanted = shapes(suspect);
        let fits = |place: usize| shapes(place) == wanted;
        if change.needs_base() {
            let mut family = self.plan.family[suspect].iter().copied();
            return family.find(|mix| fits(mix.other) && mix.base.is_none_or(fits));
        }
        let mut strangers = self.plan.strangers[suspect].iter().copied();
        let other = strangers.find(|place| fits(*place))?;
        Some(Mix { other, base: None })
    }

    fn group(&self, (place, suspect, tasks): &Group) -> Result<Vec<(usize, Measured)>, Error> {
        let change = &self.plan.changes[*place];
        let name = &self.plan.members[*suspect].name;
        if change.is_none() {
            return self.pairs(tasks, &Ok(&self.dossiers[*suspect]), None);
        }
        let models = self.work.folder.join("models");
        std::fs::create_dir_all(&models).map_err(Error::io(&models))?;
        let mix = self.mix(*place, *suspect);
        let model = |place: usize| &*self.dossiers[place].model;
        let mixed = [
            mix.map(|mix| model(mix.other)),
            mix.and_then(|mix| mix.base).map(model),
        ];
        let seed = self.work.seed;
        let folder = match change.make(model(*suspect), mixed, seed, &models) {
            Ok(folder) => folder,
            Err(Made::NotApplicable(reason)) => return self.pairs(tasks, &Err(reason), None),
            Err(Made::Failed(error)) => return Err(Error::of(name)(error)),
        };
        let place = ModelRef {
            label: None,
            locator: Locator::Local(folder.clone()),
        };
        let label = format!("{name}+{}", change.name());
        let dossier = self
            .desk
            .dossier(&place, &label)
            .map_err(Error::of(&label))?;
        let stranger = mix.filter(|mix| mix.base.is_none()).map(|mix| mix.other);
        let measured = self.pairs(tasks, &Ok(&dossier), stranger)?;
        if !self.work.keep_models {
            std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        Ok(measured)
    }
}

/// Hash of the running program: scores of another build may have been made by other code.
fn build() -> Result<String, Error> {
    let path = std::env::current_exe().map_err(Error::io(Path::new("the program itself")))?;
    let mut file = std::fs::File::open(&path).map_err(Error::io(&path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(Error::io(&path))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let hex = hash.finalize();
    Ok(hex.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
