//! Whether the same stretches of text surprise two models more than they surprise others.

use std::collections::BTreeMap;

use super::{items, places};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject};
use crate::record::{Place, Record, Recording};
use crate::stat::correlation::pearson;

/// See [`CARD`].
pub(super) struct SurprisalResidual;

static CARD: Card = Card {
    id: "behaviour.surprisal_residual",
    version: 1,
    family: "behaviour.next_token",
    title: "correlation of surprisal residuals",
    measures: "Stretches of the prompts between places where all models end a token: by how much each surprises the \
               reference and the suspect (nats) less its mean surprise for independent models of a panel; the statistic \
               is Pearson's correlation of the two.",
    null: "The same number for independent models, each pair held against the rest of the panel. Interval by drawing \
           prompts.",
    fooled_by: "What all models of one kind share and the panel lacks: the same training data, the same tokenizer; a small \
                panel, whose own noise correlates the residuals.",
    cost: "None beyond the recordings.",
    reference: "Residuals against a panel as in error consistency beyond accuracy (Geirhos et al., NeurIPS 2020); surprisal \
                as the trace of what was read: Kuditipudi et al. (NeurIPS 2025, arXiv 2510.19796).",
    needs: Needs::Panel,
    symmetric: true,
    survives: &[],
};

/// Models that a panel must have: a pair of its own members is held against the rest, which must be there.
const LEAST: usize = 3;

impl Evidence for SurprisalResidual {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        if places::Shared::of(pair.reference, pair.suspect).is_none() {
            return Ok(Outcome::NotApplicable(places::why_missing(pair)));
        }
        let panel = read_along(pair.population);
        if panel.len() < LEAST {
            return Ok(Outcome::NotApplicable(format!(
                "it needs a panel of {LEAST} independent models that were read along, there are {}: name more with \
                 --panel",
                panel.len()
            )));
        }
        let read = Stretches::of(pair.reference, pair.suspect, &panel);
        let found = read.residuals(pair.reference, pair.suspect);
        let Some(statistic) = correlation(found.iter()) else {
            let reason =
                "too few stretches of text lie between places that all models share".to_owned();
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let found = match read.holds(a) && read.holds(b) {
                true => read.residuals(a, b),
                false => Stretches::of(a, b, &panel).residuals(a, b),
            };
            Ok(correlation(found.iter()))
        })?;
        let n = found.iter().map(Vec::len).sum::<usize>() as u64;
        let mut caveats = vec![format!(
            "the noise of a panel of {} alone correlates independent models by about {:.2}",
            panel.len(),
            1.0 / (panel.len() + 1) as f64
        )];
        caveats.extend(controls.caveats());
        let mut details = controls.details(statistic);
        details.insert("items", found.len() as f64);
        Ok(Outcome::Measured(Box::new(Finding {
            statistic,
            n,
            null: controls.words(statistic),
            log10_p: None,
            interval: places::by_items(found.len(), pair.seed, |drawn| {
                correlation(drawn.iter().map(|&at| &found[at]))
            }),
            details,
            explanation: format!(
                "What surprises the reference more or less than {} independent models correlates at {statistic:.3} with \
                 what does so for the suspect, over {n} stretches of {} prompts.",
                panel.len(),
                found.len()
            ),
            caveats,
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: None,
        })))
    }
}

/// The models of whom it is known what they expected along prompts.
fn read_along<'a>(models: &[Subject<'a>]) -> Vec<Subject<'a>> {
    let known = |one: &&Subject<'a>| {
        let mut records = one
            .recordings
            .iter()
            .flat_map(|recording| &recording.records);
        records.any(|record| !record.places.is_empty())
    };
    models.iter().filter(known).copied().collect()
}

fn same(a: Subject<'_>, b: Subject<'_>) -> bool {
    std::ptr::eq(a.model, b.model)
}

/// By how much each stretch of each prompt surprised each of some models.
///
/// Ends are where every one of the models ends a token, so that all pairs among them are held against one
/// text; what lies before the first is not scored by all alike.
struct Stretches<'a> {
    /// Two models and those of the panel.
    models: Vec<Subject<'a>>,
    /// How many of `models`, from the end, are the panel.
    panel: usize,
    /// By prompt, then by stretch: one number for each of `models`, in nats.
    items: Vec<Vec<Vec<f64>>>,
}

