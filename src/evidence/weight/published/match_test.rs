//! The robust test of Zhu et al. (MATCH): whether gate and up responses pair the same hidden units.

use candle_core::Tensor;

use super::frame::{self, Found, Score};
use crate::evidence::weight::tokens;
use crate::evidence::{Card, Error, Evidence, Needs, Outcome, Pair};
use crate::model::canonical::{Mlp, unit_rows};
use crate::model::{Canonical, Model};
use crate::stat::{assignment, correlation, random};

/// See [`CARD`].
pub(super) struct Match;

static CARD: Card = Card {
    id: "weight.match",
    version: 1,
    family: "published.responses",
    title: "robust independence test (MATCH): partners by gate responses against partners by up responses",
    measures: "The embeddings of shared tokens, scaled to unit mean square, go through the gate and the up projection of \
               each layer (gain of the norm before folded in). Hidden units of the two models are paired by the cosine \
               of their gate responses, and again of their up responses (linear assignment); Spearman's correlation of the \
               two sets of partners. The statistic is its mean over layers; of models of different depth, over layers paired so \
               that it is largest.",
    null: "No valid null: the published p-value takes the two pairings of unrelated models for independent, and units that \
           every model learns make them agree. The number stands beside that of independent models.",
    fooled_by: "Units common to all models of one vocabulary raise strangers; new embeddings or another tokenizer hide \
                kin; with different depths the best of many pairs of layers is above 0 for strangers too.",
    cost: "One pass over the MLP matrices; 512 shared tokens, 1,024 units of the reference per layer (seeded; 128 for \
           models of different depth): some 4 s per layer and 400 MiB at 14,336 units.",
    reference: "Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models (ICML 2025), unconstrained setting; \
                responses to embeddings in place of a forward pass are after an unpublished variant, the samples ours.",
    needs: Needs::Weights,
    // Units are sampled on the side of the reference.
    symmetric: false,
    survives: &[],
};

/// Shared tokens whose embeddings are sent through.
const TOKENS: usize = 512;

/// Units of the reference per layer, layer by layer.
const UNITS: usize = 1024;

/// Units of the reference per layer where every pair of layers is looked at.
const UNITS_PER_PAIR: usize = 128;

impl Evidence for Match {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        frame::assess(pair, "no valid null", |a, b| {
            compare(a.model, b.model, pair.seed)
        })
    }
}

/// Unit responses of some hidden units of one layer to the shared tokens, and the units' indices.
struct Responses {
    units: Vec<usize>,
    /// `[units, tokens]`, unit rows.
    gate: Tensor,
    up: Tensor,
}

fn compare(a: &Model, b: &Model, seed: u64) -> Found {
    let shared = match tokens::shared(a, b, TOKENS, seed) {
        Ok(shared) => shared,
        Err(reason) => return Ok(Err(reason)),
    };
    let ours = match Reader::new(a, &shared.ours)? {
        Ok(reader) => reader,
        Err(why) => return Ok(Err(format!("reference: {why}"))),
    };
    let theirs = match Reader::new(b, &shared.theirs)? {
        Ok(reader) => reader,
        Err(why) => return Ok(Err(format!("suspect: {why}"))),
    };
    let same_depth = ours.depth() == theirs.depth();
    let most = if same_depth { UNITS } else { UNITS_PER_PAIR };
    let (mut queries, mut rhos) = (Vec::new(), Vec::new());
    for layer in 0..ours.depth() {
        queries.push(ours.layer(layer, most, seed)?);
    }
    for layer in 0..theirs.depth() {
        let Some(all) = theirs.layer(layer, usize::MAX, seed)? else {
            continue;
        };
        let only = if same_depth {
            layer..layer + 1
        } else {
            0..queries.len()
        };
        let line: Result<Vec<Option<f64>>, Error> = queries[only]
            .iter()
            .flatten()
            .map(|query| rho(query, &all))
            .collect();
        rhos.push(line?);
    }
    let values = layers(&rhos, same_depth);
    let Some(statistic) = frame::mean(&values) else {
        return Ok(Err(
            "no layer has a gated dense MLP in both models: without a gate the published test trains one first"
                .to_owned(),
        ));
    };
    Ok(Ok(score(statistic, &values, shared.ours.len(), same_depth)))
}

/// One correlation per pair of layers, of `rhos` by the suspect's layers and the reference's.
fn layers(rhos: &[Vec<Option<f64>>], same_depth: bool) -> Vec<f64> {
    if same_depth {
        return rhos.iter().flatten().flatten().copied().collect();
    }
    let columns = rhos.first().map_or(0, Vec::len);
    // Without a correlation two layers are as good as unrelated.
    let flat: Vec<f64> = rhos
        .iter()
        .flatten()
        .map(|rho| rho.unwrap_or(0.0))
        .collect();
    let found = assignment::maximise(&flat, rhos.len(), columns).unwrap_or_default();
    let pairs = found.into_iter().enumerate();
    pairs
        .filter_map(|(row, column)| Some(flat[row * columns + column?]))
        .collect()
}

fn score(statistic: f64, values: &[f64], tokens: usize, same_depth: bool) -> Score {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut caveats = vec![
        "units that every model learns agree in gate and up: the published p-value is not valid, and none is given"
            .to_owned(),
    ];
    if !same_depth {
        caveats.push(
            "depths differ: layers were paired so that the statistic is largest, which lifts strangers above 0"
                .to_owned(),
        );
    }
    Score {
        statistic,
        n: values.len() as u64,
        details: [("tokens", tokens as f64), ("lowest_layer", least)].into(),
        explanation: format!(
            "Partners by gate responses and partners by up responses to {tokens} shared tokens correlate to \
             {statistic:.3} (mean of {} layers).",
            values.len()
        ),
        caveats,
        ..Score::default()
    }
}

