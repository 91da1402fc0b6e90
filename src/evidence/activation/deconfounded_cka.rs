//! Debiased linear CKA of what is left when the consensus of independent models is taken off.

mod consensus;

use std::collections::BTreeMap;

use super::beside;
use super::blocks::ROTATED_AT_MOST;
use super::blocks::streams;
use super::inside::Heard;
use super::inside::comparable;
use super::inside::why_missing;
use super::linear_cka::Shuffled;
use crate::evidence::Assessment;
use crate::evidence::Card;
use crate::evidence::Error;
use crate::evidence::Evidence;
use crate::evidence::Finding;
use crate::evidence::Needs;
use crate::evidence::Outcome;
use crate::evidence::Pair;
use crate::evidence::Subject;
use crate::evidence::control::Controls;
use crate::evidence::control::Named;
use crate::evidence::control::Sides;
use crate::record::Activations;
use crate::record::grams::ReferenceGrams;
use crate::stat::cka::LEAST_ROWS;
use consensus::Consensus;
use consensus::LEAST;
use consensus::Left;
use consensus::One;
use consensus::Pool;
use consensus::REFERENCE;
use consensus::SUSPECT;

/// See [`CARD`].
pub(super) struct DeconfoundedCka;

static CARD: Card = Card {
    id: "activation.deconfounded_cka",
    version: 2,
    family: "activation.similarity",
    title: "debiased linear CKA beyond what independent models agree on",
    measures: "The U-centred Gram matrices of debiased linear CKA, block by block; of each, the part along the mean Gram \
               matrix of independent models at the same relative depth (their consensus on which prompts are alike) is \
               taken off. The statistic is the CKA of what is left, as a mean along the path that pairs blocks in order. \
               Beside it the same without taking anything off. The independent models are those at hand; where fewer than \
               four of them are built like the pair, shipped Gram matrices of models of other runs stand beside them \
               (datasets/reference-grams), if they are of the same prompts.",
    null: "The same number for independent models, each time with the consensus of the others only: of one model fewer than \
           for this pair, or of two, which leaves them a little more in common.",
    fooled_by: "A consensus of models that are built or trained unlike the pair leaves what the pair's kind has in common. A \
                model of the pair's own run among the independent ones takes kinship off.",
    cost: "As debiased linear CKA, for every independent model once; prompts^2 per block, pair and independent model.",
    reference: "Ours. The statistic: Kornblith et al. (ICML 2019), debiased as in Murphy et al. (2024, arXiv 2405.01012); \
                taking off what the inputs impose: after Cui, Kumar, Marttinen, Kaski: Deconfounded Representation \
                Similarity (NeurIPS 2022).",
    needs: Needs::Panel,
    symmetric: true,
    survives: ROTATED_AT_MOST,
};

/// Of the heatmap.
const TITLE: &str = "debiased linear CKA beyond the consensus, block by block";

impl Evidence for DeconfoundedCka {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        if pair.reference.activations.is_none() || pair.suspect.activations.is_none() {
            return Ok(Outcome::NotApplicable(why_missing(pair)));
        }
        fn of(one: Subject<'_>) -> Option<&Activations> {
            one.activations
        }
        outcome(&pair.sides(), &of, pair.references, pair.seed)
    }
}

/// The same for models of which nothing but activations is at hand.
pub(super) fn assess_heard<'a>(
    sides: &Sides<'a, Heard<'a>>,
    references: &[ReferenceGrams],
    seed: u64,
) -> Assessment {
    fn of(one: Heard<'_>) -> Option<&Activations> {
        Some(one.activations)
    }
    Assessment {
        card: &CARD,
        outcome: outcome(sides, &of, references, seed).map_err(|error| error.to_string()),
    }
}

fn outcome<'a, T: Named>(
    sides: &Sides<'a, T>,
    of: &dyn Fn(T) -> Option<&'a Activations>,
    references: &[ReferenceGrams],
    seed: u64,
) -> Result<Outcome, Error> {
    let not = |reason: String| Ok(Outcome::NotApplicable(reason));
    let (Some(a), Some(b)) = (of(sides.reference), of(sides.suspect)) else {
        return not("activations of one of the models were not recorded".to_owned());
    };
    let both = comparable(a, b).and_then(|()| streams(a, b, LEAST_ROWS));
    let [reference, suspect] = match both {
        Ok(both) => both,
        Err(reason) => return not(reason),
    };
    let table = Consensus::new(sides, of, [&reference, &suspect], references);
    let pool = table.pool();
    if pool.models() <= LEAST {
        return not(format!(
            "it needs {} independent models that read the same prompts, and {pool} did: name some with --panel, or \
             record a suite of which reference Gram matrices are shipped",
            LEAST + 1,
        ));
    }
    let Some(measured) = table.measure(REFERENCE, SUSPECT) else {
        return not("nothing is left of one of the models without the consensus".to_owned());
    };
    let controls = Controls::of(&table.sides().borrowed(), &|a: One<'_>, b: One<'_>| {
        let measured = table.measure(a.at, b.at);
        Ok(measured.and_then(|measured| measured.map.on_path()))
    })?;
    let shuffled = (reference.one_row_each && suspect.one_row_each)
        .then(|| measured.shuffled(seed))
        .flatten();
    let raw = table.raw();
    let Some(mut found) = finding(&measured, shuffled.as_ref(), raw, &pool, &controls) else {
        return not("the residual stream does not vary from prompt to prompt".to_owned());
    };
    let examples = beside::examples(sides, of);
    beside::draw(&mut found.figures, &examples, |a, b| {
        let places = (table.place(a)?, table.place(b)?);
        Some(table.measure(places.0, places.1)?.map.figure(TITLE))
    });
    Ok(Outcome::Measured(Box::new(found)))
}

