//! Exact test on the order of hidden units, by how they go together: nothing of the inputs is looked at.

mod groups;

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::inside::Inside;
use super::inside::Measured;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::evidence::Table;
use crate::evidence::control::plural;
use crate::record::Activations;
use crate::stat::tails;
use groups::Group;
use groups::Of;
use groups::groups;

/// See [`CARD`].
pub(super) struct UnitRelations;

static CARD: Card = Card {
    id: "activation.unit_relations",
    version: 1,
    family: "activation.index",
    title: "agreement of the correlations among hidden units, among value coordinates and among coordinates of the residual \
            stream, at their own indices",
    measures: "Of each model, over the prompts that it read: the correlation of every two hidden units of an MLP before the \
               activation function (gate, and up where there is one), of every two coordinates of a block's values, and of \
               every two coordinates of the residual stream after each block. The statistic is the correlation of \
               these numbers with the other model's at the same two indices (Mantel's), mean over paired blocks; of values in \
               the order of heads that gives most. What a unit does on a prompt is never held against what the other \
               model's does on it, so that other embeddings, another tokenizer and other prompts do not count.",
    null: "The order of a block's hidden units is arbitrary, that of the coordinates within a value head, and that of \
           the residual stream's coordinates, one for all blocks: had the two models been initialised independently, any \
           order of the suspect's would be equally likely. The p-value is one over the product of e-values: units are asked \
           for in turn, and bets on each one's own index follow how its relations to those before agree; their mean over \
           all orders is 1, and so is that over several orders of heads. Exact, whatever both were trained on; 1 for nearly \
           all strangers.",
    fooled_by: "Two honest models started from the same random seed look related. Reordering hidden units and the residual stream, \
                and multiplying value heads by random matrices, all of it, hides kin (power, not validity), and so do other \
                numbers of all three.",
    cost: "2 x units^3 / 3 multiplications of at most 1,024 units per view of a block, half of that for each of at most \
           8 blocks of the residual stream, and of values for each order of at most 4 heads, or for two of more.",
    reference: "Ours. The statistic: Mantel (Cancer Research 27, 1967); the null: Zhu, Ahmed, Kuditipudi, Liang: Independence \
                Tests for Language Models (ICML 2025); the bets: test martingales of Shafer, Shen, Vereshchagin, Vovk \
                (Statistical Science 26, 2011).",
    needs: Needs::Activations,
    symmetric: true,
    // The statistic; of the p-value, one of the three orders is enough.
    survives: &[
        "permute-heads",
        "fold-gains",
        "scale-residual",
        "rotate-query-key",
        "shift-head",
    ],
};

impl Inside for UnitRelations {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, seed: u64) -> Result<Measured, String> {
        let groups = groups(a, b, seed)?;
        let found: Vec<f64> = groups.par_iter().map(Group::ln_evidence).collect();
        let itself = groups.par_iter().map(Group::ln_evidence_of_itself);
        let least: f64 = itself.collect::<Vec<f64>>().iter().sum();
        let of = |wanted: fn(&Of) -> bool| -> f64 {
            let all = groups.iter().zip(&found);
            let wanted = all.filter(|(group, _)| wanted(&group.of));
            wanted.map(|(_, ln)| ln / std::f64::consts::LN_10).sum()
        };
        let details = BTreeMap::from([
            ("least_log10_p", tails::log10(-least.max(0.0))),
            ("log10_e_units", of(|of| matches!(of, Of::Units(..)))),
            ("log10_e_values", of(|of| matches!(of, Of::Values(..)))),
            ("log10_e_residual", of(|of| matches!(of, Of::Residual))),
            ("orders", groups.len() as f64),
        ]);
        let evidence: f64 = found.iter().sum();
        let units: usize = groups.iter().map(Group::units).sum();
        let statistic = mean(&groups);
        Ok(Measured {
            statistic,
            n: units as u64,
            null: Some(
                "exact: under independent initialisation every order of hidden units, of coordinates within value heads and of \
                 the residual stream's coordinates is equally likely; the mean of the statistic over all of them is 0, that of the e-value 1"
                    .to_owned(),
            ),
            log10_p: Some(tails::log10(-evidence.max(0.0))),
            explanation: format!(
                "How {units} units in {} {} go together agrees by a correlation of {statistic:.3} at their own indices; \
                 bets on the order gain 10^{:.1}.",
                groups.len(),
                plural(groups.len(), "order", "orders"),
                evidence / std::f64::consts::LN_10
            ),
            details,
            caveats: vec![
                "two models initialised from the same random seed and shapes also keep the order: the test cannot tell a \
                 shared start from shared weights"
                    .to_owned(),
            ],
            figures: Vec::new(),
            table: Some(table(&groups, &found)),
        })
    }

    fn statistic(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        Some(mean(&groups(a, b, seed).ok()?))
    }

    fn log10_p(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        let groups = groups(a, b, seed).ok()?;
        let found: Vec<f64> = groups.par_iter().map(Group::ln_evidence).collect();
        Some(tails::log10(-found.iter().sum::<f64>().max(0.0)))
    }
}

