//! Omega: does the second model repeat the first one's answers?

use super::calibration::{Calibration, Tested};
use super::count::{Count, Tail};
use super::law::PairLaw;
use crate::stat::tails::normal_ln_tail;

/// What the test's p-value is the probability of.
pub const NULL: &str = "as many of the first model's answers given by a second model that answers each item \
                        independently of it, as the panel's law has it for a model of its ability";

/// Omega and its tails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Omega {
    /// Repeated answers beside their law; `z` is omega, the tails are exact.
    pub repeated: Tested,
    /// `ln` of the normal tail of omega, as the index was published; too small where few matches are
    /// expected. `None` where the count cannot vary.
    pub normal_ln_p: Option<f64>,
}

/// The answers of the first model are taken as they are; the second gives the same with its own
/// probability on each item, and `omega = (repeated - sum p) / sqrt(sum p (1 - p))` (Wollack, Applied
/// Psychological Measurement 21, 1997). The other order of the pair gives another value.
pub fn omega(pair: &PairLaw, calibration: Option<&Calibration>) -> Omega {
    let (count, observed) = matches(pair);
    let repeated = Tested::new(&count, observed, calibration);
    Omega {
        repeated,
        normal_ln_p: repeated.z.map(normal_ln_tail),
    }
}

/// The test's `z`, for a calibration.
pub fn z(pair: &PairLaw) -> Option<f64> {
    let (count, observed) = matches(pair);
    count.z(observed as f64)
}

fn matches(pair: &PairLaw) -> (Count, usize) {
    let probabilities = pair.items.iter().map(|item| item.repeats);
    let observed = pair.items.iter().filter(|item| item.alike).count();
    (Count::of_trials(probabilities), observed)
}
