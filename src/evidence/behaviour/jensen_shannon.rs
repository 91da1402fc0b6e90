//! How near the laws are by which two models expect the next token.

use super::places;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::stat::ranking;

/// See [`CARD`].
pub(super) struct JensenShannon;

static CARD: Card = Card {
    id: "behaviour.jensen_shannon",
    version: 1,
    family: "behaviour.next_token",
    title: "Jensen-Shannon similarity of next-token laws",
    measures: "Places in the prompts where both models end a token: 1 less the mean Jensen-Shannon divergence in bits of \
               the two laws of what comes next, over the recorded candidates of either and one outcome for all else (by \
               first character, where the models have other tokens).",
    null: "The same number for independent models on the same prompts. Interval by drawing prompts.",
    fooled_by: "Predictable text; temperature, which moves a law without moving its order; only the most probable \
                candidates are recorded, and one that the other lacks counts as impossible there.",
    cost: "None beyond the recordings.",
    reference: "Lin: Divergence measures based on the Shannon entropy (IEEE Transactions on Information Theory 37, 1991).",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

impl Evidence for JensenShannon {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        places::mean(
            pair,
            |x, y| {
                let [p, q] = places::outcomes(x, y);
                Some(1.0 - ranking::jensen_shannon(&p, &q)?)
            },
            |statistic, n, items| {
                format!(
                    "The laws of the next token differ by {:.3} bits on average at {n} places in {items} prompts (0 for \
                     equal ones, 1 for disjoint ones).",
                    1.0 - statistic
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
    fn laws_are_compared_with_what_is_left_of_them() {
        let measured = |x: &[(&str, f64)], y: &[(&str, f64)]| {
            let (a, b) = (expecting(1, &[&[(1, x)]]), expecting(2, &[&[(1, y)]]));
            let Outcome::Measured(finding) = JensenShannon.assess(&pair(&a, &b)).unwrap() else {
                panic!()
            };
            finding.statistic
        };
        assert!((measured(&[("a", 0.5)], &[("a", 0.5)]) - 1.0).abs() < 1e-6);
        assert!(measured(&[("a", 1.0)], &[("b", 1.0)]).abs() < 1e-6);
        // (1/2, 0, 1/2) and (0, 1/2, 1/2): the half that is left is in common.
        assert!((measured(&[("a", 0.5)], &[("b", 0.5)]) - 0.5).abs() < 1e-6);
    }
}
