use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::evidence::{self, Outcome};
use crate::verdict;
use crate::verdict::Population;
use crate::verdict::population;
use crate::verdict::population::Measure;
use crate::verdict::toy::{assessment, finding};

fn judged(outcomes: &[(&str, Outcome)]) -> verdict::Findings {
    let calibration = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let assessments: Vec<Assessment> = outcomes
        .iter()
        .map(|(id, outcome)| assessment(id, outcome))
        .collect();
    verdict::judge(&assessments, &calibration)
}

#[test]
fn the_exact_test_decides_and_nothing_else_does() {
    let related = judged(&[(POWERED, finding(0.9, Some(-80.0), &[]))]);
    assert_eq!(related.lineage.conclusion, LineageConclusion::Related);
    assert_eq!(related.lineage.decided_by.as_deref(), Some(POWERED));
    assert_eq!(
        (related.lineage.log10_p, related.lineage.relation),
        (Some(-80.0), None)
    );
    assert!(related.lineage.because.contains("seed"));
    let described = judged(&[
        (
            POWERED,
            finding(0.01, Some(-1.0), &[("power_log10_p_noise_3", -500.0)]),
        ),
        ("weight.tensor_cosine", finding(0.999, None, &[])),
        ("weight.std_profile", finding(1.0, None, &[])),
        ("activation.linear_cka", finding(1.0, None, &[])),
        ("behaviour.exact_match", finding(1.0, None, &[])),
    ]);
    assert_eq!(
        described.lineage.conclusion,
        LineageConclusion::Undetermined
    );
    assert!(
        described.lineage.because.contains("are excluded"),
        "{}",
        described.lineage.because
    );
    assert_eq!(described.behaviour.conclusion, "not_distinguishable");
}

#[test]
fn without_power_nothing_is_excluded() {
    let weak = finding(0.01, Some(-1.0), &[("power_log10_p_noise_3", -2.0)]);
    let because = judged(&[(POWERED, weak)]).lineage.because;
    assert!(because.contains("nothing is excluded"), "{because}");
    let none = judged(&[(POWERED, Outcome::NotApplicable("no units".to_owned()))]);
    assert!(none.lineage.because.contains("no units"));
}

#[test]
fn identity_of_bits_names_the_relation() {
    let bits = |renamed: f64, unmatched: f64| {
        finding(
            1.0,
            None,
            &[
                ("unmatched_reference", unmatched),
                ("unmatched_suspect", unmatched),
                ("renamed_tensors", renamed),
            ],
        )
    };
    let same = judged(&[(IDENTICAL, bits(0.0, 0.0))]).lineage;
    assert_eq!(same.relation.as_deref(), Some("identical"));
    assert!(same.laundering.is_empty() && same.log10_p.is_none());
    let renamed = judged(&[(IDENTICAL, bits(12.0, 0.0))]).lineage;
    assert_eq!(renamed.relation.as_deref(), Some("renamed"));
    assert_eq!(renamed.laundering, vec!["renamed"]);
    assert_eq!(
        judged(&[(IDENTICAL, bits(0.0, 1.0))]).lineage.relation,
        None
    );
    let little = judged(&[(IDENTICAL, finding(0.2, None, &[]))]).lineage;
    assert_eq!(little.conclusion, LineageConclusion::Undetermined);
}

#[test]
fn a_panel_must_be_large_enough() {
    let answers = |models: f64| {
        finding(
            0.9,
            None,
            &[
                ("panel_models", models),
                ("panel_rank_p", 0.05),
                ("panel_rank_p_low", 1.0),
            ],
        )
    };
    let id = "behaviour.exact_match";
    assert_eq!(
        judged(&[(id, answers(5.0))]).behaviour.conclusion,
        "not_distinguishable"
    );
    let large = judged(&[(id, answers(19.0))]);
    assert_eq!(large.behaviour.conclusion, "more_alike_than_panel");
    assert_eq!(large.lineage.conclusion, LineageConclusion::Undetermined);
    assert_eq!(judged(&[]).behaviour.conclusion, "not_measured");
}

/// Whoever looks at two tests and keeps the better one pays for the look.
#[test]
fn the_smaller_of_two_p_values_counts_twice() {
    let of = |answers: Option<f64>, expectations: Option<f64>| {
        let ids = ["behaviour.shared_answers", "behaviour.shared_expectations"];
        let both = ids.into_iter().zip([answers, expectations]);
        let measured: Vec<_> = both
            .filter_map(|(id, p)| Some((id, finding(0.5, Some(p?), &[]))))
            .collect();
        judged(&measured).behaviour
    };
    assert_eq!(of(Some(-3.0), None).conclusion, "more_alike_than_panel");
    assert_eq!(of(None, Some(-3.0)).conclusion, "more_alike_than_panel");
    assert_eq!(of(Some(-3.0), Some(-0.1)).conclusion, "not_distinguishable");
    let called = of(Some(-0.1), Some(-3.4));
    assert_eq!(called.conclusion, "more_alike_than_panel");
    assert!((called.log10_p.unwrap() + 3.4 - 2.0_f64.log10()).abs() < 1e-12);
    assert!(
        called.because.contains("counted 2 times"),
        "{}",
        called.because
    );
    // Never above 1.
    assert_eq!(of(Some(-0.1), Some(-0.1)).log10_p, Some(0.0));
}

