use super::{Share, mixture};
use crate::evidence::toy::Open;
use crate::model::toy::{Dims, Toy};

fn sum(parts: &[(&Toy, f32)]) -> Toy {
    let mut toy = parts[0].0.clone();
    for (role, (_, _, values)) in &mut toy.tensors {
        for (at, value) in values.iter_mut().enumerate() {
            let terms = parts
                .iter()
                .map(|(toy, share)| share * toy.tensors[role].2[at]);
            *value = terms.sum();
        }
    }
    toy
}

fn open(toys: &[&Toy]) -> Vec<Open> {
    toys.iter().map(|toy| Open::new(toy)).collect()
}

fn whole(parents: &[Open], suspect: &Open) -> Share {
    let parents: Vec<_> = parents.iter().map(|one| &one.model).collect();
    mixture(&parents, &suspect.model).unwrap().unwrap().whole
}

#[test]
fn shares_of_a_linear_merge_are_found_in_every_part() {
    let base = Toy::new(1, Dims::default());
    let (one, other) = (base.noised(0.1, 2), base.noised(0.1, 3));
    let merged = sum(&[(&base, 0.2), (&one, 0.5), (&other, 0.3)]);
    let parents = open(&[&base, &one, &other]);
    let suspect = Open::new(&merged);
    let models: Vec<_> = parents.iter().map(|one| &one.model).collect();
    let found = mixture(&models, &suspect.model).unwrap().unwrap();
    assert_eq!(found.parts.len(), 1 + Dims::default().layers);
    for part in found.parts.iter().chain([&found.whole]) {
        let fit = part.fit(&[0, 1, 2]).unwrap();
        for (share, truth) in fit.coefficients.iter().zip([0.2, 0.5, 0.3]) {
            assert!((share - truth).abs() < 1e-3, "{:?}", fit.coefficients);
        }
        assert!(part.gain(&[0, 1, 2]).unwrap() > 0.999);
    }
}

#[test]
fn blocks_of_two_models_are_told_apart() {
    let (one, other) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
    let mut patchwork = one.clone();
    for (role, tensor) in &other.tensors {
        if role.layer.is_some_and(|layer| layer % 2 == 1) {
            patchwork.tensors.insert(*role, tensor.clone());
        }
    }
    let parents = open(&[&one, &other]);
    let suspect = Open::new(&patchwork);
    let models: Vec<_> = parents.iter().map(|one| &one.model).collect();
    let found = mixture(&models, &suspect.model).unwrap().unwrap();
    for part in found.parts.iter().filter(|part| part.layer.is_some()) {
        let shares = part.fit(&[0, 1]).unwrap().coefficients;
        let second = f64::from(part.layer.unwrap_or(0) % 2);
        assert!((shares[1] - second).abs() < 1e-6, "{shares:?}");
    }
}

#[test]
fn the_angle_of_a_spherical_merge_is_its_share() {
    let (one, other) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
    // Strangers stand at right angles, up to their few numbers.
    let turn = 0.3 * std::f32::consts::FRAC_PI_2;
    let merged = sum(&[(&one, turn.cos()), (&other, turn.sin())]);
    let parents = open(&[&one, &other]);
    let found = whole(&parents, &Open::new(&merged));
    let angle = found.angle.unwrap();
    assert!((angle - 0.3).abs() < 0.02, "{angle}");
}

#[test]
fn a_child_is_no_mixture_of_its_parent_and_a_stranger_or_a_sibling() {
    let base = Toy::new(1, Dims::default());
    let child = Open::new(&base.noised(0.2, 5));
    for other in [Toy::new(2, Dims::default()), base.noised(0.2, 6)] {
        let parents = open(&[&base, &other]);
        let gain = whole(&parents, &child).gain(&[0, 1]).unwrap();
        assert!(gain < 0.01, "{gain}");
    }
}

#[test]
fn models_of_other_shapes_have_nothing_to_add_up() {
    let narrow = Dims {
        width: 12,
        units: 20,
        ..Dims::default()
    };
    let (one, other) = (Toy::new(1, Dims::default()), Toy::new(1, narrow));
    let (one, other) = (Open::new(&one), Open::new(&other));
    let found = mixture(&[&one.model], &other.model).unwrap();
    assert_eq!(found, None);
    assert_eq!(mixture(&[], &other.model).unwrap(), None);
}

#[test]
fn parents_of_unequal_length_do_not_bend_the_arc() {
    let (one, other) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
    let long = sum(&[(&other, 3.0)]);
    let turn = 0.3 * std::f32::consts::FRAC_PI_2;
    let merged = sum(&[(&one, turn.cos()), (&long, turn.sin())]);
    let parents = open(&[&one, &long]);
    let angle = whole(&parents, &Open::new(&merged)).angle.unwrap();
    assert!((angle - 0.3).abs() < 0.02, "{angle}");
}
