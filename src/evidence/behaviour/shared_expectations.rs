//! Whether two models expect the same next tokens beyond what models of a panel do.

use super::places;
use super::whole_laws::{Laws, has, vocabulary};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject};
use crate::stat::panel::{Beside, FEWEST, beside};
use crate::stat::tails;

/// See [`CARD`].
pub(super) struct SharedExpectations;

static CARD: Card = Card {
    id: "behaviour.shared_expectations",
    version: 2,
    family: "behaviour.next_token",
    title: "agreement of whole expectations, beside a panel of independent models",
    measures: "At every place of the prompts where a token ends: the logarithms of the probabilities of all next tokens, less \
               each token's mean over all places. The statistic is the correlation of the reference's with the suspect's, \
               averaged over the places; recordings keep 32 random projections of each law, which keep correlations.",
    null: "Independent models of the panel's kind (its seven that the reference agrees with most), each of which agrees with all others by its own measure, with normal noise on \
           Fisher's scale (Student's t of the pair, the other pairs of pair and panel giving expectation and noise), after \
           what both may have in common beyond the panel is taken off; no less than the rank where a panel member is nearer.",
    fooled_by: "Two models that learnt the same text on top of the panel's are allowed for up to what they lack of the panel's \
                agreement, so that siblings are missed beside a panel that is not of their kind; text that was learnt without \
                losing any of that agreement is not allowed for.",
    cost: "None beyond the recordings.",
    reference: "Externally studentised residuals (Cook and Weisberg 1982); random signs (Achlioptas 2003); the allowance and \
                the use are ours.",
    needs: Needs::Panel,
    symmetric: true,
    survives: &[],
};

impl Evidence for SharedExpectations {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let why = |reason: String| Ok(Outcome::NotApplicable(reason));
        if places::Shared::of(pair.reference, pair.suspect).is_none() {
            return why(places::why_missing(pair));
        }
        let Some(vocabulary) = vocabulary(pair.reference, pair.suspect) else {
            return why(
                "whole expectations can be compared where both models have the same tokens and both recordings keep \
                 them: these have other tokens, or were recorded by an earlier version (run the suite again)"
                    .to_owned(),
            );
        };
        let of_kind = |one: &&Subject<'_>| has(**one, vocabulary);
        let panel: Vec<Subject<'_>> = pair.population.iter().filter(of_kind).copied().collect();
        if panel.len() < FEWEST {
            return why(format!(
                "it needs a panel of {FEWEST} independent models with these tokens that were read along, there are {}: name \
                 more with --panel",
                panel.len()
            ));
        }
        let models: Vec<Subject<'_>> = [pair.reference, pair.suspect]
            .into_iter()
            .chain(panel)
            .collect();
        let laws = Laws::of(&models, vocabulary);
        let Some(found) = beside(&laws.correlations(), models.len()) else {
            return why(
                "no place of a prompt is one to all models, or the panel does not agree at all"
                    .to_owned(),
            );
        };
        let statistic = laws.correlation(0, 1);
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let place = |one: Subject<'_>| models.iter().position(|model| same(*model, one));
            if let Some((a, b)) = place(a).zip(place(b)) {
                return Ok(Some(laws.correlation(a, b)));
            }
            let of_kind = has(a, vocabulary) && has(b, vocabulary);
            let apart = of_kind.then(|| Laws::of(&[a, b], vocabulary));
            Ok(apart
                .filter(|apart| apart.places > 0)
                .map(|apart| apart.correlation(0, 1)))
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            pair, &laws, &found, statistic, controls,
        ))))
    }
}