#[test]
fn plans_and_vocabularies_have_their_own_words() {
    let plan = |share: f64, details: &[(&'static str, f64)]| {
        judged(&[("config.diff", finding(share, None, details))])
            .architecture
            .conclusion
    };
    assert_eq!(
        plan(1.0, &[("plans_known", 1.0), ("same_family", 1.0)]),
        "same"
    );
    assert_eq!(plan(1.0, &[("plans_known", 1.0)]), "renamed");
    let renamed = [
        ("plans_known", 1.0),
        ("same_family", 1.0),
        ("roles_renamed", 2.0),
    ];
    assert_eq!(plan(1.0, &renamed), "renamed");
    assert_eq!(plan(0.3, &[("same_shapes", 1.0)]), "renamed");
    assert_eq!(plan(0.8, &[("plans_known", 1.0)]), "similar");
    assert_eq!(plan(0.3, &[("plans_known", 1.0)]), "different");
    let words = |jaccard: f64, details: &[(&'static str, f64)]| {
        judged(&[("tokenizer.overlap", finding(jaccard, None, details))])
            .tokenizer
            .conclusion
    };
    assert_eq!(words(1.0, &[("equal", 1.0)]), "same");
    assert_eq!(words(0.9, &[("smaller_kept", 1.0)]), "extended");
    assert_eq!(words(0.4, &[("smaller_kept", 0.1)]), "overlapping");
    assert_eq!(words(0.01, &[]), "different");
    assert_eq!(judged(&[]).tokenizer.conclusion, "undetermined");
}

/// A table of one method: cells `(change, relation, runs, score)`.
fn table(id: &str, cells: &[(&str, &str, &str, f64)]) -> Population {
    let card = evidence::methods()
        .map(evidence::Evidence::card)
        .find(|card| card.id == id)
        .unwrap();
    let exact = id == POWERED;
    let mut scores: BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>> = BTreeMap::new();
    for (change, relation, runs, score) in cells {
        let relations = scores.entry((*change).to_owned()).or_default();
        let by_runs = relations.entry((*relation).to_owned()).or_default();
        by_runs.insert((*runs).to_owned(), *score);
    }
    Population {
        schema: population::SCHEMA.to_owned(),
        method: id.to_owned(),
        version: card.version,
        family: card.family.to_owned(),
        tool: String::new(),
        seed: 0,
        score: if exact {
            Measure::MinusLog10P
        } else {
            Measure::Statistic
        },
        cost: Some(0.3),
        models: BTreeMap::new(),
        scores,
    }
}

fn judged_with(tables: &[Population], outcomes: &[(&str, Outcome)]) -> Lineage {
    let calibration = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let assessments: Vec<Assessment> = outcomes
        .iter()
        .map(|(id, outcome)| assessment(id, outcome))
        .collect();
    verdict::judge(&assessments, &calibration.with(tables.to_vec())).lineage
}

fn kin_tables(permuted: f64) -> Vec<Population> {
    let exact = [
        ("none", "noised", "a", 80.0),
        ("none", "noised", "c", 70.0),
        ("permute-units", "noised", "a", permuted),
        ("none", "independent", "a b", 0.0),
    ];
    let cosine = [
        ("none", "noised", "a", 0.9),
        ("none", "noised", "c", 0.8),
        ("none", "independent", "a b", 0.01),
        ("none", "independent", "a c", 0.02),
        ("none", "independent", "b c", 0.03),
    ];
    vec![
        table(POWERED, &exact),
        table("weight.tensor_cosine", &cosine),
    ]
}

#[test]
fn blocks_like_a_stranger_s_leave_only_the_embedding_to_be_shared() {
    let agreement = [
        ("none", "noised", "a", 0.8),
        ("none", "independent", "a b", 0.1),
        ("none", "independent", "a c", 0.02),
    ];
    let tables = [table("weight.unit_agreement", &agreement)];
    let lineage = |units: f64, embedding: f64| {
        let built = [
            ("experts_reference", 1.0),
            ("experts_suspect", 1.0),
            ("reference_layers", 6.0),
            ("suspect_layers", 3.0),
            ("matched_layers", 2.0),
            ("repeated_layers", 0.0),
            ("basis_kept", 0.0),
            ("basis_peak", 0.2),
        ];
        let numbers = [("common_embedding", embedding), ("sigma", 0.1)];
        judged_with(
            &tables,
            &[
                ("weight.residual_index", finding(1.0, Some(-300.0), &[])),
                ("weight.unit_agreement", finding(units, None, &built)),
                ("weight.difference", finding(0.6, None, &numbers)),
            ],
        )
    };
    let shared = lineage(0.03, 0.88);
    assert_eq!(shared.conclusion, LineageConclusion::Related);
    assert_eq!(shared.relation.as_deref(), Some("embedding_shared"));
    assert_eq!(shared.laundering, [""; 0], "no basis was changed");
    assert!(shared.because.contains("0.88") && shared.because.contains("0.100"));
    assert_eq!(lineage(0.03, 0.0).relation, None);
    let cut = lineage(0.8, 0.88);
    assert_eq!(cut.relation.as_deref(), Some("depth_changed"));
    assert_eq!(cut.laundering, ["residual_rotated"]);
}

/// The cosine's own table would call it kin; under a published method's name it is read by nobody.
#[test]
fn published_methods_are_compared_and_never_decide() {
    let cells: Vec<(&str, &str, String, f64)> = (0..40)
        .flat_map(|run| {
            let kin = ("none", "noised", format!("r{run}"), 0.9);
            let apart = (run + 1..40)
                .map(move |other| ("none", "independent", format!("r{run} r{other}"), 0.01));
            std::iter::once(kin).chain(apart)
        })
        .collect();
    let cells: Vec<(&str, &str, &str, f64)> = cells
        .iter()
        .map(|(change, relation, runs, score)| (*change, *relation, runs.as_str(), *score))
        .collect();
    let ratio = |id| {
        let lineage = judged_with(&[table(id, &cells)], &[(id, finding(0.95, None, &[]))]);
        lineage.log10_lr
    };
    assert!(ratio("weight.tensor_cosine").is_some_and(|ratio| ratio > 0.0));
    assert_eq!(ratio("weight.parameter_cosine"), None);
}

#[test]
fn independent_needs_every_known_relation_to_be_found() {
    let strangers = [
        (POWERED, finding(0.01, Some(-1.0), &[])),
        ("weight.tensor_cosine", finding(0.0, None, &[])),
    ];
    // Permuted kin are not found: nothing is excluded.
    let blind = judged_with(&kin_tables(0.5), &strangers);
    assert_eq!(blind.conclusion, LineageConclusion::Undetermined);
    assert!(blind.because.contains("permute-units"), "{}", blind.because);
    let all_found = judged_with(&kin_tables(50.0), &strangers);
    assert_eq!(all_found.conclusion, LineageConclusion::Independent);
    assert!(all_found.log10_lr.unwrap() < 0.0);
    // Scores like kin's speak against it, and so do missing tables.
    let alike = [
        strangers[0].clone(),
        ("weight.tensor_cosine", finding(0.9, None, &[])),
    ];
    let alike = judged_with(&kin_tables(50.0), &alike);
    assert_eq!(alike.conclusion, LineageConclusion::Undetermined);
    assert!(alike.log10_lr.unwrap() > 0.0);
    let none = judged_with(&[], &strangers);
    assert_eq!(none.conclusion, LineageConclusion::Undetermined);
    assert_eq!(none.log10_lr, None);
}

#[test]
fn ratios_of_the_tables_are_capped_and_decide_nothing_while_they_are_small() {
    let kin = [("weight.tensor_cosine", finding(1.0, None, &[]))];
    let lineage = judged_with(&kin_tables(50.0), &kin);
    assert!(lineage.log10_lr.unwrap() <= 3.0_f64.log10());
    assert_eq!(lineage.conclusion, LineageConclusion::Undetermined);
    // A method at a cost of 1 says nothing.
    let mut useless = kin_tables(50.0);
    useless[1].cost = Some(1.0);
    assert_eq!(judged_with(&useless, &kin).log10_lr, None);
}

#[test]
fn a_shared_start_is_named_and_kin_are_not_called_so() {
    let exact = [
        ("none", "noised", "a", 80.0),
        ("none", "shared_initialisation", "a d", 90.0),
        ("rotate-residual", "noised", "a", 0.0),
    ];
    let start = [
        ("none", "noised", "a", 0.0),
        ("none", "shared_initialisation", "a d", -0.5),
        // Not found by the exact test, so that nothing will be asked of it.
        ("rotate-residual", "noised", "a", -0.9),
    ];
    let tables = [table(POWERED, &exact), table("weight.shared_start", &start)];
    let with = |score: f64| {
        let outcomes = [
            (POWERED, finding(0.9, Some(-80.0), &[])),
            ("weight.shared_start", finding(score, None, &[])),
        ];
        judged_with(&tables, &outcomes)
    };
    let twin = with(-0.45);
    assert_eq!(twin.relation.as_deref(), Some("shared_initialisation"));
    assert_eq!(twin.conclusion, LineageConclusion::Related);
    assert!(
        twin.because.contains("one random start"),
        "{}",
        twin.because
    );
    assert_eq!(with(-0.1).relation, None);
    // Without the twin in the tables, what lies below all kin.
    let without = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .with(tables.to_vec())
        .without(&["d".to_owned()].into());
    assert_eq!(
        power::start_below(&without.populations[1], &without),
        Some(0.0)
    );
}
