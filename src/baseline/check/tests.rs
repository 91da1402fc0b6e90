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
            simulated::jitter(&mut world, simulated::REPETITION, 1000 + seed);
            let now = simulated::of(&world);
            check(&before, &now, &settings(tier)).unwrap().verdict == Verdict::Pass
        });
        let passed = passed.count();
        assert!(passed >= 198, "{tier:?}: {passed} of 200");
    }
}

/// A machine whose repetitions move later tokens so much that answers do change.
#[test]
fn noise_that_turns_answers_passes_and_losses_in_it_fail() {
    let noise = 0.02;
    let (mut passed, mut failed, mut turned, mut later) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut world = simulated::world(300, seed);
        let before = simulated::repeated(&world, noise);
        simulated::jitter(&mut world, noise, 1000 + seed);
        let now = simulated::of(&world);
        let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
        passed += u32::from(outcome.verdict == Verdict::Pass);
        turned += outcome.changed.len();
        let first = |change: &&ItemChange| change.margin_of == Some(Decision::Token(0));
        later += outcome.changed.len() - outcome.changed.iter().filter(first).count();
        simulated::lose(&mut world, 0.10, 2000 + seed);
        let now = simulated::of(&world);
        let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
        failed += u32::from(outcome.verdict == Verdict::Fail);
    }
    assert!(passed >= 198 && failed >= 190, "{passed} {failed} of 200");
    // Most of them turn behind the first token.
    assert!(turned > 400 && later > turned / 4, "{turned} {later}");
}

#[test]
fn a_change_is_judged_where_the_answers_part() {
    let before = simulated::baseline(300, 3);
    let close = |place: usize, margin: f64| {
        let mut before = before.clone();
        let item = &mut before.items[5];
        item.margin = Some(3.0);
        item.margins = vec![3.0; item.margins.len()];
        item.later = Some((30, 3.0));
        match place {
            0 => item.margin = Some(margin),
            16.. => item.later = Some((20, margin)),
            _ => item.margins[place - 1] = margin,
        }
        before
    };
    for (near, parts, verdict) in [
        (0, 0, Verdict::Pass),
        (4, 4, Verdict::Pass),
        (4, 5, Verdict::Fail),
        (0, 5, Verdict::Fail),
        (16, 16, Verdict::Pass),
        (4, 16, Verdict::Fail),
        (16, 4, Verdict::Fail),
    ] {
        let before = close(near, 0.001);
        let mut now = before.clone();
        other(&mut now.items[5], parts);
        for tier in [Tier::Exact, Tier::Answer] {
            let outcome = check(&before, &now, &settings(tier)).unwrap();
            assert_eq!(outcome.verdict, verdict, "{near} {parts} {outcome:?}");
            let edge = &outcome.knife_edge;
            assert!(edge.items.contains(&before.items[5].id), "{edge:?}");
            assert!(edge.as_close.is_some());
            assert!(!edge.first_tokens_only);
        }
        // No answer any more is no matter of noise.
        now.items[5].error = Some("too long".to_owned());
        let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
        assert_eq!(outcome.verdict, Verdict::Fail);
    }
}

#[test]
fn a_baseline_of_first_margins_is_judged_by_them() {
    let mut before = simulated::baseline(300, 3);
    for item in &mut before.items {
        item.margins = Vec::new();
        item.later = None;
    }
    for (margin, verdict) in [(0.001, Verdict::Pass), (2.0, Verdict::Fail)] {
        before.items[5].margin = Some(margin);
        let mut now = before.clone();
        other(&mut now.items[5], 7);
        let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
        assert_eq!(outcome.verdict, verdict);
        assert_eq!(outcome.changed[0].margin_of, Some(Decision::First));
        assert!(outcome.knife_edge.first_tokens_only);
    }
}

#[test]
fn where_every_answer_is_close_a_change_decides_nothing() {
    let mut before = simulated::baseline(30, 3);
    for item in &mut before.items {
        item.later = Some((20, 0.0));
    }
    let outcome = check(&before, &before, &settings(Tier::Answer)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Inconclusive, "{outcome:?}");
    for item in &mut before.items {
        item.later = None;
        item.margins[3] = 0.0;
    }
    let outcome = check(&before, &before, &settings(Tier::Answer)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass, "{outcome:?}");
    let mut now = before.clone();
    other(&mut now.items[5], 4);
    let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Inconclusive, "{outcome:?}");
}

/// Another answer, from the token `place` on.
fn other(item: &mut Item, place: usize) {
    item.extracted = "feed".to_owned();
    item.sha256 = "feed".to_owned();
    if let Some(token) = item.tokens.get_mut(place) {
        *token += 1;
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
        other(&mut now.items[5], 0);
        for tier in [Tier::Exact, Tier::Answer] {
            let outcome = check(&before, &now, &settings(tier)).unwrap();
            assert_eq!(outcome.verdict, verdict, "{outcome:?}");
            assert_eq!(outcome.changed[0].item, before.items[5].id);
        }
    }
    // More of them than a coin would turn.
    let mut before = before;
    before.items[..40]
        .iter_mut()
        .for_each(|item| (item.margin, item.later) = (Some(0.0), None));
    let mut now = before.clone();
    now.items[..40].iter_mut().for_each(|item| other(item, 0));
    let outcome = check(&before, &now, &settings(Tier::Answer)).unwrap();
    assert_eq!(
        (outcome.verdict, outcome.knife_edge.changed),
        (Verdict::Fail, 40)
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
