//! Whether two models rank what may come next alike.

use super::places;
use super::places::Law;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::stat::ranking;

/// See [`CARD`].
pub(super) struct RankBiasedOverlap;

static CARD: Card = Card {
    id: "behaviour.rank_biased_overlap",
    version: 1,
    family: "behaviour.next_token",
    title: "rank-biased overlap of next-token candidates",
    measures: "Places in the prompts where both models end a token: the mean extrapolated rank-biased overlap \
               (persistence 0.8) of their most probable next tokens, which asks for their order and not for their \
               probabilities (by first character, where the models have other tokens).",
    null: "The same number for independent models on the same prompts. Interval by drawing prompts.",
    fooled_by: "Predictable text; the same training data; common tokens that stand in every model's list.",
    cost: "None beyond the recordings.",
    reference: "Webber, Moffat, Zobel: A similarity measure for indefinite rankings (ACM Transactions on Information \
                Systems 28, 2010).",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

/// Weight of a rank relative to the one above: the recorded candidates carry most of all weight.
const PERSISTENCE: f64 = 0.8;

impl Evidence for RankBiasedOverlap {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        places::mean(
            pair,
            |x, y| {
                let ranks = |law: &Law<'_>| {
                    law.iter()
                        .map(|(key, _)| key.to_string())
                        .collect::<Vec<_>>()
                };
                ranking::rank_biased_overlap(&ranks(x), &ranks(y), PERSISTENCE)
            },
            |statistic, n, items| {
                format!(
                    "The rankings of next tokens overlap by {statistic:.3} on average at {n} places in {items} prompts \
                     (1 for equal ones, 0 for disjoint ones)."
                )
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{expecting, pair};

    #[test]
    fn order_counts_and_probability_does_not() {
        let measured = |x: &[(&str, f64)], y: &[(&str, f64)]| {
            let (a, b) = (expecting(1, &[&[(1, x)]]), expecting(2, &[&[(1, y)]]));
            let Outcome::Measured(finding) = RankBiasedOverlap.assess(&pair(&a, &b)).unwrap()
            else {
                panic!()
            };
            finding.statistic
        };
        let same = measured(&[("a", 0.5), ("b", 0.4)], &[("a", 0.9), ("b", 0.01)]);
        assert!((same - 1.0).abs() < 1e-12);
        assert_eq!(measured(&[("a", 0.5)], &[("b", 0.5)]), 0.0);
        // Turned: nothing at depth 1, all from depth 2 on, which weighs 0.8.
        let turned = measured(&[("a", 0.5), ("b", 0.4)], &[("b", 0.5), ("a", 0.4)]);
        assert!((turned - 0.8).abs() < 1e-12);
    }
}
