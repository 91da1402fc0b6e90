//! Exact test on the order of hidden units, by what they do.

use std::collections::BTreeMap;

use super::inside::Inside;
use super::inside::Measured;
use super::residual_order::DRAWS;
use super::residual_order::UNITS;
use super::residual_order::over;
use super::residual_order::sum;
use super::rows;
use super::rows::Rows;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::model::Site;
use crate::record::Activations;
use crate::record::SiteActivations;
use crate::stat::assignment;
use crate::stat::cka::CentredGram;
use crate::stat::neuron_index;
use crate::stat::neuron_index::Table;
use crate::stat::neuron_index::Units;
use crate::stat::tails;

/// See [`CARD`].
pub(super) struct UnitOrder;

static CARD: Card = Card {
    id: "activation.unit_order",
    version: 1,
    family: "activation.index",
    title: "agreement of the MLPs' hidden units at their own index, under every order of them",
    measures: "Both models read the same prompts. Every hidden unit of every MLP, before the activation function (gate, and \
               up where there is one), at the last token, is brought to mean 0 and length 1 over the prompts, then each \
               prompt loses its mean over units. The statistic is the cosine of the two models' tables of these numbers. \
               Blocks are paired in order; of models of different depth, so that their prompts are most alike (debiased \
               CKA, which does not see the order of units).",
    null: "The order of a block's hidden units is arbitrary: had the two models been initialised independently, any order \
           of the suspect's would be equally likely, in each block by itself. Twice the smaller of two valid p-values: \
           drawn orders, and one over the product of e-values (bets on each unit's own index among those still free, whose \
           mean over all orders is 1). Exact, whatever both were trained on.",
    fooled_by: "Two honest models started from the same random seed look related. Reordering the hidden units hides kin \
                (power, not validity), and so does another number of them; flipping the sign of up rows weakens it.",
    cost: "2 x blocks x prompts x units^2 multiplications of at most 2,048 units, and as much for the model with itself.",
    reference: "After the constrained-setting test on activations of Zhu, Ahmed, Kuditipudi, Liang: Independence Tests for \
                Language Models (ICML 2025), with e-values in place of assignment, rank correlation and Fisher's \
                combination of dependent blocks.",
    needs: Needs::Activations,
    symmetric: true,
    survives: &[
        "permute-heads",
        "permute-residual",
        "fold-gains",
        "rotate-residual",
        "scale-residual",
        "rescale-value-output",
        "rotate-query-key",
        "shift-head",
    ],
};

impl Inside for UnitOrder {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, seed: u64) -> Result<Measured, String> {
        let blocks = blocks(a, b, seed)?;
        let statistic = cosine(&blocks)?;
        let tables: Option<Vec<Table>> = blocks.iter().map(|block| block.table(false)).collect();
        let itself: Option<Vec<Table>> = blocks.iter().map(|block| block.table(true)).collect();
        let (Some(tables), Some(itself)) = (tables, itself) else {
            return Err("the hidden units could not be held against each other".to_owned());
        };
        let log10_p = tails::log10(neuron_index::ln_p(&tables, DRAWS, seed));
        let agreements = tables.iter().map(Table::agreement);
        let (excess, variance) = agreements.fold((0.0, 0.0), |(excess, variance), one| {
            (excess + one.excess, variance + one.variance)
        });
        let n: u64 = tables.iter().map(|table| table.units() as u64).sum();
        let hits: u64 = tables.iter().map(Table::fixed_points).sum();
        let details = BTreeMap::from([
            (
                "least_log10_p",
                tails::log10(neuron_index::least_ln_p(&itself, DRAWS)),
            ),
            ("standard_deviations", over(excess, variance)),
            (
                "log10_e_value",
                tails::log10(neuron_index::ln_evidence(&tables)),
            ),
            ("fixed_points", hits as f64),
            ("blocks", tables.len() as f64),
        ]);
        Ok(Measured {
            statistic,
            n,
            null: Some(
                "exact: under independent initialisation every order of the hidden units of every block is equally likely; \
                 the mean of the statistic over all of them is 0"
                    .to_owned(),
            ),
            log10_p: Some(log10_p),
            explanation: format!(
                "{hits} of {n} hidden units behave most like the one at their own index, where {} would by chance; cosine \
                 of all at their own index {statistic:.3}, {:.1} standard deviations from that of random orders.",
                tables.len(),
                details["standard_deviations"]
            ),
            details,
            caveats: vec![
                "two models initialised from the same random seed and shapes also keep the order: the test cannot tell a \
                 shared start from shared weights"
                    .to_owned(),
                "another order of the hidden units leaves a model's function as it is and hides it from this test"
                    .to_owned(),
            ],
            figures: Vec::new(),
            table: None,
        })
    }

    fn statistic(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        cosine(&blocks(a, b, seed).ok()?).ok()
    }

    fn log10_p(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        let blocks = blocks(a, b, seed).ok()?;
        let tables: Option<Vec<Table>> = blocks.iter().map(|block| block.table(false)).collect();
        Some(tails::log10(neuron_index::ln_p(&tables?, DRAWS, seed)))
    }
}

/// One view or two of the MLPs of two paired blocks.
struct Block(Vec<(Units, Units)>);

impl Block {
    /// Both views are of the same units: one table.
    fn table(&self, itself: bool) -> Option<Table> {
        let of = |(x, y): &(Units, Units)| x.table(if itself { x } else { y });
        sum(self.0.iter().map(of))
    }
}

