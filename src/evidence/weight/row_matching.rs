//! Exact test on the order of hidden units.

use super::exact;
use super::units::{self, Mlp, Nearest, QUERIES, Rows};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::Weights;
use crate::stat::index::{self, Group};
use crate::stat::law::Law;
use crate::stat::{random, tails};

/// See [`CARD`].
pub(super) struct RowMatching;

static CARD: Card = Card {
    id: "weight.row_matching",
    version: 1,
    family: "weight.index",
    title: "fixed points of the nearest-row map between hidden units",
    measures: "For random hidden units of each MLP of the reference, the unit of the suspect whose gate and up \
               rows are nearest (cos(gate) + |cos(up)|, gain of the norm before folded in; cos(up) for an \
               MLP without a gate). The statistic is the share of units whose nearest one has their own index.",
    null: "The order of hidden units is arbitrary: had the two models been initialised independently, any \
           order of the suspect's units would be equally likely. F of m units out of h meet their own \
           index with P(F >= k) <= C(m,k) (h-k)!/h!, and over layers P(sum F >= k) <= (sum m/h)^k / k!. \
           Exact, without simulation or population, whatever data both were trained on.",
    fooled_by: "Two honest models started from the same random seed and shapes look related. Permuting the hidden \
                units hides kin (power, not validity). Units sorted by one rule in both models, and optimisers or \
                dropout masks that look at the index, break the exchangeability.",
    cost: "One pass over the MLP matrices of both models; 512 x width x units multiplications per layer; \
           about 100 MiB.",
    reference: "After Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models (ICML 2025), with a \
                closed-form bound in place of assignment and rank correlation.",
    needs: Needs::Weights,
    symmetric: false,
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

/// Noise of the simulated children, in multiples of a row's length: each rung is one power check.
const NOISE: [(u32, &str); 5] = [
    (1, "power_log10_p_noise_1"),
    (2, "power_log10_p_noise_2"),
    (3, "power_log10_p_noise_3"),
    (5, "power_log10_p_noise_5"),
    (10, "power_log10_p_noise_10"),
];

/// Layers on which power is simulated: a few suffice, and fewer only understate it.
const POWER_LAYERS: usize = 4;

/// Units per layer held against another layer of the suspect, to see what similarity chance gives.
const MISMATCHED: usize = 64;

impl Evidence for RowMatching {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (reference, suspect) = (&pair.reference.model.weights, &pair.suspect.model.weights);
        let plan = match plan(reference, suspect) {
            Ok(plan) => plan,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let count = run(reference, suspect, &plan, pair.seed)?;
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let (a, b) = (&a.model.weights, &b.model.weights);
            match plan_of(a, b) {
                Some(plan) => Ok(Some(run(a, b, &plan, pair.seed)?.share())),
                None => Ok(None),
            }
        })?;
        let power = power(reference, &plan, pair.seed)?;
        Ok(Outcome::Measured(Box::new(
            count.finding(&plan, &controls, power),
        )))
    }
}

/// Layers to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    /// MLPs of the reference and the suspect with one index.
    layers: Vec<(Mlp, Mlp)>,
    /// What is left out, in words.
    caveats: Vec<String>,
}

fn plan_of(reference: &Weights, suspect: &Weights) -> Option<Plan> {
    plan(reference, suspect).ok()
}

fn plan(reference: &Weights, suspect: &Weights) -> Result<Plan, String> {
    let ours = units::dense(reference).map_err(|why| format!("reference: {why}"))?;
    let theirs = units::dense(suspect).map_err(|why| format!("suspect: {why}"))?;
    let shared: Vec<(Mlp, Mlp)> = ours
        .iter()
        .filter_map(|(layer, mlp)| Some((*mlp, *theirs.get(layer)?)))
        .collect();
    let Some((a, b)) = shared.first() else {
        return Err("no layer has a dense MLP in both models".to_owned());
    };
    if a.width != b.width {
        return Err(format!(
            "rows of {} and {} numbers cannot be compared: the residual streams differ in width",
            a.width, b.width
        ));
    }
    let layers: Vec<(Mlp, Mlp)> = shared
        .iter()
        .filter(|(a, b)| a.units == b.units && a.width == b.width)
        .copied()
        .collect();
    if layers.is_empty() {
        return Err(format!(
            "{} and {} hidden units: an index means the same only between equal numbers \
             (weight.row_order reads unequal ones)",
            a.units, b.units
        ));
    }
    let mut caveats = Vec::new();
    if ours.len() != theirs.len() || layers.len() != shared.len() {
        caveats.push(format!(
            "dense MLPs in {} and {} layers: {} were paired by index; inserted or removed layers are not \
             searched for",
            ours.len(),
            theirs.len(),
            layers.len()
        ));
    }
    Ok(Plan { layers, caveats })
}

