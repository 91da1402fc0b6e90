//! Exact test on the order of hidden units when their numbers differ.

use super::units::{self, Mlp, QUERIES, Rows};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::Weights;
use crate::stat::{index, random, tails};

/// See [`CARD`].
pub(super) struct RowOrder;

static CARD: Card = Card {
    id: "weight.row_order",
    version: 1,
    family: "weight.index",
    title: "longest increasing run of the nearest-row map between hidden units",
    measures: "For MLPs with different numbers of hidden units (pruned or widened): the nearest unit of the larger \
               MLP for random units of the smaller, taken in order, and the longest increasing subsequence of \
               their indices. The statistic is its share of the units looked up.",
    null: "Had the two models been initialised independently, any order of one model's units would be equally \
           likely: P(LIS >= k) <= C(n,k)/k! for n units (about 2 sqrt(n) come out increasing by chance). Layers \
           are combined by Fisher's method. Exact, without simulation or population.",
    fooled_by: "Two honest models started from the same random stream; permuting the units hides kin. Units sorted by \
                one rule in both models break the exchangeability.",
    cost: "As weight.row_matching.",
    reference: "As weight.row_matching; the bound counts increasing subsequences of a random permutation.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[
        "permute-heads",
        "fold-gains",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

impl Evidence for RowOrder {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = (&pair.reference.model.weights, &pair.suspect.model.weights);
        let plan = match plan(a, b) {
            Ok(plan) => plan,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let layers = run(&plan, pair.seed)?;
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| match plan_of(
            &a.model.weights,
            &b.model.weights,
        ) {
            Some(plan) => Ok(Some(share(&run(&plan, pair.seed)?))),
            None => Ok(None),
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            &layers, &plan, &controls,
        ))))
    }
}

/// The model with fewer units, the one with more, and their MLPs.
struct Plan<'a> {
    small: &'a Weights,
    large: &'a Weights,
    layers: Vec<(Mlp, Mlp)>,
    caveats: Vec<String>,
}

fn plan_of<'a>(a: &'a Weights, b: &'a Weights) -> Option<Plan<'a>> {
    plan(a, b).ok()
}

fn plan<'a>(reference: &'a Weights, suspect: &'a Weights) -> Result<Plan<'a>, String> {
    let ours = units::dense(reference).map_err(|why| format!("reference: {why}"))?;
    let theirs = units::dense(suspect).map_err(|why| format!("suspect: {why}"))?;
    let shared: Vec<(Mlp, Mlp)> = ours
        .iter()
        .filter_map(|(layer, mlp)| Some((*mlp, *theirs.get(layer)?)))
        .collect();
    let Some((a, b)) = shared.first().copied() else {
        return Err("no layer has a dense MLP in both models".to_owned());
    };
    if a.width != b.width {
        return Err(format!(
            "rows of {} and {} numbers cannot be compared: the residual streams differ in width",
            a.width, b.width
        ));
    }
    if a.units == b.units {
        return Err("equal numbers of hidden units: weight.row_matching reads them".to_owned());
    }
    let swap = a.units > b.units;
    let layers: Vec<(Mlp, Mlp)> = shared
        .into_iter()
        .filter(|(x, y)| x.width == y.width && x.units != y.units && (x.units > y.units) == swap)
        .map(|(x, y)| if swap { (y, x) } else { (x, y) })
        .collect();
    let (small, large) = if swap {
        (suspect, reference)
    } else {
        (reference, suspect)
    };
    let mut caveats = Vec::new();
    if ours.len() != theirs.len() || layers.len() < ours.len() {
        caveats.push(format!(
            "dense MLPs in {} and {} layers: {} were paired by index; inserted or removed layers are not \
             searched for",
            ours.len(),
            theirs.len(),
            layers.len()
        ));
    }
    Ok(Plan {
        small,
        large,
        layers,
        caveats,
    })
}

struct Layer {
    layer: u32,
    queries: u64,
    increasing: u64,
    ln_p: f64,
}

