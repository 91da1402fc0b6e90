//! Singular values of attention products, layer by layer (GhostSpec, mean squared error).

use super::frame::{self, Once, Score};
use super::spectra::{self, Layer};
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject};

/// See [`CARD`].
pub(super) struct GhostspecMse;

static CARD: Card = Card {
    id: "weight.ghostspec_mse",
    version: 1,
    family: "published.spectra",
    title: "GhostSpec-mse: singular values of attention products, aligned over layers",
    measures: "Per layer the singular values of W_Q^T W_K and of W_O W_V (keys and values repeated for the heads that \
               share them), cut at the smaller effective rank and scaled to run from 1 to 0; mean squared difference \
               d of two layers over both products; layers paired in order so that the sum is smallest (penalised \
               optimal spectral alignment); d averaged over the pairs. The statistic is 1 / (1 + d / 0.001): the paper's \
               sigmoid of d, whose constants it does not state, ranks pairs the same way and gives 0.976 at d = 0.",
    null: "None published: a threshold chosen on the models tested. Spectra of independent models of one shape can lie \
           close together.",
    fooled_by: "Models of one shape and initialisation have spectra of one shape, related or not; rescaled gains of norms, \
                which are not folded in, move them apart.",
    cost: "One pass over the attention matrices and a singular value decomposition per product; residual streams wider \
           than 512 are looked at between 512 random directions on either side (seeded): about 1 s per layer.",
    reference: "Wang, Ma, Li, Li: Ghost in the Transformer (AAAI 2026). The random directions, the penalty (a tenth of the \
                mean distance) and the scale of the statistic are ours.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// The mean squared difference at which the statistic is one half.
const HALF: f64 = 0.001;

impl Evidence for GhostspecMse {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let once = Once::new();
        frame::assess(pair, "none published", |a: Subject<'_>, b: Subject<'_>| {
            let read = |model: &_| spectra::of(model, pair.seed);
            let (a, b) = (once.of(a.model, read)?, once.of(b.model, read)?);
            Ok(compare(a.as_ref().as_ref(), b.as_ref().as_ref()))
        })
    }
}

fn compare(
    a: Result<&Vec<Layer>, &String>,
    b: Result<&Vec<Layer>, &String>,
) -> Result<Score, String> {
    let a = a.map_err(|why| format!("reference: {why}"))?;
    let b = b.map_err(|why| format!("suspect: {why}"))?;
    let cells = a.iter().flat_map(|x| b.iter().map(move |y| distance(x, y)));
    let distance: Vec<f64> = cells.collect();
    let pairs = spectra::paired(&distance, a.len(), b.len())
        .ok_or("numbers of the two models are not finite")?;
    let path: Vec<f64> = pairs
        .iter()
        .map(|(i, j)| distance[i * b.len() + j])
        .collect();
    let error = frame::mean(&path).ok_or("no layer in one of the models")?;
    let caveats = if a.len() == b.len() {
        Vec::new()
    } else {
        vec![format!(
            "{} and {} layers: {} were paired in order",
            a.len(),
            b.len(),
            pairs.len()
        )]
    };
    Ok(Score {
        statistic: 1.0 / (1.0 + error / HALF),
        n: pairs.len() as u64,
        details: [("mean_squared_error", error)].into(),
        explanation: format!(
            "Scaled singular values of {} paired layers differ by a mean square of {error:.2e}.",
            pairs.len()
        ),
        caveats,
        ..Score::default()
    })
}

/// Mean over the two products.
fn distance(a: &Layer, b: &Layer) -> f64 {
    let of_product = |(x, y): (&Vec<f64>, &Vec<f64>)| {
        let rank = spectra::effective_rank(x).min(spectra::effective_rank(y));
        let (x, y) = (spectra::normalised(x, rank), spectra::normalised(y, rank));
        let square: f64 = x.iter().zip(&y).map(|(x, y)| (x - y).powi(2)).sum();
        square / rank.max(1) as f64
    };
    a.products
        .iter()
        .zip(&b.products)
        .map(of_product)
        .sum::<f64>()
        / 2.0
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::super::toys;
    use super::*;
    use crate::model::toy::{Dims, Toy};

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&GhostspecMse, reference, suspect).statistic
    }

    #[test]
    fn a_distance_by_hand() {
        let layer = |qk: &[f64], vo: &[f64]| Layer {
            products: [qk.to_vec(), vo.to_vec()],
        };
        // Effective rank 3 of each; scaled 1, 0.5, 0 against 1, 0.25, 0: (1/16) / 3, and 0.
        let a = layer(&[5.0, 4.0, 3.0], &[3.0, 2.0, 1.0]);
        let b = layer(&[5.0, 3.5, 3.0], &[6.0, 4.0, 2.0]);
        let ranks = [&a, &b].map(|layer| spectra::effective_rank(&layer.products[0]));
        assert_eq!(ranks, [2, 2]);
        assert!(distance(&a, &b).abs() < 1e-12);
        let a = layer(&[5.0, 5.0, 4.0, 3.0], &[1.0; 4]);
        let b = layer(&[5.0, 4.5, 4.0, 3.0], &[1.0; 4]);
        assert_eq!(spectra::effective_rank(&a.products[0]), 3);
        // 1, 1, 0 against 1, 0.5, 0: (1/4) / 3, halved.
        assert!((distance(&a, &b) - 0.25 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn kin_are_above_strangers() {
        let toy = Toy::new(1, Dims::default());
        let kin = of(&toy, &toy.noised(0.1, 2));
        let stranger = of(&toy, &Toy::new(2, Dims::default()));
        assert!(kin > stranger + 0.2, "{kin} {stranger}");
        // Hidden units and the residual basis are not in it.
        assert!(of(&toy, &toy.permuted(3)) > 0.999);
        assert!(of(&toy, &toys::residual_permuted(&toy, 4)) > 0.999);
    }

    /// The literature's break: rescaled gains, the same function.
    #[test]
    fn rescaled_gains_move_spectra() {
        let toy = Toy::new(1, Dims::default());
        let rescaled = of(&toy, &toys::gains_rescaled(&toy, 5));
        assert!(rescaled < 0.8, "{rescaled}");
    }

    #[test]
    fn dropped_layers_are_skipped() {
        let toy = Toy::new(
            1,
            Dims {
                layers: 6,
                ..Dims::default()
            },
        );
        assert!(of(&toy, &toys::without_layer(&toy, 2)) > 0.999);
        assert!(reason(&GhostspecMse, &toy, &toys::without_attention(&toy)).contains("suspect"));
    }
}