/// What one layer gave.
#[derive(Debug, Clone, PartialEq)]
struct Layer {
    layer: u32,
    group: Group,
    hits: u64,
    similarity: f64,
    /// Mean best similarity to another layer's units, where one was looked at.
    elsewhere: Option<f64>,
    /// Queries for which gate and up rows alone point to one unit.
    agree: Option<u64>,
    /// Of the hits, under a random order, given which queries share a nearest unit.
    law: Law,
}

#[derive(Debug, Clone, PartialEq)]
struct Count {
    layers: Vec<Layer>,
}

fn run(reference: &Weights, suspect: &Weights, plan: &Plan, seed: u64) -> Result<Count, Error> {
    let mut layers = Vec::with_capacity(plan.layers.len());
    let mut before: Option<Rows> = None;
    for (ours, theirs) in &plan.layers {
        let mut rng = random::stream(seed, &format!("{} {}", CARD.id, ours.layer));
        let chosen = random::subset(&mut rng, ours.units, QUERIES);
        let queries = Rows::of(reference, ours, &chosen)?;
        let mut sets = vec![&queries];
        sets.extend(&before);
        let found = Rows::nearest(&sets, suspect, theirs, &mut rng)?;
        let nearest = found.first().map_or(&[][..], Vec::as_slice);
        let hits = nearest
            .iter()
            .zip(&chosen)
            .filter(|(n, own)| n.unit == **own);
        let images: Vec<usize> = nearest.iter().map(|n| n.unit).collect();
        let agree = nearest.iter().map(|n| n.agree.map(u64::from));
        layers.push(Layer {
            layer: ours.layer,
            group: Group {
                queries: chosen.len() as u64,
                units: theirs.units as u64,
            },
            hits: hits.count() as u64,
            similarity: mean(nearest),
            elsewhere: found.get(1).map(|set| mean(set)),
            agree: agree.sum(),
            law: Law::meetings(&images, theirs.units as u64),
        });
        before = Some(queries.first(MISMATCHED)?);
    }
    Ok(Count { layers })
}

fn mean(found: &[Nearest]) -> f64 {
    found.iter().map(|n| n.similarity).sum::<f64>() / found.len().max(1) as f64
}

/// `log10 p` that the test would give for a child of the reference with noise on every row, rung by
/// rung.
fn power(reference: &Weights, plan: &Plan, seed: u64) -> Result<Vec<(&'static str, f64)>, Error> {
    let step = plan.layers.len().div_ceil(POWER_LAYERS).max(1);
    let mut hits = [0u64; NOISE.len()];
    let mut groups = Vec::new();
    for (mlp, _) in plan.layers.iter().step_by(step) {
        let mut rng = random::stream(seed, &format!("{} power {}", CARD.id, mlp.layer));
        let chosen = random::subset(&mut rng, mlp.units, QUERIES);
        let rows = Rows::of(reference, mlp, &chosen)?;
        let children = NOISE
            .iter()
            .map(|(level, _)| rows.noised(*level, &mut rng))
            .collect::<Result<Vec<Rows>, Error>>()?;
        let sets: Vec<&Rows> = children.iter().collect();
        let found = Rows::nearest(&sets, reference, mlp, &mut rng)?;
        for (hits, set) in hits.iter_mut().zip(&found) {
            *hits += set
                .iter()
                .zip(&chosen)
                .filter(|(n, own)| n.unit == **own)
                .count() as u64;
        }
        groups.push(Group {
            queries: chosen.len() as u64,
            units: mlp.units as u64,
        });
    }
    let p = |hits: u64| tails::log10(index::fixed_points_ln_p(hits, &groups));
    Ok(NOISE
        .iter()
        .zip(hits)
        .map(|((_, name), hits)| (*name, p(hits)))
        .collect())
}

impl Count {
    fn groups(&self) -> Vec<Group> {
        self.layers.iter().map(|layer| layer.group).collect()
    }

    fn queries(&self) -> u64 {
        self.layers.iter().map(|layer| layer.group.queries).sum()
    }

    fn hits(&self) -> u64 {
        self.layers.iter().map(|layer| layer.hits).sum()
    }

