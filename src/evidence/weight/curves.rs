//! Per-layer curves of one number per matrix, and how alike two models' curves run.

use std::collections::BTreeMap;

use crate::evidence::control::Controls;
use crate::evidence::{Error, Figure, Finding, Outcome, Pair, Subject, Table};
use crate::model::{Param, Part};
use crate::record::{Moments, WeightProfile};
use crate::stat::{correlation, curve};

/// Fewest layers on which a correlation over layers says anything: through two points every line fits.
const LEAST_LAYERS: usize = 3;

/// Which curves a method compares.
pub(super) struct Curves {
    /// One curve each.
    pub parts: &'static [Part],
    /// Matrices or biases.
    pub param: Param,
    /// What the curves are of, for a reader (`weight`, `bias`).
    pub noun: &'static str,
}

/// Curves of one model by part; a part that some layer lacks is absent.
type ByPart = BTreeMap<Part, Vec<f64>>;

impl Curves {
    /// Mean Pearson correlation of the standardised curves, with its null band.
    pub fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let (reference, suspect) = match (self.of(pair.reference), self.of(pair.suspect)) {
            (Ok(reference), Ok(suspect)) => (reference, suspect),
            (Err(why), _) => return Ok(Outcome::NotApplicable(format!("reference: {why}"))),
            (_, Err(why)) => return Ok(Outcome::NotApplicable(format!("suspect: {why}"))),
        };
        let correlations = correlate(&reference, &suspect);
        let Some(statistic) = mean(&correlations) else {
            return Ok(Outcome::NotApplicable(format!(
                "no {} curve of at least {LEAST_LAYERS} layers varies in both models",
                self.noun
            )));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(match (self.of(a), self.of(b)) {
                (Ok(a), Ok(b)) => mean(&correlate(&a, &b)),
                _ => None,
            })
        })?;
        let figures = self.figures(pair, &reference, &suspect);
        let finding = self.finding(statistic, &correlations, &controls, [&reference, &suspect]);
        Ok(Outcome::Measured(Box::new(Finding { figures, ..finding })))
    }

    /// The curves of a model.
    fn of(&self, subject: Subject<'_>) -> Result<ByPart, String> {
        let profile = subject.profile.ok_or("its weights were not read")?;
        let curves: ByPart = self
            .parts
            .iter()
            .filter_map(|part| Some((*part, self.of_part(profile, *part)?)))
            .collect();
        if curves.is_empty() {
            return Err(format!("no {} is known by role in every layer", self.noun));
        }
        Ok(curves)
    }

    fn of_part(&self, profile: &WeightProfile, part: Part) -> Option<Vec<f64>> {
        let mut layers: BTreeMap<u32, Vec<Moments>> = BTreeMap::new();
        let mut last = 0;
        for (role, moments) in &profile.roles {
            let Some(layer) = role.layer else { continue };
            last = last.max(layer);
            if role.part == part && role.param == self.param {
                layers.entry(layer).or_default().push(*moments);
            }
        }
        let complete = layers.len() == last as usize + 1;
        complete.then(|| layers.values().map(|experts| pooled_std(experts)).collect())
    }

    fn finding(
        &self,
        statistic: f64,
        correlations: &BTreeMap<Part, f64>,
        controls: &Controls,
        curves: [&ByPart; 2],
    ) -> Finding {
        let depths = curves.map(|by_part| by_part.values().map(Vec::len).max().unwrap_or(0));
        let list: Vec<String> = correlations
            .iter()
            .map(|(part, r)| format!("{} {r:.3}", part.name()))
            .collect();
        let mut caveats = vec![
            "curves over layers have few degrees of freedom and one common shape (first and last layers stand \
             out): independent models reach 0.9 and more, so that a high value is no evidence of lineage"
                .to_owned(),
        ];
        if depths[0] != depths[1] {
            caveats.push(format!(
                "{} and {} layers: the shorter curve was interpolated to the longer, which inserted or removed \
                 layers distort",
                depths[0], depths[1]
            ));
        }
        caveats.extend(
            self.parts
                .iter()
                .filter(|part| !correlations.contains_key(part))
                .map(|part| {
                    format!(
                        "{} is missing or constant in one of the models",
                        part.name()
                    )
                }),
        );
        caveats.extend(controls.caveats());
        Finding {
            statistic,
            n: depths[0].max(depths[1]) as u64,
            null: controls.words(statistic),
            log10_p: None,
            interval: None,
            details: controls.details(statistic),
            explanation: format!(
                "Correlation over layers of the standard deviations of each {}: {}.",
                self.noun,
                list.join(", ")
            ),
            caveats,
            controls: controls.list.clone(),
            figures: Vec::new(),
            table: Some(Table {
                columns: vec![self.noun.to_owned(), "correlation".to_owned()],
                rows: correlations
                    .iter()
                    .map(|(part, r)| vec![part.name().to_owned(), format!("{r:.4}")])
                    .collect(),
            }),
        }
    }

    /// One figure per part that both have, standardised, with the independent models' band.
    fn figures(&self, pair: &Pair<'_>, reference: &ByPart, suspect: &ByPart) -> Vec<Figure> {
        let population: Vec<ByPart> = pair
            .population
            .iter()
            .filter_map(|one| self.of(*one).ok())
            .collect();
        let shared = reference
            .iter()
            .filter_map(|(part, a)| Some((part, a, suspect.get(part)?)));
        shared
            .map(|(part, a, b)| {
                let steps = a.len().max(b.len());
                let others: Vec<Vec<f64>> = population
                    .iter()
                    .filter_map(|one| one.get(part))
                    .map(|other| curve::standardise(&curve::resample(other, steps)))
                    .collect();
                Figure::Curves {
                    title: format!(
                        "std of {} {}, standardised over layers",
                        part.name(),
                        self.noun
                    ),
                    reference: curve::standardise(a),
                    suspect: curve::standardise(b),
                    band: curve::band(&others),
                    band_models: others.len(),
                }
            })
            .collect()
    }
}

/// Standard deviation of all experts' numbers together; of the one matrix of a dense layer, its own.
fn pooled_std(experts: &[Moments]) -> f64 {
    let count: f64 = experts.iter().map(|m| m.count as f64).sum();
    let mean = experts.iter().map(|m| m.count as f64 * m.mean).sum::<f64>() / count;
    let square = experts
        .iter()
        .map(|m| m.count as f64 * (m.std * m.std + (m.mean - mean).powi(2)))
        .sum::<f64>();
    (square / count).sqrt()
}

/// Pearson's correlation per part, the shorter curve interpolated to the longer.
fn correlate(a: &ByPart, b: &ByPart) -> BTreeMap<Part, f64> {
    let r = |x: &Vec<f64>, y: &Vec<f64>| {
        let steps = x.len().max(y.len());
        if x.len().min(y.len()) < LEAST_LAYERS {
            return None;
        }
        correlation::pearson(&curve::resample(x, steps), &curve::resample(y, steps))
    };
    a.iter()
        .filter_map(|(part, x)| Some((*part, r(x, b.get(part)?)?)))
        .collect()
}

fn mean(correlations: &BTreeMap<Part, f64>) -> Option<f64> {
    let n = correlations.len();
    (n > 0).then(|| correlations.values().sum::<f64>() / n as f64)
}
