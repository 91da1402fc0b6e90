use super::*;
use crate::model::toy::{Dims, Toy};
use crate::source::Silent;

const DIMS: Dims = Dims {
    layers: 5,
    width: 16,
    units: 64,
    vocab: 40,
};

/// f32 bytes of one hidden unit's row.
const ROW: u64 = 64;

#[test]
fn both_models_give_the_same_roles_whichever_comes_first() {
    let (a, _a) = Toy::new(1, DIMS).open();
    let (b, _b) = Toy::new(2, Dims { layers: 4, ..DIMS }).open();
    for budget in [6 * ROW * 8, 6 * ROW * 32, 1 << 30] {
        let [ours, theirs] = plan([&a, &b], budget, 7);
        let [swapped_b, swapped_a] = plan([&b, &a], budget, 7);
        assert_eq!((&ours, &theirs), (&swapped_a, &swapped_b));
        let at = |sample: &Sample, layer: u32, last: u32| -> Vec<(Part, Option<Range<usize>>)> {
            let of = sample
                .roles
                .iter()
                .filter(|(role, _)| role.layer == Some(layer));
            let of = of.map(|(role, rows)| (role.part, rows.clone()));
            assert!(layer <= last);
            of.collect()
        };
        for (x, y) in [(0, 0), (4, 3), (2, 1)] {
            assert_eq!(at(&ours, x, 4), at(&theirs, y, 3), "{budget}");
        }
        assert!(ours.bytes <= budget && theirs.bytes <= budget);
        assert!(at(&ours, 1, 4).is_empty() && !at(&ours, 2, 4).is_empty());
    }
}

#[test]
fn a_small_budget_reads_some_units_and_another_seed_others() {
    let (a, _a) = Toy::new(1, DIMS).open();
    let budget = 6 * 2 * ROW * 16;
    let [sample, _] = plan([&a, &a], budget, 7);
    let up = |sample: &Sample, layer| sample.roles[&Role::layer(layer, Part::Up)].clone();
    assert_eq!(up(&sample, 0).unwrap().len(), 16);
    assert_eq!(
        up(&sample, 0),
        sample.roles[&Role::layer(0, Part::Gate)].clone()
    );
    assert!(!sample.roles.contains_key(&Role::layer(0, Part::Down)));
    let others: Vec<_> = (0..8)
        .map(|seed| up(&plan([&a, &a], budget, seed)[0], 0))
        .collect();
    assert!(others.iter().any(|other| *other != others[0]));
    assert_eq!(plan([&a, &a], budget, 7)[0], sample);
}

#[test]
fn what_was_not_planned_is_not_there() {
    let toy = Toy::new(1, DIMS);
    let (a, _a) = toy.open();
    let [sample, _] = plan([&a, &a], 6 * 2 * ROW * 16, 7);
    let up = Role::layer(0, Part::Up);
    let rows = sample.roles[&up].clone().unwrap();
    let a = a.sampled(&sample, &Silent).unwrap();
    assert!(a.weights.is_sample());
    assert!(!a.weights.has(&Role::layer(1, Part::Up)) && !a.weights.has(&Role::model(Part::Embed)));
    assert_eq!(a.weights.shape(&up), Some((16, 16)));
    let whole = &toy.tensors[&up].2;
    assert_eq!(
        a.weights.all(&up).unwrap(),
        whole[rows.start * 16..rows.end * 16]
    );
}

#[test]
fn models_without_known_roles_give_tensors_of_one_name_and_shape() {
    let toy = Toy::new(1, DIMS);
    let (a, _a) = toy.open();
    let (b, _b) = toy.open();
    let (b, _) = (
        Model {
            weights: b.weights.rebound(&BTreeMap::new()).0,
            ..b
        },
        (),
    );
    let budget = 3000;
    let [ours, theirs] = plan([&a, &b], budget, 3);
    assert!(ours.roles.is_empty() && ours.tensors == theirs.tensors);
    assert!(!ours.tensors.is_empty() && ours.bytes <= budget);
    assert_ne!(ours.tensors, plan([&a, &b], budget, 4)[0].tensors);
}
