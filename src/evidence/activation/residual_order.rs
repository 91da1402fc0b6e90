//! Exact test on the order of the residual stream's coordinates.

use std::collections::BTreeMap;

use super::inside::Inside;
use super::inside::Measured;
use super::rows;
use super::rows::Rows;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::evidence::Table;
use crate::model::Site;
use crate::record::Activations;
use crate::stat::index;
use crate::stat::index::Group;
use crate::stat::neuron_index;
use crate::stat::neuron_index::Units;
use crate::stat::tails;

/// See [`CARD`].
pub(super) struct ResidualOrder;

static CARD: Card = Card {
    id: "activation.residual_order",
    version: 1,
    family: "activation.index",
    title: "agreement of the residual stream's coordinates at their own index, under every order of them",
    measures: "Both models read the same prompts. Every coordinate of the residual stream, at the last token after each \
               block, is brought to mean 0 and length 1 over the prompts, then each prompt loses its mean over \
               coordinates. The statistic is the cosine of the two models' tables of these numbers: how much coordinate \
               i of one behaves like coordinate i of the other. Blocks are paired by relative depth.",
    null: "The order of the coordinates is arbitrary, and one for all blocks: had the two models been initialised \
           independently, any order of the suspect's would be equally likely. Twice the smaller of two valid p-values: \
           drawn orders, and one over an e-value (a product of bets on each coordinate's own index among those still \
           free, whose mean over all orders is 1). Exact, whatever both were trained on.",
    fooled_by: "Two honest models started from the same random seed look related, and so may two to whose residual \
                stream one fixed table of positions (sinusoids) is added: there coordinates are not alike to begin with. \
                Rotating or reordering the residual stream hides kin (power, not validity), and so does another width. Another tokenizer, new \
                embeddings and much further training weaken it.",
    cost: "blocks x prompts x width^2 multiplications of at most 2,048 coordinates, and as much for the model with \
           itself; 32 MiB.",
    reference: "Null: Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for Language Models (ICML 2025); mean and \
                variance over all orders: Hoeffding (1951); e-values: Vovk and Wang (Annals of Statistics 2021).",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[
        "permute-units",
        "permute-heads",
        "fold-gains",
        "scale-residual",
        "rescale-up-down",
        "rescale-value-output",
        "rotate-query-key",
        "shift-head",
    ],
};

/// Coordinates looked at, and orders drawn.
pub(super) const UNITS: usize = 2048;
pub(super) const DRAWS: usize = 1999;

impl Inside for ResidualOrder {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, seed: u64) -> Result<Measured, String> {
        let blocks = Blocks::new(a, b, seed)?;
        let statistic = blocks.cosine()?;
        let (table, itself) = (blocks.table(), blocks.itself());
        let (Some(table), Some(itself)) = (table, itself) else {
            return Err("the residual streams could not be held against each other".to_owned());
        };
        let (table, itself) = ([table], [itself]);
        let log10_p = tails::log10(neuron_index::ln_p(&table, DRAWS, seed));
        let least = tails::log10(neuron_index::least_ln_p(&itself, DRAWS));
        let agreement = table[0].agreement();
        let hits = table[0].fixed_points();
        let group = Group {
            queries: table[0].units() as u64,
            units: table[0].units() as u64,
        };
        let details = BTreeMap::from([
            ("least_log10_p", least),
            (
                "standard_deviations",
                over(agreement.excess, agreement.variance),
            ),
            ("log10_e_value", tails::log10(table[0].ln_evidence())),
            ("fixed_points", hits as f64),
            (
                "fixed_points_log10_p",
                tails::log10(index::fixed_points_ln_p(hits, &[group])),
            ),
            ("blocks", blocks.pairs.len() as f64),
        ]);
        Ok(Measured {
            statistic,
            n: group.units,
            null: Some(
                "exact: under independent initialisation every order of the suspect's coordinates is equally \
                 likely; the mean of the statistic over all of them is 0"
                    .to_owned(),
            ),
            log10_p: Some(log10_p),
            explanation: format!(
                "{hits} of {} coordinates of the residual stream behave most like the one at their own index, where 1 \
                 would by chance; cosine of all at their own index {statistic:.3}, {:.1} standard deviations from that \
                 of a random order.",
                group.units, details["standard_deviations"]
            ),
            details,
            caveats: caveats(&blocks),
            figures: Vec::new(),
            table: Some(blocks.rows()),
        })
    }

    fn statistic(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        Blocks::new(a, b, seed).ok()?.cosine().ok()
    }

    fn log10_p(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        let table = [Blocks::new(a, b, seed).ok()?.table()?];
        Some(tails::log10(neuron_index::ln_p(&table, DRAWS, seed)))
    }
}

/// Standard deviations that `excess` lies out; 0 where nothing varies.
pub(super) fn over(excess: f64, variance: f64) -> f64 {
    if variance > 0.0 {
        excess / variance.sqrt()
    } else {
        0.0
    }
}

fn caveats(blocks: &Blocks) -> Vec<String> {
    let mut caveats = vec![
        "two models initialised from the same random seed and shapes also keep the order: the test cannot tell a shared \
         start from shared weights"
            .to_owned(),
        "a rotation or another order of the residual stream leaves a model's function as it is and hides it from this \
         test"
            .to_owned(),
    ];
    if blocks.depths.0 != blocks.depths.1 {
        caveats.push(format!(
            "{} and {} blocks: paired by relative depth",
            blocks.depths.0, blocks.depths.1
        ));
    }
    if blocks.chosen < blocks.width {
        caveats.push(format!(
            "{} of {} coordinates, drawn without looking at them",
            blocks.chosen, blocks.width
        ));
    }
    caveats
}

