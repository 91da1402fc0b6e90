use super::*;
use crate::baseline::simulated;

fn settings(tier: Tier) -> Settings {
    Settings {
        gate: Gate {
            tier,
            ..Gate::default()
        },
        noise_floor: None,
        strict: false,
        alpha_share: 1.0,
    }
}

const TIERS: [Tier; 4] = [
    Tier::Exact,
    Tier::Answer,
    Tier::Tolerance,
    Tier::Statistical,
];

#[test]
fn the_same_answers_pass_every_tier() {
    let before = simulated::baseline(300, 3);
    for tier in TIERS {
        let outcome = check(&before, &before, &settings(tier)).unwrap();
        assert_eq!(outcome.verdict, Verdict::Pass, "{tier:?} {outcome:?}");
        assert!(outcome.changed.is_empty());
    }
}

/// Runs that differ by the noise of floating point alone: other threads, other batches.
#[test]
fn noise_passes() {
    for tier in TIERS {
        let passed = (0..200).filter(|seed| {
            let mut world = simulated::world(300, *seed);
            let before = simulated::of(&world);
            simulated::jitter(&mut world, 1e-3, 1000 + seed);
            let now = simulated::of(&world);
            check(&before, &now, &settings(tier)).unwrap().verdict == Verdict::Pass
        });
        let passed = passed.count();
        assert!(passed >= 198, "{tier:?}: {passed} of 200");
    }
}

#[test]
fn ten_points_lost_fail() {
    let failed = (0..200).filter(|seed| {
        let mut world = simulated::world(300, *seed);
        let before = simulated::of(&world);
        simulated::jitter(&mut world, 1e-3, 1000 + seed);
        simulated::lose(&mut world, 0.10, 2000 + seed);
        let now = simulated::of(&world);
        let outcome = check(&before, &now, &settings(Tier::Statistical)).unwrap();
        outcome.verdict == Verdict::Fail
    });
    let failed = failed.count();
    assert!(failed >= 190, "{failed} of 200");
}

#[test]
fn small_suites_and_small_drops_are_undecided() {
    let few = simulated::baseline(40, 3);
    let outcome = check(&few, &few, &settings(Tier::Statistical)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Inconclusive);
    let mut wrong = simulated::baseline(300, 3);
    let all = wrong.items.iter_mut().skip(5);
    all.for_each(|item| item.correct = Some(false));
    let outcome = check(&wrong, &wrong, &settings(Tier::Statistical)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Inconclusive, "{outcome:?}");
    assert!(outcome.drop.unwrap().power == 0.0);
    let mut now = simulated::baseline(300, 3);
    let before = now.clone();
    let right = now.items.iter_mut().filter(|i| i.correct == Some(true));
    right.take(6).for_each(|item| item.correct = Some(false));
    let outcome = check(&before, &now, &settings(Tier::Statistical)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Inconclusive, "{outcome:?}");
}

#[test]
fn one_sharp_change_fails_and_a_knife_edge_does_not() {
    let before = simulated::baseline(300, 3);
    for (margin, verdict) in [(0.001, Verdict::Pass), (2.0, Verdict::Fail)] {
        let mut before = before.clone();
        before.items[5].margin = Some(margin);
        let mut now = before.clone();
        now.items[5].extracted = "feed".to_owned();
        now.items[5].sha256 = "feed".to_owned();
        for tier in [Tier::Exact, Tier::Answer] {
            let outcome = check(&before, &now, &settings(tier)).unwrap();
            assert_eq!(outcome.verdict, verdict, "{outcome:?}");
            assert_eq!(outcome.changed[0].item, before.items[5].id);
        }
    }
    // More of them than a coin would turn.
    let mut before = before;
    before.items[..12]
        .iter_mut()
        .for_each(|item| item.margin = Some(0.0));
    let mut now = before.clone();
    now.items[..12]
        .iter_mut()
        .for_each(|item| item.extracted = "x".to_owned());
    let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
    assert_eq!(
        (outcome.verdict, outcome.knife_edge.changed),
        (Verdict::Fail, 12)
    );
}

#[test]
fn tolerance_is_three_valued() {
    let before = simulated::baseline(50, 3);
    for (steps, verdict) in [
        (1, Verdict::Pass),
        (3, Verdict::Inconclusive),
        (9, Verdict::Fail),
    ] {
        let mut now = before.clone();
        now.items[7].top[0].1 -= steps;
        let outcome = check(&before, &now, &settings(Tier::Tolerance)).unwrap();
        assert_eq!(outcome.verdict, verdict, "{steps} {outcome:?}");
    }
}

#[test]
fn other_conditions_are_no_regression() {
    let before = simulated::baseline(20, 3);
    let refused = |change: fn(&mut Bound)| {
        let mut now = before.clone();
        change(&mut now.head.bound);
        check(&before, &now, &settings(Tier::Answer)).unwrap_err()
    };
    assert!(refused(|bound| bound.suite_sha256.push('0')).contains("suite hash"));
    assert!(refused(|bound| bound.device = Some("accelerator".to_owned())).contains("device"));
    assert!(refused(|bound| bound.decoding.push('!')).contains("decoding"));
    let mut now = before.clone();
    now.head.bound.tokenizer = None;
    let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
    assert_eq!(outcome.conditions.changes[0].what, "tokenizer");
}

#[test]
fn items_that_come_and_go_are_listed_and_strictly_fail() {
    let before = simulated::baseline(20, 3);
    let mut now = before.clone();
    now.items[4].id = "other".to_owned();
    let mut settings = settings(Tier::Answer);
    let outcome = check(&before, &now, &settings).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((outcome.vanished.len(), &outcome.new[0][..]), (1, "other"));
    settings.strict = true;
    let outcome = check(&before, &now, &settings).unwrap();
    assert_eq!(outcome.verdict, Verdict::Fail);
}
