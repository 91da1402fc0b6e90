//! How the singular values of attention products run over layers (GhostSpec, distance correlation).

use super::frame::{self, Once, Score};
use super::spectra::{self, Layer};
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject};
use crate::stat::correlation;

/// See [`CARD`].
pub(super) struct GhostspecCorr;

static CARD: Card = Card {
    id: "weight.ghostspec_corr",
    version: 1,
    family: "published.spectra",
    title: "GhostSpec-corr: trend over layers of the singular values of attention products, distance correlation",
    measures: "Per layer the mean of the singular values of W_Q^T W_K up to their effective rank, scaled to run from 1 \
               to 0, and the same of W_O W_V; layers of the two models paired in order so that the sum of \
               differences is smallest; distance correlation of the two models' sequences, the two products behind \
               one another.",
    null: "None published: a threshold chosen on the models tested. The distance correlation of few independent pairs \
           lies far above 0.",
    fooled_by: "Two products whose means differ give any two models a common step; depth trends common to all models; \
                rescaled gains of norms and long training on.",
    cost: "As weight.ghostspec_mse.",
    reference: "Wang, Ma, Li, Li: Ghost in the Transformer (AAAI 2026). The random directions and the penalty for skipped \
                layers are ours.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

impl Evidence for GhostspecCorr {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let once = Once::new();
        frame::assess(pair, "none published", |a: Subject<'_>, b: Subject<'_>| {
            let read = |model: &_| Ok(spectra::of(model, pair.seed)?.map(|all| means(&all)));
            let (a, b) = (once.of(a.model, read)?, once.of(b.model, read)?);
            Ok(compare(a.as_ref().as_ref(), b.as_ref().as_ref()))
        })
    }
}

/// Mean scaled singular value of each product, layer by layer.
type Trend = Vec<[f64; 2]>;

fn means(layers: &[Layer]) -> Trend {
    let of_product = |values: &Vec<f64>| {
        let top = spectra::normalised(values, spectra::effective_rank(values));
        frame::mean(&top).unwrap_or(0.0)
    };
    let of_layer = |layer: &Layer| [&layer.products[0], &layer.products[1]].map(of_product);
    layers.iter().map(of_layer).collect()
}

fn compare(a: Result<&Trend, &String>, b: Result<&Trend, &String>) -> Result<Score, String> {
    let a = a.map_err(|why| format!("reference: {why}"))?;
    let b = b.map_err(|why| format!("suspect: {why}"))?;
    let gap = |x: &[f64; 2], y: &[f64; 2]| (x[0] - y[0]).abs() + (x[1] - y[1]).abs();
    let cells = a.iter().flat_map(|x| b.iter().map(move |y| gap(x, y)));
    let pairs = spectra::paired(&cells.collect::<Vec<_>>(), a.len(), b.len())
        .ok_or("numbers of the two models are not finite")?;
    let sequence = |side: &dyn Fn(&(usize, usize)) -> [f64; 2]| -> Vec<f64> {
        let product = |p: usize| pairs.iter().map(move |pair| side(pair)[p]);
        product(0).chain(product(1)).collect()
    };
    let (x, y) = (sequence(&|(i, _)| a[*i]), sequence(&|(_, j)| b[*j]));
    let statistic = correlation::distance_correlation(&x, &y)
        .ok_or("singular values do not vary over the layers")?;
    let mut caveats = vec![
        "distance correlation of independent sequences this short lies well above 0".to_owned(),
    ];
    if a.len() != b.len() {
        caveats.push(format!(
            "{} and {} layers: {} were paired in order",
            a.len(),
            b.len(),
            pairs.len()
        ));
    }
    Ok(Score {
        statistic,
        n: pairs.len() as u64,
        explanation: format!(
            "Distance correlation of the mean singular values of {} paired layers: {statistic:.3}.",
            pairs.len()
        ),
        caveats,
        ..Score::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::finding;
    use super::super::toys;
    use super::*;
    use crate::model::toy::{Dims, Toy};

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&GhostspecCorr, reference, suspect).statistic
    }

    #[test]
    fn means_by_hand() {
        // Effective ranks 3 (of 3) and 3 (of 4): 1, 1, 1 has no span; 1, 1, 0.
        let layer = Layer {
            products: [vec![2.0; 3], vec![5.0, 5.0, 4.0, 3.0]],
        };
        let found = means(&[layer]);
        assert!((found[0][0], found[0][1]) == (0.0, 2.0 / 3.0), "{found:?}");
    }

    #[test]
    fn kin_are_above_strangers() {
        let dims = Dims {
            layers: 8,
            ..Dims::default()
        };
        let toy = Toy::new(1, dims);
        let kin = of(&toy, &toy.noised(0.02, 2));
        let stranger = of(&toy, &Toy::new(2, dims));
        assert!(kin > 0.9 && stranger < kin - 0.1, "{kin} {stranger}");
        assert!(of(&toy, &toys::without_layer(&toy, 3)) > 0.999);
    }

    /// The literature's break: rescaled gains, the same function.
    #[test]
    fn rescaled_gains_move_the_trend() {
        let dims = Dims {
            layers: 8,
            ..Dims::default()
        };
        let toy = Toy::new(1, dims);
        let rescaled = of(&toy, &toys::gains_rescaled(&toy, 5));
        assert!(rescaled < 0.95, "{rescaled}");
    }
}
