//! Shipped Gram matrices of models that have nothing to do with those that are compared.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::Result;

use crate::cli::Global;
use crate::cli::pipeline::strangers;
use crate::record::grams;
use crate::record::grams::ReferenceGrams;
use crate::record::tapped::Pool;
use crate::source;
use crate::source::Collection;
use crate::source::ZooMember;
use crate::verdict::Calibration;

/// Those whose prompts were `read`, without models of the runs of files with any of `digests`, of `runs`, and of
/// runs that share a start with those or taught them.
///
/// # Errors
/// A folder of them that is damaged, or data that cannot be read.
pub fn of_other_runs(
    global: &Global,
    (pool, prompts): (Pool, &BTreeMap<String, String>),
    digests: &[&str],
    runs: &[&str],
) -> Result<Vec<ReferenceGrams>> {
    let root = source::data_root(global.data.as_deref())?;
    let mut found = grams::read(&root.join(grams::FOLDER), pool, prompts)?;
    if found.is_empty() {
        return Ok(found);
    }
    let members = source::zoo_members(&root, Collection::Text)?;
    let calibration = Calibration::load(&root)?;
    let of_files = digests
        .iter()
        .filter_map(|digest| run(&members, &calibration, digest));
    let mut ours: BTreeSet<String> = runs.iter().map(|run| (*run).to_owned()).collect();
    ours.extend(of_files);
    // A reference that is one of the files tells its run, whoever listed it.
    let same = |one: &&ReferenceGrams| one.digest.as_deref().is_some_and(|d| digests.contains(&d));
    ours.extend(found.iter().filter(same).map(|one| one.run.clone()));
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let zoo: BTreeSet<&str> = members
        .iter()
        .filter_map(|one| one.run.as_deref())
        .collect();
    let apart = strangers(&members, &ours).into_iter();
    let apart: BTreeSet<&str> = apart.filter_map(|one| one.run.as_deref()).collect();
    found.retain(|one| {
        let run = one.run.as_str();
        !ours.contains(&run) && (!zoo.contains(run) || apart.contains(run))
    });
    Ok(found)
}

/// The pre-training run of files with `digest`, where the tables or the list of the zoo know it.
///
/// # Errors
/// Data that cannot be read.
pub fn run_of(global: &Global, digest: Option<&str>) -> Result<Option<String>> {
    let root = source::data_root(global.data.as_deref())?;
    let members = source::zoo_members(&root, Collection::Text)?;
    let calibration = Calibration::load(&root)?;
    Ok(digest.and_then(|digest| run(&members, &calibration, digest)))
}

fn run(members: &[ZooMember], calibration: &Calibration, digest: &str) -> Option<String> {
    let names = calibration.known_as(digest);
    let known = names.iter().filter_map(|name| {
        let member = members.iter().find(|member| member.name == *name)?;
        member.run.clone()
    });
    known.into_iter().next()
}
