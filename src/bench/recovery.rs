//! How exactly what was done to a model is read off it: each model beside its own changed copy.

use serde::Serialize;

use super::change::Change;
use super::merges::Merge;
use super::plan::SELF;
use super::score::Measured;
use super::score::card;
use super::settings::Bars;
use super::summary::Look;
use super::verdicts::Judged;
use crate::evidence::Needs;
use crate::evidence::layers_in_words;
use crate::verdict::Calibration;
use crate::verdict::LineageConclusion;
use crate::verdict::MOVES_HEADS;
use crate::verdict::parents;
use crate::zoo::launder;

/// One change, over all models that it was done to.
#[derive(Debug, Clone, Serialize)]
pub struct Recovered {
    /// Of the suspect.
    pub change: String,
    /// What is read off, in words.
    pub what: String,
    /// Models.
    pub models: usize,
    /// Of which it was read off rightly.
    pub right: usize,
    /// Largest error, where it is a number: of a noise as a share of it, of a parent's share as it is.
    pub worst: Option<f64>,
    /// Of which the verdict calls original and copy related; none for merges, which are not judged here.
    pub related: Option<usize>,
}

/// Every change that leaves something to read off, in the order of the plan.
pub(super) fn recovered(look: &Look<'_>, calibration: &Calibration, bars: Bars) -> Vec<Recovered> {
    let changes = look.plan.changes.iter().enumerate();
    changes
        .filter_map(|(at, change)| {
            let merges = look.bench.merges.iter().filter(|merge| merge.change == at);
            of_merges(change, merges, calibration, bars).or_else(|| {
                let copies = look
                    .pairs()
                    .filter(|(one, _)| one.task.change == at && one.task.relation == SELF);
                of_copies(change, copies, bars)
            })
        })
        .collect()
}

/// What one copy showed: whether it was right and, where it is a number, how far off.
type Reading = (bool, Option<f64>);

fn of_copies<'b>(
    change: &Change,
    copies: impl Iterator<Item = (&'b Measured, &'b Judged)>,
    bars: Bars,
) -> Option<Recovered> {
    let (what, read) = reader(change, bars)?;
    let (mut readings, mut related) = (Vec::new(), 0);
    // Where no method read the weights there is nothing to read it off.
    let weighed = |one: &Measured| {
        let cards = one.scores.iter().filter_map(|score| card(&score.method));
        cards
            .map(|card| card.needs)
            .any(|needs| needs == Needs::Weights)
    };
    for (one, judged) in copies.filter(|(one, _)| weighed(one)) {
        related += usize::from(judged.conclusion == Some(LineageConclusion::Related));
        readings.push(read(one, judged));
    }
    summed(change, what, &readings, Some(related))
}

fn summed(
    change: &Change,
    what: String,
    readings: &[Reading],
    related: Option<usize>,
) -> Option<Recovered> {
    let worst = readings.iter().filter_map(|(_, error)| *error);
    (!readings.is_empty()).then(|| Recovered {
        change: change.name().to_owned(),
        what,
        models: readings.len(),
        right: readings.iter().filter(|(right, _)| *right).count(),
        worst: worst.reduce(f64::max),
        related,
    })
}

/// How one copy is read.
type Read = Box<dyn Fn(&Measured, &Judged) -> Reading>;

/// What a change should leave to read, and how.
fn reader(change: &Change, bars: Bars) -> Option<(String, Read)> {
    if change.is_none() {
        return None;
    }
    if change.exact() {
        return names(change);
    }
    // Rewritings that keep the function may stand around the one change that is read off.
    let mut lossy = change.steps().iter().filter(|step| !step.exact());
    let (Some(step), None) = (lossy.next(), lossy.next()) else {
        return None;
    };
    // A noise is a share of all matrices, of which only some are restored.
    let (difference, size) = match change.steps() {
        [_] => ("weight.difference", "sigma_share"),
        _ => ("weight.restored_difference", "sigma_of_all"),
    };
    let step = step.clone();
    let strength = step.number().unwrap_or(0.0);
    let words = |what: String, read: Read| Some((what, read));
    match step.laundering().name {
        "noise" => words(
            format!("size within {} %", 100.0 * bars.noise),
            Box::new(move |one, _| {
                let error =
                    detail(one, difference, size).map(|share| (share / strength - 1.0).abs());
                (error.is_some_and(|error| error <= bars.noise), error)
            }),
        ),
        "low-rank" => words(
            "rank".to_owned(),
            Box::new(move |one, _| {
                let rank = detail(one, difference, "rank");
                (rank == Some(strength), None)
            }),
        ),
        "round" => words(
            "quantised, bits".to_owned(),
            Box::new(move |one, judged| {
                let bits = detail(one, difference, "grid_bits_suspect");
                let named = judged.relation.as_deref() == Some("quantised");
                (named && bits == Some(strength), None)
            }),
        ),
        "prune" => words(
            "pruned".to_owned(),
            Box::new(|_, judged| (judged.relation.as_deref() == Some("pruned"), None)),
        ),
        "drop-layers" | "duplicate-layers" if change.steps().len() == 1 => words(
            "which block is which".to_owned(),
            Box::new(move |one, _| {
                let right = layers_as_they_are(one, &step).unwrap_or(false);
                (right, None)
            }),
        ),
        _ => None,
    }
}

/// Whether the finding's words for the correspondence are those of the truth.
fn layers_as_they_are(one: &Measured, step: &launder::Step) -> Option<bool> {
    let rows = detail(one, "weight.unit_agreement", "reference_layers")? as usize;
    let truth: Vec<Option<usize>> = launder::blocks_after(step, rows)?
        .into_iter()
        .map(Some)
        .collect();
    let words = &one.score("weight.unit_agreement")?.explanation;
    Some(words.contains(&layers_in_words(&truth, rows)))
}

