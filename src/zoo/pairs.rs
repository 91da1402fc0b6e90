//! What is known of every ordered pair of members: the truth that methods are held against.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::list::Member;
use super::transform::Transformation;
use crate::verdict::population::DISTILLED;
use crate::verdict::population::INDEPENDENT;
use crate::verdict::population::SHARED_INITIALISATION;

/// Where the list lies below the data root.
pub const PATH: &str = "datasets/pairs.csv";

/// Made from a model that was itself made from the other.
pub const GRANDCHILD: &str = "grandchild";

/// Both made from a third, neither from the other.
pub const SIBLINGS: &str = "siblings";

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// First model.
    pub reference: String,
    /// Second model.
    pub suspect: String,
    /// A word of `findings.lineage.relation`, or `independent`, `shared_initialisation`, `distilled`,
    /// `siblings`, `grandchild`.
    pub relation: String,
    /// `reference_to_suspect`, `suspect_to_reference` or `none`.
    pub direction: String,
    /// What was done between the elder and the younger, oldest first, separated by `;`.
    pub transformations: String,
}

/// Descent among members, as their list tells it.
#[derive(Debug, Clone)]
pub struct Kinship {
    members: BTreeMap<String, Kin>,
    order: Vec<String>,
}

#[derive(Debug, Clone)]
struct Kin {
    parents: Vec<String>,
    teachers: Vec<String>,
    relation: Option<String>,
    initial: Option<(String, String, u64)>,
    done: Vec<String>,
}

impl Kinship {
    /// Reads descent off the list.
    ///
    /// A member descends from its `parent`, and from every other member that its entry names (the
    /// second parent of a merge). From its `teacher`, or where none is named and its relation is
    /// `distilled` from its parent, it has answers and no weights.
    pub fn of(members: &[Member]) -> Self {
        let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let kin = |member: &Member| {
            let named = named(member, &names);
            let mut teachers: Vec<String> = member.teacher.iter().cloned().collect();
            let parents = match (member.relation.as_deref(), teachers.is_empty()) {
                (Some(DISTILLED), true) => {
                    teachers = named;
                    Vec::new()
                }
                _ => named,
            };
            Kin {
                parents,
                teachers,
                relation: member.relation.clone(),
                initial: member.initial.as_ref().map(|start| {
                    let (architecture, tokenizer) = (&start.architecture, &start.tokenizer);
                    (architecture.clone(), tokenizer.clone(), start.seed)
                }),
                done: done(member),
            }
        };
        Self {
            members: members
                .iter()
                .map(|member| (member.name.clone(), kin(member)))
                .collect(),
            order: members.iter().map(|member| member.name.clone()).collect(),
        }
    }

    /// Every ordered pair of different members, in the order of their list.
    pub fn pairs(&self) -> Vec<Pair> {
        let names = &self.order;
        let all = names.iter().flat_map(|a| names.iter().map(move |b| (a, b)));
        all.filter(|(a, b)| a != b)
            .map(|(a, b)| self.pair(a, b))
            .collect()
    }

    /// What is known of one pair of members.
    pub fn pair(&self, reference: &str, suspect: &str) -> Pair {
        let (relation, direction, path) = self.relation(reference, suspect);
        let done: Vec<&str> = path
            .iter()
            .filter_map(|name| self.members.get(name))
            .flat_map(|kin| kin.done.iter().map(String::as_str))
            .collect();
        Pair {
            reference: reference.to_owned(),
            suspect: suspect.to_owned(),
            relation,
            direction: direction.to_owned(),
            transformations: done.join(";"),
        }
    }

    /// Whether `child` was made from `parent` in one step.
    pub fn made_from(&self, child: &str, parent: &str) -> bool {
        let parents = self.members.get(child).map(|kin| &kin.parents[..]);
        parents.unwrap_or_default().iter().any(|one| one == parent)
    }

    /// The pre-training runs whose weights a member has: the bases it descends from.
    pub fn runs(&self, name: &str) -> BTreeSet<String> {
        let parents = self.members.get(name).map(|kin| &kin.parents[..]);
        match parents {
            Some(parents) if !parents.is_empty() => parents
                .iter()
                .flat_map(|parent| self.runs(parent))
                .collect(),
            _ => BTreeSet::from([name.to_owned()]),
        }
    }

