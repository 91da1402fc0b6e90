//! Pairs of models held against a panel of others that answered the same items.

use rayon::prelude::*;
use serde::Serialize;

use super::Settings;
use super::anytime;
use super::anytime::AnytimeRow;
use super::confusion::{Confusion, Tables};
use super::consensus::without_truth;
use super::data::Stated;
use super::indices::CalibrationRow;
use super::indices::Calibrations;
use super::indices::IndexResult;
use super::indices::IndexRow;
use super::indices::indices;
use super::indices::tested_row;
use super::pairs::LEVEL;
use super::power;
use super::power::Counts;
use super::power::Power;
use super::twins::Twins;
use super::view::UNKNOWN;
use super::view::View;
use crate::stat::copying::answers::Answers;
use crate::stat::copying::answers::MISSING;
use crate::stat::copying::anytime::Fair;
use crate::stat::copying::calibration::Calibration;
use crate::stat::copying::claim;
use crate::stat::copying::fraction::Carrier;
use crate::stat::copying::fraction::carriers;
use crate::stat::copying::fraction::carrying;
use crate::stat::copying::fraction::copied_fraction;
use crate::stat::copying::law::PairLaw;
use crate::stat::copying::law::PanelLaw;
use crate::stat::copying::rank::rank_ln_p;
use crate::stat::copying::shared_wrong;
use crate::stat::tails;

/// Fewest models of a panel: pairs of them are what the law is checked on.
const FEWEST: usize = 3;

/// The code of a right answer, whatever its spelling.
const RIGHT: u32 = MISSING - 1;

/// Items that carry the evidence, listed per pair.
const CARRIERS: usize = 50;

/// Share of the weight that the carriers are counted for.
const NINE_TENTHS: f64 = 0.9;

/// What pairs show beside a panel.
#[derive(Debug, Clone, Serialize)]
pub struct AgainstPanel {
    /// Labels of the panel.
    pub members: Vec<String>,
    /// Items that the law was learnt on.
    pub items: u64,
    /// What the panel's own pairs show against the law that left them out, by index.
    pub calibration: Vec<CalibrationRow>,
    /// What the answers at hand can show.
    pub power: Stated<Power>,
    /// One per pair of compared models.
    pub pairs: Vec<PanelPair>,
    /// Whether the second of each pair is more like the first than the panel, all of them derivatives of
    /// one base, is.
    pub claims: Stated<Vec<ClaimRow>>,
}

/// Two models beside the panel.
#[derive(Debug, Clone, Serialize)]
pub struct PanelPair {
    /// Label.
    pub first: String,
    /// Label.
    pub second: String,
    /// One per index.
    pub indices: Vec<IndexRow>,
    /// Rank of the pair's z of same wrong answers among those of both models with panel members.
    pub rank: Rank,
    /// What is taken for what, less what the panel takes for it: no test, a description.
    pub confusion: Stated<Confusion>,
    /// Same wrong answers under a test that may be looked at while answers still come in.
    pub at_any_time: Stated<AnytimeRow>,
    /// Share of its answers that the second would repeat from the first, the rest its own.
    pub copied_fraction: Copied,
    /// The same with the first repeating the second.
    pub copied_fraction_other_way: Copied,
    /// Same wrong answers, those first that a panel model would be least likely to repeat.
    pub carriers: Vec<CarrierRow>,
    /// How many of all equal answers carry nine tenths of what speaks for copying.
    pub carrying_nine_tenths: u64,
}

/// A copied share, by maximum likelihood with its profile interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Copied {
    /// The share.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Log10 of its likelihood over that of no copying: not a likelihood ratio of lineage.
    pub log10_ratio: f64,
}

/// An item that speaks for copying.
#[derive(Debug, Clone, Serialize)]
pub struct CarrierRow {
    /// Suite.
    pub suite: String,
    /// Id.
    pub item: String,
    /// The shared answer, as the first gave it.
    pub answer: String,
    /// Right answer.
    pub target: Option<String>,
    /// Probability that an independent model gives the first one's answer.
    pub repeats: f64,
}

