//! What the answers at hand can show, given what the panel's own pairs share.

use serde::Serialize;

use super::data::Stated;
use crate::stat::copying::law::{PairItem, PairLaw};
use crate::stat::copying::plan;
use crate::stat::copying::plan::Outlook;
use crate::stat::order::median;

/// The level for which the power is stated where no other is given.
const LEVEL: f64 = 1e-3;

/// Of a test of the share of same wrong answers among shared errors.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Power {
    /// That share in the median pair of panel members.
    pub independent: f64,
    /// Largest p-value that counts.
    pub level: f64,
    /// The power that `both_wrong_needed` is for.
    pub power_wanted: f64,
    /// Items that the compared models answered, in the median pair.
    pub items: u64,
    /// Share of them that both get wrong.
    pub both_wrong_rate: f64,
    /// By the share that is to be seen.
    pub shares: [Outlook; plan::SHARES.len()],
}

/// Of compared pairs, where pairs of the panel give `independent` of their shared errors the same answer.
pub(super) fn power(
    independent: Option<f64>,
    compared: &[Counts],
    level: Option<f64>,
) -> Stated<Power> {
    let items = median(compared.iter().map(|counts| counts.items as f64));
    let rate = median(
        compared
            .iter()
            .filter(|counts| counts.items > 0)
            .map(|counts| counts.both_wrong as f64 / counts.items as f64),
    );
    let (Some(independent), Some(items), Some(both_wrong_rate)) = (independent, items, rate) else {
        return Stated::missing("the panel's own pairs share no error");
    };
    let (items, level) = (items as u64, level.unwrap_or(LEVEL));
    Stated::Value(Power {
        independent,
        level,
        power_wanted: plan::POWER,
        items,
        both_wrong_rate,
        shares: plan::outlooks(independent, level.ln(), items, both_wrong_rate),
    })
}

/// Items of one pair.
pub(super) struct Counts {
    items: usize,
    both_wrong: usize,
}

impl Counts {
    pub fn of(pair: &PairLaw) -> Self {
        let both_wrong = |item: &&PairItem| !item.first_right && !item.second_right;
        Self {
            items: pair.items.len(),
            both_wrong: pair.items.iter().filter(both_wrong).count(),
        }
    }
}
