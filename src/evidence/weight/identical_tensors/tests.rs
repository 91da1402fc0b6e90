use super::*;
use crate::evidence::Finding;
use crate::evidence::toy::{Open, pair};
use crate::model::Part;
use crate::model::toy::{Dims, Toy};

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match IdenticalTensors.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

#[test]
fn a_renamed_copy_is_identical_and_renamed() {
    let toy = Toy::new(1, Dims::default());
    let copy = Toy {
        renamed: true,
        ..toy.clone()
    };
    let finding = measured(&toy, &copy);
    assert_eq!(finding.statistic, 1.0);
    assert_eq!(finding.details["unmatched_suspect"], 0.0);
    let renamed = finding.details["renamed_tensors"];
    assert_eq!(
        (renamed, finding.n),
        (finding.details["identical_tensors"], renamed as u64)
    );
    assert_eq!(measured(&toy, &toy).details["renamed_tensors"], 0.0);
}

#[test]
fn one_frozen_matrix_is_found_among_changed_ones() {
    let toy = Toy::new(1, Dims::default());
    let mut child = toy.noised(0.1, 3);
    let role = Role::layer(2, Part::Query);
    child.tensors.insert(role, toy.tensors[&role].clone());
    let finding = measured(&toy, &child);
    assert_eq!(finding.details["identical_tensors"], 1.0);
    assert!(finding.statistic > 0.0 && finding.statistic < 0.05);
    assert!(finding.table.unwrap().rows[0][0].contains("layers.2.q"));
}

#[test]
fn untrained_constants_are_set_apart() {
    let (mut a, mut b) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
    for toy in [&mut a, &mut b] {
        for (role, (_, _, values)) in &mut toy.tensors {
            if role.part.is_norm() {
                values.fill(1.0);
            }
        }
    }
    let finding = measured(&a, &b);
    assert_eq!(
        (finding.statistic, finding.details["identical_tensors"]),
        (0.0, 0.0)
    );
    assert_eq!(finding.details["set_apart"], 9.0);
}

#[test]
fn what_an_independent_model_also_has_is_set_apart() {
    let (a, mut b, mut c) = (
        Toy::new(1, Dims::default()),
        Toy::new(2, Dims::default()),
        Toy::new(3, Dims::default()),
    );
    let embed = Role::model(Part::Embed);
    for toy in [&mut b, &mut c] {
        toy.tensors.insert(embed, a.tensors[&embed].clone());
    }
    let (a, b, c) = (Open::new(&a), Open::new(&b), Open::new(&c));
    let population = [c.subject()];
    let with = Pair {
        population: &population,
        ..pair(&a, &b)
    };
    let Outcome::Measured(finding) = IdenticalTensors.assess(&with).unwrap() else {
        panic!()
    };
    assert_eq!(
        (finding.statistic, finding.details["set_apart"]),
        (0.0, 1.0)
    );
    let Outcome::Measured(alone) = IdenticalTensors.assess(&pair(&a, &b)).unwrap() else {
        panic!()
    };
    assert!(alone.statistic > 0.0);
}
