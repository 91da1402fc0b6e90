//! Standard deviations of the attention matrices over layers.

use super::curves::Curves;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::model::{Param, Part};

/// See [`CARD`].
pub(super) struct StdProfile;

static CARD: Card = Card {
    id: "weight.std_profile",
    version: 1,
    family: "weight.profile",
    title: "per-layer standard deviations of Q, K, V and O, Pearson's correlation",
    measures: "For each of the attention matrices Q, K, V and O the standard deviation of its numbers, layer by layer; \
               each curve standardised over layers; Pearson's correlation of the two models' curves, averaged over \
               the four. Different depths: the shorter curve is interpolated linearly.",
    null: "The same number for pairs of independent models; the two models against each of them \
           give its rank. No exact null exists.",
    fooled_by: "Depth trends common to all models (0.84 to 0.93 between independent ones); inserted layers; a free rescaling of V \
                and O per layer, which changes the curves and not the model.",
    cost: "None beyond one pass over the weights of each model.",
    reference: "HonestAGI: Intrinsic Fingerprint of LLMs (arXiv 2507.03014, 2025); the null is ours.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

const CURVES: Curves = Curves {
    parts: &[Part::Query, Part::Key, Part::Value, Part::Output],
    param: Param::Weight,
    noun: "weight",
};

impl Evidence for StdProfile {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        CURVES.assess(pair)
    }
}
