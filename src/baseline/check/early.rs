//! Fewer questions: answers are looked at while they come in.

use std::collections::BTreeSet;

use super::Outcome;
use super::Settings;
use super::Tier;
use super::Verdict;
use super::check;
use crate::baseline::Baseline;
use crate::baseline::make::aggregate;

/// Looks at the answers, the last of them at all.
pub const LOOKS: usize = 5;
/// Share of a gate's level that all looks but the last may err by together (Bonferroni). It is small, so that a
/// check that goes to the end decides nearly what it would have decided without looking.
const ON_THE_WAY: f64 = 0.2;
/// Seed of the order in which items are asked: the same everywhere.
pub const ORDER: u64 = 1;

/// How `settings` stand at a look before the last, or at the last one.
#[must_use]
pub fn at_a_look(settings: &Settings, is_last: bool) -> Settings {
    let share = match is_last {
        true => 1.0 - ON_THE_WAY,
        false => ON_THE_WAY / (LOOKS - 1) as f64,
    };
    Settings {
        alpha_share: settings.alpha_share * share,
        ..*settings
    }
}

/// What the answers so far decide; `None` where those that are still to come may decide otherwise.
///
/// `now` has a beginning of the items of `before`, in random order. What fails by some of the items fails by all
/// of them; that nothing changed is known of all items alone, that accuracy did not drop of enough of them.
///
/// # Errors
/// Those of [`check`].
pub fn beginning(
    before: &Baseline,
    now: &Baseline,
    settings: &Settings,
) -> Result<Option<Outcome>, String> {
    let asked: BTreeSet<&str> = now.items.iter().map(|item| item.id.as_str()).collect();
    let mut part = before.clone();
    part.items.retain(|item| asked.contains(item.id.as_str()));
    part.head.aggregate = aggregate(&part.items);
    let mut outcome = check(&part, now, &at_a_look(settings, false))?;
    outcome.unasked = before.items.len() - part.items.len();
    let decided = match outcome.verdict {
        Verdict::Fail => true,
        Verdict::Pass => settings.gate.tier == Tier::Statistical,
        Verdict::Inconclusive => false,
    };
    Ok(decided.then_some(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::check::Gate;
    use crate::baseline::simulated;

    /// Verdict and items asked, of 300.
    fn stopped(before: &Baseline, now: &Baseline, tier: Tier) -> (Verdict, usize) {
        let settings = Settings {
            gate: Gate {
                tier,
                ..Gate::default()
            },
            noise_floor: None,
            strict: false,
            alpha_share: 1.0,
        };
        let all = now.items.len();
        for look in 1..LOOKS {
            let asked = (all * look).div_ceil(LOOKS);
            let mut some = now.clone();
            some.items.truncate(asked);
            if let Some(outcome) = beginning(before, &some, &settings).unwrap() {
                assert_eq!(outcome.unasked, all - asked);
                assert!(outcome.vanished.is_empty());
                return (outcome.verdict, asked);
            }
        }
        let last = at_a_look(&settings, true);
        (check(before, now, &last).unwrap().verdict, all)
    }

    #[test]
    fn noise_still_passes_and_drops_still_fail() {
        // At most so many of 300 items are asked on average until a drop of ten points is seen.
        for (tier, most) in [(Tier::Answer, 80), (Tier::Statistical, 270)] {
            let (mut passed, mut failed, mut asked) = (0, 0, 0);
            for seed in 0..100 {
                let mut world = simulated::world(300, seed);
                let before = simulated::of(&world);
                simulated::jitter(&mut world, 1e-3, 1000 + seed);
                let noisy = stopped(&before, &simulated::of(&world), tier);
                passed += u32::from(noisy.0 == Verdict::Pass);
                simulated::lose(&mut world, 0.10, 2000 + seed);
                let dropped = stopped(&before, &simulated::of(&world), tier);
                failed += u32::from(dropped.0 == Verdict::Fail);
                asked += dropped.1;
            }
            assert!(passed >= 99 && failed >= 95, "{tier:?} {passed} {failed}");
            assert!(asked <= 100 * most, "{tier:?} {asked}");
        }
    }

    /// A drop of exactly what is allowed fails at most as often as alpha says, over all looks.
    #[test]
    fn the_level_holds_over_all_looks() {
        let (mut failed, mut passed) = (0, 0);
        for seed in 0..200 {
            let mut world = simulated::world(300, seed);
            let before = simulated::of(&world);
            simulated::lose(&mut world, Gate::default().max_drop, 3000 + seed);
            let verdict = stopped(&before, &simulated::of(&world), Tier::Statistical).0;
            failed += u32::from(verdict == Verdict::Fail);
            passed += u32::from(verdict == Verdict::Pass);
        }
        // 5 % of 200 are 10.
        assert!(failed <= 16 && passed <= 16, "{failed} {passed}");
    }
}