fn cosine(blocks: &[Block]) -> Result<f64, String> {
    let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
    for (x, y) in blocks.iter().flat_map(|block| &block.0) {
        both += x.excess(y).unwrap_or(0.0);
        left += x.square();
        right += y.square();
    }
    let lengths = (left * right).sqrt();
    if lengths <= 0.0 {
        return Err("the hidden units do not vary from prompt to prompt".to_owned());
    }
    Ok((both / lengths).clamp(-1.0, 1.0))
}

fn blocks(a: &Activations, b: &Activations, seed: u64) -> Result<Vec<Block>, String> {
    let shared = Rows::shared(a, b)?;
    let (ours, theirs) = (a.stack(Site::MlpPre), b.stack(Site::MlpPre));
    let (Some((_, first)), Some((_, second))) = (ours.first(), theirs.first()) else {
        return Err("no dense MLP of one of the models was recorded".to_owned());
    };
    let width = first.width;
    if width != second.width {
        return Err(format!(
            "{width} and {} hidden units: an index means the same only between equal numbers",
            second.width
        ));
    }
    let chosen = rows::drawn(width, UNITS, seed);
    let units = |values: Vec<f32>| {
        Units::new(&rows::columns(&values, width, &chosen), chosen.len())
            .ok_or_else(|| "a hidden unit holds what is not a number".to_owned())
    };
    let mut blocks = Vec::new();
    for (i, j) in paired(&shared, &ours, &theirs) {
        let mut views = vec![(
            units(shared.of_ours(ours[i].1))?,
            units(shared.of_theirs(theirs[j].1))?,
        )];
        let (x, y) = (up(a, ours[i].0, width), up(b, theirs[j].0, width));
        if let (Some(x), Some(y)) = (x, y) {
            views.push((units(shared.of_ours(x))?, units(shared.of_theirs(y))?));
        }
        blocks.push(Block(views));
    }
    Ok(blocks)
}

/// The second view of a block, where it is gated.
pub(super) fn up(of: &Activations, layer: usize, width: usize) -> Option<&SiteActivations> {
    let all = of.stack(Site::MlpPreLinear).into_iter();
    let mut known = all.filter(|(at, site)| *at == layer && site.width == width);
    known.next().map(|(_, site)| site)
}

type Stack<'a> = [(usize, &'a SiteActivations)];

/// Blocks in order, or, of different numbers, the pairs whose prompts are most alike: no block twice, and no
/// look at the order of units, so that nothing is paid for it.
pub(super) fn paired(shared: &Rows, ours: &Stack<'_>, theirs: &Stack<'_>) -> Vec<(usize, usize)> {
    if ours.len() == theirs.len() {
        return (0..ours.len()).map(|i| (i, i)).collect();
    }
    let grams = |values: Vec<Vec<f32>>| -> Vec<Option<CentredGram>> {
        let rows = shared.len();
        let one = |values: &Vec<f32>| CentredGram::new(values, rows);
        values.iter().map(one).collect()
    };
    let x = grams(ours.iter().map(|one| shared.of_ours(one.1)).collect());
    let y = grams(theirs.iter().map(|one| shared.of_theirs(one.1)).collect());
    let alike: Vec<f64> = x
        .iter()
        .flat_map(|x| y.iter().map(move |y| x.as_ref()?.cka(y.as_ref()?)))
        .map(|cka| cka.unwrap_or(-1.0))
        .collect();
    let found = assignment::maximise(&alike, x.len(), y.len()).unwrap_or_default();
    let pairs = found.into_iter().enumerate();
    pairs.filter_map(|(i, j)| Some((i, j?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::rows::toy;

    fn found(a: &Activations, b: &Activations) -> Measured {
        UnitOrder.measure(a, b, 0).unwrap()
    }

    #[test]
    fn itself_a_child_and_a_stranger() {
        let model = toy::model(3, 20, 1, 0.0);
        let itself = found(&model, &model);
        let p = itself.log10_p.unwrap();
        assert!((itself.statistic - 1.0).abs() < 1e-9 && p < -100.0);
        assert!((p - itself.details["least_log10_p"]).abs() < 1e-9);
        let child = found(&model, &toy::model(3, 20, 1, 0.5));
        assert!(child.log10_p.unwrap() < -10.0);
        for own in 2..12 {
            let other = found(&model, &toy::model(3, 20, own, 0.0));
            assert!(other.log10_p.unwrap() > -2.5 && other.statistic.abs() < 0.3);
        }
    }

    /// A child of another depth is found where its blocks are; one whose residual stream was changed too.
    #[test]
    fn blocks_are_found_and_the_residual_stream_is_not_looked_at() {
        let model = toy::model(4, 20, 1, 0.0);
        let mut child = toy::model(4, 20, 1, 0.2);
        child.sites.retain(|site| site.site.layer() != Some(1));
        let child = toy::reordered(&child, &[Site::ResidPost], &[Site::ResidPost]);
        assert!(found(&model, &child).log10_p.unwrap() < -30.0);
        let kinds: [fn(usize) -> Site; 2] = [Site::MlpPre, Site::MlpPreLinear];
        let hidden = toy::reordered(&model, &kinds, &[]);
        assert!(found(&model, &hidden).log10_p.unwrap() > -2.5);
    }
}