/// Relations of a copy that computes the same.
const KEPT: [&str; 3] = ["identical", "renamed", "equivalent"];

/// Launderings that the verdict should name, exactly, and no change beside them; `None` when it has no word
/// for any of them.
fn names(change: &Change) -> Option<(String, Read)> {
    let mut due: Vec<&str> = change.steps().iter().flat_map(named).copied().collect();
    // A rotation hides an order of coordinates.
    if due.contains(&"residual_rotated") {
        due.retain(|name| *name != "residual_permuted");
    }
    // Where heads moved, a basis inside them is not seen.
    if due.iter().any(|name| MOVES_HEADS.contains(name)) {
        due.retain(|name| !["query_key_rotated", "value_output_rescaled"].contains(name));
    }
    due.sort_unstable();
    due.dedup();
    if due.is_empty() {
        return None;
    }
    let read = move |_: &Measured, judged: &Judged| {
        let mut found: Vec<&str> = judged.laundering.iter().map(String::as_str).collect();
        found.sort_unstable();
        let kept = judged
            .relation
            .as_deref()
            .is_some_and(|name| KEPT.contains(&name));
        (found == due && kept, None)
    };
    Some(("launderings named, nothing else".to_owned(), Box::new(read)))
}

/// The verdict's words for a step.
fn named(step: &launder::Step) -> &'static [&'static str] {
    match step.laundering().name {
        "rename" => &["renamed"],
        "permute-units" => &["units_permuted"],
        "permute-heads" => &["heads_permuted"],
        "permute-residual" => &["residual_permuted"],
        // A rotation needs the gains out of its way.
        "rotate-residual" => &["gains_folded", "residual_rotated"],
        "fold-gains" => &["gains_folded"],
        "rescale-up-down" => &["units_rescaled"],
        "rescale-value-output" => &["value_output_rescaled"],
        "rotate-query-key" => &["query_key_rotated"],
        "scale-residual" => &["residual_scaled"],
        _ => &[],
    }
}

fn detail(one: &Measured, id: &str, name: &str) -> Option<f64> {
    one.score(id)?.details.get(name).copied()
}

/// Shares of the parents that a merge was made of.
fn of_merges<'b>(
    change: &Change,
    merges: impl Iterator<Item = &'b Merge>,
    calibration: &Calibration,
    bars: Bars,
) -> Option<Recovered> {
    let [step] = change.steps() else {
        return None;
    };
    // Of a thinned merge the strength is what is dropped; both sides count alike.
    let second = match step.laundering().name {
        "merge-linear" | "merge-slerp" => step.number()?,
        "merge-dare" => 0.5,
        _ => return None,
    };
    let reading = |merge: &Merge| {
        let mixed = parents::mixed(&[0, 1], &merge.mixture, &calibration.parents);
        let parts = mixed.map(|mixed| [vec![mixed.whole], mixed.layers].concat());
        let errors = parts.into_iter().flatten().map(|part| {
            let share = part.shares.get(1).copied().unwrap_or(f64::INFINITY);
            (share - second).abs()
        });
        let error = errors.reduce(f64::max);
        (error.is_some_and(|error| error <= bars.share), error)
    };
    let readings: Vec<Reading> = merges.map(reading).collect();
    let what = format!("shares in every block within {}", bars.share);
    summed(change, what, &readings, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_due_are_those_of_the_steps() {
        let read_as = |change: &str, words: &[&str], relation: Option<&str>| {
            let change: Change = change.parse().unwrap();
            let (_, read) = names(&change).unwrap();
            let judged = Judged {
                conclusion: Some(LineageConclusion::Related),
                relation: relation.map(str::to_owned),
                laundering: words.iter().map(|word| (*word).to_owned()).collect(),
                log10_lr: None,
                log10_p: None,
                decided_by: None,
                behaviour: "not_measured",
            };
            let one = Measured {
                task: super::super::plan::Task {
                    reference: 0,
                    suspect: 0,
                    change: 0,
                    relation: SELF.to_owned(),
                },
                scores: Vec::new(),
            };
            read(&one, &judged).0
        };
        let read = |change: &str, words: &[&str]| read_as(change, words, Some("equivalent"));
        assert!(read("permute-units", &["units_permuted"]));
        for other in [None, Some("fine_tuned")] {
            assert!(!read_as("permute-units", &["units_permuted"], other));
        }
        assert!(!read("permute-units", &[]));
        assert!(!read("permute-units", &["renamed", "units_permuted"]));
        let both = "permute-residual+rotate-residual";
        assert!(read(both, &["residual_rotated", "gains_folded"]));
        assert!(!read(both, &["residual_rotated", "residual_permuted"]));
        let inside = "rescale-value-output+permute-heads";
        assert!(read(inside, &["heads_permuted"]));
        assert!(read("rescale-value-output", &["value_output_rescaled"]));
        let nameless: Change = "reshard=2".parse().unwrap();
        assert!(names(&nameless).is_none());
    }

    #[test]
    fn blocks_after_a_step_are_those_that_the_step_leaves() {
        let after = |step: &str, layers| launder::blocks_after(&step.parse().unwrap(), layers);
        assert_eq!(after("drop-layers=1", 4), Some(vec![0, 1, 3]));
        assert_eq!(after("duplicate-layers=1", 4), Some(vec![0, 1, 2, 2, 3]));
        assert_eq!(after("drop-layers=3", 4), None);
        assert_eq!(after("noise=1", 4), None);
    }
}
