//! Activation methods of the literature as published, side by side with ours.
//!
//! Compared, never part of a verdict: their families begin with `published.`, and no calibration is
//! read for them.

mod attndiff;
mod reef;
mod seed_prints;

use crate::evidence::Evidence;

pub(in crate::evidence) static METHODS: &[&dyn Evidence] =
    &[&attndiff::AttnDiff, &reef::Reef, &seed_prints::SeedPrints];
