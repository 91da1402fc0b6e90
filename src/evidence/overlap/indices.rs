//! Indices of shared answers, each beside the panel's law and what the panel's own pairs show against it.

use rayon::prelude::*;
use serde::Serialize;

use super::data::Stated;
use super::twins::Twins;
use crate::stat::copying::anytime;
use crate::stat::copying::anytime::{Bet, Fair};
use crate::stat::copying::calibration::Calibration;
use crate::stat::copying::calibration::Tested;
use crate::stat::copying::gbt;
use crate::stat::copying::k_index;
use crate::stat::copying::k_index::KIndex;
use crate::stat::copying::law::PairLaw;
use crate::stat::copying::law::PanelLaw;
use crate::stat::copying::m4;
use crate::stat::copying::omega;
use crate::stat::copying::shared_wrong;
use crate::stat::copying::twin;
use crate::stat::order::median;
use crate::stat::tails;

/// Steps that the joint law of M4 may take.
const BUDGET: m4::Budget = m4::Budget(400_000_000);

/// How well the law describes the panel itself.
#[derive(Debug, Clone, Serialize)]
pub struct CalibrationRow {
    /// Index.
    pub index: &'static str,
    /// Pairs of panel members.
    pub pairs: u64,
    /// Mean of their z: 0 if the law is right.
    pub mean: f64,
    /// Standard deviation of their z: about 1 if the law is right.
    pub sd: f64,
}

/// One index of one pair.
#[derive(Debug, Clone, Serialize)]
pub struct IndexRow {
    /// Short name.
    pub index: &'static str,
    /// What the p-value is the probability of.
    pub null: &'static str,
    /// The numbers.
    #[serde(flatten)]
    pub result: Stated<IndexResult>,
}

/// A count beside its law.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct IndexResult {
    /// Items that could count.
    pub items: u64,
    /// Items that do.
    pub observed: u64,
    /// Mean under the law; absent where the index has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// Standard deviations above the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
    /// Tail under the law.
    pub log10_p: f64,
    /// The same after what the panel's own pairs show is taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log10_p_calibrated: Option<f64>,
}

/// Every index of one pair, and of it the other way round.
pub(super) fn indices(
    law: &PanelLaw<'_>,
    [pair, back]: [&PairLaw; 2],
    (first, second): (usize, usize),
    calibrations: &Calibrations,
    twins: Option<&Twins>,
) -> Vec<IndexRow> {
    let row = |index, null, result| IndexRow {
        index,
        null,
        result,
    };
    let plain = |tested: Tested| Stated::Value(tested_row(&tested));
    let repeats = |pair: &PairLaw| plain(omega::omega(pair, calibrations.omega.as_ref()).repeated);
    let k = |first, second| {
        k_row(&k_index::k_index(
            law.answers(),
            first,
            second,
            law.members(),
        ))
    };
    vec![
        row(
            "shared_wrong",
            shared_wrong::NULL,
            plain(shared_wrong::shared_wrong(
                pair,
                calibrations.shared_wrong.as_ref(),
            )),
        ),
        row(
            "gbt",
            gbt::NULL,
            plain(gbt::gbt(pair, calibrations.gbt.as_ref())),
        ),
        row("omega", omega::NULL, repeats(pair)),
        row("omega, other way round", omega::NULL, repeats(back)),
        row("m4", m4::NULL, m4_row(pair, calibrations)),
        row("k_index", k_index::NULL, k(first, second)),
        row("k_index, other way round", k_index::NULL, k(second, first)),
        row(
            "twin items",
            twin::NULL,
            Stated::from_option(
                twins.map(|twins| twins.row(law, (first, second), calibrations.twins.as_ref())),
                || "no two items are renderings of one question (`group`)".to_owned(),
            ),
        ),
    ]
}

/// What the panel's own pairs show, by index.
pub(super) struct Calibrations {
    twins: Option<Calibration>,
    gbt: Option<Calibration>,
    shared_wrong: Option<Calibration>,
    pub omega: Option<Calibration>,
    right: Option<Calibration>,
    /// The odds at which same wrong answers among them are a fair bet.
    pub fair: Option<Fair>,
    /// Share of same wrong answers among the errors that two of them share, in the median pair.
    pub alike: Option<f64>,
}

impl Calibrations {
    pub fn new(law: &PanelLaw<'_>, twins: Option<&Twins>) -> Self {
        let (z, bets): (Vec<[Option<f64>; 5]>, Vec<Vec<Bet>>) = Calibration::pairs(law, &[])
            .par_iter()
            .map(|&(first, second)| {
                let pair = law.pair(first, second);
                let z = [
                    gbt::z(&pair),
                    shared_wrong::z(&pair),
                    omega::z(&pair),
                    m4::right_z(&pair),
                    twins.and_then(|twins| twins.z(law, (first, second))),
                ];
                (z, anytime::bets(&pair))
            })
            .unzip();
        let share = |pair: &Vec<Bet>| {
            let alike = pair.iter().filter(|(same, _)| *same).count();
            (!pair.is_empty()).then(|| alike as f64 / pair.len() as f64)
        };
        let of = |index: usize| Calibration::of(z.iter().filter_map(|z| z[index]));
        Self {
            gbt: of(0),
            shared_wrong: of(1),
            omega: of(2),
            right: of(3),
            twins: of(4),
            fair: Fair::between(&bets),
            alike: median(bets.iter().filter_map(share)),
        }
    }

    pub fn rows(&self) -> Vec<CalibrationRow> {
        let named = [
            ("gbt", &self.gbt),
            ("shared_wrong", &self.shared_wrong),
            ("omega", &self.omega),
            ("m4, right answers", &self.right),
            ("twin items", &self.twins),
        ];
        let row = |(index, calibration): (&'static str, &Option<Calibration>)| {
            calibration.map(|one| CalibrationRow {
                index,
                pairs: one.pairs as u64,
                mean: one.mean,
                sd: one.sd,
            })
        };
        named.into_iter().filter_map(row).collect()
    }
}

pub(super) fn tested_row(tested: &Tested) -> IndexResult {
    IndexResult {
        items: tested.items as u64,
        observed: tested.observed as u64,
        expected: Some(tested.expected),
        z: tested.z,
        log10_p: tails::log10(tested.ln_p),
        log10_p_calibrated: tested.calibrated_ln_p.map(tails::log10),
    }
}

fn m4_row(pair: &PairLaw, calibrations: &Calibrations) -> Stated<IndexResult> {
    let both = calibrations
        .right
        .as_ref()
        .zip(calibrations.shared_wrong.as_ref());
    let result = m4::m4(pair, both, BUDGET).map(|m4| IndexResult {
        items: m4.items as u64,
        observed: (m4.right + m4.wrong) as u64,
        expected: Some(m4.expected.0 + m4.expected.1),
        z: None,
        log10_p: tails::log10(m4.ln_p),
        log10_p_calibrated: m4.calibrated_ln_p.map(tails::log10),
    });
    Stated::from_option(result, || {
        "the joint law of so many items would take too long".to_owned()
    })
}

fn k_row(index: &KIndex) -> Stated<IndexResult> {
    let ln_p = index.ln_p.or(index.line_ln_p);
    let result = ln_p.map(|ln_p| IndexResult {
        items: index.items as u64,
        observed: index.observed as u64,
        expected: None,
        z: None,
        log10_p: tails::log10(ln_p),
        log10_p_calibrated: None,
    });
    Stated::from_option(result, || {
        "no panel member makes as many mistakes, and their numbers do not vary".to_owned()
    })
}
