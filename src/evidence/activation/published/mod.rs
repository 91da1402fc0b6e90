//! Activation methods of the literature as published, side by side with ours.
//!
//! Compared, never part of a verdict: their families begin with `published.`, and no calibration is
//! read for them.

mod attndiff;
mod reef;
mod seed_prints;

use super::inside::Inside;
use crate::evidence::Evidence;

/// The methods, as what a report asks for and as what reads activations alone.
macro_rules! methods {
    ($(&$method:path),* $(,)?) => {
        pub(in crate::evidence) static METHODS: &[&dyn Evidence] = &[$(&$method),*];

        /// The same for models of which nothing but activations is at hand.
        pub(super) static INSIDE: &[&dyn Inside] = &[$(&$method),*];
    };
}

methods![&attndiff::AttnDiff, &reef::Reef, &seed_prints::SeedPrints];
