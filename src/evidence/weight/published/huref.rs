//! Invariant terms of the last two layers (HuRef's ICS).

use candle_core::Tensor;

use super::attention::Attention;
use super::frame::{self, Found, Once, Score};
use crate::evidence::weight::tokens;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Subject, Table};
use crate::model::{Model, Part, Role};
use crate::stat::correlation;

/// See [`CARD`].
pub(super) struct Huref;

static CARD: Card = Card {
    id: "weight.huref",
    version: 1,
    family: "published.invariants",
    title: "invariant terms of the last two layers (HuRef), cosine of the standardised terms (ICS)",
    measures: "With X the embeddings of shared tokens, per layer X W_Q^T W_K X^T, X W_V^T W_O^T X^T and X (G*U)^T D^T X^T (gate \
               times up number by number; X U^T D^T X^T without a gate), as stored, keys and values repeated for the \
               heads that share them. Each term is brought to mean 0 and unit spread; the statistic is the cosine \
               over all terms of the last two layers, the mean of their correlations.",
    null: "None published: independent models are reported near 0.",
    fooled_by: "Rescaled gains of norms, which are not folded in; flipped signs or a rotation of residual coordinates (the \
                third term); long training on; a changed tokenizer or new embeddings; layers added or removed at the \
                end.",
    cost: "The embedding and two layers of each model; 512 shared tokens (seeded; the published code takes the 4,096 most \
           frequent): a second and 600 MiB at 14,336 hidden units.",
    reference: "Zeng et al.: HuRef, Human-readable fingerprint for large language models (NeurIPS 2024), and its code. The \
                sample of tokens is ours.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

/// Shared tokens.
const TOKENS: usize = 512;

/// Layers from the end.
const LAYERS: usize = 2;

const NAMES: [&str; 3] = ["query_key", "value_output", "mlp"];

impl Evidence for Huref {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let once = Once::new();
        frame::assess(pair, "none published", |a: Subject<'_>, b: Subject<'_>| {
            let (a, b) = (a.model, b.model);
            let read = (once.of(a, last_layers)?, once.of(b, last_layers)?);
            match (&*read.0, &*read.1) {
                (Ok(ours), Ok(theirs)) => compare(a, b, ours, theirs, pair.seed),
                (Err(why), _) => Ok(Err(format!("reference: {why}"))),
                (_, Err(why)) => Ok(Err(format!("suspect: {why}"))),
            }
        })
    }
}

/// The factors of one layer's terms: `term = X left^T right X^T`, each `[inner, hidden_size]`.
struct Layer {
    factors: [Option<(Tensor, Tensor)>; 3],
}

fn last_layers(model: &Model) -> Result<Result<Vec<Layer>, String>, Error> {
    let depth = frame::depth(&model.weights);
    if depth == 0 {
        return Ok(Err("its tensors are not known by role".to_owned()));
    }
    let mut layers = Vec::new();
    for layer in depth.saturating_sub(LAYERS)..depth {
        let attention = match Attention::of(model, layer)? {
            Ok(attention) => attention,
            Err(reason) => return Ok(Err(reason)),
        };
        let Attention {
            query,
            key,
            value,
            output,
        } = attention;
        layers.push(Layer {
            factors: [
                Some((query, key)),
                Some((value, output.t()?.contiguous()?)),
                mlp(model, layer)?,
            ],
        });
    }
    Ok(Ok(layers))
}

/// `None` for a mixture of experts, which the published terms do not cover.
fn mlp(model: &Model, layer: usize) -> Result<Option<(Tensor, Tensor)>, Error> {
    let part = |part| frame::matrix(&model.weights, &Role::layer(layer, part));
    let (Some(up), Some(down)) = (part(Part::Up)?, part(Part::Down)?) else {
        return Ok(None);
    };
    let left = match part(Part::Gate)? {
        Some(gate) => (gate * up)?,
        None => up,
    };
    Ok(Some((left, down.t()?.contiguous()?)))
}

fn compare(a: &Model, b: &Model, ours: &[Layer], theirs: &[Layer], seed: u64) -> Found {
    let shared = match tokens::shared(a, b, TOKENS, seed) {
        Ok(shared) => shared,
        Err(reason) => return Ok(Err(reason)),
    };
    let rows = |model: &Model, ids: &[u32]| {
        let ids: Vec<usize> = ids.iter().map(|id| *id as usize).collect();
        frame::rows(&model.weights, &Role::model(Part::Embed), &ids)
    };
    let (Some(x), Some(y)) = (rows(a, &shared.ours)?, rows(b, &shared.theirs)?) else {
        return Ok(Err("one of the models has no embedding".to_owned()));
    };
    let mut found: Vec<(usize, usize, f64)> = Vec::new();
    // From the end: a model of one layer has no last but one.
    for (back, (ours, theirs)) in ours.iter().rev().zip(theirs.iter().rev()).enumerate() {
        for (term, (left, right)) in ours.factors.iter().zip(&theirs.factors).enumerate() {
            let (Some(left), Some(right)) = (left, right) else {
                continue;
            };
            let r = correlation::pearson(&product(&x, left)?, &product(&y, right)?);
            found.extend(r.map(|r| (back, term, r)));
        }
    }
    let values: Vec<f64> = found.iter().map(|(_, _, r)| *r).collect();
    let Some(statistic) = frame::mean(&values) else {
        return Ok(Err(
            "no term of the two models varies and is finite".to_owned()
        ));
    };
    Ok(Ok(score(statistic, &found, shared.ours.len())))
}

