//! Partners among hidden units by what their gates do, against partners by what their up rows do.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::inside::Inside;
use super::inside::Measured;
use super::rows;
use super::rows::Rows;
use super::unit_signs::MLP_UNITS;
use super::unit_signs::unit;
use crate::evidence::Card;
use crate::evidence::Figure;
use crate::evidence::Needs;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::assignment;
use crate::stat::neuron_index;
use crate::stat::signs::Mutual;
use crate::stat::tails;

/// See [`CARD`].
pub(super) struct UnitMatch;

static CARD: Card = Card {
    id: "activation.unit_match",
    version: 2,
    family: "activation.match",
    title: "agreement of hidden units' partners by gate and by up activations (MATCH), beside blocks that are no pair",
    measures: "Both models read the same prompts. For every block of one model and every block of the other, hidden units \
               that are each other's best by the correlation of their gates, and units that are each other's best by the \
               |correlation| of their up rows, before the activation function and at the last token. Of a mixture of \
               experts all experts are looked at, whether the token goes there or not, and the two MLPs of two blocks whose \
               units are most alike are counted. Blocks are paired one to one so that their units are most alike. The statistic is the share of units with a partner in both \
               ways whose two partners are the same, over paired blocks.",
    null: "No exact null: a unit's gate and up row belong together in every model, and features that all models learn can \
           make both ways agree. The rate at which they agree in the other pairs of blocks of the same two models is the \
           control; the p-value is that of so many agreements in paired blocks if their rate were the same (beta-binomial). \
           Measured: of 198 pairs of independent runs of the zoo with 64 and with 200 prompts, none and one are below 0.01.",
    fooled_by: "Units that all models of a kind have, in one pair of blocks and not in others, raise strangers. Nothing that \
                keeps the function of a gated MLP hides kin; MLPs of one view cannot be read. Where embeddings were drawn anew \
                units answer other texts than before, and kin look like strangers.",
    cost: "4 x prompts x units^2 multiplications of at most 8,192 units over all blocks and experts (those whose gates vary \
           most).",
    reference: "Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models (ICML 2025), unconstrained setting, with \
                mutual best units in place of assignments, and a control in place of a p-value that takes the two ways \
                for independent.",
    needs: Needs::Activations,
    // Of the units that have partners those of the reference are counted.
    symmetric: false,
    survives: &[
        "permute-units",
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "scale-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "shift-head",
    ],
};

impl Inside for UnitMatch {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, _: u64) -> Result<Measured, String> {
        let map = Map::new(a, b)?;
        let (paired, other) = (map.paired(), map.others());
        let statistic = paired.share();
        let p = |hits| tails::predictive_ln_tail(hits, paired.units, other.alike, other.units);
        let details = BTreeMap::from([
            ("least_log10_p", tails::log10(p(paired.units))),
            ("agreeing_partners", paired.alike as f64),
            ("units_with_partners", paired.units as f64),
            ("agreeing_elsewhere", other.alike as f64),
            ("units_with_partners_elsewhere", other.units as f64),
            ("paired_blocks", map.pairs.len() as f64),
        ]);
        let mut caveats = vec![
            "not exact: calibrated on independent models of the zoo, of at most 12 blocks and 640 hidden units".to_owned(),
        ];
        if other.units == 0 {
            caveats.push(
                "one pair of blocks only: without a control the p-value stands on little"
                    .to_owned(),
            );
        }
        Ok(Measured {
            statistic,
            n: map.units,
            null: Some(format!(
                "in pairs of blocks that do not belong together {} of {} units have one partner in both ways (measured, \
                 not exact)",
                other.alike, other.units
            )),
            log10_p: Some(tails::log10(p(paired.alike))),
            explanation: format!(
                "{} of {} hidden units have the same partner by their gates and by their up rows ({statistic:.3}), against \
                 {} of {} in pairs of blocks that do not belong together. Pairs: {}.",
                paired.alike,
                paired.units,
                other.alike,
                other.units,
                map.words()
            ),
            details,
            caveats,
            figures: vec![map.figure()],
            table: None,
        })
    }
}

