//! Wider MLPs that compute nearly the same: Net2WiderNet (Chen, Goodfellow & Shlens, "Net2Net", 2016).

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use crate::model::Part;
use crate::model::Role;

use super::super::checkpoint::Checkpoint;
use super::super::checkpoint::Matrix;
use super::super::dice::Dice;
use super::super::error::Error;

/// Repeats randomly chosen hidden units of every MLP, shares their outgoing weights among the copies,
/// and adds noise so that training can tell the copies apart. The old units stay where they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widen {
    /// Hidden units of the new MLPs.
    pub intermediate_size: usize,
    /// Standard deviation of the noise on the copies, as a share of their row's root mean square.
    pub relative_noise: f64,
    /// Of the choice and the noise.
    pub seed: u64,
}

impl Widen {
    pub(super) fn apply(&self, checkpoint: &mut Checkpoint) -> Result<(), Error> {
        let old = checkpoint.size("intermediate_size")?;
        if self.intermediate_size < old {
            let reason = format!(
                "an MLP of {old} hidden units cannot be widened to {}",
                self.intermediate_size
            );
            return Err(Error::Transformation { reason });
        }
        for layer in 0..checkpoint.size("num_hidden_layers")? {
            let mut dice = Dice::named(self.seed, &format!("layers.{layer}"));
            let sources: Vec<usize> = (0..self.intermediate_size)
                .map(|unit| if unit < old { unit } else { dice.below(old) })
                .collect();
            for part in [Part::Gate, Part::Up, Part::Down] {
                for role in [Role::layer(layer, part), Role::layer(layer, part).bias()] {
                    if let Some(weight) = checkpoint.weights.get_mut(&role) {
                        self.widen(role, weight, &sources, &mut dice);
                    }
                }
            }
        }
        let key = checkpoint.key("intermediate_size");
        let width = json!(self.intermediate_size);
        checkpoint.config.insert(key.to_owned(), width);
        Ok(())
    }

    fn widen(&self, role: Role, weight: &mut Matrix, sources: &[usize], dice: &mut Dice) {
        let hidden = weight.values.len() / weight.shape[0];
        match (role.part, role.is_vector()) {
            // Of the output, not of the units.
            (Part::Down, true) => {}
            (Part::Down, false) => {
                let uses = uses(sources, hidden);
                let rows = weight.values.chunks(hidden);
                let mut values = Vec::with_capacity(weight.shape[0] * sources.len());
                for row in rows {
                    values.extend(sources.iter().map(|&unit| row[unit] / uses[unit]));
                }
                weight.values = values;
                weight.shape[1] = sources.len();
            }
            _ => {
                let old = weight.shape[0];
                let mut values = Vec::with_capacity(sources.len() * hidden);
                for (place, &unit) in sources.iter().enumerate() {
                    let row = &weight.values[unit * hidden..(unit + 1) * hidden];
                    let noise = if place < old {
                        0.0
                    } else {
                        self.relative_noise
                    };
                    let scale = noise * root_mean_square(row);
                    let moved = row.iter().map(|&x| {
                        let step = if scale > 0.0 {
                            scale * dice.normal()
                        } else {
                            0.0
                        };
                        (f64::from(x) + step) as f32
                    });
                    values.extend(moved);
                }
                weight.values = values;
                weight.shape[0] = sources.len();
            }
        }
    }
}

/// How many copies each unit has.
fn uses(sources: &[usize], units: usize) -> Vec<f32> {
    let mut uses = vec![0f32; units];
    for &unit in sources {
        uses[unit] += 1.0;
    }
    uses
}

fn root_mean_square(row: &[f32]) -> f64 {
    let squares = row.iter().map(|&x| f64::from(x).powi(2));
    (squares.sum::<f64>() / row.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::super::checkpoint::tests::small;
    use super::Widen;
    use crate::model::Part;
    use crate::model::Role;

    #[test]
    fn without_noise_the_product_is_kept() {
        let base = small();
        let mut wide = base.clone();
        let widen = Widen {
            intermediate_size: 130,
            relative_noise: 0.0,
            seed: 5,
        };
        widen.apply(&mut wide).expect("wider");
        let (up, down) = (Role::layer(1, Part::Up), Role::layer(1, Part::Down));
        assert_eq!(wide.weights[&up].shape, [130, 64]);
        assert_eq!(wide.weights[&down].shape, [64, 130]);
        // Linear in its input, so the product of the two matrices is the whole function.
        let product = |of: &super::Checkpoint, row: usize, column: usize| -> f64 {
            let units = of.weights[&up].shape[0];
            let (u, d) = (&of.weights[&up].values, &of.weights[&down].values);
            (0..units)
                .map(|k| f64::from(d[row * units + k]) * f64::from(u[k * 64 + column]))
                .sum()
        };
        for (row, column) in [(0, 0), (3, 60), (63, 17)] {
            let (a, b) = (product(&base, row, column), product(&wide, row, column));
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn noise_is_on_the_copies_alone_and_narrowing_is_refused() {
        let base = small();
        let mut wide = base.clone();
        let mut widen = Widen {
            intermediate_size: 100,
            relative_noise: 0.1,
            seed: 5,
        };
        widen.apply(&mut wide).expect("wider");
        let up = Role::layer(0, Part::Up);
        let (old, new) = (&base.weights[&up].values, &wide.weights[&up].values);
        assert_eq!(old[..], new[..96 * 64]);
        let copies = new[96 * 64..].chunks(64);
        assert!(
            copies
                .into_iter()
                .all(|row| !old.chunks(64).any(|r| r == row))
        );
        widen.intermediate_size = 50;
        let error = widen.apply(&mut wide).expect_err("narrower").to_string();
        assert!(error.contains("100 hidden units"), "{error}");
    }
}
