//! Which pairs are measured, under which changes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

use super::change::Change;
use super::error::Error;
use super::settings::Settings;
use super::settings::Tier;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::verdict::population::INDEPENDENT;
use crate::zoo::list;
use crate::zoo::pairs::Kinship;
use crate::zoo::pairs::SIBLINGS;

/// Relation of a model to itself, before a change.
pub const SELF: &str = "identical";

/// One model on the bench.
#[derive(Debug, Clone)]
pub struct Member {
    /// Unique on this bench.
    pub name: String,
    /// Where it is.
    pub place: ModelRef,
    /// Pre-training runs it has weights of.
    pub runs: BTreeSet<String>,
    /// Whether it stands for its run: changes are measured against such members, and only pairs of
    /// them are negatives under a change.
    pub base: bool,
    /// Whether it is a member of the zoo.
    pub zoo: bool,
    /// Text and tokenizer that its first run learnt; members of one kind are each other's panel.
    pub kind: Option<(String, String)>,
    /// What it went through after its parent, or with its teacher.
    pub lesson: Option<Lesson>,
}

/// What a member learnt from where another one was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// Its parent, or its teacher.
    pub elder: String,
    /// The course.
    pub course: String,
}

/// One pair under one change of the suspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Place of the reference among the members.
    pub reference: usize,
    /// Place of the suspect.
    pub suspect: usize,
    /// Place of the change.
    pub change: usize,
    /// What is known of the two.
    pub relation: String,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Models, in the order of the list.
    pub members: Vec<Member>,
    /// Changes, nothing first.
    pub changes: Vec<Change>,
    /// In the order of scores.csv.
    pub tasks: Vec<Task>,
    /// For each member the bases of independent runs, in the order of the list: what may be mixed in.
    pub strangers: Vec<Vec<usize>>,
    /// For each member what may be mixed in over a common base: children of its parent, or of itself
    /// if it has none.
    pub family: Vec<Vec<Mix>>,
}

/// Course and tokenizer of the first run that a member has weights of.
fn kind(listed: &[list::Member], kinship: &Kinship, name: &str) -> Option<(String, String)> {
    let run = kinship.runs(name).into_iter().next()?;
    let base = listed.iter().find(|member| member.name == run)?;
    let course = base.training.as_ref()?.course.clone();
    Some((course, base.initial.as_ref()?.tokenizer.clone()))
}

fn lesson(member: &list::Member) -> Option<Lesson> {
    let elder = member.parent.as_ref().or(member.teacher.as_ref())?;
    Some(Lesson {
        elder: elder.clone(),
        course: member.training.as_ref()?.course.clone(),
    })
}

/// What a merge mixes into a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Place of the second model.
    pub other: usize,
    /// Place of the model that both come from, where the merge asks for it.
    pub base: Option<usize>,
}

impl Plan {
    /// All members of the tier's collection below `data_root` and the models in the folders `real`, under the
    /// changes of `tier`.
    ///
    /// Without a change every pair is measured once, the elder first. Under a change the suspect is
    /// each member in turn: against itself and every other base if it is a base, against its parent
    /// if it is a child. Models that are not of the zoo are compared unchanged.
    ///
    /// # Errors
    /// Lists that cannot be read, or nothing to measure.
    pub fn new(
        data_root: &Path,
        settings: &Settings,
        tier: &Tier,
        real: &[PathBuf],
    ) -> Result<Self, Error> {
        let listed = list::members(&data_root.join(tier.collection.folder()))?;
        let kinship = Kinship::of(&listed);
        let mut members: Vec<Member> = listed
            .iter()
            .map(|one| Member {
                name: one.name.clone(),
                place: ModelRef {
                    label: None,
                    locator: Locator::Zoo(one.name.clone()),
                },
                runs: kinship.runs(&one.name),
                base: one.parent.is_none(),
                zoo: true,
                kind: kind(&listed, &kinship, &one.name),
                lesson: lesson(one),
            })
            .collect();
        for folder in real {
            members.extend(real_members(folder)?);
        }
        let changes = settings.changes_of(tier);
        let mut plan = Self {
            members,
            changes,
            tasks: Vec::new(),
            strangers: Vec::new(),
            family: Vec::new(),
        };
        plan.strangers = plan.strangers(&kinship);
        plan.family = plan.family(&kinship);
        plan.tasks = plan.all(&kinship);
        if !tier.relations.is_empty() {
            plan.tasks
                .retain(|task| tier.relations.contains(&task.relation));
        }
        if tier.changed_beside_itself {
            let unchanged = |task: &Task| plan.changes[task.change].is_none();
            plan.tasks
                .retain(|task| unchanged(task) || task.relation == SELF);
        }
        if let Some(most) = tier.pairs_of_each_relation {
            plan.thin(most);
        }
        if plan.tasks.is_empty() {
            return Err(Error::Nothing {
                reason: "the zoo has fewer than two members; name models with --real".to_owned(),
            });
        }
        Ok(plan)
    }

    /// The panel for a pair: bases that are independent of both and of the kind of either.
    pub fn panel(&self, task: &Task) -> Vec<usize> {
        let kinds = [task.reference, task.suspect].map(|place| &self.members[place].kind);
        let of_kind = |place: &usize| {
            let kind = &self.members[*place].kind;
            kind.is_some() && kinds.contains(&kind)
        };
        let both = self.strangers[task.reference].iter().copied();
        both.filter(|place| self.strangers[task.suspect].contains(place))
            .filter(of_kind)
            .collect()
    }

