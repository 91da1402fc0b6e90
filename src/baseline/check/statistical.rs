//! The tier of accuracy: paired, exact, three-valued.

use serde::Serialize;

use super::Gate;
use super::Judgement;
use super::Pair;
use super::STATED_DROP;
use super::Verdict;
use crate::stat::interval::clopper_pearson;
use crate::stat::tails;

/// Accuracy then and now, on the items that both answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drop {
    /// Items with a truth and an answer on both sides; one that has no answer any more counts as wrong.
    pub items: u64,
    /// Right then.
    pub right: u64,
    /// Right then and wrong now.
    pub lost: u64,
    /// Wrong then and right now.
    pub won: u64,
    /// `(lost - won) / items`.
    pub drop: f64,
    /// With probability `1 - alpha` the drop is at least this.
    pub at_least: f64,
    /// With probability `1 - alpha` the drop is at most this.
    pub at_most: f64,
    /// `log10` of McNemar's exact one-sided p-value of no drop.
    pub log10_p: f64,
    /// The drop that `power` is stated for.
    pub stated_drop: f64,
    /// Probability that so large a drop fails here, when no item is won; 0 where fewer were right.
    pub power: f64,
}

/// Counts and bounds; `None` where no item has a truth.
pub(super) fn drop(pairs: &[Pair<'_>], gate: &Gate) -> Option<Drop> {
    let now = |pair: &Pair<'_>| match &pair.now.error {
        Some(_) => Some(false),
        None => pair.now.correct,
    };
    let verdicts = pairs
        .iter()
        .filter_map(|pair| Some((pair.before.correct?, now(pair)?)));
    let (mut items, mut right, mut lost, mut won) = (0u64, 0u64, 0u64, 0u64);
    for (before, now) in verdicts {
        items += 1;
        right += u64::from(before);
        lost += u64::from(before && !now);
        won += u64::from(!before && now);
    }
    if items == 0 {
        return None;
    }
    let (at_least, at_most) = bounds(lost, won, items, gate.alpha);
    Some(Drop {
        items,
        right,
        lost,
        won,
        drop: (lost as f64 - won as f64) / items as f64,
        at_least,
        at_most,
        log10_p: tails::log10(tails::binomial_ln_tail(lost, lost + won, 0.5)),
        stated_drop: STATED_DROP,
        power: match right as f64 >= STATED_DROP * items as f64 {
            true => power(items, gate),
            false => 0.0,
        },
    })
}

/// Fails where the drop is certainly larger than `max_drop`, passes where it certainly is not.
pub(super) fn judge(pairs: &[Pair<'_>], gate: &Gate) -> Judgement {
    let Some(drop) = drop(pairs, gate) else {
        return Judgement {
            verdict: Verdict::Inconclusive,
            reason: "no item has a truth: take another tier".to_owned(),
        };
    };
    if drop.right as f64 <= gate.max_drop * drop.items as f64 {
        return Judgement {
            verdict: Verdict::Inconclusive,
            reason: format!(
                "{} of {} items were right, too few to lose what is allowed: take another tier",
                drop.right, drop.items
            ),
        };
    }
    let points = |share: f64| format!("{:.1}", 100.0 * share);
    let limit = points(gate.max_drop);
    let measured = format!(
        "{} of {} items lost and {} won, a drop of {} points",
        drop.lost,
        drop.items,
        drop.won,
        points(drop.drop)
    );
    let (verdict, reason) = if drop.at_least > gate.max_drop {
        let least = points(drop.at_least);
        (
            Verdict::Fail,
            format!("{measured}: at least {least}, and {limit} are allowed"),
        )
    } else if drop.at_most <= gate.max_drop {
        let most = points(drop.at_most);
        (
            Verdict::Pass,
            format!("{measured}: at most {most}, and {limit} are allowed"),
        )
    } else {
        let needed = needed(gate).map_or_else(String::new, |needed| {
            format!("; without a change it takes {needed} items to pass")
        });
        let (least, most) = (points(drop.at_least), points(drop.at_most));
        let reason =
            format!("{measured}: between {least} and {most}, and {limit} are allowed{needed}");
        (Verdict::Inconclusive, reason)
    };
    Judgement { verdict, reason }
}

/// One-sided bounds of the drop, each at level `alpha`: exact bounds of both shares (Clopper and Pearson 1934),
/// each at half of it, so that both hold together by Bonferroni's inequality, whatever correlates them.
fn bounds(lost: u64, won: u64, items: u64, alpha: f64) -> (f64, f64) {
    // Both tails of an interval of this level are alpha / 2.
    let level = 1.0 - alpha;
    let (lost, won) = (
        clopper_pearson(lost, items, level),
        clopper_pearson(won, items, level),
    );
    (lost.0 - won.1, lost.1 - won.0)
}

/// Probability that a true drop of [`STATED_DROP`] fails, when no item is won.
fn power(items: u64, gate: &Gate) -> f64 {
    let fails = |lost: &u64| bounds(*lost, 0, items, gate.alpha).0 > gate.max_drop;
    let least = (0..=items).collect::<Vec<_>>();
    let least = least.partition_point(|lost| !fails(lost)) as u64;
    tails::binomial_ln_tail(least, items, STATED_DROP).exp()
}

/// Items that it takes to pass where nothing changes; `None` where no number does.
fn needed(gate: &Gate) -> Option<u64> {
    let per_item = -(-gate.max_drop).ln_1p();
    let count = (-(gate.alpha / 2.0).ln() / per_item).ceil();
    (gate.max_drop > 0.0).then_some(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::stream;
    use crate::stat::random::unit;

    const GATE: Gate = Gate {
        abs: 0.0,
        alpha: 0.05,
        max_drop: 0.02,
        tier: crate::baseline::check::Tier::Statistical,
    };

    #[test]
    fn what_is_needed_is_what_passes() {
        let needed = needed(&GATE).unwrap();
        assert!(bounds(0, 0, needed, GATE.alpha).1 <= GATE.max_drop);
        assert!(bounds(0, 0, needed - 1, GATE.alpha).1 > GATE.max_drop);
        assert!(power(300, &GATE) > 0.95 && power(40, &GATE) < 0.5);
    }

    /// At a true drop of exactly what is allowed, a gate fails and passes at most as often as alpha says.
    #[test]
    fn the_level_holds_at_the_limit() {
        for churn in [0.0, 0.03, 0.2] {
            let mut rng = stream(5, "drops");
            let rounds = 2000;
            let (mut failed, mut passed) = (0, 0);
            for _ in 0..rounds {
                let (mut lost, mut won) = (0, 0);
                for _ in 0..400 {
                    let draw = unit(&mut rng);
                    lost += u64::from(draw < churn + GATE.max_drop);
                    won += u64::from(draw > 1.0 - churn);
                }
                let (least, most) = bounds(lost, won, 400, GATE.alpha);
                failed += u32::from(least > GATE.max_drop);
                passed += u32::from(most < GATE.max_drop);
            }
            // 5 % of 2,000 are 100.
            assert!(failed <= 115 && passed <= 115, "{churn}: {failed} {passed}");
        }
    }
}