/// A suspect among derivatives of the base that it is said to come from.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimRow {
    /// Label of the model that it may repeat.
    pub first: String,
    /// Label of the suspect.
    pub suspect: String,
    /// Label of the base.
    pub base: String,
    /// What the p-values are the probability of.
    pub null: &'static str,
    /// Repeats of the first's wrong answers.
    pub repeats: IndexResult,
    /// z of the base itself with the first.
    pub base_z: Option<f64>,
    /// Derivatives that were measured.
    pub derivatives: u64,
    /// Mean and standard deviation of their z.
    pub derivatives_z: Option<(f64, f64)>,
    /// Rank of the suspect among them; never below one in their number plus one.
    pub rank_log10_p: f64,
    /// Student's tail of the suspect's z as one more of a normal population of derivatives.
    pub student_log10_p: Option<f64>,
}

/// A rank among pairs with panel members.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rank {
    /// The larger of the p-values of either model's row.
    pub log10_p: f64,
    /// Members in the smaller of the rows; p is never below one in this number plus one.
    pub members: u64,
}

/// The compared pairs beside the panel; words when there is no panel, or too small a one.
pub(super) fn against(view: &View<'_>, settings: &Settings) -> Stated<AgainstPanel> {
    let panel = &settings.panel;
    let (answers, items) = match usable(view, settings) {
        Ok(found) => found,
        Err(missing) => return Stated::missing(missing),
    };
    let law = PanelLaw::fit(&answers, panel);
    let twins = Twins::of(view, &items, settings.seed);
    let calibrations = Calibrations::new(&law, twins.as_ref());
    let fair = anytime::fair(calibrations.fair, twins.as_ref());
    let confusions = Tables::new(view, panel);
    let compared: Vec<usize> = settings.compared(view.columns.len());
    let pairs: Vec<(usize, usize)> = compared
        .iter()
        .enumerate()
        .flat_map(|(at, &first)| {
            compared[at + 1..]
                .iter()
                .map(move |&second| (first, second))
        })
        .collect();
    let with_members: Vec<Vec<f64>> = compared
        .par_iter()
        .map(|&model| {
            panel
                .iter()
                .filter_map(|&member| shared_wrong::z(&law.pair(model, member)))
                .collect()
        })
        .collect();
    let beside = |model: usize| {
        let at = compared.iter().position(|&one| one == model);
        at.map_or(&[][..], |at| &with_members[at])
    };
    let label = |at: usize| view.sheet.columns[at].label.clone();
    let rows = pairs.par_iter().map(|&(first, second)| {
        let pair = law.pair(first, second);
        let back = law.pair(second, first);
        let (copied, carriers) = copied(&pair, &calibrations);
        let row = PanelPair {
            first: label(first),
            second: label(second),
            rank: rank(&pair, beside(first), beside(second)),
            confusion: confusions.of(first, second),
            at_any_time: anytime::row(&pair, &fair, settings.until),
            copied_fraction: copied,
            copied_fraction_other_way: self::copied(&back, &calibrations).0,
            carrying_nine_tenths: carrying(&carriers, NINE_TENTHS) as u64,
            carriers: carriers
                .iter()
                .filter(|carrier| carrier.wrong)
                .take(CARRIERS)
                .map(|carrier| carrier_row(view, first, items[carrier.item], carrier.repeats))
                .collect(),
            indices: indices(
                &law,
                [&pair, &back],
                (first, second),
                &calibrations,
                twins.as_ref(),
            ),
        };
        (row, Counts::of(&pair))
    });
    let (rows, counts): (Vec<PanelPair>, Vec<Counts>) = rows.unzip();
    let claims = settings.base.map(|base| {
        let claims = pairs.par_iter();
        claims
            .map(|&(first, suspect)| claim_row(&law, (first, suspect, base), &label))
            .collect()
    });
    Stated::Value(AgainstPanel {
        members: panel.iter().map(|&at| label(at)).collect(),
        items: items.len() as u64,
        pairs: rows,
        claims: Stated::from_option(claims, || "no base was named (--base)".to_owned()),
        calibration: calibrations.rows(),
        power: power::power(calibrations.alike, &counts, settings.until),
    })
}

