//! What the deciding methods find of what the tables know: without an answer nothing is called
//! independent.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::IDENTICAL;
use super::population::{SHARED_INITIALISATION, is_lineage};
use super::ratio::Fits;
use super::{Calibration, Population};
use crate::evidence::Assessment;

/// A method that gives a number only for tensors that are known by role.
const BY_ROLE: &str = "weight.unit_agreement";

/// `(change, relation, runs)` of a table.
type Place<'a> = (&'a str, &'a str, &'a str);

/// A known relation under a known change that the deciding methods that apply here do not find in
/// every run of the tables, in words; `None` when they find all of them.
///
/// All tables count, those of the pair's own runs too: leaving any out could only hide what is missed.
pub(super) fn blind_spot(evidence: &[Assessment], calibration: &Calibration) -> Option<String> {
    let applying: BTreeSet<String> = calibration
        .everything
        .tables
        .iter()
        .filter(|table| applies(table, evidence))
        .map(Population::file_name)
        .collect();
    let known = calibration.everything.blind_spots.lock();
    let mut known = known.unwrap_or_else(std::sync::PoisonError::into_inner);
    known
        .entry(applying)
        .or_insert_with(|| missed(evidence, calibration))
        .clone()
}

fn missed(evidence: &[Assessment], calibration: &Calibration) -> Option<String> {
    let tables = &calibration.everything.tables;
    let found = found(tables, calibration, |table| applies(table, evidence));
    let named = evidence
        .iter()
        .any(|one| one.card.id == BY_ROLE && one.finding().is_some());
    let mut known: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (change, relation, by_runs) in tables.iter().flat_map(Population::cells) {
        // Tensors that were assigned to roles are anonymous no longer, whatever they were called.
        if is_lineage(relation) && !(named && change.contains("rename=")) {
            let runs = known.entry((change, relation)).or_default();
            runs.extend(by_runs.keys().map(String::as_str));
        }
    }
    if known.is_empty() {
        return Some("no table says which relations would have been found".to_owned());
    }
    known.into_iter().find_map(|((change, relation), runs)| {
        let missed = runs
            .iter()
            .filter(|runs| !found.contains(&(change, relation, **runs)))
            .count();
        (missed > 0).then(|| {
            format!(
                "kin of the zoo ({}, suspect changed by: {change}) are missed in {missed} of {} runs",
                relation.replace('_', " "),
                runs.len()
            )
        })
    })
}

/// The score of `table` below which a pair that shares its start is taken to share no more.
///
/// Of all pairs of the tables that a method which reads models as stored finds: half-way between the highest score of
/// known shared starts and the lowest of known kin where both are known and apart, the lowest of known
/// kin where no shared start is known.
pub(super) fn start_below(table: &Population, calibration: &Calibration) -> Option<f64> {
    let as_stored = |table: &Population| calibration.shared_start_where.contains(&table.method);
    let found = alone(&calibration.populations, calibration, as_stored);
    let (mut shared, mut kin) = (f64::NEG_INFINITY, f64::INFINITY);
    for (change, relation, by_runs) in table.cells() {
        for (runs, score) in by_runs {
            if !found.contains(&(change, relation, runs.as_str())) {
                continue;
            }
            if relation == SHARED_INITIALISATION {
                shared = shared.max(*score);
            } else if is_lineage(relation) {
                kin = kin.min(*score);
            }
        }
    }
    match (shared.is_finite(), kin.is_finite()) {
        (true, true) if shared < kin => Some((shared + kin) / 2.0),
        (false, true) => Some(kin),
        _ => None,
    }
}

/// What the deciding methods among `tables` find: each alone by its level, or all together by their
/// ratios, taken from tables without the runs in question.
fn found<'a>(
    tables: &'a [Population],
    calibration: &Calibration,
    counts: impl Fn(&Population) -> bool,
) -> BTreeSet<Place<'a>> {
    let mut found = alone(tables, calibration, &counts);
    let mut scores: BTreeMap<Place<'a>, Vec<(&Population, f64)>> = BTreeMap::new();
    for table in tables.iter().filter(|table| counts(table)) {
        for (place, score) in places(table) {
            if is_lineage(place.1) && !found.contains(&place) {
                scores.entry(place).or_default().push((table, score));
            }
        }
    }
    let mut fits: BTreeMap<&str, Fits> = BTreeMap::new();
    for (place, scores) in scores {
        let fits = fits.entry(place.2).or_insert_with(|| {
            let runs = place.2.split(' ').map(str::to_owned).collect();
            Fits::of(&calibration.without(&runs))
        });
        let combined = fits.combined(scores.into_iter(), calibration);
        let enough = calibration.population.decides_at_log10_lr;
        if combined.is_some_and(|combined| combined.log10_lr >= enough) {
            found.insert(place);
        }
    }
    found
}

/// What the deciding methods among `tables` find each alone, by its level.
fn alone<'a>(
    tables: &'a [Population],
    calibration: &Calibration,
    counts: impl Fn(&Population) -> bool,
) -> BTreeSet<Place<'a>> {
    let mut found = BTreeSet::new();
    for table in tables.iter().filter(|table| counts(table)) {
        let Some(level) = level(table, calibration) else {
            continue;
        };
        let high = places(table).filter(|(_, score)| *score >= level);
        found.extend(high.map(|(place, _)| place));
    }
    found
}

fn places(table: &Population) -> impl Iterator<Item = (Place<'_>, f64)> {
    table.cells().flat_map(|(change, relation, by_runs)| {
        let scores = by_runs.iter();
        scores.map(move |(runs, score)| ((change, relation, runs.as_str()), *score))
    })
}

fn applies(table: &Population, evidence: &[Assessment]) -> bool {
    evidence.iter().any(|assessment| {
        let card = assessment.card;
        card.id == table.method && card.version == table.version && assessment.finding().is_some()
    })
}

/// The score at which a method alone concludes `related`.
fn level(table: &Population, calibration: &Calibration) -> Option<f64> {
    if table.method == IDENTICAL {
        let identical = &calibration.identical;
        return (identical.version == table.version).then_some(identical.decides_at_share);
    }
    let test = calibration.exact.get(&table.method)?;
    (test.version == table.version).then_some(-test.decides_at_log10_p)
}