/// Units of a pair of blocks that have a partner in both ways, and those whose partners are the same.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Count {
    alike: u64,
    units: u64,
    /// Sum of the similarities of partners.
    similarity: f64,
}

impl Count {
    fn share(self) -> f64 {
        self.alike as f64 / self.units.max(1) as f64
    }

    fn plus(self, other: Self) -> Self {
        Self {
            alike: self.alike + other.alike,
            units: self.units + other.units,
            similarity: self.similarity + other.similarity,
        }
    }
}

/// Every pair of blocks.
struct Map {
    layers: (Vec<usize>, Vec<usize>),
    /// Row-major.
    counts: Vec<Count>,
    pairs: Vec<(usize, usize)>,
    /// Hidden units of the first model that were looked at.
    units: u64,
}

/// The MLPs of a block: one, or one for each expert.
struct Block {
    layer: usize,
    mlps: Vec<Mlp>,
}

/// Both views of an MLP's units, `[inputs, units]`.
struct Mlp {
    units: usize,
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl Map {
    fn new(a: &Activations, b: &Activations) -> Result<Self, String> {
        let shared = Rows::shared(a, b)?;
        let (ours, theirs) = (blocks(a, &shared, true)?, blocks(b, &shared, false)?);
        for (whose, blocks) in [("reference", &ours), ("suspect", &theirs)] {
            if blocks.is_empty() {
                return Err(format!(
                    "{whose}: no gated MLP was recorded, and one view of a unit has nothing to agree with"
                ));
            }
        }
        let all: Vec<(&Block, &Block)> = ours
            .iter()
            .flat_map(|x| theirs.iter().map(move |y| (x, y)))
            .collect();
        let counts: Vec<Count> = all.par_iter().map(|(x, y)| nearest(x, y)).collect();
        // The pairing looks at how alike units are, not at whether both ways agree.
        let alike: Vec<f64> = counts.iter().map(|count| count.similarity).collect();
        let found = assignment::maximise(&alike, ours.len(), theirs.len()).unwrap_or_default();
        let pairs = found.into_iter().enumerate();
        let mlps = ours.iter().flat_map(|block| &block.mlps);
        Ok(Self {
            counts,
            pairs: pairs.filter_map(|(i, j)| Some((i, j?))).collect(),
            units: mlps.map(|mlp| mlp.units as u64).sum(),
            layers: (
                ours.iter().map(|block| block.layer).collect(),
                theirs.iter().map(|block| block.layer).collect(),
            ),
        })
    }

    fn sum(&self, wanted: impl Fn((usize, usize)) -> bool) -> Count {
        let columns = self.layers.1.len();
        let places = self.counts.iter().enumerate();
        places
            .filter(|(at, _)| wanted((at / columns, at % columns)))
            .fold(Count::default(), |sum, (_, count)| sum.plus(*count))
    }

    fn paired(&self) -> Count {
        self.sum(|place| self.pairs.contains(&place))
    }

    fn others(&self) -> Count {
        self.sum(|place| !self.pairs.contains(&place))
    }

    fn words(&self) -> String {
        let name = |(i, j): &(usize, usize)| format!("{}-{}", self.layers.0[*i], self.layers.1[*j]);
        self.pairs.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn figure(&self) -> Figure {
        Figure::Heatmap {
            title: "hidden units with one partner by gate and by up, block by block".to_owned(),
            rows: self.layers.0.len(),
            columns: self.layers.1.len(),
            values: self.counts.iter().map(|count| count.share()).collect(),
            path: Vec::new(),
            controls: Vec::new(),
        }
    }
}

/// A site of a block.
type Kind = fn(usize) -> Site;

/// Where gates and up rows are seen.
const VIEWS: [[Kind; 2]; 3] = [
    [Site::MlpPre, Site::MlpPreLinear],
    [Site::ExpertsPre, Site::ExpertsPreLinear],
    [Site::SharedExpertPre, Site::SharedExpertPreLinear],
];

/// MLPs of one recorded block, one behind the other.
struct Seen<'a> {
    gate: &'a SiteActivations,
    up: &'a SiteActivations,
    mlps: usize,
}

fn blocks(of: &Activations, shared: &Rows, ours: bool) -> Result<Vec<Block>, String> {
    let seen = seen(of);
    let all = seen.values().flatten().map(|seen| seen.mlps).sum::<usize>();
    let most = MLP_UNITS / all.max(1);
    let read = |site: &SiteActivations| match ours {
        true => shared.of_ours(site),
        false => shared.of_theirs(site),
    };
    let block = |(layer, seen): (usize, Vec<Seen<'_>>)| {
        let mut mlps = Vec::new();
        for one in seen {
            let (gates, ups) = (read(one.gate), read(one.up));
            let width = one.gate.width / one.mlps;
            for at in 0..one.mlps {
                let columns: Vec<usize> = (at * width..(at + 1) * width).collect();
                let own = |values: &[f32]| rows::columns(values, one.gate.width, &columns);
                mlps.push(Mlp::new(&own(&gates), &own(&ups), width, most)?);
            }
        }
        Ok(Block { layer, mlps })
    };
    seen.into_iter().map(block).collect()
}

/// By block. Experts are told apart where the router's logits say how many there are.
fn seen(of: &Activations) -> BTreeMap<usize, Vec<Seen<'_>>> {
    let mut seen = BTreeMap::<usize, Vec<Seen<'_>>>::new();
    let at = |kind, layer| of.stack(kind).into_iter().find(|one| one.0 == layer);
    for [gates, ups] in VIEWS {
        for (layer, gate) in of.stack(gates) {
            let Some((_, up)) = at(ups, layer).filter(|(_, up)| up.width == gate.width) else {
                continue;
            };
            let experts = match gate.site == Site::ExpertsPre(layer) {
                true => at(Site::RouterLogits, layer).map_or(0, |(_, router)| router.width),
                false => 1,
            };
            if experts > 0 && gate.width.is_multiple_of(experts) {
                let mlps = experts;
                seen.entry(layer).or_default().push(Seen { gate, up, mlps });
            }
        }
    }
    seen
}

