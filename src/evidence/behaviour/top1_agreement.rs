//! Whether both models expect the same thing most.

use super::places;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};

/// See [`CARD`].
pub(super) struct Top1Agreement;

static CARD: Card = Card {
    id: "behaviour.top1_agreement",
    version: 1,
    family: "behaviour.next_token",
    title: "top-1 agreement along prompts",
    measures: "Places in the prompts where both models end a token: the share at which the most probable next token of \
               both is the same (its first character, where the models have other tokens).",
    null: "The same share for independent models on the same prompts. Interval by drawing prompts.",
    fooled_by: "Predictable text, on which all good models agree; the same training data.",
    cost: "None beyond the recordings.",
    reference: "Top-1 agreement as in model comparison by logits; Nikolic, Baluta, Saxena: Model Provenance Testing \
                (NeurIPS 2025) for next tokens as a trace of the parent.",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

impl Evidence for Top1Agreement {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        places::mean(
            pair,
            |x, y| Some(f64::from(x.first()?.0 == y.first()?.0)),
            |statistic, n, items| {
                format!(
                    "At {:.1} % of {n} places in {items} prompts both models expect the same next token most.",
                    100.0 * statistic
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
    fn places_are_counted() {
        let a = expecting(
            1,
            &[
                &[(1, &[("a", 0.5)]), (2, &[("b", 0.5), ("c", 0.2)])],
                &[(4, &[("d", 0.9)])],
            ],
        );
        let b = expecting(
            2,
            &[
                &[(1, &[("a", 0.9)]), (2, &[("c", 0.5), ("b", 0.2)])],
                &[(4, &[("d", 0.3)])],
            ],
        );
        let Outcome::Measured(finding) = Top1Agreement.assess(&pair(&a, &b)).unwrap() else {
            panic!()
        };
        assert_eq!(finding.n, 3);
        assert!((finding.statistic - 2.0 / 3.0).abs() < 1e-12);
    }
}
