//! One p-value of all that activations say about a shared start.

use std::collections::BTreeMap;

use super::inside::Inside;
use super::inside::Measured;
use super::residual_order::ResidualOrder;
use super::unit_match::UnitMatch;
use super::unit_order::UnitOrder;
use super::unit_relations::UnitRelations;
use super::unit_signs::UnitSigns;
use crate::evidence::Card;
use crate::evidence::Needs;
use crate::evidence::Table;
use crate::record::Activations;

/// See [`CARD`].
pub(super) struct Combined;

static CARD: Card = Card {
    id: "activation.combined",
    version: 2,
    family: "activation.combined",
    title: "activation evidence of a shared start, combined",
    measures: "The smallest of the p-values of activation.residual_order, activation.unit_order, activation.unit_relations, \
               activation.unit_signs and activation.unit_match that apply, times their number. The statistic is 1 - p^(1/4): 0.68 at p = 0.01, 0.994 \
               at 10^-9.",
    null: "Bonferroni: valid whatever the tests have to do with each other, as far as each is. Four are exact under \
           independent initialisation; activation.unit_match is calibrated on independent models. The p-value of \
           the exact four alone is beside it.",
    fooled_by: "Two honest models started from the same random seed look related. Kin whose residual stream is rotated, whose \
                hidden units are reordered, whose up rows are negated and whose value heads are mixed are seen by \
                activation.unit_match alone, and not at all without gated MLPs. Very strong noise hides kin.",
    cost: "That of its five parts.",
    reference: "Bonferroni (1936); see the parts.",
    needs: Needs::Activations,
    // As activation.unit_match.
    symmetric: false,
    survives: &[],
};

/// The parts, and whether their p-value is exact.
static PARTS: [(&dyn Inside, bool, &str); 5] = [
    (&ResidualOrder, true, "log10_p_residual_order"),
    (&UnitOrder, true, "log10_p_unit_order"),
    (&UnitRelations, true, "log10_p_unit_relations"),
    (&UnitSigns, true, "log10_p_unit_signs"),
    (&UnitMatch, false, "log10_p_unit_match"),
];

impl Inside for Combined {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn measure(&self, a: &Activations, b: &Activations, seed: u64) -> Result<Measured, String> {
        let parts = Parts::new(a, b, seed);
        let known = parts.known(false);
        let Some((at, log10_p)) = smallest(&known) else {
            let reasons = parts
                .0
                .iter()
                .filter_map(|part| part.as_ref().err().cloned());
            return Err(reasons.collect::<Vec<_>>().join("; "));
        };
        let mut details = BTreeMap::from([
            ("tests", known.len() as f64),
            ("least_log10_p", parts.least()),
        ]);
        details.extend(smallest(&parts.known(true)).map(|(_, p)| ("exact_log10_p", p)));
        for (part, (_, _, name)) in parts.0.iter().zip(&PARTS) {
            let p = part.as_ref().ok().and_then(|one| one.log10_p);
            details.extend(p.map(|p| (*name, p)));
        }
        let (which, exact) = (PARTS[at].0.card().id, PARTS[at].1);
        let mut caveats = vec![
            "a shared start is all that this says: two models initialised from the same random seed share it too".to_owned(),
        ];
        if !exact {
            caveats.push(
                "the smallest p-value is that of activation.unit_match, which is not exact"
                    .to_owned(),
            );
        }
        Ok(Measured {
            statistic: statistic(log10_p),
            n: known.len() as u64,
            null: Some(format!(
                "Bonferroni over {} tests of independent initialisation",
                known.len()
            )),
            log10_p: Some(log10_p),
            explanation: format!(
                "{} of {} tests apply; the smallest p-value is that of {which}: 10^{log10_p:.1} when it counts {} times.",
                known.len(),
                PARTS.len(),
                known.len()
            ),
            details,
            caveats,
            figures: Vec::new(),
            table: Some(parts.table()),
        })
    }

    fn statistic(&self, a: &Activations, b: &Activations, seed: u64) -> Option<f64> {
        let parts = PARTS.iter().enumerate();
        let known = parts.filter_map(|(at, (part, _, _))| Some((at, part.log10_p(a, b, seed)?)));
        let (_, log10_p) = smallest(&known.collect::<Vec<_>>())?;
        Some(statistic(log10_p))
    }
}

fn statistic(log10_p: f64) -> f64 {
    1.0 - 10f64.powf(log10_p / 4.0)
}

