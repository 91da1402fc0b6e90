use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};

fn dims() -> Dims {
    Dims {
        width: 32,
        units: 96,
        ..Dims::default()
    }
}

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match AlignedRows.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

/// A rotated residual stream hides kin from a comparison of stored rows, not from this one.
#[test]
fn a_rotated_child_is_found() {
    let parent = Toy::new(1, dims());
    let child = parent.rotated(5).noised(0.3, 8);
    let finding = measured(&parent, &child);
    assert!(finding.statistic > 0.95, "{}", finding.statistic);
    assert!(finding.log10_p.unwrap() < -100.0);
}

/// With the embedding replaced there is no token to read the rotation off.
#[test]
fn a_rotated_child_with_another_vocabulary_is_found() {
    let parent = Toy::new(1, dims());
    let mut child = parent.rotated(5).noised(0.1, 8);
    let embed = crate::model::Role::model(crate::model::Part::Embed);
    let other = Toy::new(77, dims());
    child.tensors.insert(embed, other.tensors[&embed].clone());
    let finding = measured(&parent, &child);
    assert!(finding.statistic > 0.95, "{}", finding.statistic);
}

#[test]
fn a_dropped_layer_is_named() {
    let parent = Toy::new(1, dims());
    let child = parent.without_layer(1).noised(0.2, 3);
    let finding = measured(&parent, &child);
    assert!(
        finding.explanation.contains("0 2 3"),
        "{}",
        finding.explanation
    );
    assert!(finding.log10_p.unwrap() < -100.0);
}

#[test]
fn pruned_units_keep_their_order() {
    let parent = Toy::new(1, dims());
    let keep: Vec<usize> = (0..96).filter(|i| i % 3 != 1).collect();
    let finding = measured(&parent, &parent.pruned(&keep).rotated(2).noised(0.2, 8));
    assert!(finding.log10_p.unwrap() < -60.0);
}

/// Looking for the best basis and the best layers buys strangers nothing.
#[test]
fn independent_pairs_are_never_called_too_often() {
    let dims = Dims {
        layers: 3,
        width: 8,
        units: 20,
        vocab: 24,
    };
    let trials = 400;
    let ps: Vec<f64> = (0..trials)
        .map(|seed| {
            let (a, _one) = Toy::new(2 * seed, dims).open();
            let (b, _two) = Toy::new(2 * seed + 1, dims).open();
            let alignment = alignment::align(&a, &b, seed).unwrap().unwrap();
            let layers = run(&alignment, &a, &b, seed).unwrap().unwrap();
            let ln: Vec<f64> = layers.0.iter().map(|layer| layer.ln_p).collect();
            tails::fisher_ln(&ln).exp()
        })
        .collect();
    for alpha in [0.1, 0.01] {
        let hits = ps.iter().filter(|p| **p <= alpha).count() as f64;
        let mean = alpha * trials as f64;
        assert!(hits <= mean + 4.0 * mean.sqrt(), "{hits} at {alpha}");
    }
}