fn finding(
    left: &Left,
    shuffled: Option<&Shuffled>,
    raw: Option<f64>,
    pool: &Pool,
    controls: &Controls,
) -> Option<Finding> {
    let statistic = left.map.on_path()?;
    let mut details: BTreeMap<&'static str, f64> = controls.details(statistic);
    details.insert("consensus_models", pool.models() as f64);
    details.insert("consensus_shipped", pool.shipped.len() as f64);
    details.extend(raw.map(|value| ("with_consensus", value)));
    details.extend(left.map.off_path().map(|value| ("unmatched_blocks", value)));
    details.extend(shuffled.into_iter().flat_map(Shuffled::details));
    let mut caveats = vec![format!(
        "the consensus is that of {pool}: what all models share and these lack is still in the number"
    )];
    if !pool.shipped.is_empty() {
        caveats.push(format!(
            "a shipped model of the pair's own run would take kinship off: {} were taken to be of other runs (none of them is a \
             model at hand)",
            pool.shipped.join(", ")
        ));
    }
    caveats.extend(left.map.caveats());
    caveats.extend(controls.caveats());
    let mut explanation = format!(
        "Mean over paired blocks, on {} prompts, beyond the consensus of {pool}: {statistic:.3}.",
        left.items
    );
    if let Some(raw) = raw {
        explanation += &format!(" With it: {raw:.3}.");
    }
    explanation += &shuffled.map_or_else(String::new, Shuffled::words);
    Some(Finding {
        statistic,
        n: left.items as u64,
        null: controls.words(statistic),
        log10_p: None,
        interval: None,
        details,
        explanation,
        caveats,
        controls: controls.list.clone(),
        figures: vec![left.map.figure(TITLE)],
        table: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::blocks::toy::PROMPTS;
    use super::super::blocks::toy::activations;
    use super::super::blocks::toy::open;
    use super::super::blocks::toy::turned;
    use super::*;
    use crate::evidence::toy::Open;
    use crate::evidence::toy::beside as assessed;
    use crate::stat::random;

    const WIDTH: usize = 24;

    /// A model that sees six traits of the prompts, as all models do, and features of its own.
    fn seeing(blocks: usize, own: u64, noise: f64) -> Activations {
        let mut traits = random::stream(1, "traits of prompts");
        let traits: Vec<f64> = (0..PROMPTS * 6)
            .map(|_| random::normal(&mut traits))
            .collect();
        let mut reading = random::stream(own, "reading of traits");
        let mut model = activations(blocks, WIDTH, own, noise);
        for site in &mut model.sites {
            let reading: Vec<f64> = (0..6 * WIDTH)
                .map(|_| 1.5 * random::normal(&mut reading))
                .collect();
            for (at, value) in site.values.iter_mut().enumerate() {
                let (i, j) = (at / WIDTH, at % WIDTH);
                let seen: f64 = (0..6)
                    .map(|t| traits[i * 6 + t] * reading[t * WIDTH + j])
                    .sum();
                *value += seen as f32;
            }
        }
        model
    }

    fn panel(models: u64) -> Vec<Open> {
        (10..10 + models)
            .map(|own| open(own, seeing(4, own, 0.0)))
            .collect()
    }

    fn found(a: &Activations, b: &Activations) -> Finding {
        let outcome = assessed(
            &DeconfoundedCka,
            &open(1, a.clone()),
            &open(2, b.clone()),
            &panel(6),
        );
        match outcome {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn strangers_lose_what_kin_keep() {
        let parent = seeing(4, 2, 0.0);
        let (kin, stranger) = (
            found(&parent, &seeing(4, 2, 0.3)),
            found(&parent, &seeing(5, 3, 0.0)),
        );
        let (with, without) = (stranger.details["with_consensus"], stranger.statistic);
        assert!(with > 0.4 && without < with / 2.0, "{with} {without}");
        assert!(kin.statistic > 0.7, "{}", kin.statistic);
        // Every pair of the panel, and both of the pair against each of it.
        assert_eq!(
            (kin.controls.len(), kin.details["panel_models"]),
            (15 + 12, 6.0)
        );
        assert!(
            kin.controls
                .iter()
                .all(|control| control.statistic < kin.statistic)
        );
        assert_eq!(kin.log10_p, None);
        let itself = found(&parent, &parent);
        assert!((itself.statistic - 1.0).abs() < 1e-9);
        let turned = found(&turned(&parent), &seeing(4, 2, 0.3));
        assert!((turned.statistic - kin.statistic).abs() < 1e-3);
    }

    #[test]
    fn without_enough_independent_models_there_is_no_consensus() {
        let parent = open(1, seeing(3, 2, 0.0));
        let Outcome::NotApplicable(reason) =
            assessed(&DeconfoundedCka, &parent, &parent, &panel(3))
        else {
            panic!()
        };
        assert!(reason.contains("needs 4 independent models"), "{reason}");
        // One that read other prompts does not count.
        let mut others = panel(4);
        if let Some(one) = &mut others[0].activations {
            one.items[0] = "another".to_owned();
        }
        let outcome = assessed(&DeconfoundedCka, &parent, &parent, &others);
        assert!(matches!(outcome, Outcome::NotApplicable(_)));
    }

    /// Of other runs, as they are shipped.
    fn shipped(models: u64) -> Vec<ReferenceGrams> {
        let one = |own| {
            let label = format!("shipped-{own}");
            ReferenceGrams::of_test_model(&label, &seeing(7, own, 0.0))
        };
        (30..30 + models).map(one).collect()
    }

    #[test]
    fn a_shipped_model_that_is_at_hand_takes_nothing_off() {
        let parent = seeing(4, 2, 0.0);
        let with_itself = |shipped: Vec<ReferenceGrams>, b: &Activations| {
            let (a, b) = (open(1, parent.clone()), open(2, b.clone()));
            let with = Pair {
                references: &shipped,
                ..crate::evidence::toy::pair(&a, &b)
            };
            match DeconfoundedCka.assess(&with).unwrap() {
                Outcome::Measured(finding) => *finding,
                Outcome::NotApplicable(reason) => panic!("{reason}"),
            }
        };
        let mut references = shipped(4);
        let kin = with_itself(references.clone(), &seeing(4, 2, 0.3));
        // The parent in another basis, and another model of its run.
        let mut sibling = ReferenceGrams::of_test_model("sibling", &seeing(4, 2, 0.2));
        sibling.run = "parent in another file".to_owned();
        references.push(ReferenceGrams::of_test_model(
            &sibling.run,
            &turned(&parent),
        ));
        references.push(sibling);
        let same = with_itself(references, &seeing(4, 2, 0.3));
        assert_eq!(same.details["consensus_shipped"], 4.0);
        assert_eq!(same.statistic, kin.statistic);
    }

    #[test]
    fn shipped_models_stand_in_for_those_that_are_not_at_hand() {
        let parent = seeing(4, 2, 0.0);
        let references = shipped(6);
        let of = |b: &Activations, panel: &[Open]| {
            let (a, b) = (open(1, parent.clone()), open(2, b.clone()));
            let panel: Vec<Subject<'_>> = panel.iter().map(Open::subject).collect();
            let with = Pair {
                population: &panel,
                references: &references,
                ..crate::evidence::toy::pair(&a, &b)
            };
            match DeconfoundedCka.assess(&with).unwrap() {
                Outcome::Measured(finding) => *finding,
                Outcome::NotApplicable(reason) => panic!("{reason}"),
            }
        };
        let (kin, stranger) = (of(&seeing(4, 2, 0.3), &[]), of(&seeing(4, 3, 0.0), &[]));
        let (with, without) = (stranger.details["with_consensus"], stranger.statistic);
        assert!(with > 0.4 && without < with / 2.0, "{with} {without}");
        assert!(kin.statistic > 0.7, "{}", kin.statistic);
        assert_eq!(kin.details["consensus_shipped"], 6.0);
        // Every pair of the shipped, and both of the pair against each of them.
        assert_eq!(kin.controls.len(), 15 + 12);
        let beyond = |control: &&crate::evidence::Control| control.statistic >= kin.statistic;
        assert_eq!(kin.controls.iter().filter(beyond).count(), 0);
        assert!(
            kin.explanation
                .contains("(0 at hand, 6 as shipped Gram matrices)")
        );
        assert!(
            kin.caveats
                .iter()
                .any(|caveat| caveat.contains("shipped-30"))
        );
        // Fewer at hand than make a null are filled up.
        let filled = of(&seeing(4, 2, 0.3), &panel(2));
        assert!(
            filled
                .explanation
                .contains("8 independent models (2 at hand")
        );
        // Of other prompts they are not asked.
        let mut other = parent.clone();
        other.items[0] = "another".to_owned();
        let (a, b) = (open(1, other.clone()), open(2, other));
        let with = Pair {
            references: &references,
            ..crate::evidence::toy::pair(&a, &b)
        };
        let outcome = DeconfoundedCka.assess(&with).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(_)));
    }
}
