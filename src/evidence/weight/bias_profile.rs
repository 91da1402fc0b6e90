//! Standard deviations of the attention biases over layers.

use super::curves::Curves;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::model::{Param, Part};

/// See [`CARD`].
pub(super) struct BiasProfile;

static CARD: Card = Card {
    id: "weight.bias_profile",
    version: 1,
    family: "weight.profile",
    title: "per-layer standard deviations of the Q, K and V biases, Pearson's correlation",
    measures: "As weight.std_profile, for the bias vectors of Q, K and V.",
    null: "The same number for pairs of independent models; the two models against each of them \
           give its rank. No exact null exists.",
    fooled_by: "Depth trends common to all models with such biases; few families have them.",
    cost: "None beyond one pass over the weights of each model.",
    reference: "HonestAGI: Intrinsic Fingerprint of LLMs (arXiv 2507.03014, 2025), extension to biases; the null is ours.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

const CURVES: Curves = Curves {
    parts: &[Part::Query, Part::Key, Part::Value],
    param: Param::Bias,
    noun: "bias",
};

impl Evidence for BiasProfile {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        CURVES.assess(pair)
    }
}
