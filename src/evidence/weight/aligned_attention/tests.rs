use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};

fn measured(method: &AlignedAttention, reference: &Toy, suspect: &Toy) -> f64 {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match method.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => finding.statistic,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

#[test]
fn rotated_kin_agree_and_strangers_do_not() {
    let dims = Dims {
        width: 32,
        units: 96,
        ..Dims::default()
    };
    let parent = Toy::new(1, dims);
    for method in [&QUERY_KEY, &VALUE_OUTPUT] {
        let same = measured(method, &parent, &parent.rotated(5));
        assert!(same > 0.99, "{same}");
        let kin = measured(method, &parent, &parent.rotated(5).noised(0.3, 8));
        assert!(kin > 0.7, "{kin}");
        let strangers = measured(method, &parent, &Toy::new(2, dims));
        assert!(strangers.abs() < 0.2, "{strangers}");
    }
}
