use super::*;
use crate::evidence::toy::{Open, answered_with_truth, pair};
use crate::stat::copying::world::{Items, World, copy};
use crate::stat::random;

const WORLD: World = World {
    items: 400,
    options: 12,
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

fn open(codes: &[u32]) -> Open {
    let spelt = |i: usize| format!("answer {}", codes[i]);
    answered_with_truth(0, codes.len(), |_| "answer 0".to_owned(), spelt)
}

/// `members` strangers after the two at hand.
fn assessed(items: &Items, [a, b]: [&[u32]; 2], members: usize) -> Outcome {
    let mut rng = random::stream(9, "panel");
    let panel: Vec<Open> = (0..members).map(|_| open(&items.model(&mut rng))).collect();
    let panel: Vec<Subject<'_>> = panel.iter().map(Open::subject).collect();
    let (a, b) = (open(a), open(b));
    SharedAnswers
        .assess(&Pair {
            population: &panel,
            ..pair(&a, &b)
        })
        .unwrap()
}

fn measured(outcome: Outcome) -> Finding {
    match outcome {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

/// A copy of a fifth of the answers stands out, a stranger does not; either way round.
#[test]
fn a_copy_stands_out_beside_a_panel() {
    let mut rng = random::stream(1, "shared answers");
    let items = WORLD.items(&mut rng);
    let (first, stranger) = (items.model(&mut rng), items.model(&mut rng));
    let suspect = copy(&first, &stranger, 0.3, &mut rng);
    let log10_p =
        |one: &[u32], other: &[u32]| measured(assessed(&items, [one, other], 6)).log10_p.unwrap();
    assert!(log10_p(&first, &suspect) < -3.0);
    assert!(log10_p(&first, &stranger) > -2.0);
    assert!((log10_p(&first, &suspect) - log10_p(&suspect, &first)).abs() < 1e-9);
    let finding = measured(assessed(&items, [&first, &suspect], 6));
    let details = &finding.details;
    assert!(
        details["copied_share_low"] < 0.3 && details["copied_share_high"] > 0.3,
        "{details:?}"
    );
    assert_eq!(details["panel_pairs"], 15.0);
    // Either model with six members, and fifteen pairs of those.
    assert_eq!(finding.controls.len(), 27);
    assert!(
        finding
            .controls
            .iter()
            .all(|control| control.statistic < finding.statistic)
    );
    // Rarest first, all of them same wrong answers.
    let table = finding.table.unwrap();
    let chances: Vec<f64> = table
        .rows
        .iter()
        .map(|row| row[2].parse().unwrap())
        .collect();
    assert!(chances.is_sorted() && !chances.is_empty());
    assert!(table.rows.iter().all(|row| row[1] != "answer 0"));
}

#[test]
fn without_a_panel_or_a_mistake_nothing_is_said() {
    let mut rng = random::stream(2, "shared answers");
    let items = WORLD.items(&mut rng);
    let (first, second) = (items.model(&mut rng), items.model(&mut rng));
    let reason = |outcome| match outcome {
        Outcome::NotApplicable(reason) => reason,
        Outcome::Measured(finding) => panic!("{finding:?}"),
    };
    let few = reason(assessed(&items, [&first, &second], 2));
    assert!(few.contains("3 or more") && few.contains("2 were"), "{few}");
    let right = vec![0; 400];
    let none = reason(assessed(&items, [&right, &right], 4));
    assert!(none.contains("say nothing"), "{none}");
}
