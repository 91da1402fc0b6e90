//! The law against models drawn from worlds that it was not told about.

use super::*;
use crate::stat::copying::world::World;

/// Enough of a world to tell a law that is off by a few hundredths.
fn world() -> World {
    World {
        items: 400,
        options: 12,
        difficulty_sd: 1.5,
        distractor_sd: 2.0,
        ability: 0.3,
        ability_sd: 0.5,
        subjects: 1,
        skill_sd: 0.0,
        own: 0.0,
        leaning: 0.0,
        options_known: false,
    }
}

/// Sums of expected and of seen events over pairs that the law was not fitted on.
#[test]
fn what_is_expected_of_strangers_happens() {
    for (options_known, seed) in [(false, 1), (true, 2)] {
        let world = World {
            options_known,
            ..world()
        };
        let (mut seen, mut expected) = ([0.0f64; 4], [0.0f64; 4]);
        for round in 0..12 {
            let answers = world.draw(14, seed * 100 + round, "law");
            let members: Vec<usize> = (0..8).collect();
            let law = PanelLaw::fit(&answers, &members);
            for pair in [(8, 9), (10, 11), (12, 13)] {
                for item in law.pair(pair.0, pair.1).items {
                    let wrong_first = if item.first_right { 0.0 } else { 1.0 };
                    let events = [
                        (item.alike, item.match_probability()),
                        (item.is_wrong_alike(), item.wrong_alike),
                        (item.alike && item.first_right, item.both_right),
                        (item.is_wrong_alike(), item.repeats * wrong_first),
                    ];
                    for (at, (happened, p)) in events.into_iter().enumerate() {
                        seen[at] += f64::from(u8::from(happened));
                        expected[at] += p;
                    }
                }
            }
        }
        for (seen, expected) in seen.into_iter().zip(expected) {
            assert!(
                (seen / expected - 1.0).abs() < 0.1,
                "{seen} against {expected}"
            );
        }
    }
}

/// A law of a model's answers adds to one and knows the number of options.
#[test]
fn laws_of_answers_add_to_one() {
    let answers = world().draw(9, 5, "adds");
    let law = PanelLaw::fit(&answers, &[0, 1, 2, 3, 4, 5, 6]);
    for (model, item) in [(0, 0), (3, 17), (8, 200)] {
        let found = law.answer(model, item).unwrap();
        let wrong: f64 = found.wrong.iter().map(|(_, p)| p).sum();
        assert!((found.right + wrong + found.other - 1.0).abs() < 1e-9);
        assert!(found.right > 0.0 && found.right < 1.0);
    }
    assert_eq!(law.answer(99, 0), None);
    assert_eq!(law.pair(0, 99), PairLaw::default());
}

/// Looking at two members is looking at two strangers: what they answered does not count for them.
#[test]
fn members_are_left_out_of_what_is_expected_of_them() {
    let world = world();
    let answers = world.draw(10, 3, "members");
    let all = PanelLaw::fit(&answers, &(0..10).collect::<Vec<_>>());
    let others = PanelLaw::fit(&answers, &(2..10).collect::<Vec<_>>());
    let [with, without] = [&all, &others].map(|law| law.pair(0, 1).items);
    let gap = |of: fn(&PairItem) -> f64| {
        let gaps = with
            .iter()
            .zip(&without)
            .map(|(a, b)| (of(a) - of(b)).abs());
        gaps.sum::<f64>() / with.len() as f64
    };
    // What is left of a difference is in how common difficulties and concentrations are.
    assert!(
        gap(|item| item.both_right) < 0.02,
        "{}",
        gap(|item| item.both_right)
    );
    assert!(gap(|item| item.wrong_alike) < 0.02);
    assert!(gap(|item| item.repeats) < 0.03);
}

/// Items without a truth: every answer is one of the wrong ones.
#[test]
fn without_truth_all_answers_are_in_the_urn() {
    let mut answers =
        Answers::new(vec![crate::stat::copying::answers::MISSING; 3], vec![0; 3]).unwrap();
    for codes in [
        [1, 1, 1],
        [1, 2, 1],
        [1, 3, 1],
        [1, 4, 1],
        [1, 9, 1],
        [1, 9, 2],
    ] {
        answers.push(codes.to_vec()).unwrap();
    }
    let law = PanelLaw::fit(&answers, &[0, 1, 2, 3]);
    let items = law.pair(4, 5).items;
    assert!(
        items
            .iter()
            .all(|item| item.both_right == 0.0 && !item.first_right)
    );
    assert!(
        items[0].wrong_alike > 2.0 * items[1].wrong_alike,
        "{items:?}"
    );
    assert!(items[1].is_wrong_alike() && !items[2].alike);
}