impl<'a> Stretches<'a> {
    /// What two models and a whole panel read.
    fn of(a: Subject<'a>, b: Subject<'a>, panel: &[Subject<'a>]) -> Self {
        let mut items = Vec::new();
        for suite in items::shared(a, b) {
            let others: Option<Vec<BTreeMap<&str, &Record>>> = panel
                .iter()
                .map(|one| one.recordings.iter().find(|other| suite.is_of(other)))
                .map(|recording| recording.map(by_item))
                .collect();
            let Some(others) = others else { continue };
            for (x, y) in &suite.items {
                let of_panel = others.iter().map(|one| one.get(x.item.as_str()).copied());
                let records: Option<Vec<&Record>> =
                    [Some(*x), Some(*y)].into_iter().chain(of_panel).collect();
                items.extend(
                    records
                        .map(|records| stretches(&records))
                        .filter(|item| !item.is_empty()),
                );
            }
        }
        Self {
            models: [a, b].into_iter().chain(panel.iter().copied()).collect(),
            panel: panel.len(),
            items,
        }
    }

    /// Whether this model is one of them.
    fn holds(&self, one: Subject<'_>) -> bool {
        self.at(one).is_some()
    }

    fn at(&self, one: Subject<'_>) -> Option<usize> {
        self.models.iter().position(|model| same(*model, one))
    }

    /// By prompt, stretch by stretch: what surprised two of the models more than it surprised those of the
    /// panel that are neither. Empty where no such model is left, or one of the two was not read.
    fn residuals(&self, a: Subject<'_>, b: Subject<'_>) -> Vec<Vec<(f64, f64)>> {
        let (Some(x), Some(y)) = (self.at(a), self.at(b)) else {
            return Vec::new();
        };
        let others: Vec<usize> = (self.models.len() - self.panel..self.models.len())
            .filter(|at| !same(self.models[*at], a) && !same(self.models[*at], b))
            .collect();
        if others.is_empty() {
            return Vec::new();
        }
        let residual = |stretch: &Vec<f64>| {
            let mean = others.iter().map(|at| stretch[*at]).sum::<f64>() / others.len() as f64;
            (stretch[x] - mean, stretch[y] - mean)
        };
        let of = |item: &Vec<Vec<f64>>| item.iter().map(residual).collect();
        self.items.iter().map(of).collect()
    }
}

fn by_item(recording: &Recording) -> BTreeMap<&str, &Record> {
    let records = recording.records.iter();
    records
        .map(|record| (record.item.as_str(), record))
        .collect()
}

/// The surprisal of every record between neighbouring places that all have.
fn stretches(records: &[&Record]) -> Vec<Vec<f64>> {
    let mut all: Vec<u32> = records[0].places.iter().map(|place| place.offset).collect();
    for record in &records[1..] {
        all.retain(|at| {
            let of = |place: &Place| place.offset;
            record.places.binary_search_by_key(at, of).is_ok()
        });
    }
    let between: Vec<Vec<f64>> = records
        .iter()
        .map(|record| sums_between(record, &all))
        .collect();
    (1..all.len())
        .map(|at| between.iter().map(|sums| sums[at - 1]).collect())
        .collect()
}

/// The surprisal of one record from each of `ends` to the next.
fn sums_between(record: &Record, ends: &[u32]) -> Vec<f64> {
    let until = |end: u32| record.places.partition_point(|place| place.offset <= end);
    let sum = |ends: &[u32]| -> f64 {
        let places = &record.places[until(ends[0])..until(ends[1])];
        places.iter().map(|place| f64::from(place.surprisal)).sum()
    };
    ends.windows(2).map(sum).collect()
}

fn correlation<'a>(items: impl Iterator<Item = &'a Vec<(f64, f64)>>) -> Option<f64> {
    let (x, y): (Vec<f64>, Vec<f64>) = items.flatten().copied().unzip();
    pearson(&x, &y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, beside, expecting};
    use crate::stat::random;

    /// Models that read 40 prompts: every text as hard for all, and a model's own surprise.
    fn model(seed: u64, own: u64) -> Open {
        let mut hard = random::stream(0, "hard");
        let mut own = random::stream(own, "own");
        let mut rest = random::stream(seed, "rest");
        let mut open = expecting(
            seed,
            &vec![&[(1, &[("a", 0.5)][..]), (3, &[]), (4, &[]), (7, &[])][..]; 40],
        );
        for record in &mut open.recordings[0].records {
            for place in &mut record.places {
                let value = 3.0 * random::normal(&mut hard)
                    + random::normal(&mut own)
                    + 0.3 * random::normal(&mut rest);
                place.surprisal = value as f32;
            }
        }
        open
    }

    fn outcome(a: &Open, b: &Open, panel: &[Open]) -> Outcome {
        beside(&SurprisalResidual, a, b, panel)
    }

    #[test]
    fn hard_text_is_taken_out_and_kinship_stays() {
        let panel: Vec<Open> = (10..18).map(|seed| model(seed, seed)).collect();
        let (a, kin, other) = (model(1, 1), model(2, 1), model(3, 3));
        let statistic = |b: &Open| match outcome(&a, b, &panel) {
            Outcome::Measured(finding) => {
                // Three stretches between four places.
                assert_eq!(finding.n, 120);
                finding.statistic
            }
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        };
        assert!(statistic(&kin) > 0.8, "{}", statistic(&kin));
        // 1/9 is what the panel's own noise leaves; 0.09 is a standard deviation of 120.
        assert!(
            (statistic(&other) - 1.0 / 9.0).abs() < 0.3,
            "{}",
            statistic(&other)
        );
    }

    #[test]
    fn a_small_panel_is_refused_with_the_way_out() {
        let (a, b) = (model(1, 1), model(2, 2));
        let Outcome::NotApplicable(reason) = outcome(&a, &b, &[model(3, 3)]) else {
            panic!()
        };
        assert!(
            reason.contains("there are 1: name more with --panel"),
            "{reason}"
        );
    }
}
