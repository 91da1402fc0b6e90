//! The indices against every outcome, one by one, and against worlds without copying.

use proptest::prelude::*;

use super::answers::{Answers, MISSING};
use super::calibration::Calibration;
use super::law::{PairLaw, PanelLaw};
use super::scaled::Factor;
use super::world::World;
use super::{gbt, m4, omega, shared_wrong};
use crate::stat::random::stream;

/// `ln P(X >= observed)` over all outcomes of trials with these probabilities.
fn listed(probabilities: &[f64], observed: usize) -> f64 {
    let outcomes = 0u32..1 << probabilities.len();
    let hits = outcomes.filter(|outcome| outcome.count_ones() as usize >= observed);
    let of = |outcome: u32| -> f64 {
        let trials = probabilities.iter().enumerate();
        let factors = trials.map(|(at, p)| if outcome >> at & 1 == 1 { *p } else { 1.0 - p });
        factors.product()
    };
    hits.map(of).sum::<f64>().ln()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Seven items, five members and a pair, answers missing here and there.
    #[test]
    fn tails_equal_a_list_of_all_outcomes(
        codes in prop::collection::vec(prop::collection::vec(0u32..5, 7), 7)
    ) {
        let mut answers = Answers::of_items((0..7).map(|item| (0, 4 * (item % 2))));
        for model in &codes {
            let codes = model.iter().map(|code| if *code == 4 { MISSING } else { *code });
            answers.push(codes.collect()).unwrap();
        }
        let law = PanelLaw::fit(&answers, &[0, 1, 2, 3, 4]);
        for mut pair in [law.pair(5, 6), law.pair(0, 6), law.pair(1, 2)] {
            // As if it were certain how the two lean: the list has one law.
            pair.leaning = Factor::default();
            let all: Vec<f64> = pair.items.iter().map(|i| i.both_right + i.wrong_alike).collect();
            let wrong: Vec<f64> = pair.items.iter().map(|i| i.wrong_alike).collect();
            let repeats: Vec<f64> = pair.items.iter().map(|i| i.repeats).collect();
            let found = [
                (gbt::gbt(&pair, None), all),
                (shared_wrong::shared_wrong(&pair, None), wrong),
                (omega::omega(&pair, None).repeated, repeats.clone()),
            ];
            for (tested, probabilities) in found {
                let truth = listed(&probabilities, tested.observed);
                prop_assert!((tested.ln_p - truth).abs() < 1e-9 * truth.abs().max(1.0));
                prop_assert!(tested.ln_p.is_finite() && tested.items == pair.items.len());
            }
            let omega = omega::omega(&pair, None).repeated;
            let spread: f64 = repeats.iter().map(|p| p * (1.0 - p)).sum();
            let by_hand = (omega.observed as f64 - repeats.iter().sum::<f64>()) / spread.sqrt();
            prop_assert!(omega.z.is_none_or(|z| (z - by_hand).abs() < 1e-9));
        }
    }
}

/// The two orders of a pair share everything but what is repeated of whom.
#[test]
fn pairs_are_symmetric() {
    let answers = World { items: 60, ..SMALL }.draw(8, 4, "symmetric");
    let law = PanelLaw::fit(&answers, &[0, 1, 2, 3, 4, 5]);
    let (one, other) = (law.pair(6, 7), law.pair(7, 6));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    close(gbt::gbt(&one, None).ln_p, gbt::gbt(&other, None).ln_p);
    close(
        shared_wrong::shared_wrong(&one, None).ln_p,
        shared_wrong::shared_wrong(&other, None).ln_p,
    );
    let tails = [&one, &other].map(|pair| m4::m4(pair, None, m4::Budget(10_000_000)));
    close(tails[0].unwrap().ln_p, tails[1].unwrap().ln_p);
}

/// Models that are good at different subjects agree by more than one ability can say: the panel's own
/// pairs show it, and what they show is taken off.
#[test]
fn what_panel_pairs_show_is_taken_off() {
    let world = World {
        subjects: 3,
        skill_sd: 1.5,
        items: 900,
        ..SMALL
    };
    let (mut plain, mut calibrated) = (0, 0);
    for seed in 0..20 {
        let answers = world.draw(18, seed, "taken off");
        let members: Vec<usize> = (0..10).collect();
        let law = PanelLaw::fit(&answers, &members);
        let calibration = Calibration::leave_one_out(&law, &[], gbt::z).unwrap();
        assert_eq!(calibration.pairs, 45);
        for pair in [(10, 11), (12, 13), (14, 15), (16, 17)] {
            let tested = gbt::gbt(&law.pair(pair.0, pair.1), Some(&calibration));
            plain += usize::from(tested.ln_p < 0.01f64.ln());
            calibrated += usize::from(tested.calibrated_ln_p.unwrap() < 0.01f64.ln());
            assert!(tested.calibrated_ln_p.unwrap() >= tested.ln_p);
        }
    }
    assert!(plain >= 4 && calibrated <= 2, "{plain} {calibrated}");
}

/// A fifth of the answers copied is seen, by every index and in the right order of models.
#[test]
fn copies_are_seen() {
    let mut rng = stream(1, "copies are seen");
    let items = World {
        items: 800,
        ..SMALL
    }
    .items(&mut rng);
    let mut models: Vec<Vec<u32>> = (0..10).map(|_| items.model(&mut rng)).collect();
    models.push(super::world::copy(&models[8], &models[9], 0.3, &mut rng));
    let answers = items.answered(models);
    let law = PanelLaw::fit(&answers, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let tails = |pair: &PairLaw| {
        [
            gbt::gbt(pair, None).ln_p,
            shared_wrong::shared_wrong(pair, None).ln_p,
            omega::omega(pair, None).repeated.ln_p,
            m4::m4(pair, None, m4::Budget(usize::MAX)).unwrap().ln_p,
            super::k_index::k_index(&answers, 8, 10, law.members())
                .line_ln_p
                .unwrap(),
        ]
    };
    let copied = tails(&law.pair(8, 10));
    assert!(copied.iter().all(|ln_p| *ln_p < 1e-6f64.ln()), "{copied:?}");
    let strangers = tails(&law.pair(8, 9));
    assert!(
        strangers[..4].iter().all(|ln_p| *ln_p > 1e-3f64.ln()),
        "{strangers:?}"
    );
}

pub(super) const SMALL: World = World {
    items: 300,
    options: 10,
    difficulty_sd: 1.5,
    distractor_sd: 1.5,
    ability: 0.0,
    ability_sd: 0.5,
    subjects: 1,
    skill_sd: 0.0,
    own: 0.0,
    leaning: 0.0,
    options_known: false,
};
