//! Items that both models get wrong with the same answer: the generalised binomial test without the
//! right answers, which good models share whatever their origin.

use super::calibration::{Calibration, Tested};
use super::count::Tail;
use super::law::{PairItem, PairLaw};
use super::scaled::{Scaled, Trial};

/// What the test's p-value is the probability of.
pub const NULL: &str = "as many items with the same wrong answer between two models that answer each item \
                        independently, each as the panel's law has it for a model of its ability";

/// Same wrong answers of a pair beside their compound binomial law. The same for both orders of a pair.
pub fn shared_wrong(pair: &PairLaw, calibration: Option<&Calibration>) -> Tested {
    let (count, observed) = matches(pair);
    Tested::new(&count, observed, calibration)
}

/// The test's `z`, for a calibration.
pub fn z(pair: &PairLaw) -> Option<f64> {
    let (count, observed) = matches(pair);
    count.z(observed as f64)
}

fn matches(pair: &PairLaw) -> (Scaled, usize) {
    let trial = |item: &PairItem| Trial {
        probability: item.wrong_alike,
        // Certain to be alike if both are wrong.
        at_most: item.wrong_alike / item.alike_if_wrong.max(f64::MIN_POSITIVE),
    };
    let observed = pair.items.iter().filter(|item| item.is_wrong_alike());
    (
        Scaled::new(pair.items.iter().map(trial), pair.leaning),
        observed.count(),
    )
}
