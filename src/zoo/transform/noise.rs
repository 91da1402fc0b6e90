//! Gaussian noise: the change reported between Llama3-V and MiniCPM-Llama3-V 2.5.

use serde::Deserialize;
use serde::Serialize;

use super::super::checkpoint::Checkpoint;
use super::super::dice::Dice;

/// Normal noise of one standard deviation on every weight, gains included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    /// Standard deviation of the noise as a share of that of all matrix entries of the language model
    /// together.
    pub relative_sigma: f64,
    /// The standard deviation itself; known once it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Of the noise.
    pub seed: u64,
}

impl GaussianNoise {
    pub(super) fn apply(&self, checkpoint: &mut Checkpoint) -> Self {
        let sigma = self.relative_sigma * deviation(checkpoint);
        add(checkpoint, sigma, self.seed);
        Self {
            sigma: Some(sigma),
            ..self.clone()
        }
    }
}

/// Adds normal noise of standard deviation `sigma` to every weight.
pub fn add(checkpoint: &mut Checkpoint, sigma: f64, seed: u64) {
    let roles = checkpoint.weights.iter_mut();
    let roles = roles.map(|(role, weight)| (role.to_string(), weight));
    let sight = checkpoint.sight.iter_mut();
    let sight = sight.map(|(name, weight)| (name.clone(), weight));
    for (name, weight) in roles.chain(sight) {
        let mut dice = Dice::named(seed, &name);
        for value in &mut weight.values {
            *value = (f64::from(*value) + sigma * dice.normal()) as f32;
        }
    }
}

/// Standard deviation of all matrix entries of the language model.
fn deviation(checkpoint: &Checkpoint) -> f64 {
    let entries = || {
        checkpoint
            .weights
            .values()
            .filter(|weight| weight.shape.len() == 2)
            .flat_map(|weight| weight.values.iter().map(|&value| f64::from(value)))
    };
    let count = entries().count() as f64;
    let mean = entries().sum::<f64>() / count;
    let variance = entries().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::super::checkpoint::tests::small;
    use super::GaussianNoise;

    #[test]
    fn the_difference_is_normal_with_the_recorded_sigma() {
        let base = small();
        let mut noised = base.clone();
        let noise = GaussianNoise {
            relative_sigma: 0.1,
            sigma: None,
            seed: 3,
        };
        let sigma = noise.apply(&mut noised).sigma.expect("applied");
        assert!((0.095..0.105).contains(&sigma), "{sigma}");
        let mut steps = Vec::new();
        for (role, weight) in &base.weights {
            let other = &noised.weights[role];
            steps.extend(
                weight
                    .values
                    .iter()
                    .zip(&other.values)
                    .map(|(a, b)| f64::from(b - a) / sigma),
            );
        }
        let n = steps.len() as f64;
        let moment = |power: i32| steps.iter().map(|z| z.powi(power)).sum::<f64>() / n;
        assert!(moment(1).abs() < 4.0 / n.sqrt());
        assert!((moment(2) - 1.0).abs() < 6.0 / n.sqrt(), "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 40.0 / n.sqrt(), "{}", moment(4));
    }
}