fn run(plan: &Plan<'_>, seed: u64) -> Result<Vec<Layer>, Error> {
    let layer = |(ours, theirs): &(Mlp, Mlp)| -> Result<Layer, Error> {
        let mut rng = random::stream(seed, &format!("{} {}", CARD.id, ours.layer));
        let chosen = random::subset(&mut rng, ours.units, QUERIES);
        let rows = Rows::of(plan.small, ours, &chosen)?;
        let found = Rows::nearest(&[&rows], plan.large, theirs, &mut rng)?;
        let images: Vec<usize> = found.iter().flatten().map(|nearest| nearest.unit).collect();
        let queries = chosen.len() as u64;
        let increasing = index::longest_increasing(&images) as u64;
        Ok(Layer {
            layer: ours.layer,
            queries,
            increasing,
            ln_p: index::order_ln_p(increasing, queries),
        })
    };
    plan.layers.iter().map(layer).collect()
}

fn share(layers: &[Layer]) -> f64 {
    let increasing: u64 = layers.iter().map(|layer| layer.increasing).sum();
    let queries: u64 = layers.iter().map(|layer| layer.queries).sum();
    increasing as f64 / queries.max(1) as f64
}

fn finding(layers: &[Layer], plan: &Plan<'_>, controls: &Controls) -> Finding {
    let ln_p: Vec<f64> = layers.iter().map(|layer| layer.ln_p).collect();
    let queries: u64 = layers.iter().map(|layer| layer.queries).sum();
    let increasing: u64 = layers.iter().map(|layer| layer.increasing).sum();
    let chance: f64 = layers
        .iter()
        .map(|layer| 2.0 * (layer.queries as f64).sqrt())
        .sum();
    let statistic = share(layers);
    let mut caveats = vec![
        "two models initialised from the same random stream also keep the order".to_owned(),
        "a hidden-unit permutation hides kin from this test".to_owned(),
    ];
    caveats.extend(plan.caveats.iter().cloned());
    Finding {
        statistic,
        n: queries,
        null: format!(
            "exact: in a random order about {chance:.0} of {queries} units come out increasing; beside it, {}",
            controls.words(statistic)
        ),
        log10_p: Some(tails::log10(tails::fisher_ln(&ln_p))),
        interval: None,
        details: controls.details(statistic),
        explanation: format!(
            "The nearest units of {increasing} of {queries} hidden units of the smaller MLPs follow one another in \
             the larger ones in the same order, where about {chance:.0} would by chance."
        ),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(Table {
            columns: ["layer", "looked up", "in order", "log10 p"]
                .map(str::to_owned)
                .to_vec(),
            rows: layers
                .iter()
                .map(|layer| {
                    vec![
                        layer.layer.to_string(),
                        layer.queries.to_string(),
                        layer.increasing.to_string(),
                        format!("{:.1}", tails::log10(layer.ln_p)),
                    ]
                })
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, pair};
    use crate::model::toy::{Dims, Toy};

    fn measured(reference: &Toy, suspect: &Toy) -> Finding {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        match RowOrder.assess(&pair(&a, &b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn pruned_units_keep_their_order() {
        let parent = Toy::new(1, Dims::default());
        let keep: Vec<usize> = (0..48).filter(|i| i % 3 != 1).collect();
        let child = parent.pruned(&keep).noised(0.3, 8);
        let finding = measured(&parent, &child);
        assert!(finding.statistic > 0.9, "{}", finding.statistic);
        assert!(finding.log10_p.unwrap() < -60.0);
        assert_eq!(measured(&child, &parent).statistic, finding.statistic);
    }

    #[test]
    fn independent_pairs_are_never_called_too_often() {
        let dims = |units| Dims {
            layers: 2,
            width: 8,
            units,
            vocab: 4,
        };
        let trials = 400;
        let ps: Vec<f64> = (0..trials)
            .map(|seed| {
                let (a, _one) = Toy::new(2 * seed, dims(20)).open();
                let (b, _two) = Toy::new(2 * seed + 1, dims(26)).open();
                let layers = run(&plan(&a.weights, &b.weights).unwrap(), seed).unwrap();
                let ln: Vec<f64> = layers.iter().map(|layer| layer.ln_p).collect();
                tails::fisher_ln(&ln).exp()
            })
            .collect();
        for alpha in [0.1, 0.01] {
            let hits = ps.iter().filter(|p| **p <= alpha).count() as f64;
            let mean = alpha * trials as f64;
            assert!(hits <= mean + 4.0 * mean.sqrt(), "{hits} at {alpha}");
        }
    }

    #[test]
    fn equal_numbers_are_left_to_row_matching() {
        let (a, _folder) = Toy::new(1, Dims::default()).open();
        assert!(plan_of(&a.weights, &a.weights).is_none());
    }
}
