//! Sizes of the layers (the layer energy profile of model-provenance-kit).

use std::collections::BTreeMap;

use super::frame::{self, Found, Score};
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject};
use crate::record::WeightProfile;
use crate::stat::{correlation, curve};

/// See [`CARD`].
pub(super) struct LayerEnergy;

static CARD: Card = Card {
    id: "weight.layer_energy",
    version: 1,
    family: "published.profile",
    title: "layer energy profile: sums of Frobenius norms over layers, Pearson's correlation",
    measures: "Per layer the sum of the Frobenius norms of its matrices, divided by the largest layer's; Pearson's \
               correlation r of the two models' curves, both interpolated to the shorter. The published score is \
               (r + 1) / 2 in a weighted sum of five.",
    null: "None published. Depth trends are common to all models.",
    fooled_by: "Depth trends common to all models; inserted layers; free rescalings of matrices against each other.",
    cost: "None beyond one pass over the weights of each model.",
    reference: "Cisco AI Defense: model-provenance-kit (2026), layer energy profile (LEP).",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// Fewest layers on which a correlation over layers says anything: through two points every line fits.
const LEAST_LAYERS: usize = 3;

impl Evidence for LayerEnergy {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        frame::assess(pair, "none published", compare)
    }
}

fn compare(a: Subject<'_>, b: Subject<'_>) -> Found {
    let (Some(a), Some(b)) = (a.profile, b.profile) else {
        return Ok(Err(
            "the weights of one of the models were not read".to_owned()
        ));
    };
    let (a, b) = (energies(a), energies(b));
    let steps = a.len().min(b.len());
    if steps < LEAST_LAYERS {
        return Ok(Err(format!(
            "fewer than {LEAST_LAYERS} layers are known by role in one of the models"
        )));
    }
    let (x, y) = (curve::resample(&a, steps), curve::resample(&b, steps));
    let Some(statistic) = correlation::pearson(&x, &y) else {
        return Ok(Err(
            "the layers of one of the models are all of one size".to_owned()
        ));
    };
    let mut caveats = vec![
        "depth trends are common to all models: a high value is no evidence of lineage".to_owned(),
    ];
    if a.len() != b.len() {
        caveats.push(format!(
            "{} and {} layers: the longer curve was interpolated to the shorter",
            a.len(),
            b.len()
        ));
    }
    Ok(Ok(Score {
        statistic,
        n: steps as u64,
        explanation: format!(
            "Sums of Frobenius norms correlate to {statistic:.3} over {steps} layers."
        ),
        caveats,
        ..Score::default()
    }))
}

/// Sum of the Frobenius norms of each layer's matrices, the largest at one.
fn energies(profile: &WeightProfile) -> Vec<f64> {
    let mut layers: BTreeMap<u32, f64> = BTreeMap::new();
    for (role, moments) in profile.roles.iter().filter(|(role, _)| !role.is_vector()) {
        let Some(layer) = role.layer else { continue };
        let square = moments.std * moments.std + moments.mean * moments.mean;
        *layers.entry(layer).or_default() += (moments.count as f64 * square).sqrt();
    }
    let largest = layers.values().copied().fold(0.0, f64::max);
    if largest > 0.0 {
        layers.values_mut().for_each(|energy| *energy /= largest);
    }
    layers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::*;
    use crate::evidence::toy::Open;
    use crate::model::toy::{Dims, Toy};

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&LayerEnergy, reference, suspect).statistic
    }

    #[test]
    fn energies_are_sums_of_norms() {
        let toy = Toy::new(1, Dims::default());
        let norm = |layer: u32| -> f64 {
            let of_layer = toy
                .tensors
                .iter()
                .filter(|(role, _)| role.layer == Some(layer));
            of_layer
                .filter(|(role, _)| !role.is_vector())
                .map(|(_, (_, _, values))| {
                    values
                        .iter()
                        .map(|x| f64::from(*x).powi(2))
                        .sum::<f64>()
                        .sqrt()
                })
                .sum()
        };
        let norms: Vec<f64> = (0..4).map(norm).collect();
        let largest = norms.iter().copied().fold(0.0, f64::max);
        for (found, norm) in energies(&Open::new(&toy).profile).iter().zip(norms) {
            // The pass over weights rounds short sums to f32.
            assert!((found - norm / largest).abs() < 1e-6);
        }
    }

    #[test]
    fn kin_are_above_strangers() {
        let dims = Dims {
            layers: 10,
            ..Dims::default()
        };
        let toy = Toy::new(1, dims);
        let kin = of(&toy, &toy.noised(0.2, 2));
        let stranger = of(&toy, &Toy::new(2, dims));
        assert!(kin > 0.98 && stranger < 0.8, "{kin} {stranger}");
        assert!(of(&toy, &toy.permuted(3)) > 0.999_999);
    }

    /// The literature's break, free of charge: one size of value against one size of output.
    #[test]
    fn a_free_rescaling_moves_the_curve() {
        use crate::model::{Part, Role};
        let toy = Toy::new(
            1,
            Dims {
                layers: 6,
                ..Dims::default()
            },
        );
        let mut scaled = toy.clone();
        for (layer, factor) in [(0, 9.0), (3, 5.0), (4, 1.0 / 9.0)] {
            for (part, factor) in [(Part::Value, factor), (Part::Output, 1.0 / factor)] {
                if let Some((_, _, values)) = scaled.tensors.get_mut(&Role::layer(layer, part)) {
                    values.iter_mut().for_each(|value| *value *= factor);
                }
            }
        }
        assert!(of(&toy, &scaled) < 0.6);
    }

    #[test]
    fn two_layers_are_too_few() {
        let short = Toy::new(
            1,
            Dims {
                layers: 2,
                ..Dims::default()
            },
        );
        assert!(reason(&LayerEnergy, &short, &short).contains("fewer than 3"));
    }
}
