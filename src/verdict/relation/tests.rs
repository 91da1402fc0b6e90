use std::collections::BTreeMap;
use std::path::Path;

use crate::evidence::{Assessment, Outcome};
use crate::verdict::toy::{assessment, finding};
use crate::verdict::{Calibration, Lineage};

/// Beside an exact test that decides.
fn lineage(outcomes: &[(&str, &BTreeMap<&'static str, f64>)]) -> Lineage {
    let calibration = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let decided = assessment("weight.row_matching", &finding(0.9, Some(-80.0), &[]));
    let described = outcomes.iter().map(|(id, details)| {
        let details: Vec<(&'static str, f64)> = details
            .iter()
            .map(|(name, value)| (*name, *value))
            .collect();
        let outcome: Outcome = finding(0.9, None, &details);
        assessment(id, &outcome)
    });
    let assessments: Vec<Assessment> = std::iter::once(decided).chain(described).collect();
    crate::verdict::judge(&assessments, &calibration).lineage
}

/// What training leaves of a model that it changed a little.
fn trained() -> BTreeMap<&'static str, f64> {
    BTreeMap::from([
        ("sigma", 0.01),
        ("sigma_share", 0.1),
        ("sigma_spread", 0.4),
        ("kurtosis", 3.5),
        ("top_over_edge", 2.0),
        ("zeroed_share", 0.0),
        ("unzeroed_share", 0.0),
        ("grid_error_reference", 0.25),
        ("grid_error_suspect", 0.25),
        ("grid_bits_reference", 0.0),
        ("grid_bits_suspect", 0.0),
        ("rank_energy", 0.5),
        ("rank_cliff", 1.1),
        ("rank", 20.0),
        ("common_body", 0.98),
        ("common_query_key", 0.97),
        ("common_value_output", 0.97),
        ("residual_scale", 1.0),
    ])
}

const STORED: &str = "weight.difference";
const RESTORED: &str = "weight.restored_difference";

#[test]
fn a_coarse_grid_has_zeros_of_its_own_and_is_no_pruning() {
    let relation = |grid_error: f64| {
        let mut difference = trained();
        difference.insert("zeroed_share", 0.13);
        difference.insert("grid_error_suspect", grid_error);
        difference.insert("grid_bits_suspect", 4.0);
        lineage(&[(STORED, &difference)]).relation
    };
    assert_eq!(relation(0.0).as_deref(), Some("quantised"));
    assert_eq!(relation(0.24).as_deref(), Some("pruned"));
}

/// In place nothing agrees any more; what is left once heads are back in order does.
#[test]
fn a_rewritten_copy_is_told_by_what_is_left_of_the_difference() {
    let mut stored = trained();
    stored.insert("common_body", 0.5);
    let moved = BTreeMap::from([("heads_moved", 0.5)]);
    let judged = |restored: &BTreeMap<&'static str, f64>| {
        let heads = ("weight.head_index", &moved);
        lineage(&[(STORED, &stored), (RESTORED, restored), heads])
    };
    let mut restored = trained();
    let tuned = judged(&restored);
    assert_eq!(tuned.laundering, ["heads_permuted"]);
    assert_eq!(tuned.relation.as_deref(), Some("fine_tuned"));
    restored.insert("common_body", 0.8);
    assert_eq!(judged(&restored).relation.as_deref(), Some("continued"));
    for (name, value) in [
        ("sigma_share", 0.002),
        ("common_query_key", 0.99999),
        ("common_value_output", 0.99999),
    ] {
        assert_ne!(judged(&restored).relation.as_deref(), Some("equivalent"));
        restored.insert(name, value);
    }
    assert_eq!(judged(&restored).relation.as_deref(), Some("equivalent"));
}

/// Nothing of training in it, and not one size either: no word fits, and none is given.
#[test]
fn noise_of_several_sizes_is_not_called_training() {
    let mut stored = trained();
    stored.insert("top_over_edge", 1.0);
    let unnamed = lineage(&[(STORED, &stored)]);
    assert_eq!(unnamed.relation, None);
    assert!(unnamed.because.contains("No direction stands out"));
    stored.insert("sigma_spread", 0.01);
    stored.insert("kurtosis", 3.0);
    assert_eq!(
        lineage(&[(STORED, &stored)]).relation.as_deref(),
        Some("noised")
    );
}

#[test]
fn a_basis_inside_the_heads_is_seen_where_heads_are_in_place() {
    let mut stored = trained();
    stored.insert("common_value_output", 0.1);
    let mut restored = trained();
    let judged = |restored: &BTreeMap<&'static str, f64>| {
        lineage(&[(STORED, &stored), (RESTORED, restored)]).laundering
    };
    assert_eq!(judged(&restored), ["value_output_rescaled"]);
    restored.insert("residual_scale", 4.0);
    assert_eq!(judged(&restored), ["residual_scaled"]);
}
