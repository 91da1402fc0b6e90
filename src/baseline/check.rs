//! A recording against a baseline: one tier per file, three possible verdicts.

mod answer;
mod early;
mod edge;
mod exact;
mod items;
mod statistical;
#[cfg(test)]
mod tests;
mod tolerance;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::Aggregate;
use super::Baseline;
use super::Bound;
use super::Changed;
use super::Decision;
use super::Item;
use super::changed;
use super::inside::most_moved;

pub use early::LOOKS;
pub use early::ORDER;
pub use early::at_a_look;
pub use early::beginning;
pub use edge::AsClose;
pub use edge::KnifeEdge;
pub use statistical::Drop;

use edge::Pair;
use edge::knife_edge;
use edge::pair;

/// Default of [`Gate::abs`], in nats: a probability may change by a twentieth of itself.
pub const ABS: f64 = 0.05;
/// Default of [`Gate::alpha`].
pub const ALPHA: f64 = 0.05;
/// Default of [`Gate::max_drop`]: two points.
pub const MAX_DROP: f64 = 0.02;
/// The drop at which power is stated: ten points.
pub const STATED_DROP: f64 = 0.10;

/// How strictly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Bytes of every answer and its first tokens.
    Exact,
    /// Every answer as the suite scores it.
    #[default]
    Answer,
    /// Log-probabilities of the first token's candidates, within [`Gate::abs`].
    Tolerance,
    /// Accuracy, within [`Gate::max_drop`] at level [`Gate::alpha`].
    Statistical,
}

impl Tier {
    /// By its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Answer => "answer",
            Self::Tolerance => "tolerance",
            Self::Statistical => "statistical",
        }
    }
}

/// Tier and limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Largest change of a log-probability, in nats.
    pub abs: f64,
    /// Most that a gate may err by chance.
    pub alpha: f64,
    /// Largest drop of accuracy, as a share of the items.
    pub max_drop: f64,
    /// Which comparison decides.
    pub tier: Tier,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            abs: ABS,
            alpha: ALPHA,
            max_drop: MAX_DROP,
            tier: Tier::default(),
        }
    }
}

impl Gate {
    /// The gate, if its limits make sense.
    ///
    /// # Errors
    /// In words, which of them does not.
    pub fn checked(self) -> Result<Self, String> {
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            return Err(format!(
                "alpha is {}: take one between 0 and 0.5",
                self.alpha
            ));
        }
        if !(0.0..1.0).contains(&self.max_drop) {
            let given = self.max_drop;
            return Err(format!(
                "max drop is {given}: take a share from 0 to below 1"
            ));
        }
        if !(self.abs >= 0.0 && self.abs.is_finite()) {
            return Err(format!("abs is {}: take nats from 0", self.abs));
        }
        Ok(self)
    }
}

/// How to check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Tier and limits.
    pub gate: Gate,
    /// In nats, in place of what the baseline says.
    pub noise_floor: Option<f64>,
    /// Whether vanished and new items fail.
    pub strict: bool,
    /// Share of [`Gate::alpha`] that this look at the answers may err by; 1 where it is the only one.
    pub alpha_share: f64,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As accepted, within the limits.
    Pass,
    /// Nothing can be decided with these items.
    Inconclusive,
    /// Beyond the limits.
    Fail,
}

/// An item that is not as it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemChange {
    /// Item id.
    pub item: String,
    /// The answer that was accepted, as a line of the file shows it.
    pub before: String,
    /// The answer now.
    pub now: String,
    /// Whether they were right.
    pub correct: [Option<bool>; 2],
    /// When it was accepted, in nats: of the decision at which the two answers part.
    pub margin: Option<f64>,
    /// Which decision that is; none where both have the same tokens.
    pub margin_of: Option<Decision>,
    /// Whether that margin is within noise.
    pub knife_edge: bool,
    /// What differs.
    pub why: String,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Of the gate.
    pub verdict: Verdict,
    /// In words.
    pub reason: String,
    /// Tier and limits that decided; `alpha` is that of one look.
    pub gate: Gate,
    /// Items that were not asked any more, because it was decided before.
    pub unasked: usize,
    /// Items in both.
    pub compared: usize,
    /// In baseline order.
    pub changed: Vec<ItemChange>,
    /// Too close to call.
    pub knife_edge: KnifeEdge,
    /// Accuracy, where items have a truth.
    pub drop: Option<Drop>,
    /// When accepted, and now.
    pub aggregate: [Aggregate; 2],
    /// Items of the baseline that were not asked.
    pub vanished: Vec<String>,
    /// Items that the baseline does not have.
    pub new: Vec<String>,
    /// What else is not as it was.
    pub conditions: Changed,
    /// The block whose residual stream moved most, and by which share of its norm.
    pub most_moved: Option<(usize, f64)>,
}