/// What each part gave.
struct Parts(Vec<Result<Measured, String>>);

impl Parts {
    fn new(a: &Activations, b: &Activations, seed: u64) -> Self {
        Self(
            PARTS
                .iter()
                .map(|(part, _, _)| part.measure(a, b, seed))
                .collect(),
        )
    }

    /// Those with a p-value, by number.
    fn known(&self, exact: bool) -> Vec<(usize, f64)> {
        let parts = self.0.iter().enumerate();
        let wanted = parts.filter(|(at, _)| PARTS[*at].1 || !exact);
        wanted
            .filter_map(|(at, part)| Some((at, part.as_ref().ok()?.log10_p?)))
            .collect()
    }

    /// The smallest p-value that a model could have beside itself.
    fn least(&self) -> f64 {
        let known = self.0.iter().enumerate();
        let each = known.filter_map(|(at, part)| {
            Some((at, *part.as_ref().ok()?.details.get("least_log10_p")?))
        });
        smallest(&each.collect::<Vec<_>>()).map_or(0.0, |(_, p)| p)
    }

    fn table(&self) -> Table {
        let columns = ["test", "statistic", "n", "log10 p"];
        let row =
            |(part, (method, _, _)): (&Result<Measured, String>, &(&dyn Inside, bool, &str))| {
                let id = method.card().id.to_owned();
                match part {
                    Ok(one) => vec![
                        id,
                        format!("{:.3}", one.statistic),
                        one.n.to_string(),
                        one.log10_p.map_or_else(String::new, |p| format!("{p:.1}")),
                    ],
                    Err(why) => vec![id, why.clone(), String::new(), String::new()],
                }
            };
        Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows: self.0.iter().zip(&PARTS).map(row).collect(),
        }
    }
}

/// The smallest of some p-values, whose it is, times how many there are.
fn smallest(log10_p: &[(usize, f64)]) -> Option<(usize, f64)> {
    let (at, least) = log10_p.iter().min_by(|x, y| x.1.total_cmp(&y.1))?;
    let times = (log10_p.len() as f64).log10();
    Some((*at, (least + times).min(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::activation::rows::toy;
    use crate::model::Site;

    const ALL: [fn(usize) -> Site; 4] = [
        Site::Value,
        Site::MlpPre,
        Site::MlpPreLinear,
        Site::ResidPost,
    ];

    #[test]
    fn each_part_carries_what_the_others_cannot() {
        let model = toy::model(3, 24, 1, 0.0);
        let child = toy::model(3, 24, 1, 0.2);
        let p = |other: &Activations| Combined.measure(&model, other, 0).unwrap();
        assert!((p(&model).statistic - 1.0).abs() < 1e-3);
        let weak = toy::model(3, 24, 1, 3.0);
        for other in [&child, &weak, &toy::model(3, 24, 5, 0.0)] {
            assert_eq!(
                Combined.statistic(&model, other, 0),
                Some(p(other).statistic)
            );
        }
        // Orders changed: signs remain. Signs changed too: partners remain.
        let ordered = toy::reordered(&child, &ALL, &[]);
        assert!(p(&ordered).details["exact_log10_p"] < -9.0);
        let flipped: [fn(usize) -> Site; 3] = [Site::Value, Site::MlpPreLinear, Site::ResidPost];
        let all = p(&toy::reordered(&child, &ALL, &flipped));
        assert!(all.details["exact_log10_p"] > -3.0 && all.log10_p.unwrap() < -6.0);
        assert!(
            all.caveats
                .iter()
                .any(|caveat| caveat.contains("not exact"))
        );
        // Of a mixture of experts only the residual stream and the values are there.
        let mut sparse = child.clone();
        sparse.sites.retain(|site| {
            site.site
                .layer()
                .is_some_and(|at| [Site::Value(at), Site::ResidPost(at)].contains(&site.site))
        });
        let sparse = p(&sparse);
        assert!(sparse.n == 3 && sparse.log10_p.unwrap() < -9.0);
        for own in 2..10 {
            assert!(p(&toy::model(3, 24, own, 0.0)).log10_p.unwrap() > -2.5);
        }
    }

    #[test]
    fn without_any_it_says_all_reasons() {
        let mut bare = toy::model(1, 24, 1, 0.0);
        bare.sites.clear();
        let why = Combined.measure(&bare, &bare, 0).unwrap_err();
        assert!(
            why.contains("no block") && why.contains("no gated MLP"),
            "{why}"
        );
    }
}