fn mean(groups: &[Group]) -> f64 {
    groups.iter().map(Group::correlation).sum::<f64>() / groups.len().max(1) as f64
}

fn table(groups: &[Group], found: &[f64]) -> Table {
    let row = |(group, evidence): (&Group, &f64)| {
        let name = match group.of {
            Of::Units(i, j) => format!("MLP {i}-{j}"),
            Of::Values(i, j) => format!("values {i}-{j}"),
            Of::Residual => "residual stream".to_owned(),
        };
        vec![
            name,
            group.units().to_string(),
            format!("{:.3}", group.correlation()),
            format!("{:.1}", evidence / std::f64::consts::LN_10),
        ]
    };
    Table {
        columns: ["order of", "units", "correlation", "log10 e"]
            .map(str::to_owned)
            .to_vec(),
        rows: groups.iter().zip(found).map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::rows::toy;
    use crate::model::Site;

    const INNER: [fn(usize) -> Site; 2] = [Site::MlpPre, Site::MlpPreLinear];

    fn found(a: &Activations, b: &Activations) -> Measured {
        UnitRelations.measure(a, b, 0).unwrap()
    }

    #[test]
    fn itself_a_child_and_strangers() {
        let model = toy::model(3, 20, 1, 0.0);
        let itself = found(&model, &model);
        let p = itself.log10_p.unwrap();
        assert!((itself.statistic - 1.0).abs() < 1e-5 && p < -60.0, "{p}");
        assert!((p - itself.details["least_log10_p"]).abs() < 1e-9);
        let child = toy::model(3, 20, 1, 0.5);
        let p = found(&model, &child).log10_p.unwrap();
        assert!(p < -9.0, "{p}");
        assert_eq!(UnitRelations.log10_p(&model, &child, 0), Some(p));
        for own in 2..12 {
            let other = found(&model, &toy::model(3, 20, own, 0.0));
            assert!(other.log10_p.unwrap() > -1.5 && other.statistic.abs() < 0.2);
        }
    }

    /// Each order carries what is left when the others are lost.
    #[test]
    fn one_order_is_enough() {
        let model = toy::model(3, 48, 1, 0.0);
        let child = toy::model(3, 48, 1, 0.1);
        let [units, values, residual] = ["log10_e_units", "log10_e_values", "log10_e_residual"];
        let stream = found(&model, &toy::reordered(&child, &[Site::ResidPost], &[]));
        assert!(stream.log10_p.unwrap() < -9.0 && stream.details[residual] < 0.5);
        let inner = found(&model, &toy::reordered(&child, &INNER, &[]));
        assert!(inner.details[residual] > 5.0 && inner.details[units] < 0.5);
        let kinds: [fn(usize) -> Site; 3] = [Site::MlpPre, Site::MlpPreLinear, Site::ResidPost];
        let hidden = toy::reordered(&child, &kinds, &[]);
        assert!(found(&model, &hidden).details[values] == 0.0);
        // With heads: two of twelve coordinates, the second first.
        let [model, heads] = [model, hidden].map(|one| Activations {
            key_value_heads: Some(2),
            ..one
        });
        let moved = toy::halves_swapped(&heads, Site::Value);
        for other in [&heads, &moved] {
            let found = found(&model, other);
            assert!(found.details[values] > 5.0, "{found:?}");
        }
        let kinds: [fn(usize) -> Site; 1] = [Site::Value];
        let all = found(&model, &toy::reordered(&heads, &kinds, &[]));
        assert!(all.log10_p.unwrap() > -1.5);
    }

    #[test]
    fn without_an_order_in_common_it_says_why() {
        let why = UnitRelations.measure(&toy::model(2, 20, 1, 0.0), &toy::model(2, 24, 1, 0.0), 0);
        let why = why.unwrap_err();
        assert!(
            why.contains("40 and 48 hidden units; residual streams of 20 and 24"),
            "{why}"
        );
    }
}
