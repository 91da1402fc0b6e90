use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match UnitAgreement.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

fn dims() -> Dims {
    Dims {
        width: 32,
        units: 96,
        ..Dims::default()
    }
}

/// Permuted units in a rotated stream: no index is left, and the three matrices still agree.
#[test]
fn rotated_and_permuted_kin_agree_and_strangers_do_not() {
    let parent = Toy::new(1, dims());
    let kin = measured(&parent, &parent.permuted(4).rotated(5).noised(0.3, 8));
    assert!(kin.statistic > 0.95, "{}", kin.statistic);
    assert!(kin.details["agree_down"] > 0.95);
    let strangers = measured(&parent, &Toy::new(2, dims()));
    assert!(strangers.statistic < 0.1, "{}", strangers.statistic);
}

/// Where a part of the units is drawn anew, as in drop-upcycling, the others still agree.
#[test]
fn half_of_the_units_is_half_of_the_agreement() {
    let parent = Toy::new(1, dims());
    let kept: Vec<usize> = (0..48).collect();
    let finding = measured(&parent, &parent.redrawn(&kept, 9).permuted(3));
    assert!(
        (finding.statistic - 0.5).abs() < 0.15,
        "{}",
        finding.statistic
    );
}