    /// Relation, direction, and the younger ones on the way from the elder.
    fn relation(&self, a: &str, b: &str) -> (String, &'static str, Vec<String>) {
        for (elder, younger, direction) in [
            (a, b, "reference_to_suspect"),
            (b, a, "suspect_to_reference"),
        ] {
            if let Some(path) = self.path(elder, younger) {
                let own = self.members[younger].relation.clone();
                let relation = match path.len() {
                    1 => own.unwrap_or_else(|| "related".to_owned()),
                    _ => GRANDCHILD.to_owned(),
                };
                return (relation, direction, path);
            }
            let taught = self.runs(younger).iter().any(|root| {
                let teachers = self.members.get(root).map(|kin| &kin.teachers[..]);
                let mut teachers = teachers.unwrap_or_default().iter();
                teachers.any(|teacher| !self.runs(teacher).is_disjoint(&self.runs(elder)))
            });
            if taught {
                return (DISTILLED.to_owned(), direction, Vec::new());
            }
        }
        let word = if !self.runs(a).is_disjoint(&self.runs(b)) {
            SIBLINGS
        } else if self.same_start(a, b) {
            SHARED_INITIALISATION
        } else {
            INDEPENDENT
        };
        (word.to_owned(), "none", Vec::new())
    }

    /// Whether a base of one has the initial weights of a base of the other.
    fn same_start(&self, a: &str, b: &str) -> bool {
        let starts = |name: &str| -> BTreeSet<_> {
            let runs = self.runs(name);
            let of = |run: &String| self.members.get(run)?.initial.clone();
            runs.iter().filter_map(of).collect()
        };
        !starts(a).is_disjoint(&starts(b))
    }

    /// The shortest way from `elder` down to `younger`, without the elder; `None` if there is none.
    fn path(&self, elder: &str, younger: &str) -> Option<Vec<String>> {
        let parents = &self.members.get(younger)?.parents;
        if parents.iter().any(|parent| parent == elder) {
            return Some(vec![younger.to_owned()]);
        }
        let ways = parents.iter().filter_map(|parent| self.path(elder, parent));
        let mut way = ways.min_by_key(Vec::len)?;
        way.push(younger.to_owned());
        Some(way)
    }
}

/// The list as CSV with a header.
///
/// # Errors
/// Only what the CSV writer reports for memory.
pub fn to_csv(pairs: &[Pair]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for pair in pairs {
        writer.serialize(pair)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Other members that a member's entry names, its parent first; recipes put parents before children.
fn named(member: &Member, names: &BTreeSet<&str>) -> Vec<String> {
    let mut found = BTreeSet::new();
    if let Ok(Value::Object(mut entry)) = serde_json::to_value(member) {
        // What is said in other words than names, some of which a member may happen to be called by.
        let others = [
            "name", "run", "relation", "initial", "teacher", "training", "files",
        ];
        for key in others {
            entry.shift_remove(key);
        }
        mentions(&Value::Object(entry), names, &mut found);
    }
    found.remove(&member.name);
    let parent = member.parent.clone();
    found.retain(|name| Some(name) != parent.as_ref());
    parent.into_iter().chain(found).collect()
}

/// Every text in `value` that is a member's name.
fn mentions(value: &Value, names: &BTreeSet<&str>, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if names.contains(text.as_str()) => {
            found.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|one| mentions(one, names, found)),
        Value::Object(entries) => entries.values().for_each(|one| mentions(one, names, found)),
        _ => {}
    }
}

/// Training and transformations of a member in order, in words of the recipes.
fn done(member: &Member) -> Vec<String> {
    let word = |one: &Transformation| match serde_json::to_value(one).ok()? {
        Value::String(name) => Some(name),
        Value::Object(entry) => entry.keys().next().cloned(),
        _ => None,
    };
    let trained = member
        .training
        .iter()
        .map(|training| format!("train={}", training.course));
    let before = member.preparation.iter().filter_map(word);
    let after = member.transformations.iter().filter_map(word);
    before.chain(trained).chain(after).collect()
}

#[cfg(test)]
mod tests;