/// `X left^T right X^T`, row-major.
fn product(x: &Tensor, (left, right): &(Tensor, Tensor)) -> Result<Vec<f64>, Error> {
    let left = x.matmul(&left.t()?)?;
    let right = x.matmul(&right.t()?)?;
    frame::doubles(&left.matmul(&right.t()?)?)
}

fn score(statistic: f64, found: &[(usize, usize, f64)], tokens: usize) -> Score {
    let of_term = |term: usize| {
        let values: Vec<f64> = found
            .iter()
            .filter(|one| one.1 == term)
            .map(|one| one.2)
            .collect();
        Some((NAMES[term], frame::mean(&values)?))
    };
    let mut caveats = Vec::new();
    if of_term(2).is_none() {
        caveats.push(
            "no dense MLP in the last layers of both models: the third term is left out".to_owned(),
        );
    }
    let row = |(back, term, r): &(usize, usize, f64)| {
        vec![
            format!("last but {back}"),
            NAMES[*term].to_owned(),
            format!("{r:.4}"),
        ]
    };
    Score {
        statistic,
        n: found.len() as u64,
        details: (0..NAMES.len()).filter_map(of_term).collect(),
        explanation: format!(
            "Standardised invariant terms over {tokens} shared tokens have a cosine of {statistic:.3} (mean of {} terms of \
             the last layers).",
            found.len()
        ),
        caveats,
        table: Some(Table {
            columns: ["layer", "term", "cosine"].map(str::to_owned).to_vec(),
            rows: found.iter().map(row).collect(),
        }),
        ..Score::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::super::toys;
    use super::*;
    use crate::model::toy::{Dims, Toy};

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&Huref, reference, suspect).statistic
    }

    /// The first term of a toy by nested sums.
    fn query_key(toy: &Toy, layer: usize) -> Vec<f64> {
        let (n, d, x) = &toy.tensors[&Role::model(Part::Embed)];
        let (h, _, q) = &toy.tensors[&Role::layer(layer, Part::Query)];
        let (_, _, k) = &toy.tensors[&Role::layer(layer, Part::Key)];
        let through = |matrix: &[f32], token: usize, row: usize| -> f64 {
            let weights = &matrix[row * d..(row + 1) * d];
            let input = &x[token * d..(token + 1) * d];
            weights
                .iter()
                .zip(input)
                .map(|(w, x)| f64::from(*w) * f64::from(*x))
                .sum()
        };
        (0..n * n)
            .map(|at| {
                (0..*h)
                    .map(|row| through(q, at / n, row) * through(k, at % n, row))
                    .sum()
            })
            .collect()
    }

    #[test]
    fn the_first_term_equals_nested_sums() {
        let (a, b) = (Toy::new(1, Dims::default()), Toy::new(2, Dims::default()));
        let found = finding(&Huref, &a, &b);
        let of_layer =
            |layer| correlation::pearson(&query_key(&a, layer), &query_key(&b, layer)).unwrap();
        let expected = (of_layer(2) + of_layer(3)) / 2.0;
        assert!((found.details["query_key"] - expected).abs() < 1e-4);
        assert_eq!(found.n, 6);
    }

    #[test]
    fn kin_are_above_strangers_in_any_order() {
        let toy = Toy::new(1, Dims::default());
        let stranger = of(&toy, &Toy::new(2, Dims::default()));
        assert!(stranger.abs() < 0.3, "{stranger}");
        assert!(of(&toy, &toy.noised(0.1, 2)) > 0.9);
        assert!(of(&toy, &toy.permuted(3)) > 0.999);
        // Gate times up loses the signs of residual coordinates: the third term is not invariant to them.
        let permuted = finding(&Huref, &toy, &toys::residual_permuted(&toy, 4));
        let term = |name| permuted.details[name];
        assert!(term("query_key") > 0.999 && term("value_output") > 0.999);
        assert!(term("mlp").abs() < 0.5, "{}", term("mlp"));
    }

    /// The literature's break: rescaled gains, the same function.
    #[test]
    fn rescaled_gains_bring_kin_down() {
        let toy = Toy::new(1, Dims::default());
        let rescaled = of(&toy, &toys::gains_rescaled(&toy, 5));
        assert!(rescaled < 0.8, "{rescaled}");
    }

    #[test]
    fn widths_and_depths_may_differ_and_missing_matrices_are_said() {
        let toy = Toy::new(1, Dims::default());
        let wide = Toy::new(
            2,
            Dims {
                width: 24,
                units: 32,
                layers: 3,
                ..Dims::default()
            },
        );
        assert!(of(&toy, &wide).abs() < 0.3);
        assert!(reason(&Huref, &toy, &toys::without_attention(&toy)).contains("suspect"));
    }
}
