//! Weight methods of the literature as published, side by side with ours.
//!
//! Compared, never part of a verdict: their families begin with `published.`, and no calibration is
//! read for them.

mod attention;
mod awm;
mod frame;
mod ghostspec_corr;
mod ghostspec_mse;
mod huref;
mod independence_test;
mod kurtosis_direction;
mod layer_energy;
mod match_test;
mod moment_profile;
mod parameter_cosine;
mod shapes;
mod spectra;
#[cfg(test)]
mod toys;

use crate::evidence::Evidence;

pub(in crate::evidence) static METHODS: &[&dyn Evidence] = &[
    &independence_test::IndependenceTest,
    &match_test::Match,
    &parameter_cosine::ParameterCosine,
    &huref::Huref,
    &awm::Awm,
    &ghostspec_mse::GhostspecMse,
    &ghostspec_corr::GhostspecCorr,
    &layer_energy::LayerEnergy,
    &moment_profile::MomentProfile,
    &kurtosis_direction::KurtosisDirection,
];
