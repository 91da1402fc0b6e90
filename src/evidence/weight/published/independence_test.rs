//! The constrained independence test of Zhu et al. on the rows of up projections.

use super::frame::{self, Found, Score};
use crate::evidence::weight::units::{self, Mlp};
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair, Table};
use crate::model::canonical::unit_rows;
use crate::model::{Model, Weights};
use crate::stat::{assignment, correlation, random, tails};

/// See [`CARD`].
pub(super) struct IndependenceTest;

static CARD: Card = Card {
    id: "weight.independence_test",
    version: 1,
    family: "published.index",
    title: "constrained independence test on up projections (phi_U): linear assignment, Spearman's correlation",
    measures: "Per layer the hidden units of the two models are paired one to one so that the sum of the cosines of \
               their up rows is largest (linear assignment); Spearman's correlation of the partners' indices with \
               the units' own. The statistic is the mean correlation over layers; the p-value combines the layers' by \
               Fisher's method.",
    null: "The order of hidden units is arbitrary: had one of the two models been initialised on its own, any order \
           would be as likely. Per layer Student's approximation of Spearman's correlation, one-sided, and never \
           below 1/n! for n units; ties are broken at random. Layers are independent under the null.",
    fooled_by: "A shared random seed and shapes. Permuted hidden units hide kin, as do other widths of MLP or residual \
                stream and inserted layers; rotating the residual stream of one model only hides it too.",
    cost: "Two passes over the up projections; of more than 1,024 units per layer a seeded sample of that many, the \
           same in both models: about a second per layer and 40 MiB.",
    reference: "Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models (ICML 2025), algorithms 2 to 4. \
                The sample, the random ties and the floor 1/n! are ours.",
    needs: Needs::Weights,
    // Ties are broken at random, for each order of the two models anew.
    symmetric: false,
    survives: &[],
};

/// Units per layer that are assigned: the assignment takes their cube.
const UNITS: usize = 1024;

impl Evidence for IndependenceTest {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let null = "by exchangeability of hidden units, Spearman's correlation of a random order is 0 with a spread of \
                    1/sqrt(n - 1) per layer";
        frame::assess(pair, null, |a, b| compare(a.model, b.model, pair.seed))
    }
}

/// One layer's units paired.
struct Layer {
    layer: u32,
    units: usize,
    rho: f64,
    ln_p: f64,
}

