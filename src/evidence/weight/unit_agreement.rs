//! Whether three matrices of an MLP agree on which unit is which.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::alignment::{self, Alignment, Reading, Units};
use super::nearest::nearest;
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Table};
use crate::model::{Canonical, Model};
use crate::stat::random;

/// See [`CARD`].
pub(super) struct UnitAgreement;

static CARD: Card = Card {
    id: "weight.unit_agreement",
    version: 1,
    family: "weight.mlp",
    title: "agreement of gate, up and down on the counterparts of hidden units",
    measures: "After the residual streams were brought into one basis: for random hidden units of the suspect's layers, \
               the nearest unit of the corresponding layer by gate direction alone and by up direction alone (by up and by \
               down where there is no gate). The statistic is the share for which both point to one unit. Layers that \
               the rotation was fitted on are left out. Units may stand in any order, in experts or not.",
    null: "Chance is 1 in the number of units, but independent models may share features, so that no exact null exists: \
           the same number for pairs of independent runs.",
    fooled_by: "Two honest models from one random seed and shapes look related. Features that training data force upon every \
                model raise it a little.",
    cost: "As weight.aligned_rows.",
    reference: "After MATCH (Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models, ICML 2025), on weights \
                and with shares in place of assignment and rank correlation.",
    needs: Needs::Weights,
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "scale-residual",
        "shift-head",
    ],
};

/// Hidden units looked up per layer.
const QUERIES: usize = 256;

impl Evidence for UnitAgreement {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        alignment::assess(pair, &|alignment, a, b| run(alignment, a, b, pair.seed))
    }
}

/// Counts of one layer of the suspect.
struct Layer {
    layer: usize,
    counterpart: usize,
    /// Units of the counterpart.
    units: usize,
    queries: u64,
    agree: u64,
    /// Units on which gate (or up) and down agree.
    agree_down: u64,
}

/// Every layer that could be read.
struct Layers(Vec<Layer>);

fn run(alignment: &Alignment, a: &Model, b: &Model, seed: u64) -> Result<Option<Layers>, Error> {
    let (Ok(ours), Ok(theirs)) = (Canonical::of(a), Canonical::of(b)) else {
        return Ok(None);
    };
    let mut layers = Vec::new();
    for (layer, counterpart) in alignment.counterparts() {
        if alignment.fitted.contains(&layer) {
            continue;
        }
        let (Some(x), Some(y)) = (Units::of(&ours, counterpart)?, Units::of(&theirs, layer)?)
        else {
            continue;
        };
        let x = x.turned(&alignment.rotation)?;
        let mut rng = random::stream(seed, &format!("{} {layer}", CARD.id));
        let chosen = random::subset(&mut rng, y.len(), QUERIES.min(y.len()));
        let y = y.at(&chosen)?;
        let mut images =
            |queries: &Tensor, units: &Tensor, signed: bool| -> Result<Vec<usize>, Error> {
                let similar = queries.matmul(&units.t()?)?;
                let similar = if signed { similar } else { similar.abs()? };
                let values = similar.flatten_all()?.to_vec1::<f32>()?;
                let found = nearest(&values, x.len(), &mut rng);
                Ok(found.into_iter().map(|top| top.unit).collect())
            };
        let gates = match (&y.gate, &x.gate) {
            (Some(y), Some(x)) => Some(images(y, x, true)?),
            _ => None,
        };
        // The sign of a gated unit's up and down directions is free.
        let up = images(&y.up, &x.up, gates.is_none())?;
        let down = images(&y.down, &x.down, gates.is_none())?;
        let same =
            |a: &[usize], b: &[usize]| a.iter().zip(b).filter(|(x, y)| x == y).count() as u64;
        let (first, second) = match &gates {
            Some(gates) => (gates.as_slice(), up.as_slice()),
            None => (up.as_slice(), down.as_slice()),
        };
        layers.push(Layer {
            layer,
            counterpart,
            units: x.len(),
            queries: chosen.len() as u64,
            agree: same(first, second),
            agree_down: same(first, &down),
        });
    }
    let asked = layers.iter().any(|layer: &Layer| layer.queries > 0);
    Ok(asked.then_some(Layers(layers)))
}

impl Reading for Layers {
    const NOTHING: &'static str = "no layer outside the fit has a counterpart";

    /// Share of the units looked up on which both matrices agree.
    fn statistic(&self) -> f64 {
        let queries: u64 = self.0.iter().map(|layer| layer.queries).sum();
        let agree: u64 = self.0.iter().map(|layer| layer.agree).sum();
        agree as f64 / queries.max(1) as f64
    }

    fn finding(&self, alignment: &Alignment, controls: &Controls) -> Finding {
        let statistic = self.statistic();
        let queries: u64 = self.0.iter().map(|layer| layer.queries).sum();
        let agree: u64 = self.0.iter().map(|layer| layer.agree).sum();
        let down: u64 = self.0.iter().map(|layer| layer.agree_down).sum();
        let chance: f64 = self
            .0
            .iter()
            .map(|layer| layer.queries as f64 / layer.units.max(1) as f64)
            .sum();
        let mut details: BTreeMap<&'static str, f64> = controls.details(statistic);
        details.extend(alignment.details());
        details.insert("agree_down", down as f64 / queries.max(1) as f64);
        Finding {
            statistic,
            n: queries,
            null: format!(
                "{}; chance alone gives {:.4}",
                controls.words(statistic),
                chance / queries.max(1) as f64
            ),
            log10_p: None,
            interval: None,
            details,
            explanation: format!(
                "For {agree} of {queries} hidden units two matrices point to one and the same counterpart (by chance \
                 {chance:.1}), for {down} the third does too or instead. {}",
                alignment.words()
            ),
            caveats: vec![
                "two models initialised from the same random seed and shapes also agree".to_owned(),
                "no exact null exists for units in unknown order: the number is held against independent runs"
                    .to_owned(),
            ],
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(table(&self.0)),
        }
    }
}

fn table(layers: &[Layer]) -> Table {
    let columns = [
        "suspect's layer",
        "reference's",
        "looked up",
        "agree",
        "agree with down",
    ];
    let row = |layer: &Layer| {
        vec![
            layer.layer.to_string(),
            layer.counterpart.to_string(),
            layer.queries.to_string(),
            layer.agree.to_string(),
            layer.agree_down.to_string(),
        ]
    };
    Table {
        columns: columns.map(str::to_owned).to_vec(),
        rows: layers.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
