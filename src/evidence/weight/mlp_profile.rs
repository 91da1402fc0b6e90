//! Standard deviations of the MLP matrices over layers.

use super::curves::Curves;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::model::{Param, Part};

/// See [`CARD`].
pub(super) struct MlpProfile;

static CARD: Card = Card {
    id: "weight.mlp_profile",
    version: 1,
    family: "weight.profile",
    title: "per-layer standard deviations of MLP gate, up and down, Pearson's correlation",
    measures: "As weight.std_profile, for the MLP matrices gate, up and down; the experts of a sparse layer are pooled.",
    null: "The same number for pairs of independent models; the two models against each of them \
           give its rank. No exact null exists.",
    fooled_by: "Depth trends common to all models; a free rescaling between up and down per layer, which changes the curves and \
                not the model.",
    cost: "None beyond one pass over the weights of each model.",
    reference: "HonestAGI: Intrinsic Fingerprint of LLMs (arXiv 2507.03014, 2025), extension to the MLP; the null is ours.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

const CURVES: Curves = Curves {
    parts: &[Part::Gate, Part::Up, Part::Down],
    param: Param::Weight,
    noun: "weight",
};

impl Evidence for MlpProfile {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        CURVES.assess(pair)
    }
}