fn compare(a: &Model, b: &Model, seed: u64) -> Found {
    let (plan, caveats) = match plan(&a.weights, &b.weights) {
        Ok(plan) => plan,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut layers = Vec::with_capacity(plan.len());
    for (ours, theirs) in &plan {
        layers.extend(one([&a.weights, &b.weights], ours, theirs, seed)?);
    }
    let rhos: Vec<f64> = layers.iter().map(|layer| layer.rho).collect();
    let Some(statistic) = frame::mean(&rhos) else {
        return Ok(Err(
            "up projections that are not finite, or of fewer than three units".to_owned(),
        ));
    };
    let ln_p: Vec<f64> = layers.iter().map(|layer| layer.ln_p).collect();
    let units: usize = layers.iter().map(|layer| layer.units).sum();
    Ok(Ok(Score {
        statistic,
        n: units as u64,
        log10_p: Some(tails::log10(tails::fisher_ln(&ln_p))),
        details: [("layers", layers.len() as f64)].into(),
        explanation: format!(
            "Paired by the cosine of their up rows, hidden units meet indices that correlate with their own to \
             {statistic:.3} (mean of {} layers).",
            layers.len()
        ),
        caveats,
        table: Some(table(&layers)),
    }))
}

/// MLPs of both models, and what is left out, in words.
type Plan = (Vec<(Mlp, Mlp)>, Vec<String>);

/// Layers that both models have as dense MLPs of one shape.
fn plan(a: &Weights, b: &Weights) -> Result<Plan, String> {
    let ours = units::dense(a).map_err(|why| format!("reference: {why}"))?;
    let theirs = units::dense(b).map_err(|why| format!("suspect: {why}"))?;
    let of_one_shape = |(a, b): &(Mlp, Mlp)| a.units == b.units && a.width == b.width;
    let layers: Vec<(Mlp, Mlp)> = ours
        .iter()
        .filter_map(|(layer, mlp)| Some((*mlp, *theirs.get(layer)?)))
        .filter(of_one_shape)
        .collect();
    if layers.is_empty() {
        return Err(
            "no layer has an up projection of one shape in both models: the published test asks for one \
             architecture"
                .to_owned(),
        );
    }
    let left_out = ours.len().max(theirs.len()) - layers.len();
    let mut caveats = vec!["one random seed in both models also keeps the order".to_owned()];
    if left_out > 0 {
        caveats.push(format!(
            "{left_out} layers have no counterpart of the same index and shape: left out"
        ));
    }
    Ok((layers, caveats))
}

fn one(
    weights: [&Weights; 2],
    ours: &Mlp,
    theirs: &Mlp,
    seed: u64,
) -> Result<Option<Layer>, Error> {
    let mut rng = random::stream(seed, &format!("{} {}", CARD.id, ours.layer));
    let chosen = random::subset(&mut rng, ours.units, UNITS);
    let n = chosen.len();
    if n < 3 {
        return Ok(None);
    }
    // Rows are handed over in random orders: no rule for ties can then prefer equal indices.
    let orders = [0, 1].map(|_| random::subset_in_any_order(&mut rng, n, n));
    let pick = |side: usize, mlp: &Mlp| {
        let ids: Vec<usize> = orders[side].iter().map(|at| chosen[*at]).collect();
        frame::rows(weights[side], &mlp.up, &ids)
    };
    let (Some(a), Some(b)) = (pick(0, ours)?, pick(1, theirs)?) else {
        return Ok(None);
    };
    let cosines = frame::doubles(&unit_rows(&a)?.matmul(&unit_rows(&b)?.t()?)?)?;
    let Some(found) = assignment::maximise(&cosines, n, n) else {
        return Ok(None);
    };
    let mut partner = vec![0.0; n];
    for (row, column) in found.into_iter().enumerate() {
        if let Some(column) = column {
            partner[orders[0][row]] = orders[1][column] as f64;
        }
    }
    let own: Vec<f64> = (0..n).map(|index| index as f64).collect();
    let Some(rho) = correlation::pearson(&own, &partner) else {
        return Ok(None);
    };
    Ok(Some(Layer {
        layer: ours.layer,
        units: n,
        rho,
        ln_p: tails::spearman_ln_tail(rho, n as u64),
    }))
}

fn table(layers: &[Layer]) -> Table {
    let columns = ["layer", "units", "Spearman's correlation", "log10 p"];
    let row = |layer: &Layer| {
        vec![
            layer.layer.to_string(),
            layer.units.to_string(),
            format!("{:.4}", layer.rho),
            format!("{:.1}", tails::log10(layer.ln_p)),
        ]
    };
    Table {
        columns: columns.map(str::to_owned).to_vec(),
        rows: layers.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::*;
    use crate::evidence::Finding;
    use crate::model::toy::{Dims, Toy};
    use crate::model::{Part, Role};

    fn of(reference: &Toy, suspect: &Toy) -> Finding {
        finding(&IndependenceTest, reference, suspect)
    }

    #[test]
    fn kin_keep_the_order_and_strangers_do_not() {
        let toy = Toy::new(1, Dims::default());
        let kin = of(&toy, &toy.noised(0.5, 2));
        assert!(kin.statistic > 0.8, "{}", kin.statistic);
        assert!(kin.log10_p.unwrap() < -20.0, "{:?}", kin.log10_p);
        let stranger = of(&toy, &Toy::new(2, Dims::default()));
        assert!(stranger.statistic.abs() < 0.35, "{}", stranger.statistic);
        assert!(stranger.log10_p.unwrap() > -3.0, "{:?}", stranger.log10_p);
    }

    /// The literature's break: permuted hidden units cost it its power.
    #[test]
    fn permuted_units_hide_kin() {
        let toy = Toy::new(1, Dims::default());
        let permuted = of(&toy, &toy.permuted(3));
        assert!(permuted.statistic.abs() < 0.35, "{}", permuted.statistic);
    }

    /// Rows that are all equal tie everywhere: identity must not win.
    #[test]
    fn ties_are_no_evidence() {
        let dims = Dims {
            layers: 2,
            ..Dims::default()
        };
        let mut toy = Toy::new(1, dims);
        for layer in 0..dims.layers {
            if let Some((_, _, values)) = toy.tensors.get_mut(&Role::layer(layer, Part::Up)) {
                values.fill(0.0);
            }
        }
        let dead = of(&toy, &toy);
        assert!(dead.log10_p.unwrap() > -4.0, "{:?}", dead.log10_p);
    }

    /// P-values of independent toys: no more small ones than there should be.
    #[test]
    fn strangers_have_uniform_p_values() {
        let dims = Dims {
            layers: 1,
            width: 8,
            units: 24,
            vocab: 4,
        };
        let p: Vec<f64> = (0..60)
            .map(|seed| of(&Toy::new(seed, dims), &Toy::new(seed + 1000, dims)))
            .map(|finding| 10f64.powf(finding.log10_p.unwrap()))
            .collect();
        let below = |level: f64| p.iter().filter(|p| **p <= level).count();
        assert!(
            below(0.1) <= 14 && below(0.5) >= 18 && below(0.5) <= 42,
            "{p:?}"
        );
    }

    #[test]
    fn other_shapes_are_said_to_be() {
        let toy = Toy::new(1, Dims::default());
        let wide = Toy::new(
            2,
            Dims {
                units: 64,
                ..Dims::default()
            },
        );
        assert!(reason(&IndependenceTest, &toy, &wide).contains("one architecture"));
        assert!(reason(&IndependenceTest, &toy, &toy.pruned(&[1, 2, 3])).contains("one"));
    }
}
