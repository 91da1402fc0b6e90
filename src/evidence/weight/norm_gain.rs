//! Norm gains, centred.

use std::collections::BTreeMap;

use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::model::{Param, Part, Role, Weights};
use crate::stat::correlation;

/// See [`CARD`].
pub(super) struct NormGain;

static CARD: Card = Card {
    id: "weight.norm_gain",
    version: 1,
    family: "weight.residual_index",
    title: "Pearson's correlation of norm gains, matched against mismatched layers",
    measures: "Pearson's correlation (centred, never the raw cosine) of the gain vectors of each norm at the same \
               layer of both models, averaged. Beside it the same between different layers of the same kind \
               of norm.",
    null: "Mismatched layers of the same kind of norm, and the same number for independent models.",
    fooled_by: "Raw cosines of gains are near 1 for any two models, since gains start at 1: they mislead, centred \
                ones do not. A few residual dimensions that stand out in every layer raise matched and mismatched \
                layers alike. Folding the gains into the next matrix hides kin.",
    cost: "Reads the norm vectors only.",
    reference: "The dispute about cosines of layer-norm gains between two 100B models (January 2026): the published \
                0.99 became 0.01 after centring.",
    needs: Needs::Weights,
    symmetric: true,
    survives: &[],
};

impl Evidence for NormGain {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn reads_samples(&self) -> bool {
        true
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (a, b) = (&pair.reference.model.weights, &pair.suspect.model.weights);
        let kinds = compare(a, b)?;
        let Some(statistic) = matched(&kinds) else {
            return Ok(Outcome::NotApplicable(why_not(a, b)));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(matched(&compare(&a.model.weights, &b.model.weights)?))
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            statistic, &kinds, &controls,
        ))))
    }
}

/// Correlations of one kind of norm.
#[derive(Debug, Clone, Default, PartialEq)]
struct Kind {
    matched: Vec<f64>,
    mismatched: Vec<f64>,
    /// Pairs of the same layer without spread in one of the two.
    constant: usize,
}

type Gains = BTreeMap<Part, BTreeMap<Option<u32>, Vec<f64>>>;

fn gains(weights: &Weights) -> Result<Gains, Error> {
    let mut found = Gains::new();
    let is_gain = |role: &&Role| role.part.is_norm() && role.param == Param::Weight;
    for role in weights.roles().filter(is_gain) {
        let values = weights.all(role)?.into_iter().map(f64::from).collect();
        found
            .entry(role.part)
            .or_default()
            .insert(role.layer, values);
    }
    Ok(found)
}

fn compare(a: &Weights, b: &Weights) -> Result<BTreeMap<Part, Kind>, Error> {
    let (a, b) = (gains(a)?, gains(b)?);
    let mut kinds = BTreeMap::new();
    for (part, ours) in &a {
        let Some(theirs) = b.get(part) else { continue };
        let kind: &mut Kind = kinds.entry(*part).or_default();
        for (layer, x) in ours {
            for (other, y) in theirs.iter().filter(|(_, y)| y.len() == x.len()) {
                match (correlation::pearson(x, y), layer == other) {
                    (Some(r), true) => kind.matched.push(r),
                    (Some(r), false) => kind.mismatched.push(r),
                    (None, true) => kind.constant += 1,
                    (None, false) => {}
                }
            }
        }
    }
    Ok(kinds)
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let n = values.clone().count();
    (n > 0).then(|| values.sum::<f64>() / n as f64)
}

fn matched(kinds: &BTreeMap<Part, Kind>) -> Option<f64> {
    mean(kinds.values().flat_map(|kind| kind.matched.iter().copied()))
}

fn why_not(a: &Weights, b: &Weights) -> String {
    let known = |weights: &Weights| weights.roles().any(|role| role.part.is_norm());
    if known(a) && known(b) {
        "the norms differ in width, or every gain vector is constant".to_owned()
    } else {
        "the norms of one of the models are not known by role".to_owned()
    }
}

fn finding(statistic: f64, kinds: &BTreeMap<Part, Kind>, controls: &Controls) -> Finding {
    let other = mean(
        kinds
            .values()
            .flat_map(|kind| kind.mismatched.iter().copied()),
    );
    let n: usize = kinds.values().map(|kind| kind.matched.len()).sum();
    let constant: usize = kinds.values().map(|kind| kind.constant).sum();
    let mut details = controls.details(statistic);
    details.extend(other.map(|value| ("mismatched_layers", value)));
    let mut caveats = controls.caveats();
    if constant > 0 {
        caveats.push(format!(
            "{constant} gain vectors are constant in one of the models: left out"
        ));
    }
    let against = other.map_or_else(
        || "there are no mismatched layers".to_owned(),
        |value| format!("mismatched layers of the same kind of norm give {value:.3}"),
    );
    let cell = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |r| format!("{r:.4}"));
    Finding {
        statistic,
        n: n as u64,
        null: format!("{against}; {}", controls.words(statistic)),
        log10_p: None,
        interval: None,
        details,
        explanation: format!(
            "Centred correlation of {n} pairs of gain vectors at the same place: {statistic:.3}; {against}."
        ),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(Table {
            columns: ["norm", "pairs", "same layer", "other layers"]
                .map(str::to_owned)
                .to_vec(),
            rows: kinds
                .iter()
                .map(|(part, kind)| {
                    vec![
                        part.name().to_owned(),
                        kind.matched.len().to_string(),
                        cell(mean(kind.matched.iter().copied())),
                        cell(mean(kind.mismatched.iter().copied())),
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

    fn assess(reference: &Toy, suspect: &Toy) -> Outcome {
        let (a, b) = (Open::new(reference), Open::new(suspect));
        NormGain.assess(&pair(&a, &b)).unwrap()
    }

    /// Gains near one have a raw cosine of nearly 1 between any two models; centred it is about 0.
    #[test]
    fn independent_gains_do_not_correlate() {
        let dims = Dims {
            width: 256,
            ..Dims::default()
        };
        let (a, b) = (Toy::new(1, dims), Toy::new(2, dims));
        let role = Role::layer(0, Part::MlpNorm);
        let wide = |toy: &Toy| {
            toy.tensors[&role]
                .2
                .iter()
                .map(|x| f64::from(*x))
                .collect::<Vec<_>>()
        };
        assert!(correlation::cosine(&wide(&a), &wide(&b)).unwrap() > 0.99);
        let Outcome::Measured(finding) = assess(&a, &b) else {
            panic!()
        };
        assert!(finding.statistic.abs() < 0.08, "{}", finding.statistic);
        let Outcome::Measured(kin) = assess(&a, &a.noised(0.1, 3)) else {
            panic!()
        };
        assert!(kin.statistic > 0.98 && kin.details["mismatched_layers"].abs() < 0.05);
        assert_eq!(kin.n, 9);
    }

    #[test]
    fn untrained_gains_are_no_evidence() {
        let mut toy = Toy::new(1, Dims::default());
        for (role, (_, _, values)) in &mut toy.tensors {
            if role.part.is_norm() {
                values.fill(1.0);
            }
        }
        let Outcome::NotApplicable(reason) = assess(&toy, &toy) else {
            panic!()
        };
        assert!(reason.contains("constant"), "{reason}");
    }
}
