//! What every method must keep, whoever wrote it.

use std::collections::BTreeSet;

use super::toy::{Expected, Open, answered_with_truth, pair, read_along, structured};
use super::{Evidence, Finding, Outcome, Pair, Subject, methods};
use crate::model::Site;
use crate::model::toy::{Dims, Toy};
use crate::record::{Activations, SiteActivations};
use crate::stat::random;

fn dims() -> Dims {
    Dims {
        width: 64,
        vocab: 160,
        ..Dims::default()
    }
}

/// A toy with answers and activations of its own.
fn full(seed: u64) -> Open {
    full_of(&Toy::new(seed, dims()), seed)
}

fn full_of(toy: &Toy, seed: u64) -> Open {
    let mut rng = random::stream(seed, "laws");
    let choices: Vec<usize> = (0..80).map(|_| random::below(&mut rng, 4)).collect();
    let answers = answered_with_truth(0, 80, |i| (i % 4).to_string(), |i| choices[i].to_string());
    let mut site = |(site, width): (Site, usize)| SiteActivations {
        site,
        width,
        values: (0..80 * width)
            .map(|_| random::normal(&mut rng) as f32)
            .collect(),
    };
    let block = |layer| {
        [
            (Site::Key(layer), 8),
            (Site::Value(layer), 8),
            (Site::MlpPre(layer), 24),
            (Site::MlpPreLinear(layer), 24),
            (Site::ResidPost(layer), 12),
            (Site::ResidGrad(layer), 12),
        ]
    };
    let activations = Activations {
        suite: "suite".to_owned(),
        items: (0..80).map(|i| format!("item-{i}")).collect(),
        offsets: Vec::new(),
        tokens: None,
        key_value_heads: None,
        sites: (0..4).flat_map(block).map(&mut site).collect(),
    };
    let mut open = Open::new(toy);
    open.recordings = answers.recordings;
    let laws: Vec<Vec<(&str, f64)>> = (0..160).map(|_| law(&mut rng)).collect();
    let prompts: Vec<[Expected<'_>; 2]> = laws
        .chunks(2)
        .map(|two| [(3, &two[0][..]), (7, &two[1][..])])
        .collect();
    let prompts: Vec<&[Expected<'_>]> = prompts.iter().map(|two| &two[..]).collect();
    read_along(&mut open.recordings[0], &prompts);
    open.recordings.push(structured(
        80,
        |_| r#"{"tool":"a"}"#.to_owned(),
        |i| format!(r#"{{"tool":"{}"}}"#, choices[i]),
    ));
    open.activations = Some(activations);
    open
}

/// Eight letters in any order, each half as probable as the one before.
fn law(rng: &mut impl rand::Rng) -> Vec<(&'static str, f64)> {
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let chosen = random::subset_in_any_order(rng, letters.len(), 8);
    let halves = (1..).map(|power| 0.5_f64.powi(power));
    chosen
        .into_iter()
        .map(|at| &letters[at..=at])
        .zip(halves)
        .collect()
}

fn assess(method: &dyn Evidence, pair: &Pair<'_>) -> Option<Finding> {
    match method.assess(pair).unwrap() {
        Outcome::Measured(finding) => Some(*finding),
        Outcome::NotApplicable(reason) => {
            assert!(!reason.trim().is_empty(), "{}: no reason", method.card().id);
            None
        }
    }
}

/// What toys lack: an order of tokens, heads, massive activations, pairs of prompts, panels, a vision tower, attention patterns, a
/// tokenizer.
const LACKING: [&str; 12] = [
    "weight.row_order",
    "activation.value_spaces",
    "activation.massive",
    "activation.logit_lens",
    "activation.attention_difference",
    "activation.deconfounded_cka",
    "activation.vision_patches",
    "activation.attndiff",
    "behaviour.shared_answers",
    "behaviour.surprisal_residual",
    "behaviour.shared_expectations",
    "tokenizer.overlap",
];

/// Methods that give a number on the toys: all but those for what toys lack.
fn applicable<'a>(pair: &'a Pair<'a>) -> Vec<(&'static dyn Evidence, Finding)> {
    let found: Vec<_> = methods()
        .filter_map(|method| Some((method, assess(method, pair)?)))
        .collect();
    let without: Vec<&str> = methods()
        .map(|method| method.card().id)
        .filter(|id| found.iter().all(|(method, _)| method.card().id != *id))
        // Its controls are the independent models.
        .filter(|id| *id != "behaviour.provenance" || !pair.population.is_empty())
        .collect();
    assert_eq!(without, LACKING);
    found
}

#[test]
fn cards_are_complete_and_ids_are_unique() {
    let mut ids = BTreeSet::new();
    for method in methods() {
        let card = method.card();
        assert!(ids.insert(card.id), "{} twice", card.id);
        let (area, name) = card.id.split_once('.').unwrap();
        for word in [area, name] {
            assert!(
                !word.is_empty()
                    && word
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            );
        }
        assert!(card.version > 0 && !card.family.is_empty());
        let texts = [
            card.title,
            card.measures,
            card.null,
            card.fooled_by,
            card.cost,
            card.reference,
        ];
        for text in texts {
            assert!(
                !text.trim().is_empty() && !text.contains("  "),
                "{}: `{text}`",
                card.id
            );
        }
    }
}

/// Words that a tool which weighs evidence does not use.
#[test]
fn cards_and_findings_accuse_nobody() {
    let (a, b) = (full(1), full(2));
    let mut texts: Vec<String> = Vec::new();
    for method in methods() {
        let card = method.card();
        texts.extend([card.title, card.measures, card.null, card.fooled_by].map(str::to_owned));
    }
    for (_, finding) in applicable(&pair(&a, &b)) {
        texts.extend([finding.explanation, finding.null]);
        texts.extend(finding.caveats);
    }
    for text in texts {
        let lower = text.to_lowercase();
        for word in [
            "proof", "prove", "stolen", "theft", "guilty", "copied", "plagiar",
        ] {
            assert!(!lower.contains(word), "`{word}` in `{text}`");
        }
    }
}

#[test]
fn a_seed_repeats_every_number() {
    let (a, b) = (full(1), full(2));
    let third = full(3);
    let population = [third.subject()];
    let with = Pair {
        population: &population,
        seed: 9,
        ..pair(&a, &b)
    };
    for (method, first) in applicable(&with) {
        assert_eq!(Some(first), assess(method, &with), "{}", method.card().id);
    }
}

#[test]
fn what_is_called_symmetric_is() {
    let (a, b) = (full(1), full(2));
    for (method, finding) in applicable(&pair(&a, &b)) {
        let back = assess(method, &pair(&b, &a)).unwrap();
        if method.card().symmetric {
            let gap = (finding.statistic - back.statistic).abs();
            assert!(gap < 1e-12, "{}: {gap}", method.card().id);
        }
    }
}

/// A model against itself is at the top of every measure, strictly above a stranger.
#[test]
fn a_model_is_most_like_itself() {
    let (a, b) = (full(1), full(2));
    for (method, itself) in applicable(&pair(&a, &a)) {
        let other = assess(method, &pair(&a, &b)).unwrap();
        let id = method.card().id;
        assert!(
            itself.statistic > 0.999 && itself.statistic <= 1.0 + 1e-12,
            "{id}"
        );
        // Of strangers, who agree in nothing, the one says nothing; toys are all of one construction,
        // which is all that the other reads.
        if ["weight.shared_start", "config.diff"].contains(&id) {
            continue;
        }
        assert!(
            other.statistic < itself.statistic - 0.05,
            "{id}: {}",
            other.statistic
        );
        if let (Some(p), Some(q)) = (itself.log10_p, other.log10_p) {
            // What stands in a few places only cannot go below the chance of all of them.
            let least = itself.details.get("least_log10_p").copied();
            let least = least.unwrap_or(f64::NEG_INFINITY);
            assert!(p < -30.0 || p < least + 1e-9, "{id}: {p} above {least}");
            assert!(q > -6.0, "{id}: {q}");
        }
    }
}

#[test]
fn every_number_has_its_null_and_its_controls() {
    let (a, b, c, d) = (full(1), full(2), full(3), full(4));
    let child = full_of(&Toy::new(3, dims()).noised(0.3, 5), 3);
    let population: Vec<Subject<'_>> = vec![c.subject(), d.subject()];
    let with = Pair {
        population: &population,
        derived: Some((c.subject(), child.subject())),
        ..pair(&a, &b)
    };
    for (method, finding) in applicable(&with) {
        let id = method.card().id;
        assert!(finding.statistic.is_finite() && finding.n > 0, "{id}");
        assert!(
            finding.null.contains("independent pairs"),
            "{id}: {}",
            finding.null
        );
        assert_eq!(finding.controls.len(), 6, "{id}");
        assert!(
            finding.log10_p.is_none_or(|p| p.is_finite() && p <= 0.0),
            "{id}"
        );
        assert!(
            finding.details.values().all(|value| value.is_finite()),
            "{id}"
        );
        assert!(!finding.explanation.is_empty(), "{id}");
    }
}

#[test]
fn missing_data_are_a_word_and_never_an_error() {
    let open = Open::new(&Toy::new(1, dims()));
    let bare = Subject {
        profile: None,
        ..open.subject()
    };
    let nothing = Pair {
        reference: bare,
        suspect: bare,
        ..pair(&open, &open)
    };
    for method in methods() {
        assess(method, &nothing);
    }
}
