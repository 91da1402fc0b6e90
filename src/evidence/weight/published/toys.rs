//! Rewritings of toys that the literature names: the same function by other numbers, or fewer layers.

use std::collections::BTreeMap;

use crate::model::toy::Toy;
use crate::model::{Part, Role};
use crate::stat::{random, spectral};

/// The axis of a tensor that lies in the residual stream: 0 for rows, 1 for columns.
fn residual_axis(role: &Role) -> Option<usize> {
    match role.part {
        _ if role.is_vector() => role.part.is_norm().then_some(0),
        Part::Output | Part::Down => Some(0),
        _ => Some(1),
    }
}

/// Every tensor with its residual coordinates put in another order and some of their signs flipped.
/// Gains go along without a sign.
pub fn residual_permuted(toy: &Toy, seed: u64) -> Toy {
    let mut rng = random::stream(seed, "toy residual order");
    let (_, width, _) = toy.tensors[&Role::model(Part::Embed)];
    let order = random::subset_in_any_order(&mut rng, width, width);
    let signs: Vec<f32> = (0..width)
        .map(|_| {
            if random::below(&mut rng, 2) == 0 {
                1.0
            } else {
                -1.0
            }
        })
        .collect();
    let mut child = toy.clone();
    for (role, (rows, columns, values)) in &mut child.tensors {
        let Some(axis) = residual_axis(role) else {
            continue;
        };
        let old = values.clone();
        for row in 0..*rows {
            for column in 0..*columns {
                let at = if axis == 0 { row } else { column };
                let from = match axis {
                    0 => order[row] * *columns + column,
                    _ => row * *columns + order[column],
                };
                let sign = if role.is_vector() { 1.0 } else { signs[at] };
                values[row * *columns + column] = sign * old[from];
            }
        }
    }
    child
}

/// Gains of the norms before attention and MLP times random factors between a third and three, the
/// matrices behind divided by them.
pub fn gains_rescaled(toy: &Toy, seed: u64) -> Toy {
    let mut rng = random::stream(seed, "toy gains");
    let mut child = toy.clone();
    let norms: Vec<Role> = toy
        .tensors
        .keys()
        .filter(|role| matches!(role.part, Part::AttentionNorm | Part::MlpNorm))
        .copied()
        .collect();
    for norm in norms {
        let behind: &[Part] = match norm.part {
            Part::AttentionNorm => &[Part::Query, Part::Key, Part::Value],
            _ => &[Part::Gate, Part::Up],
        };
        let (width, _, _) = toy.tensors[&norm];
        let factors: Vec<f32> = (0..width)
            .map(|_| 3f64.powf(2.0 * random::unit(&mut rng) - 1.0) as f32)
            .collect();
        scale(&mut child.tensors, norm, &factors, false);
        for part in behind {
            scale(
                &mut child.tensors,
                Role {
                    part: *part,
                    ..norm
                },
                &factors,
                true,
            );
        }
    }
    child
}

type Tensors = BTreeMap<Role, (usize, usize, Vec<f32>)>;

fn scale(tensors: &mut Tensors, role: Role, factors: &[f32], divide: bool) {
    if let Some((_, _, values)) = tensors.get_mut(&role) {
        for (value, factor) in values.iter_mut().zip(factors.iter().cycle()) {
            *value = if divide {
                *value / factor
            } else {
                *value * factor
            };
        }
    }
}

/// The layers behind `gone` moved forward by one.
pub fn without_layer(toy: &Toy, gone: u32) -> Toy {
    let mut child = toy.clone();
    child.tensors = toy
        .tensors
        .iter()
        .filter(|(role, _)| role.layer != Some(gone))
        .map(|(role, tensor)| {
            let moved = role.layer.map(|layer| layer - u32::from(layer > gone));
            (
                Role {
                    layer: moved,
                    ..*role
                },
                tensor.clone(),
            )
        })
        .collect();
    child
}

/// Query matrices under no role.
pub fn without_attention(toy: &Toy) -> Toy {
    let mut child = toy.clone();
    child.tensors.retain(|role, _| role.part != Part::Query);
    child
}

/// Gains folded into the matrices behind, then the residual stream in another orthonormal basis.
pub fn residual_rotated(toy: &Toy, seed: u64) -> Toy {
    let mut rng = random::stream(seed, "toy rotation");
    let (_, width, _) = toy.tensors[&Role::model(Part::Embed)];
    let normal: Vec<f64> = (0..width * width)
        .map(|_| random::normal(&mut rng))
        .collect();
    let turn = spectral::polar(&normal, width, width).unwrap();
    let mut child = folded(toy);
    for (role, (rows, columns, values)) in &mut child.tensors {
        let (Some(axis), false) = (residual_axis(role), role.is_vector()) else {
            continue;
        };
        let old = values.clone();
        for row in 0..*rows {
            for column in 0..*columns {
                let sum: f64 = match axis {
                    0 => (0..width)
                        .map(|k| turn[k * width + row] * f64::from(old[k * *columns + column]))
                        .sum(),
                    _ => (0..width)
                        .map(|k| f64::from(old[row * *columns + k]) * turn[k * width + column])
                        .sum(),
                };
                values[row * *columns + column] = sum as f32;
            }
        }
    }
    child
}

/// Every gain before attention and MLP at one, the matrices behind times it.
fn folded(toy: &Toy) -> Toy {
    let mut child = toy.clone();
    for (role, (_, _, gains)) in &toy.tensors {
        let behind: &[Part] = match role.part {
            Part::AttentionNorm => &[Part::Query, Part::Key, Part::Value],
            Part::MlpNorm => &[Part::Gate, Part::Up],
            _ => continue,
        };
        scale(&mut child.tensors, *role, gains, true);
        for part in behind {
            scale(
                &mut child.tensors,
                Role {
                    part: *part,
                    ..*role
                },
                gains,
                false,
            );
        }
    }
    child
}