fn finding(
    pair: &Pair<'_>,
    laws: &Laws,
    found: &Beside,
    statistic: f64,
    controls: Controls,
) -> Finding {
    let (panel, all) = (found.members, laws.models.len() - 2);
    let of = match panel < all {
        true => format!(" of {all}"),
        false => String::new(),
    };
    let mut details = controls.details(statistic);
    details.extend([
        ("items", laws.items.len() as f64),
        ("panel_models", panel as f64),
        ("expected", found.expected),
        ("allowed", found.allowed),
        ("t", found.t),
        ("nearer_in_panel", found.nearer as f64),
        ("degrees_of_freedom", found.degrees),
    ]);
    let mut caveats = vec![
        "it says that expectations are more alike than the panel's, and is no evidence of shared weights".to_owned(),
    ];
    caveats.extend(controls.caveats());
    let allowed = match found.allowed > 0.0 {
        true => format!(
            "; both agree with the panel less than its members do, so that up to {:.3} may come from what the panel lacks",
            found.allowed
        ),
        false => String::new(),
    };
    let nearer = match found.nearer {
        0 => String::new(),
        n => {
            format!("; {n} of the panel agree with one of them at least as much as the other does")
        }
    };
    Finding {
        statistic,
        n: laws.places as u64,
        null: format!(
            "Student's t with {:.0} degrees of freedom over the pairs of {panel}{of} independent models and these two; {}",
            found.degrees,
            controls.words(statistic)
        ),
        log10_p: Some(tails::log10(found.ln_p)),
        interval: places::by_items(laws.items.len(), pair.seed, |drawn| {
            laws.mean_over(drawn, 0, 1)
        }),
        explanation: format!(
            "What the two models expect correlates at {statistic:.3} over {} places of {} prompts; strangers who agree with \
             {panel}{of} independent models as much as they do would reach {:.3} (t = {:.1}){allowed}{nearer}.",
            laws.places,
            laws.items.len(),
            found.expected,
            found.t,
        ),
        details,
        caveats,
        controls: controls.list,
        figures: Vec::new(),
        table: None,
    }
}

fn same(a: Subject<'_>, b: Subject<'_>) -> bool {
    std::ptr::eq(a.model, b.model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, beside, expecting};
    use crate::record::PROJECTED;
    use crate::stat::random::{normal, stream};

    const VOCABULARY: &str = "signs over toys";

    /// A model that read 30 prompts of three places: of what all expect, of what `kin` expect, its own.
    fn model(seed: u64, kin: u64) -> Open {
        let law: &[(&str, f64)] = &[("a", 0.5)];
        let mut open = expecting(seed, &vec![&[(1, law), (3, law), (4, law)][..]; 30]);
        let mut parts = [(0, 1.0), (1000 + kin, 0.7), (2000 + seed, 0.7)]
            .map(|(seed, size)| (stream(seed, "part"), size));
        open.recordings[0].vocabulary = Some(VOCABULARY.to_owned());
        for record in &mut open.recordings[0].records {
            for place in &mut record.places {
                let mut value = || -> f64 {
                    let parts = parts.iter_mut();
                    parts.map(|(rng, size)| *size * normal(rng)).sum()
                };
                place.projection = (0..PROJECTED).map(|_| 3.0 + value() as f32).collect();
            }
        }
        open
    }

    fn outcome(a: &Open, b: &Open, panel: &[Open]) -> Outcome {
        beside(&SharedExpectations, a, b, panel)
    }

    #[test]
    fn kin_expect_more_alike_than_strangers() {
        let panel: Vec<Open> = (10..17).map(|seed| model(seed, seed)).collect();
        let (a, kin, other) = (model(1, 1), model(2, 1), model(3, 3));
        let measured = |a: &Open, b: &Open| match outcome(a, b, &panel) {
            Outcome::Measured(finding) => finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        };
        let found = measured(&a, &kin);
        assert!(found.log10_p.unwrap() < -6.0, "{}", found.explanation);
        // 1.49 of 1.98 of the variance is common.
        assert!((found.statistic - 0.75).abs() < 0.05, "{}", found.statistic);
        assert_eq!((found.n, found.details["degrees_of_freedom"]), (90, 26.0));
        assert!(measured(&a, &other).log10_p.unwrap() > -2.0);
        assert!((measured(&a, &a).statistic - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_missing_is_said() {
        let reason = |outcome| match outcome {
            Outcome::NotApplicable(reason) => reason,
            Outcome::Measured(_) => panic!(),
        };
        let panel: Vec<Open> = (10..13).map(|seed| model(seed, seed)).collect();
        let (a, mut b) = (model(1, 1), model(2, 2));
        let few = reason(outcome(&a, &b, &panel));
        assert!(few.contains("there are 3: name more"), "{few}");
        b.recordings[0].vocabulary = Some("signs over others".to_owned());
        let tokens = reason(outcome(&a, &b, &panel));
        assert!(tokens.contains("other tokens"), "{tokens}");
    }
}
