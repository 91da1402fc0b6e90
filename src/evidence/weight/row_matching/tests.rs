use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};
use crate::model::{Part, Role};
use crate::stat::uniform;

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match RowMatching.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

#[test]
fn a_noised_child_keeps_its_order() {
    let parent = Toy::new(1, Dims::default());
    let finding = measured(&parent, &parent.noised(0.5, 9));
    assert!(finding.statistic > 0.9, "{}", finding.statistic);
    assert!(finding.log10_p.unwrap() < -100.0);
    assert_eq!(finding.n, 4 * 48);
}

#[test]
fn an_up_row_may_change_its_sign_and_the_gain_may_move_into_the_rows() {
    let parent = Toy::new(1, Dims::default());
    let mut child = parent.clone();
    for layer in 0..4 {
        let up = child
            .tensors
            .get_mut(&Role::layer(layer, Part::Up))
            .unwrap();
        up.2.iter_mut().for_each(|x| *x *= -3.0);
        let gain = child
            .tensors
            .get_mut(&Role::layer(layer, Part::MlpNorm))
            .unwrap();
        let old = std::mem::replace(&mut gain.2, vec![1.0; 16]);
        for part in [Part::Gate, Part::Up] {
            let rows = &mut child.tensors.get_mut(&Role::layer(layer, part)).unwrap().2;
            for row in rows.chunks_mut(16) {
                row.iter_mut().zip(&old).for_each(|(x, g)| *x *= g);
            }
        }
    }
    let finding = measured(&parent, &child);
    assert!((finding.statistic - 1.0).abs() < 1e-12);
    assert!(finding.details["best_similarity"] > 0.9999);
}

#[test]
fn a_permuted_child_is_described_and_not_counted() {
    let parent = Toy::new(1, Dims::default());
    let finding = measured(&parent, &parent.permuted(5));
    assert!(finding.log10_p.unwrap() > -4.0);
    assert!(
        finding.explanation.contains("another order"),
        "{}",
        finding.explanation
    );
    assert!(finding.details["best_similarity"] > 0.999);
    let other = measured(&parent, &Toy::new(2, Dims::default()));
    assert!(
        !other.explanation.contains("another order"),
        "{}",
        other.explanation
    );
}

/// Over 1,500 independent pairs the p-value is never anti-conservative, and what the bound gives
/// away it gives away where the count allows no more (few distinct values of F).
#[test]
fn independent_pairs_are_never_called_too_often() {
    let dims = Dims {
        layers: 2,
        width: 8,
        units: 24,
        vocab: 4,
    };
    let trials = 1500;
    let mut ps = Vec::new();
    let mut randomised = Vec::new();
    let mut rng = random::stream(77, "uniform");
    for seed in 0..trials {
        let (a, _one) = Toy::new(2 * seed, dims).open();
        let (b, _two) = Toy::new(2 * seed + 1, dims).open();
        let plan = plan(&a.weights, &b.weights).unwrap();
        let count = run(&a.weights, &b.weights, &plan, seed).unwrap();
        let p = |hits| index::fixed_points_ln_p(hits, &count.groups()).exp();
        ps.push(p(count.hits()));
        randomised.push(poisson_upper(count.hits(), 2.0, random::unit(&mut rng)));
    }
    for alpha in [0.1, 0.01, 0.001] {
        let hits = ps.iter().filter(|p| **p <= alpha).count();
        let limit = alpha * trials as f64 + 4.0 * (alpha * trials as f64).sqrt() + 1.0;
        assert!((hits as f64) <= limit, "{hits} of {trials} at {alpha}");
    }
    // F itself follows the law of fixed points (two layers: Poisson with mean 2).
    let (_, ks) = uniform::kolmogorov_smirnov(&randomised);
    assert!(ks > 0.01, "{ks}");
}

/// `P(F > f) + u P(F = f)` for a Poisson count: uniform under the null.
fn poisson_upper(f: u64, mean: f64, u: f64) -> f64 {
    let mass = |k: u64| (k as f64 * mean.ln() - mean - tails::ln_factorial(k)).exp();
    1.0 - (0..=f).map(mass).sum::<f64>() + u * mass(f)
}

#[test]
fn power_falls_with_noise() {
    let parent = Toy::new(
        3,
        Dims {
            width: 64,
            ..Dims::default()
        },
    );
    let finding = measured(
        &parent,
        &Toy::new(
            4,
            Dims {
                width: 64,
                ..Dims::default()
            },
        ),
    );
    let p = |level: &str| finding.details[&*format!("power_log10_p_noise_{level}")];
    assert!(
        p("1") < -100.0 && p("1") <= p("3") && p("3") <= p("10"),
        "{:?}",
        finding.details
    );
}

#[test]
fn what_cannot_be_compared_says_why() {
    let (a, _one) = Toy::new(1, Dims::default()).open();
    let (b, _two) = Toy::new(
        1,
        Dims {
            units: 40,
            ..Dims::default()
        },
    )
    .open();
    let (c, _three) = Toy::new(
        1,
        Dims {
            width: 8,
            ..Dims::default()
        },
    )
    .open();
    assert!(
        plan(&a.weights, &b.weights)
            .unwrap_err()
            .contains("weight.row_order")
    );
    assert!(plan(&a.weights, &c.weights).unwrap_err().contains("width"));
    let (d, _four) = Toy::new(
        1,
        Dims {
            layers: 2,
            ..Dims::default()
        },
    )
    .open();
    let plan = plan(&a.weights, &d.weights).unwrap();
    assert_eq!((plan.layers.len(), plan.caveats.len()), (2, 1));
}

#[test]
fn equal_rows_tie_at_random() {
    let mut flat = Toy::new(1, Dims::default());
    for layer in 0..4 {
        for part in [Part::Gate, Part::Up] {
            flat.tensors
                .get_mut(&Role::layer(layer, part))
                .unwrap()
                .2
                .fill(0.25);
        }
    }
    let finding = measured(&flat, &flat);
    assert!(finding.log10_p.unwrap() > -4.0, "{:?}", finding.log10_p);
}