/// A model's MLPs and what is sent through them.
struct Reader<'a> {
    canonical: Canonical<'a>,
    /// `[tokens, hidden_size]`, rows of unit mean square.
    inputs: Tensor,
}

impl<'a> Reader<'a> {
    fn new(model: &'a Model, ids: &[u32]) -> Result<Result<Self, String>, Error> {
        let canonical = match Canonical::of(model) {
            Ok(canonical) => canonical,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(embedding) = canonical.embedding(ids)? else {
            return Ok(Err("it has no embedding".to_owned()));
        };
        // Unit rows times sqrt(width) have unit mean square; the factor leaves all cosines alone.
        let inputs = unit_rows(&embedding)?;
        Ok(Ok(Self { canonical, inputs }))
    }

    fn depth(&self) -> usize {
        self.canonical.spec.num_hidden_layers
    }

    /// Responses of at most `most` units of `layer`, in random order; `None` without a gated dense MLP.
    fn layer(&self, layer: usize, most: usize, seed: u64) -> Result<Option<Responses>, Error> {
        let Some(Mlp {
            gate: Some(gate),
            up,
            ..
        }) = self.canonical.mlp(layer, None)?
        else {
            return Ok(None);
        };
        // One stream for few and one for all: equal orders on both sides would break ties by index.
        let purpose = format!("{} {layer} {}", CARD.id, most.min(UNITS + 1));
        let mut rng = random::stream(seed, &purpose);
        let units = random::subset_in_any_order(&mut rng, up.dim(0)?, most);
        let ids: Vec<u32> = units.iter().map(|unit| *unit as u32).collect();
        let ids = Tensor::new(ids, up.device())?;
        let through = |matrix: &Tensor| -> Result<Tensor, Error> {
            let rows = matrix.index_select(&ids, 0)?;
            Ok(unit_rows(&rows.matmul(&self.inputs.t()?)?)?)
        };
        Ok(Some(Responses {
            gate: through(&gate)?,
            up: through(&up)?,
            units,
        }))
    }
}

/// Spearman's correlation of the partners by gate and by up; `None` where it does not exist.
fn rho(query: &Responses, all: &Responses) -> Result<Option<f64>, Error> {
    // More units than the other side has would stay without a partner.
    let m = query.units.len().min(all.units.len());
    let partners = |ours: &Tensor, theirs: &Tensor| -> Result<Option<Vec<f64>>, Error> {
        let cosines = frame::doubles(&ours.narrow(0, 0, m)?.matmul(&theirs.t()?)?)?;
        let found = assignment::maximise(&cosines, m, all.units.len());
        let index = |column: usize| all.units[column] as f64;
        Ok(found.map(|found| found.into_iter().flatten().map(index).collect()))
    };
    let by_gate = partners(&query.gate, &all.gate)?;
    let by_up = partners(&query.up, &all.up)?;
    Ok(match (by_gate, by_up) {
        (Some(by_gate), Some(by_up)) => correlation::spearman(&by_gate, &by_up),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{finding, reason};
    use super::super::toys;
    use super::*;
    use crate::model::toy::{Dims, Toy};
    use crate::model::{Part, Role};

    const DIMS: Dims = Dims {
        layers: 4,
        width: 16,
        units: 48,
        vocab: 200,
    };

    fn of(reference: &Toy, suspect: &Toy) -> f64 {
        finding(&Match, reference, suspect).statistic
    }

    #[test]
    fn kin_are_above_strangers_whatever_was_rewritten() {
        let toy = Toy::new(1, DIMS);
        let stranger = of(&toy, &Toy::new(2, DIMS));
        assert!(stranger.abs() < 0.4, "{stranger}");
        let rewritten = [
            toy.noised(0.1, 2),
            toy.permuted(3),
            toys::residual_permuted(&toy, 4),
            toys::gains_rescaled(&toy, 5),
            toys::residual_rotated(&toy, 6),
        ];
        for suspect in &rewritten {
            let kin = of(&toy, suspect);
            assert!(kin > 0.8, "{}: {kin}", suspect.label);
        }
    }

    #[test]
    fn dropped_layers_find_their_own() {
        let toy = Toy::new(1, DIMS);
        let kin = of(&toy, &toys::without_layer(&toy, 1));
        let stranger = of(&toy, &toys::without_layer(&Toy::new(2, DIMS), 1));
        assert!(kin > 0.99 && stranger < 0.6, "{kin} {stranger}");
    }

    #[test]
    fn no_p_value_is_given_and_no_gate_is_said() {
        let toy = Toy::new(1, DIMS);
        assert_eq!(finding(&Match, &toy, &toy).log10_p, None);
        let mut ungated = toy.clone();
        ungated.tensors.retain(|role, _| role.part != Part::Gate);
        assert!(reason(&Match, &toy, &ungated).contains("gate"));
        let mut bare = toy.clone();
        bare.tensors
            .retain(|role, _| *role != Role::layer(0, Part::Up));
        assert!(
            (of(&toy, &bare) - 1.0).abs() < 1e-9,
            "the other layers remain"
        );
    }
}