/// What differs of an item in the eyes of a tier, in words.
type Differs = fn(&Pair<'_>, &Gate) -> Option<String>;

/// A tier's word.
#[derive(Debug)]
struct Judgement {
    verdict: Verdict,
    reason: String,
}

/// Compares `now` with `before`.
///
/// # Errors
/// In words, where the conditions are such that a difference says nothing about the model.
pub fn check(before: &Baseline, now: &Baseline, settings: &Settings) -> Result<Outcome, String> {
    comparable(&before.head.bound, &now.head.bound)?;
    let floor = settings.noise_floor.unwrap_or(before.head.noise_floor);
    let theirs: BTreeMap<&str, &Item> = by_id(&now.items);
    let ours: BTreeMap<&str, &Item> = by_id(&before.items);
    let pairs: Vec<Pair<'_>> = before
        .items
        .iter()
        .filter_map(|item| Some(pair(item, theirs.get(item.id.as_str())?, floor)))
        .collect();
    let gate = Gate {
        alpha: settings.gate.alpha * settings.alpha_share,
        ..settings.gate
    };
    let (differs, judgement): (Differs, Judgement) = match gate.tier {
        Tier::Exact => (exact::differs, items::judge(&pairs, &gate, exact::differs)),
        Tier::Answer => (
            answer::differs,
            items::judge(&pairs, &gate, answer::differs),
        ),
        Tier::Tolerance => (tolerance::differs, tolerance::judge(&pairs, &gate)),
        Tier::Statistical => (answer::differs, statistical::judge(&pairs, &gate)),
    };
    let missing = |from: &[Item], of: &BTreeMap<&str, &Item>| -> Vec<String> {
        let lost = from
            .iter()
            .filter(|item| !of.contains_key(item.id.as_str()));
        lost.map(|item| item.id.clone()).collect()
    };
    let changes = changes(&pairs, |pair| differs(pair, &gate));
    let mut outcome = Outcome {
        verdict: judgement.verdict,
        reason: judgement.reason,
        gate,
        unasked: 0,
        compared: pairs.len(),
        knife_edge: knife_edge(&pairs, &changes, floor),
        changed: changes,
        drop: statistical::drop(&pairs, &gate),
        aggregate: [before.head.aggregate.clone(), now.head.aggregate.clone()],
        vanished: missing(&before.items, &theirs),
        new: missing(&now.items, &ours),
        conditions: changed(&before.head.bound, &now.head.bound),
        most_moved: most_moved(&before.head.inside, &now.head.inside),
    };
    strictly(&mut outcome, settings.strict);
    Ok(outcome)
}

/// Items that came or went fail where that is asked for.
fn strictly(outcome: &mut Outcome, strict: bool) {
    let (vanished, new) = (outcome.vanished.len(), outcome.new.len());
    if strict && vanished + new > 0 {
        outcome.verdict = Verdict::Fail;
        outcome.reason = format!("{vanished} items vanished and {new} are new (--strict)");
    }
}

fn by_id(items: &[Item]) -> BTreeMap<&str, &Item> {
    items.iter().map(|item| (item.id.as_str(), item)).collect()
}

fn changes(pairs: &[Pair<'_>], why: impl Fn(&Pair<'_>) -> Option<String>) -> Vec<ItemChange> {
    let shown = |item: &Item| match &item.error {
        Some(error) => format!("(no answer: {error})"),
        None => item.answer.clone(),
    };
    let changed = pairs.iter().filter_map(|pair| Some((pair, why(pair)?)));
    changed
        .map(|(pair, why)| ItemChange {
            item: pair.before.id.clone(),
            before: shown(pair.before),
            now: shown(pair.now),
            correct: [pair.before.correct, pair.now.correct],
            margin: pair.parting.map(|(_, margin)| margin),
            margin_of: pair.parting.map(|(decision, _)| decision),
            knife_edge: pair.knife_edge,
            why,
        })
        .collect()
}

/// Whether a difference would be the model's.
///
/// # Errors
/// In words, which condition differs.
pub fn comparable(before: &Bound, now: &Bound) -> Result<(), String> {
    let version = |bound: &Bound| format!("{} v{}", bound.suite, bound.suite_version);
    for (what, a, b) in [
        ("suite", version(before), version(now)),
        (
            "suite hash",
            before.suite_sha256.clone(),
            now.suite_sha256.clone(),
        ),
        ("decoding", before.decoding.clone(), now.decoding.clone()),
        ("device", device(before, now), device(now, before)),
    ] {
        if a != b {
            let shown = |text| crate::text::ModelText::new(text).clipped(80);
            return Err(format!("{what} was `{}` and is `{}`", shown(a), shown(b)));
        }
    }
    Ok(())
}

/// Of `one`, where both are known: what a server does not tell cannot make its answers incomparable.
fn device(one: &Bound, other: &Bound) -> String {
    let both = one.device.as_ref().zip(other.device.as_ref());
    both.map_or_else(String::new, |(one, _)| one.clone())
}

/// Whether one of the two has no answer where the other has one.
fn silence(pair: &Pair<'_>) -> Option<String> {
    match (&pair.before.error, &pair.now.error) {
        (None, Some(_)) => Some("no answer any more".to_owned()),
        (Some(_), None) => Some("an answer where there was none".to_owned()),
        _ => None,
    }
}
