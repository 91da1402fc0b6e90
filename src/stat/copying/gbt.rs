//! The generalised binomial test: equal answers, right or wrong.

use super::calibration::{Calibration, Tested};
use super::count::{Count, Tail};
use super::law::PairLaw;

/// What the test's p-value is the probability of.
pub const NULL: &str = "as many equal answers between two models that answer each item independently, each as the \
                        panel's law has it for a model of its ability";

/// Equal answers of a pair beside their law: each item is a trial with its own probability of equal
/// answers, their number has the compound binomial law (van der Linden and Sotaridona, Journal of
/// Educational and Behavioral Statistics 31, 2006).
pub fn gbt(pair: &PairLaw, calibration: Option<&Calibration>) -> Tested {
    let (count, observed) = matches(pair);
    Tested::new(&count, observed, calibration)
}

/// The test's `z`, for a calibration.
pub fn z(pair: &PairLaw) -> Option<f64> {
    let (count, observed) = matches(pair);
    count.z(observed as f64)
}

fn matches(pair: &PairLaw) -> (Count, usize) {
    let probabilities = pair
        .items
        .iter()
        .map(super::law::PairItem::match_probability);
    let observed = pair.items.iter().filter(|item| item.alike).count();
    (Count::of_trials(probabilities), observed)
}
