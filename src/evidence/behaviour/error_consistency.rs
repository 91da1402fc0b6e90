//! Error consistency.

use super::items::{self, Suite};
use crate::evidence::control::Controls;
use crate::evidence::{
    Card, Error, Evidence, Finding, Interval, Needs, Outcome, Pair, Subject, Table,
};
use crate::stat::consistency::Consistency;
use crate::stat::interval::Bootstrap;

/// See [`CARD`].
pub(super) struct ErrorConsistency;

static CARD: Card = Card {
    id: "behaviour.error_consistency",
    version: 1,
    family: "behaviour.errors",
    title: "error consistency (Cohen's kappa of right and wrong)",
    measures: "How much more often two models are right or wrong on the same items than their accuracies make likely: \
               kappa = (observed - expected) / (1 - expected) agreement, per suite; the statistic is the mean over \
               suites (pooled suites of different difficulty would inflate it).",
    null: "The same number for independent models on the same items; 0 is not the null, since hard items are hard for \
           all. Interval by resampling items.",
    fooled_by: "Item difficulty shared by all models; different accuracies, which bound it from above.",
    cost: "2,000 resamples of the items.",
    reference: "Geirhos, Meding, Wichmann: Beyond accuracy (NeurIPS 2020); interval and copy probability: Klein et al. \
                (NeurIPS 2025, arXiv 2507.06645).",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

/// Resamples of the interval.
const DRAWS: usize = 2000;

/// Level of the interval.
const LEVEL: f64 = 0.95;

impl Evidence for ErrorConsistency {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let shared = items::shared(pair.reference, pair.suspect);
        if shared.is_empty() {
            return Ok(Outcome::NotApplicable(items::why_missing(pair)));
        }
        let suites = judged(&shared);
        let Some(statistic) = mean_kappa(&suites) else {
            let reason = "in no shared suite with right answers is each model sometimes right and sometimes wrong"
                .to_owned();
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(mean_kappa(&judged(&items::shared(a, b))))
        })?;
        let interval = interval(&suites, pair.seed);
        Ok(Outcome::Measured(Box::new(finding(
            statistic, interval, &suites, &controls,
        ))))
    }
}

/// A suite's items as right or wrong, for both models.
struct Judged {
    id: String,
    items: Vec<(bool, bool)>,
}

impl Judged {
    fn counts(&self) -> Consistency {
        self.items.iter().copied().collect()
    }
}

fn judged(shared: &[Suite<'_>]) -> Vec<Judged> {
    let right = |suite: &Suite<'_>| -> Vec<(bool, bool)> {
        suite
            .items
            .iter()
            .filter_map(|(a, b)| Some((a.correct?, b.correct?)))
            .collect()
    };
    shared
        .iter()
        .map(|suite| Judged {
            id: suite.id.to_owned(),
            items: right(suite),
        })
        .filter(|suite| !suite.items.is_empty())
        .collect()
}

fn mean_kappa(suites: &[Judged]) -> Option<f64> {
    let kappas: Vec<f64> = suites
        .iter()
        .filter_map(|suite| suite.counts().kappa())
        .collect();
    (!kappas.is_empty()).then(|| kappas.iter().sum::<f64>() / kappas.len() as f64)
}

fn interval(suites: &[Judged], seed: u64) -> Option<Interval> {
    let defined: Vec<&Judged> = suites
        .iter()
        .filter(|suite| suite.counts().kappa().is_some())
        .collect();
    let sizes: Vec<usize> = defined.iter().map(|suite| suite.items.len()).collect();
    let bootstrap = Bootstrap {
        draws: DRAWS,
        level: LEVEL,
        seed,
    };
    let statistic = |drawn: &[Vec<usize>]| {
        let pairs = defined.iter().zip(drawn);
        let kappas: Vec<f64> = pairs
            .filter_map(|(suite, drawn)| {
                let items = drawn.iter().map(|&i| suite.items[i]);
                items.collect::<Consistency>().kappa()
            })
            .collect();
        (!kappas.is_empty()).then(|| kappas.iter().sum::<f64>() / kappas.len() as f64)
    };
    let (low, high) = bootstrap.interval(&sizes, statistic)?;
    Some(Interval {
        low,
        high,
        level: LEVEL,
    })
}

fn finding(
    statistic: f64,
    interval: Option<Interval>,
    suites: &[Judged],
    controls: &Controls,
) -> Finding {
    let n: usize = suites.iter().map(|suite| suite.items.len()).sum();
    let mut caveats = controls.caveats();
    let undefined = suites
        .iter()
        .filter(|suite| suite.counts().kappa().is_none());
    caveats.extend(undefined.map(|suite| {
        format!(
            "suite {}: a model is always right or always wrong, so that kappa says nothing",
            suite.id
        )
    }));
    let words = interval.map_or_else(
        || "no interval (resamples lose one side)".to_owned(),
        |i| format!("95 % interval {:.3} to {:.3}", i.low, i.high),
    );
    Finding {
        statistic,
        n: n as u64,
        null: controls.words(statistic),
        log10_p: None,
        interval,
        details: controls.details(statistic),
        explanation: format!("Error consistency over {n} items: kappa = {statistic:.3} ({words})."),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(Table {
            columns: [
                "suite",
                "items",
                "accuracy, reference",
                "accuracy, suspect",
                "kappa",
                "largest possible",
                "copy probability",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: suites.iter().map(row).collect(),
        }),
    }
}

fn row(suite: &Judged) -> Vec<String> {
    let agreement = suite.counts();
    let (first, second) = agreement.accuracies();
    let words = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |x| format!("{x:.3}"));
    vec![
        suite.id.clone(),
        suite.items.len().to_string(),
        format!("{first:.3}"),
        format!("{second:.3}"),
        words(agreement.kappa()),
        words(agreement.kappa().map(|_| agreement.most())),
        words(agreement.copy_probability()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{answered_with_truth, pair};

    fn case() -> Vec<(bool, bool)> {
        let group = |n: usize, pair: (bool, bool)| std::iter::repeat_n(pair, n);
        group(752, (true, true))
            .chain(group(54, (false, true)))
            .chain(group(12, (true, false)))
            .chain(group(182, (false, false)))
            .collect()
    }

    /// Published for 182 shared of 236 and 194 errors in 1,000: interval 0.758 to 0.848.
    #[test]
    fn the_rare_script_case() {
        let suite = Judged {
            id: "x".to_owned(),
            items: case(),
        };
        let interval = interval(&[suite], 0).unwrap();
        assert!((interval.low - 0.758).abs() < 0.006, "{interval:?}");
        assert!((interval.high - 0.848).abs() < 0.006, "{interval:?}");
    }

    #[test]
    fn itself_is_one_and_a_perfect_model_says_nothing() {
        let truth = |i: usize| format!("t{i}");
        let some = |i: usize| {
            if i.is_multiple_of(3) {
                "wrong".to_owned()
            } else {
                truth(i)
            }
        };
        let a = answered_with_truth(1, 60, truth, some);
        let Outcome::Measured(finding) = ErrorConsistency.assess(&pair(&a, &a)).unwrap() else {
            panic!()
        };
        assert!((finding.statistic - 1.0).abs() < 1e-12);
        let perfect = answered_with_truth(2, 60, truth, truth);
        let outcome = ErrorConsistency.assess(&pair(&a, &perfect)).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(_)));
    }
}