impl Mlp {
    /// The `most` units of `width` whose gates vary most; both views `[inputs, width]`.
    fn new(gates: &[f32], ups: &[f32], width: usize, most: usize) -> Result<Self, String> {
        let chosen = rows::widest(gates, width, most);
        Ok(Self {
            units: chosen.len(),
            gate: unit(gates, width, &chosen)?,
            up: unit(ups, width, &chosen)?,
        })
    }
}

/// Of every MLP of one block with every one of the other, the pair whose units are most alike: experts that were made
/// of one MLP are alike themselves, so that only one of them is counted.
fn nearest(x: &Block, y: &Block) -> Count {
    let all = x
        .mlps
        .iter()
        .flat_map(|x| y.mlps.iter().map(move |y| count(x, y)));
    let best = all.reduce(|best, next| match next.similarity > best.similarity {
        true => next,
        false => best,
    });
    best.unwrap_or_default()
}

fn count(x: &Mlp, y: &Mlp) -> Count {
    let best = |ours: &[f32], theirs: &[f32], size: bool| -> BTreeMap<usize, (usize, f32)> {
        let mut scores = neuron_index::products(ours, x.units, theirs, y.units);
        if size {
            scores.iter_mut().for_each(|score| *score = score.abs());
        }
        let mut mutual = Mutual::new(y.units);
        mutual.add(&scores);
        let pairs = mutual.pairs().filter(|(_, _, score)| *score > 0.0);
        pairs.map(|(i, j, score)| (i, (j, score))).collect()
    };
    let gates = best(&x.gate, &y.gate, false);
    let ups = best(&x.up, &y.up, true);
    let both = gates
        .iter()
        .filter_map(|(i, (j, _))| Some((*j, ups.get(i)?.0)));
    let both: Vec<(usize, usize)> = both.collect();
    let similarity = gates
        .values()
        .chain(ups.values())
        .map(|(_, score)| f64::from(*score));
    Count {
        alike: both
            .iter()
            .filter(|(by_gate, by_up)| by_gate == by_up)
            .count() as u64,
        units: both.len() as u64,
        similarity: similarity.sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::rows::toy;

    const ALL: [fn(usize) -> Site; 3] = [Site::MlpPre, Site::MlpPreLinear, Site::ResidPost];

    fn found(a: &Activations, b: &Activations) -> Measured {
        UnitMatch.measure(a, b, 0).unwrap()
    }

    /// In another order, with negated up rows, of another depth.
    #[test]
    fn kin_whose_every_order_and_sign_was_changed() {
        let model = toy::model(3, 20, 1, 0.0);
        let itself = found(&model, &model);
        assert!(itself.statistic == 1.0);
        let p = itself.log10_p.unwrap();
        assert!(p < -40.0 && (p - itself.details["least_log10_p"]).abs() < 1e-9);
        let mut child = toy::reordered(&toy::model(4, 20, 1, 0.2), &ALL, &[Site::MlpPreLinear]);
        child.sites.retain(|site| site.site.layer() != Some(1));
        let kin = found(&model, &child);
        assert!(
            kin.log10_p.unwrap() < -6.0 && kin.statistic > 0.4,
            "{kin:?}"
        );
        assert!(kin.explanation.contains("0-0") && kin.explanation.contains("2-2"));
        for own in 2..12 {
            let other = found(&model, &toy::model(3, 20, own, 0.0));
            assert!(other.log10_p.unwrap() > -2.5 && other.statistic < 0.2);
        }
    }

    /// A mixture whose experts are noisy copies, each with its units in another order, beside the MLP that they were
    /// made of; and beside a stranger.
    #[test]
    fn experts_are_found_beside_the_mlp_they_were_made_of() {
        let dense = toy::model(3, 20, 1, 0.0);
        let mixture = |own| {
            let copies = [0.1, 0.2, 0.15].map(|noise| {
                let one = toy::model(3, 20, own, noise);
                toy::reordered(&one, &ALL, &[Site::MlpPreLinear])
            });
            toy::mixture(&copies)
        };
        let kin = found(&dense, &mixture(1));
        assert!(kin.log10_p.unwrap() < -6.0 && kin.n == 120, "{kin:?}");
        assert!(kin.explanation.contains("0-0, 1-1, 2-2"));
        let both = found(&mixture(1), &mixture(1));
        assert!(both.statistic > 0.9 && both.n == 360);
        for own in 2..8 {
            let other = found(&dense, &mixture(own)).log10_p.unwrap();
            let both = found(&mixture(1), &mixture(own)).log10_p.unwrap();
            assert!(other > -2.5 && both > -2.5, "{other} {both}");
        }
        // Without their number experts cannot be told apart.
        let mut unknown = mixture(1);
        unknown.sites.retain(|site| {
            site.site
                .layer()
                .is_none_or(|at| site.site != Site::RouterLogits(at))
        });
        assert!(UnitMatch.measure(&dense, &unknown, 0).is_err());
    }

    #[test]
    fn one_view_has_nothing_to_agree_with() {
        let model = toy::model(2, 20, 1, 0.0);
        let mut plain = model.clone();
        plain.sites.retain(|site| {
            site.site
                .layer()
                .is_none_or(|at| site.site != Site::MlpPreLinear(at))
        });
        let why = UnitMatch.measure(&model, &plain, 0).unwrap_err();
        assert!(why.starts_with("suspect: no gated MLP"), "{why}");
    }
}
