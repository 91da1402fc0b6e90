use std::path::Path;

use super::*;
use crate::stat::least_squares::Products;
use crate::stat::random;
use crate::verdict::toy::{assessment, finding};

fn calibration() -> Calibration {
    Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn claim(label: &str, log10_p: f64, common: Option<f64>) -> Claim {
    let matching = finding(0.5, Some(log10_p), &[]);
    let mut assessments = vec![assessment("weight.row_matching", &matching)];
    if let Some(common) = common {
        let difference = finding(common, None, &[("sigma", 0.1)]);
        assessments.push(assessment("weight.difference", &difference));
    }
    Claim {
        label: label.to_owned(),
        assessments,
        calibration: calibration(),
    }
}

#[test]
fn a_level_that_one_pair_reaches_is_not_enough_among_a_hundred() {
    let level = calibration().exact["weight.row_matching"].decides_at_log10_p;
    let alone = Parents::judge(&[claim("one", level - 1.0, None)]);
    assert_eq!(alone.related(), [0]);
    let mut claims = vec![claim("one", level - 1.0, None)];
    claims.extend((0..99).map(|at| claim(&format!("other-{at}"), -0.1, None)));
    let among = Parents::judge(&claims);
    assert_eq!(among.candidates[0].log10_p_adjusted, Some(level + 1.0));
    assert!(among.related().is_empty());
    let none = among.conclude(&[], None, &calibration().parents);
    // Silence of one test is not independence.
    assert_eq!(none.conclusion, Conclusion::Undetermined);
}

#[test]
fn the_nearest_has_most_in_common() {
    let claims = [
        claim("grandparent", -80.0, Some(0.7)),
        claim("stranger", -0.2, Some(0.0)),
        claim("parent", -70.0, Some(0.9)),
    ];
    let parents = Parents::judge(&claims);
    assert_eq!(parents.related(), [2, 0]);
    let found = parents.conclude(&[2, 0], None, &calibration().parents);
    assert_eq!(
        (found.conclusion, found.named),
        (Conclusion::Nearest, vec![2])
    );
}

/// 4,000 numbers mixed as `formula` says from two children of one base.
fn mixture(formula: impl Fn(f64, f64, f64, f64) -> f64) -> Mixture {
    let mut rng = random::stream(5, "mixture");
    let mut products = Products::new(2);
    for _ in 0..4000 {
        let base = random::normal(&mut rng);
        let one = 0.3 * random::normal(&mut rng);
        let other = 0.3 * random::normal(&mut rng);
        let y = formula(base, one, other, random::unit(&mut rng));
        products.add(&[base + one, base + other], y);
    }
    let share = Share {
        layer: None,
        products,
        angle: None,
    };
    Mixture {
        whole: share.clone(),
        parts: vec![share],
    }
}

fn concluded(mixture: &Mixture) -> Parents {
    let claims = [
        claim("one", -80.0, Some(0.9)),
        claim("other", -80.0, Some(0.8)),
    ];
    let parents = Parents::judge(&claims);
    let related = parents.related();
    parents.conclude(&related, Some(mixture), &calibration().parents)
}

#[test]
fn merges_thinned_merges_and_siblings_are_told_apart() {
    let linear = concluded(&mixture(|base, one, other, _| {
        base + 0.7 * one + 0.3 * other
    }));
    assert_eq!(linear.conclusion, Conclusion::Merged);
    assert_eq!(linear.named, [0, 1]);
    let mixed = linear.mixture.unwrap();
    assert!((mixed.whole.shares[0] - 0.7).abs() < 1e-6, "{mixed:?}");
    let thinned = concluded(&mixture(|base, one, other, dice| {
        base + if dice < 0.5 { one } else { other }
    }));
    assert_eq!(thinned.conclusion, Conclusion::Between, "{thinned:?}");
    let child = concluded(&mixture(|base, one, _, dice| {
        base + one + 0.3 * (dice - 0.5)
    }));
    assert_eq!(
        (child.conclusion, child.named),
        (Conclusion::Nearest, vec![0])
    );
    assert!(child.because.starts_with("one is the nearest"));
}

#[test]
fn a_candidate_named_twice_is_one() {
    let twice = mixture(|base, one, _, _| base + one);
    let mut products = Products::new(2);
    let sums = twice.whole.products.only(&[0, 0]);
    products.merge(&sums);
    let share = Share {
        layer: None,
        products,
        angle: None,
    };
    let found = concluded(&Mixture {
        whole: share,
        parts: Vec::new(),
    });
    assert_eq!(found.conclusion, Conclusion::Nearest);
    assert_eq!(found.mixture, None);
}
