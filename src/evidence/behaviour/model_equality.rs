//! Whether anything tells two models' next tokens apart: the opposite question of kinship.

use super::places;
use super::places::{Item, Law, Shared};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject};
use crate::record::Place;
use crate::stat::equality;
use crate::stat::equality::{Equality, Prompt};
use crate::stat::random;
use crate::stat::tails::log10;

/// See [`CARD`].
pub(super) struct ModelEquality;

static CARD: Card = Card {
    id: "behaviour.model_equality",
    version: 1,
    family: "behaviour.next_token",
    title: "model equality testing (maximum mean discrepancy)",
    measures: "The laws of the next token after each prompt, of both models: 1 less half the mean squared distance, which \
               is the squared maximum mean discrepancy under the kernel that asks whether two texts are equal. Beside it \
               the two-sample test on ten tokens drawn from each law per prompt.",
    null: "For the statistic, independent models on the same prompts. For the test, that both answer each prompt by one \
           law: models are permuted within each prompt; every change of a model breaks it, fine-tuning too, so that its \
           p-value is of sameness and never of kinship.",
    fooled_by: "Predictable prompts; quantisation and other engines, which the test sees though the model is the same.",
    cost: "999 permutations of 20 tokens per prompt.",
    reference: "Gao, Liang, Guestrin: Model Equality Testing: Which Model Is This API Serving? (ICLR 2025, arXiv \
                2410.20247).",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

/// Tokens drawn of each model per prompt, as in the paper.
const TOKENS: usize = 10;

/// Permutations.
const DRAWS: usize = 999;

impl Evidence for ModelEquality {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let Some(shared) = Shared::of(pair.reference, pair.suspect) else {
            return Ok(Outcome::NotApplicable(places::why_missing(pair)));
        };
        let alike = alike(&shared);
        let statistic = mean(&alike);
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(Shared::of(a, b).map(|shared| mean(&self::alike(&shared))))
        })?;
        let test = test(&shared, pair.seed);
        let mut details = controls.details(statistic);
        let mut caveats: Vec<String> = shared.caveat().into_iter().collect();
        let mut explanation = format!(
            "After {} prompts the laws of the next token are {:.3} apart in mean square (0 for equal ones, 1 for certain \
             and different ones).",
            alike.len(),
            1.0 - statistic
        );
        if let Some(test) = test {
            details.insert("equality_log10_p", log10(test.ln_p));
            explanation.push_str(&format!(
                " Drawing {TOKENS} tokens of each per prompt, the test of equality gives p = {:.3} ({} permutations within \
                 prompts).",
                test.ln_p.exp(),
                test.draws
            ));
            caveats.push(
                "the p-value is against the models being the same; a low one says that they differ, not that they are \
                 unrelated"
                    .to_owned(),
            );
        }
        caveats.extend(controls.caveats());
        Ok(Outcome::Measured(Box::new(Finding {
            statistic,
            n: alike.len() as u64,
            null: controls.words(statistic),
            log10_p: None,
            interval: places::by_items(alike.len(), pair.seed, |drawn| {
                Some(mean(&drawn.iter().map(|&at| alike[at]).collect::<Vec<_>>()))
            }),
            details,
            explanation,
            caveats,
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: None,
        })))
    }
}

/// Both laws at the last place of every prompt that both have.
fn ends<'s, 'a>(shared: &'s Shared<'a>) -> impl Iterator<Item = (&'s Item<'a>, [Law<'a>; 2])> {
    shared.items.iter().filter_map(|item| {
        let last: &(&'a Place, &'a Place) = item.places.last()?;
        Some((item, shared.laws(item, *last)))
    })
}

/// By prompt: 1 less half the squared distance of the laws.
fn alike(shared: &Shared<'_>) -> Vec<f64> {
    ends(shared)
        .map(|(_, [x, y])| {
            let [p, q] = places::outcomes(&x, &y);
            let squares = p.iter().zip(&q).map(|(p, q)| (p - q).powi(2));
            1.0 - squares.sum::<f64>() / 2.0
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The published test on drawn tokens.
fn test(shared: &Shared<'_>, seed: u64) -> Option<Equality> {
    let prompts: Vec<Prompt> = ends(shared)
        .map(|(item, [x, y])| {
            let [p, q] = places::outcomes(&x, &y);
            Prompt {
                first: drawn(&p, seed, "reference", item.id),
                second: drawn(&q, seed, "suspect", item.id),
            }
        })
        .collect();
    equality::equality(&prompts, 1, DRAWS, seed)
}

/// Texts of one token, by number.
fn drawn(law: &[f64], seed: u64, side: &str, item: &str) -> Vec<Vec<u32>> {
    let mut rng = random::stream(seed, &format!("tokens of the {side} after {item}"));
    let total: f64 = law.iter().sum();
    (0..TOKENS)
        .map(|_| {
            let mut left = random::unit(&mut rng) * total;
            let place = law.iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            vec![place.unwrap_or(law.len()) as u32]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, expecting, pair};

    fn model(seed: u64, law: &[(&str, f64)]) -> Open {
        expecting(seed, &vec![&[(1, &[("z", 0.9)][..]), (2, law)][..]; 60])
    }

    fn measured(a: &Open, b: &Open) -> Finding {
        match ModelEquality.assess(&pair(a, b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    /// The laws after the prompts are (0.5, 0.3 and 0.2 left) and (0.1, 0.7, 0.2): squares 0.32, half of it 0.16.
    #[test]
    fn the_statistic_is_the_distance_of_the_laws() {
        let a = model(1, &[("a", 0.5), ("b", 0.3)]);
        let b = model(2, &[("b", 0.7), ("a", 0.1)]);
        let finding = measured(&a, &b);
        assert!(
            (finding.statistic - 0.84).abs() < 1e-6,
            "{}",
            finding.statistic
        );
        assert_eq!(finding.n, 60);
        // Ten draws of each at 60 prompts tell them apart.
        assert!(finding.details["equality_log10_p"] < -2.0);
        assert_eq!(
            finding.log10_p, None,
            "a p-value of sameness is none of kinship"
        );
    }

    #[test]
    fn one_law_is_rarely_told_from_itself() {
        let law = [("a", 0.5), ("b", 0.3)];
        let (a, b) = (model(1, &law), model(2, &law));
        let rejected = (0..20).filter(|&seed| {
            let with = Pair {
                seed,
                ..pair(&a, &b)
            };
            let Outcome::Measured(finding) = ModelEquality.assess(&with).unwrap() else {
                panic!()
            };
            assert!((finding.statistic - 1.0).abs() < 1e-12);
            finding.details["equality_log10_p"] < 0.05_f64.log10()
        });
        // One of 20 is expected; five have a probability of 0.003.
        assert!(rejected.count() < 5);
    }
}
