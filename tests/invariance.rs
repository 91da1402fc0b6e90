//! What a method's card claims to survive leaves its statistic as it is, on random models.

use kinprobe::evidence::{self as methods, Evidence, Finding, Memo, Outcome, Pair};
use kinprobe::zoo::launder::{self, Options, Step};

use crate::evidence::{Checkpoint, Opened};

/// Numbers are stored as f32, and bases are found by iteration.
const ROUNDING: f64 = 0.01;

fn measured(method: &dyn Evidence, reference: &Opened, suspect: &Opened) -> Option<Finding> {
    let pair = Pair {
        reference: reference.subject(),
        suspect: suspect.subject(),
        population: &[],
        derived: None,
        references: &[],
        seed: 0,
        memo: Memo::default(),
    };
    match method.assess(&pair).unwrap() {
        Outcome::Measured(finding) => Some(*finding),
        Outcome::NotApplicable(_) => None,
    }
}

pub(crate) fn laundered(model: &Opened, step: &str, seed: u64) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let steps: Vec<Step> = vec![step.parse().unwrap()];
    let options = Options {
        seed,
        verify: true,
        ..Options::default()
    };
    launder::launder(&model.model, &steps, &options, &out).unwrap();
    let moved = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&out).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), moved.path().join(entry.file_name())).unwrap();
    }
    Opened::of(step, moved)
}

/// Kin and strangers, each laundering that any card names, three random models.
#[test]
fn a_statistic_does_not_see_what_its_card_says_it_survives() {
    let mut claims = 0;
    for seed in 1..=3 {
        let parent = Checkpoint::random(seed);
        let reference = Opened::new("reference", &parent);
        let kin = Opened::new("kin", &parent.clone().noised(40 + seed));
        let stranger = Opened::new("stranger", &Checkpoint::random(50 + seed));
        let names: std::collections::BTreeSet<&str> = methods::methods()
            .flat_map(|method| method.card().survives.iter().copied())
            .collect();
        for name in names {
            for (suspect, is_kin) in [(&kin, true), (&stranger, false)] {
                let changed = laundered(suspect, name, seed);
                for method in methods::methods() {
                    let card = method.card();
                    if !card.survives.contains(&name) {
                        continue;
                    }
                    let before = measured(method, &reference, suspect);
                    let after = measured(method, &reference, &changed);
                    let (Some(before), Some(after)) = (before, after) else {
                        continue;
                    };
                    claims += 1;
                    // What strangers share by chance depends on which of equal fits is found, and among
                    // a few heads chance moves far.
                    let kin = is_kin && before.statistic > 0.3;
                    let least = before.details.get("least_log10_p");
                    if !is_kin && least.is_some_and(|least| *least > -9.0) {
                        continue;
                    }
                    let gap = (before.statistic - after.statistic).abs();
                    let room = if kin { ROUNDING } else { 0.1 };
                    assert!(
                        gap <= room,
                        "{} under {name}, seed {seed}: {} and {}",
                        card.id,
                        before.statistic,
                        after.statistic
                    );
                }
            }
        }
    }
    assert!(claims > 200, "{claims}");
}
