//! One cosine over all parameters (HuRef's PCS).

use super::frame::{self, Found, Score};
use crate::evidence::weight::tensor_cosine::{self, Sums};
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::model::{Role, Weights};

/// See [`CARD`].
pub(super) struct ParameterCosine;

static CARD: Card = Card {
    id: "weight.parameter_cosine",
    version: 1,
    family: "published.elements",
    title: "cosine similarity of all parameters (PCS)",
    measures: "All tensors of equal shape, gains and biases too, one behind the other as one long vector per model; \
               the cosine of the two vectors. Tensors go together by role, in the published code by their place in \
               the model.",
    null: "None published; 0 is not the value of independent models, since gains of norms lie around 1 in all of them.",
    fooled_by: "Gains near 1 and large embeddings make strangers alike. Permuted hidden units or heads, a rotated residual \
                stream and inserted layers bring kin down.",
    cost: "One pass over all shared tensors of both models; 16 MiB per thread.",
    reference: "Zeng et al.: HuRef, Human-readable fingerprint for large language models (NeurIPS 2024), parameter \
                cosine similarity.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

impl Evidence for ParameterCosine {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        frame::assess(pair, "none published", |a, b| {
            compare(&a.model.weights, &b.model.weights)
        })
    }
}

fn compare(a: &Weights, b: &Weights) -> Found {
    let sums = tensor_cosine::sums(a, b)?;
    let all = sums
        .iter()
        .fold(Sums::default(), |all, (_, one)| all.and(one));
    let Some(statistic) = all.cosine(false) else {
        return Ok(Err(why_not(a, b)));
    };
    let gains: Vec<&(Role, Sums)> = sums.iter().filter(|(role, _)| role.is_vector()).collect();
    let share = gains.iter().map(|(_, sums)| sums.square()).sum::<f64>() / all.square();
    Ok(Ok(Score {
        statistic,
        n: sums.len() as u64,
        details: [("share_of_vectors", share)].into(),
        explanation: format!(
            "Cosine of {} tensors of equal shape laid end to end: {statistic:.4}; gains and biases make up {:.0} % of \
             the squared length.",
            sums.len(),
            100.0 * share
        ),
        caveats: vec![
            "gains of norms lie around 1 in every model and raise the cosine of strangers"
                .to_owned(),
        ],
        ..Score::default()
    }))
}

fn why_not(a: &Weights, b: &Weights) -> String {
    if a.roles().next().is_none() || b.roles().next().is_none() {
        "the tensors of one of the models are not known by role".to_owned()
    } else {
        "no tensor has the same role and shape in both models".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::*;
    use crate::model::toy::{Dims, Toy};
    use crate::stat::correlation;

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&ParameterCosine, reference, suspect).statistic
    }

    #[test]
    fn equals_the_cosine_of_the_vectors() {
        let (a, b) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
        let flat = |toy: &Toy| -> Vec<f64> {
            let values = toy.tensors.values().flat_map(|(_, _, values)| values);
            values.map(|value| f64::from(*value)).collect()
        };
        let expected = correlation::cosine(&flat(&a), &flat(&b)).unwrap();
        assert!((of(&a, &b) - expected).abs() < 1e-9);
    }

    #[test]
    fn kin_are_above_strangers_until_units_are_permuted() {
        let toy = Toy::new(1, Dims::default());
        let kin = of(&toy, &toy.noised(0.2, 2));
        let permuted = of(&toy, &toy.permuted(3));
        let stranger = of(&toy, &Toy::new(2, Dims::default()));
        assert!(kin > 0.95 && stranger < 0.8, "{kin} {stranger}");
        // The literature's break: the same function, and the cosine is gone with the order.
        assert!(permuted < kin - 0.1, "{permuted}");
    }

    #[test]
    fn nothing_of_one_shape_is_said_so() {
        let toy = Toy::new(1, Dims::default());
        let other = Toy::new(
            2,
            Dims {
                width: 24,
                units: 40,
                vocab: 30,
                ..Dims::default()
            },
        );
        assert!(reason(&ParameterCosine, &toy, &other).contains("role and shape"));
    }
}