/// Paired blocks of two models.
struct Blocks {
    pairs: Vec<(usize, usize, Units, Units)>,
    depths: (usize, usize),
    width: usize,
    chosen: usize,
}

impl Blocks {
    fn new(a: &Activations, b: &Activations, seed: u64) -> Result<Self, String> {
        let shared = Rows::shared(a, b)?;
        let (ours, theirs) = (a.stack(Site::ResidPost), b.stack(Site::ResidPost));
        let (Some((_, first)), Some((_, second))) = (ours.first(), theirs.first()) else {
            return Err("no block of one of the models was recorded".to_owned());
        };
        let width = first.width;
        if width != second.width {
            return Err(format!(
                "residual streams of {width} and {} coordinates: an index means the same only between equal numbers",
                second.width
            ));
        }
        let chosen = rows::drawn(width, UNITS, seed);
        let units = |values: Vec<f32>| {
            Units::new(&rows::columns(&values, width, &chosen), chosen.len())
                .ok_or_else(|| "the residual stream holds what is not a number".to_owned())
        };
        let mut pairs = Vec::new();
        for (i, j) in rows::equal_depth(ours.len(), theirs.len()) {
            let (x, y) = (ours[i], theirs[j]);
            let (left, right) = (units(shared.of_ours(x.1))?, units(shared.of_theirs(y.1))?);
            pairs.push((x.0, y.0, left, right));
        }
        Ok(Self {
            pairs,
            depths: (ours.len(), theirs.len()),
            width,
            chosen: chosen.len(),
        })
    }

    fn cosine(&self) -> Result<f64, String> {
        let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
        for (_, _, x, y) in &self.pairs {
            both += x.excess(y).unwrap_or(0.0);
            left += x.square();
            right += y.square();
        }
        let lengths = (left * right).sqrt();
        if lengths <= 0.0 {
            return Err("the residual stream does not vary from prompt to prompt".to_owned());
        }
        Ok((both / lengths).clamp(-1.0, 1.0))
    }

    /// The order of the coordinates is one for all blocks: one table.
    fn table(&self) -> Option<neuron_index::Table> {
        sum(self.pairs.iter().map(|(_, _, x, y)| x.table(y)))
    }

    fn itself(&self) -> Option<neuron_index::Table> {
        sum(self.pairs.iter().map(|(_, _, x, _)| x.table(x)))
    }

    fn rows(&self) -> Table {
        let columns = ["block", "suspect's block", "cosine", "standard deviations"];
        let row = |(i, j, x, y): &(usize, usize, Units, Units)| {
            let lengths = (x.square() * y.square()).sqrt();
            let found = x.agreement(y);
            let (excess, variance) = found.map_or((0.0, 0.0), |f| (f.excess, f.variance));
            vec![
                i.to_string(),
                j.to_string(),
                format!("{:.3}", if lengths > 0.0 { excess / lengths } else { 0.0 }),
                format!("{:.1}", over(excess, variance)),
            ]
        };
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows: self.pairs.iter().map(row).collect(),
        }
    }
}

/// The sum of tables of units in one order.
pub(super) fn sum(
    tables: impl Iterator<Item = Option<neuron_index::Table>>,
) -> Option<neuron_index::Table> {
    let mut total: Option<neuron_index::Table> = None;
    for table in tables {
        match &mut total {
            Some(total) => total.add(&table?),
            None => total = Some(table?),
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::rows::toy;

    fn found(a: &Activations, b: &Activations) -> Measured {
        ResidualOrder.measure(a, b, 0).unwrap()
    }

    #[test]
    fn itself_a_child_and_a_stranger() {
        let model = toy::model(3, 30, 1, 0.0);
        let itself = found(&model, &model);
        let p = itself.log10_p.unwrap();
        assert!((itself.statistic - 1.0).abs() < 1e-9 && p < -25.0);
        assert!((p - itself.details["least_log10_p"]).abs() < 1e-9);
        assert_eq!(itself.details["fixed_points"], 30.0);
        // Of another depth.
        let child = found(&model, &toy::model(4, 30, 1, 0.5));
        assert!(child.log10_p.unwrap() < -3.0, "{child:?}");
        for own in 2..12 {
            let other = found(&model, &toy::model(3, 30, own, 0.0));
            assert!(other.log10_p.unwrap() > -2.5 && other.statistic.abs() < 0.3);
        }
    }

    #[test]
    fn another_order_hides_kin_and_another_width_says_so() {
        let model = toy::model(3, 30, 1, 0.0);
        let reordered = toy::reordered(&model, &[Site::ResidPost], &[]);
        assert!(found(&model, &reordered).log10_p.unwrap() > -2.5);
        let inner: [fn(usize) -> Site; 2] = [Site::MlpPre, Site::MlpPreLinear];
        let inner = toy::reordered(&model, &inner, &[]);
        assert!((found(&model, &inner).statistic - 1.0).abs() < 1e-9);
        let why = ResidualOrder.measure(&model, &toy::model(3, 32, 2, 0.0), 0);
        assert!(why.unwrap_err().contains("30 and 32 coordinates"));
    }
}