/// The first two models under a test that may be looked at while answers still come in.
pub(super) fn at_any_time(view: &View<'_>, settings: &Settings) -> Stated<AnytimeRow> {
    let (answers, items) = match usable(view, settings) {
        Ok(found) => found,
        Err(missing) => return Stated::missing(missing),
    };
    let law = PanelLaw::fit(&answers, &settings.panel);
    let twins = Twins::of(view, &items, settings.seed);
    let fair = anytime::fair(Fair::of(&law), twins.as_ref());
    anytime::row(&law.pair(0, 1), &fair, settings.until)
}

/// Answers and items for a law of the panel, or why there can be none.
fn usable(view: &View<'_>, settings: &Settings) -> Result<(Answers, Vec<usize>), String> {
    let models = settings.panel.len();
    if models == 0 {
        return Err("no panel of other models (--panel) to compare with".to_owned());
    }
    if models < FEWEST {
        return Err(format!(
            "the panel has {models} models; {FEWEST} or more are needed"
        ));
    }
    let (answers, items) = answers(view);
    match items.is_empty() {
        true => {
            Err("no item is left outside of suites where right and wrong say nothing".to_owned())
        }
        false => Ok((answers, items)),
    }
}

/// All answers for the law, and the items that it is about: those where right and wrong say something, and
/// those without a truth, whose answers the law takes as they are.
fn answers(view: &View<'_>) -> (Answers, Vec<usize>) {
    let open = without_truth(view);
    let judged = |at: usize| open.binary_search(&at).is_err();
    let items: Vec<usize> = (0..view.counted.len())
        .filter(|&at| view.counted[at] || !judged(at))
        .collect();
    let facts = items.iter().map(|&at| {
        let right = if judged(at) { RIGHT } else { MISSING };
        (right, view.options[usize::from(view.kind[at])])
    });
    let mut answers = Answers::of_items(facts);
    for column in &view.columns {
        let codes = items
            .iter()
            .map(|&at| match (column.right[at], column.codes[at]) {
                (Some(true), _) => RIGHT,
                (_, UNKNOWN) => MISSING,
                (_, code) => code,
            });
        // One code per item, so that the length is right.
        let _ = answers.push(codes.collect());
    }
    (answers, items)
}

fn rank(pair: &PairLaw, first: &[f64], second: &[f64]) -> Rank {
    let rank = |others: &[f64]| shared_wrong::z(pair).map_or(0.0, |z| rank_ln_p(z, others));
    Rank {
        log10_p: tails::log10(rank(first).max(rank(second))),
        members: first.len().min(second.len()) as u64,
    }
}

/// The copied share, and the equal answers that say so.
fn copied(pair: &PairLaw, calibrations: &Calibrations) -> (Copied, Vec<Carrier>) {
    let spread = calibrations.omega.map_or(1.0, |calibration| calibration.sd);
    let fraction = copied_fraction(pair, LEVEL, spread);
    let copied = Copied {
        value: fraction.estimate,
        low: fraction.low,
        high: fraction.high,
        log10_ratio: fraction.ln_ratio * std::f64::consts::LOG10_E,
    };
    (copied, carriers(pair, fraction.estimate))
}

fn carrier_row(view: &View<'_>, model: usize, at: usize, repeats: f64) -> CarrierRow {
    let sheet = view.sheet;
    let item = &sheet.items[at];
    let answer = sheet.cell(model, at).and_then(|cell| cell.answer);
    CarrierRow {
        suite: sheet.suites[item.suite as usize].id.clone(),
        item: item.id.to_string(),
        answer: answer.map_or_else(String::new, |id| sheet.texts.shown(id).to_owned()),
        target: sheet.target(item),
        repeats,
    }
}

fn claim_row(
    law: &PanelLaw<'_>,
    (first, suspect, base): (usize, usize, usize),
    label: &impl Fn(usize) -> String,
) -> ClaimRow {
    let claim = claim::claim(law, first, suspect);
    let theirs = Calibration::of(claim.derivatives.iter().map(|(_, z)| *z));
    ClaimRow {
        first: label(first),
        suspect: label(suspect),
        base: label(base),
        null: claim::NULL,
        repeats: tested_row(&claim.suspect),
        base_z: claim::claim(law, first, base).z,
        derivatives: claim.derivatives.len() as u64,
        derivatives_z: theirs.map(|theirs| (theirs.mean, theirs.sd)),
        rank_log10_p: tails::log10(claim.rank_ln_p),
        student_log10_p: claim.student_ln_p.map(tails::log10),
    }
}
