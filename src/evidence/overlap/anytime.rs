//! Same wrong answers of a pair under a test that may be looked at while answers still come in.

use serde::Serialize;

use super::data::Stated;
use super::twins::Twins;
use crate::stat::copying::anytime;
use crate::stat::copying::anytime::Fair;
use crate::stat::copying::law::PairLaw;
use crate::stat::copying::sequential;
use crate::stat::tails;

/// How far the evidence of a pair has come.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AnytimeRow {
    /// What the p-value is the probability of.
    pub null: &'static str,
    /// Items that both answered.
    pub items: u64,
    /// Of them, those that both got wrong.
    pub both_wrong: u64,
    /// Of those, the same answers.
    pub both_wrong_alike: u64,
    /// Log10 of the e-value now: what bets on same wrong answers, at the panel's odds, made of 1.
    pub log10_e: f64,
    /// Log10 of the p-value that is valid whenever one stops.
    pub log10_p: f64,
    /// What was added to the logarithm of the odds, so that the panel's own pairs win nothing.
    pub tilt: f64,
    /// Spread of the panel's pairs at those odds; above 1 it slows the bets.
    pub spread: f64,
    /// The level at which to stop; absent where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
}

/// A level at which to stop.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Until {
    /// Largest p-value that stops.
    pub p: f64,
    /// Items, in the order of the table, after which it was reached; absent where it was not.
    pub reached_after: Option<u64>,
}

/// The odds that panel pairs leave; words where no such test can be made.
pub(super) fn fair(found: Option<Fair>, twins: Option<&Twins>) -> Stated<Fair> {
    if twins.is_some() {
        return Stated::missing(
            "several items are renderings of one question: one after the other they are no new evidence",
        );
    }
    Stated::from_option(found, || {
        "the panel's pairs share no wrong items on which the odds could be checked".to_owned()
    })
}

/// One pair at those odds.
pub(super) fn row(pair: &PairLaw, fair: &Stated<Fair>, until: Option<f64>) -> Stated<AnytimeRow> {
    let fair = match fair {
        Stated::Value(fair) => fair,
        Stated::Missing { missing } => return Stated::missing(missing.clone()),
    };
    // Without a level nothing stops.
    let ln_level = until.map_or(f64::NEG_INFINITY, f64::ln);
    let found = anytime::anytime(pair, fair, ln_level);
    Stated::Value(AnytimeRow {
        null: sequential::NULL,
        items: found.items as u64,
        both_wrong: found.both_wrong as u64,
        both_wrong_alike: found.alike as u64,
        log10_e: found.ln_e * std::f64::consts::LOG10_E,
        log10_p: tails::log10(found.ln_p),
        tilt: fair.tilt,
        spread: fair.spread,
        until: until.map(|p| Until {
            p,
            reached_after: found.reached.map(|at| at as u64),
        }),
    })
}