    fn all(&self, kinship: &Kinship) -> Vec<Task> {
        let count = self.members.len();
        let mut tasks = Vec::new();
        for change in 0..self.changes.len() {
            for reference in 0..count {
                for suspect in 0..count {
                    let relation = match self.relation(kinship, reference, suspect) {
                        (relation, direct) if self.wanted(change, reference, suspect, direct) => {
                            relation
                        }
                        _ => continue,
                    };
                    tasks.push(Task {
                        reference,
                        suspect,
                        change,
                        relation,
                    });
                }
            }
        }
        tasks
    }

    fn strangers(&self, kinship: &Kinship) -> Vec<Vec<usize>> {
        let places = 0..self.members.len();
        let of = |one: usize| {
            let stranger = |other: &usize| {
                let base = self.members[*other].base;
                base && self.relation(kinship, one, *other).0 == INDEPENDENT
            };
            places.clone().filter(stranger).collect()
        };
        places.clone().map(of).collect()
    }

    fn family(&self, kinship: &Kinship) -> Vec<Vec<Mix>> {
        let places = 0..self.members.len();
        let made_from = |child: usize, parent: usize| {
            let (child, parent) = (&self.members[child], &self.members[parent]);
            // A child with weights of another run would bring in a stranger.
            kinship.made_from(&child.name, &parent.name) && child.runs == parent.runs
        };
        let of = |one: usize| {
            let parent = places.clone().find(|parent| made_from(one, *parent));
            let base = parent.unwrap_or(one);
            let others = places.clone().filter(|other| *other != one);
            others
                .filter(|other| made_from(*other, base))
                .map(|other| Mix {
                    other,
                    base: Some(base),
                })
                .collect()
        };
        places.clone().map(of).collect()
    }

    /// The known relation, and whether the suspect was made from the reference in one step.
    fn relation(&self, kinship: &Kinship, reference: usize, suspect: usize) -> (String, bool) {
        let (a, b) = (&self.members[reference], &self.members[suspect]);
        if reference == suspect {
            return (SELF.to_owned(), false);
        }
        if a.zoo && b.zoo {
            let pair = kinship.pair(&a.name, &b.name);
            let direct = kinship.made_from(&b.name, &a.name);
            return (pair.relation, direct);
        }
        let word = if a.runs.is_disjoint(&b.runs) {
            INDEPENDENT
        } else {
            SIBLINGS
        };
        (word.to_owned(), false)
    }

    fn wanted(&self, change: usize, reference: usize, suspect: usize, direct: bool) -> bool {
        if self.changes[change].is_none() {
            return reference < suspect;
        }
        let (a, b) = (&self.members[reference], &self.members[suspect]);
        let bases = a.base && b.base && a.zoo && b.zoo;
        bases || direct
    }

    /// The first `most` tasks of each relation and change, those of two models that are not of the zoo
    /// apart: all of these were asked for by name.
    fn thin(&mut self, most: usize) {
        let mut taken: BTreeMap<(usize, String, bool), usize> = BTreeMap::new();
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.retain(|task| {
            let mixed = self.is_mixed(task);
            let count = taken
                .entry((task.change, task.relation.clone(), mixed))
                .or_default();
            *count += 1;
            *count <= most || self.is_real(task)
        });
        self.tasks = tasks;
    }

    /// Whether both models of a task are of the zoo.
    pub fn is_of_zoo(&self, task: &Task) -> bool {
        self.members[task.reference].zoo && self.members[task.suspect].zoo
    }

    /// Whether neither model of a task is of the zoo.
    pub fn is_real(&self, task: &Task) -> bool {
        !self.members[task.reference].zoo && !self.members[task.suspect].zoo
    }

    /// Whether one model of a task is of the zoo and the other is not: two networks that were never
    /// meant to be alike. What is called there is a false alarm, but that nothing is called says little.
    fn is_mixed(&self, task: &Task) -> bool {
        !self.is_of_zoo(task) && !self.is_real(task)
    }

    /// The runs of both models of a task.
    pub fn runs(&self, task: &Task) -> BTreeSet<String> {
        let (a, b) = (&self.members[task.reference], &self.members[task.suspect]);
        a.runs.union(&b.runs).cloned().collect()
    }
}

/// A row of `runs.csv`.
#[derive(Deserialize)]
struct Row {
    model: String,
    run: String,
}

/// The models in a folder of folders; each is a run of its own unless `runs.csv` (`model,run`) says
/// which of them share one.
fn real_members(folder: &Path) -> Result<Vec<Member>, Error> {
    let refuse = |path: &Path, reason: &str| Error::Real {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    };
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    paths.sort();
    let stated = folder.join("runs.csv");
    let mut runs: BTreeMap<String, String> = BTreeMap::new();
    if stated.exists() {
        let mut reader =
            csv::Reader::from_path(&stated).map_err(|error| refuse(&stated, &error.to_string()))?;
        for row in reader.deserialize() {
            let row: Row = row.map_err(|error| refuse(&stated, &error.to_string()))?;
            runs.insert(row.model, row.run);
        }
    }
    let mut members = Vec::new();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let Some(name) = name.filter(|name| name.chars().all(plain)) else {
            return Err(refuse(&path, "rename it: letters, digits and ._- only"));
        };
        let run = runs.get(name).map_or(name, String::as_str);
        if !run.chars().all(plain) {
            return Err(refuse(
                &stated,
                "a run's name is of letters, digits and ._-",
            ));
        }
        members.push(Member {
            name: format!("real-{name}"),
            place: ModelRef {
                label: None,
                locator: Locator::Local(path.clone()),
            },
            runs: BTreeSet::from([format!("real-{run}")]),
            base: false,
            zoo: false,
            kind: None,
            lesson: None,
        });
    }
    if members.is_empty() {
        return Err(refuse(
            folder,
            "no model folder in it; name a folder of model folders",
        ));
    }
    Ok(members)
}
