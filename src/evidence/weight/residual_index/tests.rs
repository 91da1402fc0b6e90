use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};
use crate::model::{Param, Part, Role};

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match ResidualIndex.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

fn wide() -> Dims {
    Dims {
        width: 64,
        ..Dims::default()
    }
}

#[test]
fn kin_with_permuted_units_keep_their_coordinates() {
    let parent = Toy::new(1, wide());
    let finding = measured(&parent, &parent.permuted(3).noised(0.5, 8));
    assert!(finding.statistic > 0.9, "{}", finding.statistic);
    assert!(finding.log10_p.unwrap() < -25.0);
}

#[test]
fn independent_pairs_are_never_called_too_often() {
    let dims = Dims {
        layers: 1,
        width: 16,
        units: 8,
        vocab: 4,
    };
    let trials = 1000;
    let ps: Vec<f64> = (0..trials)
        .map(|seed| {
            let (a, _one) = Toy::new(2 * seed, dims).open();
            let (b, _two) = Toy::new(2 * seed + 1, dims).open();
            let (a, b) = (Canonical::of(&a).unwrap(), Canonical::of(&b).unwrap());
            let count = run(&a, &b, seed).unwrap().unwrap();
            index::fixed_points_ln_p(count.hits, &[count.group]).exp()
        })
        .collect();
    for alpha in [0.1, 0.01] {
        let hits = ps.iter().filter(|p| **p <= alpha).count() as f64;
        let mean = alpha * trials as f64;
        assert!(hits <= mean + 4.0 * mean.sqrt(), "{hits} at {alpha}");
    }
}

/// `extra` random coordinates put into the stream of `toy` at random places.
fn widened(toy: &Toy, extra: usize, seed: u64) -> Toy {
    let mut rng = random::stream(seed, "wider");
    let old = toy.tensors[&Role::model(Part::Embed)].1;
    let new = random::subset(&mut rng, old + extra, extra);
    let mut wide = toy.clone();
    for (role, (rows, columns, values)) in &mut wide.tensors {
        // Norms and what writes have the stream in their rows, the others in their columns.
        let by_row = role.part.is_norm() || matches!(role.part, Part::Output | Part::Down);
        let is_bias = role.param == Param::Bias;
        if is_bias {
            continue;
        }
        let (lines, step) = if by_row { (1, *columns) } else { (*rows, 1) };
        let mut grown = Vec::new();
        let mut old_values = values.iter().copied();
        for _ in 0..lines {
            for at in 0..old + extra {
                for _ in 0..step {
                    let value = match new.contains(&at) {
                        true => Some(0.05 * random::normal(&mut rng) as f32),
                        false => old_values.next(),
                    };
                    grown.extend(value);
                }
            }
        }
        *values = grown;
        let side = if by_row { rows } else { columns };
        *side += extra;
    }
    wide
}

#[test]
fn a_wider_child_keeps_the_order_of_its_coordinates() {
    let parent = Toy::new(1, wide());
    let child = widened(&parent, 24, 2).noised(0.3, 4);
    for (one, other) in [(&parent, &child), (&child, &parent)] {
        let finding = measured(one, other);
        assert!(finding.statistic > 0.9, "{}", finding.statistic);
        assert!(finding.log10_p.unwrap() < -40.0);
    }
    let stranger = measured(&parent, &widened(&Toy::new(5, wide()), 24, 2));
    assert!(stranger.statistic < 0.5 && stranger.log10_p.unwrap() > -2.0);
}

#[test]
fn orders_of_independent_pairs_are_never_called_too_often() {
    let dims = |width| Dims {
        layers: 1,
        width,
        units: 4,
        vocab: 12,
    };
    let trials = 300;
    let ps: Vec<f64> = (0..trials)
        .map(|seed| {
            let (a, _one) = Toy::new(2 * seed, dims(16)).open();
            let (b, _two) = Toy::new(2 * seed + 1, dims(24)).open();
            match compare(&a, &b, seed).unwrap().unwrap() {
                Read::Order(order) => index::order_ln_p(order.increasing, order.queries).exp(),
                Read::Index(_) => panic!("unequal widths"),
            }
        })
        .collect();
    for alpha in [0.1, 0.01] {
        let hits = ps.iter().filter(|p| **p <= alpha).count() as f64;
        let mean = alpha * trials as f64;
        assert!(hits <= mean + 4.0 * mean.sqrt(), "{hits} at {alpha}");
    }
}

#[test]
fn widths_without_shared_tokens_are_left_alone() {
    let few = Dims {
        vocab: 12,
        ..Dims::default()
    };
    let (a, b) = (Toy::new(1, wide()), Toy::new(1, few));
    let (a, b) = (Open::new(&a), Open::new(&b));
    let outcome = ResidualIndex.assess(&pair(&a, &b)).unwrap();
    assert!(matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("64 and 16")));
}
