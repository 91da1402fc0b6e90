use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};

fn details(reference: &Toy, suspect: &Toy) -> BTreeMap<&'static str, f64> {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match Difference.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => finding.details,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

fn parent() -> Toy {
    let dims = Dims {
        width: 64,
        units: 96,
        ..Dims::default()
    };
    Toy::new(1, dims)
}

/// Every number plus noise of one size, however large the tensor's own numbers are.
#[test]
fn one_noise_is_recovered() {
    for sigma in [0.001, 0.01, 0.05] {
        let found = details(&parent(), &parent().shaken(sigma, 4));
        assert!((found["sigma"] / sigma - 1.0).abs() < 0.02, "{found:?}");
        assert!(found["sigma_spread"] < 0.02, "{found:?}");
        assert!((found["kurtosis"] - 3.0).abs() < 0.1, "{found:?}");
        assert!((found["top_over_edge"] - 1.0).abs() < 0.1, "{found:?}");
    }
    // Noise in proportion to each tensor is not one noise.
    let spread = details(&parent(), &parent().noised(0.1, 4))["sigma_spread"];
    assert!(spread > 0.1, "{spread}");
}

#[test]
fn a_grid_is_seen_on_the_side_that_has_it() {
    let mut child = parent();
    for (role, (_, columns, values)) in &mut child.tensors {
        if role.part.is_norm() || role.param == Param::Bias {
            continue;
        }
        for block in values
            .chunks_mut(*columns)
            .flat_map(|row| row.chunks_mut(32))
        {
            let step = block.iter().fold(0.0f32, |max, x| max.max(x.abs())) / 7.0;
            block
                .iter_mut()
                .for_each(|x| *x = (*x / step).round() * step);
        }
    }
    let found = details(&parent(), &child);
    assert_eq!(found["grid_bits_suspect"], 4.0);
    assert!(found["grid_error_suspect"] < 0.01 && found["grid_error_reference"] > 0.2);
    assert!(found["distinct_suspect"] < 16.0 && found["distinct_reference"] > 31.0);
}

#[test]
fn a_grid_with_a_scale_per_row_is_seen() {
    let mut child = parent();
    for (role, (_, columns, values)) in &mut child.tensors {
        if role.part.is_norm() || role.param == Param::Bias {
            continue;
        }
        for row in values.chunks_mut(*columns) {
            let step = row.iter().fold(0.0f32, |max, x| max.max(x.abs())) / 127.0;
            row.iter_mut().for_each(|x| *x = (*x / step).round() * step);
        }
    }
    let found = details(&parent(), &child);
    assert_eq!(found["grid_bits_suspect"], 8.0);
    assert!(found["grid_error_suspect"] < 0.01 && found["grid_error_reference"] > 0.2);
    // One number that stands out in each row makes no grid.
    let mut steep = parent();
    for (role, (_, columns, values)) in &mut steep.tensors {
        if role.layer.is_some() && !role.is_vector() {
            values.chunks_mut(*columns).for_each(|row| row[0] *= 50.0);
        }
    }
    let found = details(&parent().noised(0.1, 2), &steep);
    assert!(found["grid_error_suspect"] > 0.12, "{found:?}");
}

#[test]
fn zeros_are_counted_by_side() {
    let mut child = parent();
    for (_, _, values) in child.tensors.values_mut() {
        values.iter_mut().step_by(2).for_each(|x| *x = 0.0);
    }
    let found = details(&parent(), &child);
    assert!((found["zeroed_share"] - 0.5).abs() < 0.01);
    assert_eq!(found["unzeroed_share"], 0.0);
}

#[test]
fn strangers_have_nothing_in_common() {
    let other = Toy::new(
        2,
        Dims {
            width: 64,
            units: 96,
            ..Dims::default()
        },
    );
    assert!(!details(&parent(), &other).contains_key("sigma"));
}
