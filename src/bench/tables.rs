//! Scores -> calibration tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use super::error;
use super::error::Error;
use super::measure::Bench;
use super::plan::Plan;
use super::score::Measured;
use super::score::Score;
use super::score::card;
use crate::evidence::Card;
use crate::verdict::Population;
use crate::verdict::population;
use crate::verdict::population::ByRuns;
use crate::verdict::population::INDEPENDENT;
use crate::verdict::population::Measure;
use crate::verdict::population::is_lineage;

/// The tables that likelihood ratios come from: all pairs of the zoo, and pairs of independent runs
/// among the models that are not of it.
///
/// A model of the zoo and another network that it was never meant to be like are no unit: such pairs
/// cost nothing to tell apart, and would only raise the number of pairs that a ratio may not exceed.
/// Kin outside the zoo stay out as well: that they share a run does not say what they share.
pub fn to_calibrate(plan: &Plan, bench: &Bench, tool: &str, seed: u64) -> Vec<Population> {
    let counts = |one: &&Measured| {
        let strangers = one.task.relation == INDEPENDENT;
        plan.is_of_zoo(&one.task) || (plan.is_real(&one.task) && strangers)
    };
    let measured: Vec<Measured> = bench.measured.iter().filter(counts).cloned().collect();
    let members = plan.members.iter();
    let digests = members.filter_map(|member| {
        let digest = bench.digests.get(&member.name)?;
        Some((member.name.clone(), digest.clone()))
    });
    tables(plan, &measured, &digests.collect(), tool, seed)
}

/// The tables of all methods that gave a number, but for published ones that no verdict reads, at run
/// level: the lowest score of kin of one run, the highest of a pair of runs.
///
/// Merged models have weights of several runs; their scores stand under all of their runs, and
/// against one of those runs they are kin.
pub fn tables(
    plan: &Plan,
    measured: &[Measured],
    digests: &BTreeMap<String, String>,
    tool: &str,
    seed: u64,
) -> Vec<Population> {
    let mut methods: Vec<&str> = Vec::new();
    for score in measured.iter().flat_map(|one| &one.scores) {
        let compared = card(&score.method).is_some_and(Card::is_for_comparison);
        if !compared && !methods.contains(&score.method.as_str()) {
            methods.push(&score.method);
        }
    }
    let of = |method: &str| {
        let mut table = Population {
            schema: population::SCHEMA.to_owned(),
            method: method.to_owned(),
            version: card(method)?.version,
            family: card(method)?.family.to_owned(),
            tool: tool.to_owned(),
            seed,
            score: measure(measured, method),
            cost: None,
            models: digests.clone(),
            scores: scores(plan, measured, method),
        };
        table.cost = table.cross_fitted_cost().map(rounded);
        (!table.scores.is_empty()).then_some(table)
    };
    methods.into_iter().filter_map(of).collect()
}

/// Which number of a method is its score: an exact p-value where it has one.
pub fn measure(measured: &[Measured], method: &str) -> Measure {
    let mut scores = measured.iter().filter_map(|one| one.score(method));
    if scores.any(|score| score.log10_p.is_some()) {
        Measure::MinusLog10P
    } else {
        Measure::Statistic
    }
}

/// The score of one row.
pub fn value(score: &Score, measure: Measure) -> Option<f64> {
    match measure {
        Measure::Statistic => score.statistic,
        Measure::MinusLog10P => score.log10_p.map(|p| -p),
    }
}

fn scores(
    plan: &Plan,
    measured: &[Measured],
    method: &str,
) -> BTreeMap<String, BTreeMap<String, ByRuns>> {
    let by = measure(measured, method);
    let mut scores: BTreeMap<String, BTreeMap<String, ByRuns>> = BTreeMap::new();
    for one in measured {
        let Some(value) = one.score(method).and_then(|score| value(score, by)) else {
            continue;
        };
        let value = rounded(value);
        let relation = &one.task.relation;
        let runs: Vec<String> = plan.runs(&one.task).into_iter().collect();
        let cell = scores
            .entry(plan.changes[one.task.change].name().to_owned())
            .or_default()
            .entry(relation.clone())
            .or_default();
        let kept = cell.entry(runs.join(" ")).or_insert(value);
        // What counts against us: the weakest kin, the most alike strangers.
        *kept = if is_lineage(relation) {
            kept.min(value)
        } else {
            kept.max(value)
        };
        debug_assert!(relation != INDEPENDENT || runs.len() > 1);
    }
    scores
}

/// To six significant digits: enough to rank, short in a file.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Writes the tables below `data_root`; tables of other versions of the same methods are removed.
///
/// # Errors
/// What the file system answers.
pub fn write(data_root: &Path, tables: &[Population]) -> Result<Vec<PathBuf>, Error> {
    let folder = data_root.join(population::FOLDER);
    let mut written = Vec::new();
    for table in tables {
        let path = folder.join(table.file_name());
        error::write(&path, &table.to_text()?)?;
        written.push(path);
    }
    for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
        let path = entry.map_err(Error::io(&folder))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let of_ours = |table: &Population| name.starts_with(&format!("{}@", table.method));
        if name.ends_with(".json") && tables.iter().any(of_ours) && !written.contains(&path) {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(written)
}

/// Keeps what the bench printed beside its tables.
///
/// # Errors
/// What the file system answers.
pub fn write_printed(data_root: &Path, text: &str) -> Result<(), Error> {
    error::write(&data_root.join(population::FOLDER).join("bench.txt"), text)
}

#[cfg(test)]
mod tests;
