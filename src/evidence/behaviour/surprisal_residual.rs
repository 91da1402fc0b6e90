//! Whether the same stretches of text surprise two models more than they surprise others.

use std::collections::BTreeMap;

use super::{items, places};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject};
use crate::record::{Record, Recording};
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
        let found = residuals(pair.reference, pair.suspect, &panel);
        let Some(statistic) = correlation(found.iter()) else {
            let reason =
                "too few stretches of text lie between places that all models share".to_owned();
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let others: Vec<Subject<'_>> = panel
                .iter()
                .filter(|one| !same(**one, a) && !same(**one, b))
                .copied()
                .collect();
            Ok(match others.is_empty() {
                true => None,
                false => correlation(residuals(a, b, &others).iter()),
            })
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

/// By prompt: residuals of both models, stretch by stretch.
fn residuals(a: Subject<'_>, b: Subject<'_>, panel: &[Subject<'_>]) -> Vec<Vec<(f64, f64)>> {
    let mut found = Vec::new();
    for suite in items::shared(a, b) {
        let others: Vec<BTreeMap<&str, &Record>> = panel
            .iter()
            .filter_map(|one| one.recordings.iter().find(|other| suite.is_of(other)))
            .map(by_item)
            .collect();
        if others.len() < panel.len() {
            continue;
        }
        for (x, y) in &suite.items {
            let others: Option<Vec<&Record>> = others
                .iter()
                .map(|one| one.get(x.item.as_str()).copied())
                .collect();
            let stretches = others
                .map(|others| stretches(x, y, &others))
                .unwrap_or_default();
            if !stretches.is_empty() {
                found.push(stretches);
            }
        }
    }
    found
}

fn by_item(recording: &Recording) -> BTreeMap<&str, &Record> {
    let records = recording.records.iter();
    records
        .map(|record| (record.item.as_str(), record))
        .collect()
}

/// Between neighbouring places that all have; what lies before the first is not scored by all alike.
fn stretches(x: &Record, y: &Record, others: &[&Record]) -> Vec<(f64, f64)> {
    let sums = |record: &Record| -> BTreeMap<u32, f64> {
        let mut sum = 0.0;
        let places = record.places.iter().map(|place| {
            sum += f64::from(place.surprisal);
            (place.offset, sum)
        });
        places.collect()
    };
    let (x, y) = (sums(x), sums(y));
    let others: Vec<BTreeMap<u32, f64>> = others.iter().map(|record| sums(record)).collect();
    let all: Vec<u32> = x
        .keys()
        .filter(|at| y.contains_key(at) && others.iter().all(|one| one.contains_key(at)))
        .copied()
        .collect();
    all.windows(2)
        .map(|ends| {
            let between = |sums: &BTreeMap<u32, f64>| sums[&ends[1]] - sums[&ends[0]];
            let mean = others.iter().map(between).sum::<f64>() / others.len() as f64;
            (between(&x) - mean, between(&y) - mean)
        })
        .collect()
}

fn correlation<'a>(items: impl Iterator<Item = &'a Vec<(f64, f64)>>) -> Option<f64> {
    let (x, y): (Vec<f64>, Vec<f64>) = items.flatten().copied().unzip();
    pearson(&x, &y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, expecting, pair};
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
        let panel: Vec<Subject<'_>> = panel.iter().map(Open::subject).collect();
        let with = Pair {
            population: &panel,
            ..pair(a, b)
        };
        SurprisalResidual.assess(&with).unwrap()
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