    fn share(&self) -> f64 {
        self.hits() as f64 / self.queries().max(1) as f64
    }

    /// Units whose gate and up rows agree on a partner, whatever its index.
    fn agree(&self) -> Option<u64> {
        self.layers.iter().map(|layer| layer.agree).sum()
    }

    /// Similarity of the paired layers and of mismatched ones.
    fn similarity(&self) -> (f64, Option<f64>) {
        let n = self.layers.len().max(1) as f64;
        let paired = self
            .layers
            .iter()
            .map(|layer| layer.similarity)
            .sum::<f64>()
            / n;
        let other: Vec<f64> = self
            .layers
            .iter()
            .filter_map(|layer| layer.elsewhere)
            .collect();
        let mean = other.iter().sum::<f64>() / other.len().max(1) as f64;
        (paired, (!other.is_empty()).then_some(mean))
    }

    /// Most units have a partner on which two matrices agree, and for most it is not at their index.
    fn looks_permuted(&self) -> bool {
        self.agree()
            .is_some_and(|agree| agree * 2 > self.queries() && self.hits() * 2 < agree)
    }

    fn finding(
        &self,
        plan: &Plan,
        controls: &Controls,
        power: Vec<(&'static str, f64)>,
    ) -> Finding {
        let groups = self.groups();
        let expected = index::expected_hits(&groups);
        let (similarity, elsewhere) = self.similarity();
        let mut details = controls.details(self.share());
        details.extend(power);
        let laws: Vec<Law> = self.layers.iter().map(|layer| layer.law.clone()).collect();
        details.extend(exact::details(&laws, self.hits()));
        details.extend([
            ("fixed_points", self.hits() as f64),
            ("expected_fixed_points", expected),
            ("layers", self.layers.len() as f64),
            ("best_similarity", similarity),
        ]);
        details.extend(elsewhere.map(|value| ("best_similarity_mismatched_layers", value)));
        details.extend(
            self.agree()
                .map(|agree| ("gate_up_agreements", agree as f64)),
        );
        Finding {
            statistic: self.share(),
            n: self.queries(),
            null: format!(
                "exact: under independent initialisation {expected:.1} of {} units meet their own index on \
                 average; beside it, {}",
                self.queries(),
                controls.words(self.share())
            ),
            log10_p: Some(tails::log10(index::fixed_points_ln_p(self.hits(), &groups))),
            interval: None,
            details,
            explanation: self.explanation(expected, similarity, elsewhere),
            caveats: self.caveats(plan),
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(self.table()),
        }
    }

    fn explanation(&self, expected: f64, similarity: f64, elsewhere: Option<f64>) -> String {
        let mut text = format!(
            "{} of {} hidden units have their nearest counterpart at their own index, where {expected:.1} \
             would by chance. Mean cosine of the nearest rows: {similarity:.3}",
            self.hits(),
            self.queries(),
        );
        match elsewhere {
            Some(other) => text += &format!(" (against {other:.3} in a mismatched layer)."),
            None => text.push('.'),
        }
        if let (true, Some(agree)) = (self.looks_permuted(), self.agree()) {
            text += &format!(
                " For {agree} units the gate row and the up row point to the same counterpart, mostly at \
                 another index: consistent with hidden units of a related model in another order, which this \
                 test cannot turn into a p-value."
            );
        }
        text
    }

    fn caveats(&self, plan: &Plan) -> Vec<String> {
        let mut caveats = vec![
            "two models initialised from the same random seed and shapes also keep the order: the test cannot tell \
             a shared start from shared weights"
                .to_owned(),
            "a hidden-unit permutation leaves a model's function as it is and hides it from this test".to_owned(),
        ];
        caveats.extend(plan.caveats.iter().cloned());
        caveats
    }

    fn table(&self) -> Table {
        let columns = [
            "layer",
            "units",
            "looked up",
            "own index",
            "by chance",
            "mean best cosine",
            "gate = up",
        ];
        let row = |layer: &Layer| {
            vec![
                layer.layer.to_string(),
                layer.group.units.to_string(),
                layer.group.queries.to_string(),
                layer.hits.to_string(),
                format!("{:.2}", index::expected_hits(&[layer.group])),
                format!("{:.3}", layer.similarity),
                layer
                    .agree
                    .map_or_else(|| "no gate".to_owned(), |agree| agree.to_string()),
            ]
        };
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows: self.layers.iter().map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
