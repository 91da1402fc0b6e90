//! Shared errors.

use super::items::{self, Suite, Tally};
use crate::evidence::control::Controls;
use crate::evidence::{
    Card, Error, Evidence, Figure, Finding, Interval, Needs, Outcome, Pair, Subject, Table,
};
use crate::stat::{interval, tails};

/// See [`CARD`].
pub(super) struct ErrorOverlap;

static CARD: Card = Card {
    id: "behaviour.error_overlap",
    version: 1,
    family: "behaviour.errors",
    title: "same wrong answer among items that both get wrong",
    measures: "Items with a truth: how many each model gets wrong, both get wrong, and both get wrong with the same \
               answer. The statistic is the last divided by the one before, over all suites.",
    null: "The same share for independent models on the same items. The p-value against independent errors is shown as \
           not evidence: almost all pairs of unrelated models reject it, because hard items are hard for all.",
    fooled_by: "Few possible answers, and wrong answers that attract everyone (unrelated models agree on about 60 % of \
                shared errors in four-option tests); the same training data.",
    cost: "None beyond the recordings.",
    reference: "The 2024 comparison of MiniCPM-Llama3-V 2.5 and Llama3-V (236 and 194 errors, 182 shared); Kim et al.: \
                Correlated Errors in Large Language Models (ICML 2025) for what unrelated models share.",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

/// Level of every interval of this method.
const LEVEL: f64 = 0.95;

impl Evidence for ErrorOverlap {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let suites = items::shared(pair.reference, pair.suspect);
        if suites.is_empty() {
            return Ok(Outcome::NotApplicable(items::why_missing(pair)));
        }
        let (tallies, total) = tally(&suites);
        if total.n() == 0 {
            let reason = "no shared suite has right answers".to_owned();
            return Ok(Outcome::NotApplicable(reason));
        }
        let Some(statistic) = share(&total) else {
            let (a, b) = total.errors();
            let reason = format!(
                "the reference is wrong {a} times, the suspect {b} times, never both on one item"
            );
            return Ok(Outcome::NotApplicable(reason));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            Ok(share(&tally(&items::shared(a, b)).1))
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            statistic, &total, &tallies, &controls,
        ))))
    }
}

/// Per suite with right answers, and over all.
fn tally(suites: &[Suite<'_>]) -> (Vec<(String, Tally)>, Tally) {
    let tallies: Vec<(String, Tally)> = suites
        .iter()
        .map(|suite| (suite.id.to_owned(), Tally::of(&suite.items)))
        .filter(|(_, tally)| tally.n() > 0)
        .collect();
    let mut total = Tally::default();
    for (_, tally) in &tallies {
        total.add(tally);
    }
    (tallies, total)
}

fn share(tally: &Tally) -> Option<f64> {
    let both = tally.both_wrong();
    (both > 0).then(|| tally.both_wrong_alike as f64 / both as f64)
}

fn finding(
    statistic: f64,
    total: &Tally,
    tallies: &[(String, Tally)],
    controls: &Controls,
) -> Finding {
    let (a, b) = total.errors();
    let both = total.both_wrong();
    let (low, high) = interval::wilson(total.both_wrong_alike, both, LEVEL);
    let naive = tails::log10(tails::hypergeometric_ln_tail(both, total.n(), a, b));
    let mut details = controls.details(statistic);
    details.extend([
        ("items", total.n() as f64),
        ("reference_errors", a as f64),
        ("suspect_errors", b as f64),
        ("both_wrong", both as f64),
        ("both_wrong_alike", total.both_wrong_alike as f64),
    ]);
    details.extend(jaccard(total).map(|value| ("error_jaccard", value)));
    let mut caveats = vec![format!(
        "not evidence: against independent errors the overlap of {both} has log10 p = {naive:.1}, which unrelated \
         models reach too, because hard items are hard for all"
    )];
    caveats.extend(controls.caveats());
    Finding {
        statistic,
        n: both,
        null: controls.words(statistic),
        log10_p: None,
        interval: Some(Interval {
            low,
            high,
            level: LEVEL,
        }),
        details,
        explanation: format!(
            "Of {} items the reference gets {a} wrong and the suspect {b}; {both} are wrong in both, {} of them with \
             the same answer ({:.1} %, 95 % interval {:.1} to {:.1} %).",
            total.n(),
            total.both_wrong_alike,
            100.0 * statistic,
            100.0 * low,
            100.0 * high
        ),
        caveats,
        controls: controls.list.clone(),
        figures: tallies
            .iter()
            .map(|(suite, tally)| figure(suite, tally))
            .collect(),
        table: Some(Table {
            columns: [
                "suite",
                "items",
                "reference wrong",
                "suspect wrong",
                "both wrong",
                "expected if independent",
                "same wrong answer",
                "95 % interval",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: tallies
                .iter()
                .map(|(suite, tally)| row(suite, tally))
                .collect(),
        }),
    }
}

/// Items that both get wrong among those that either does.
fn jaccard(tally: &Tally) -> Option<f64> {
    let either = tally.n() - tally.both_right;
    (either > 0).then(|| tally.both_wrong() as f64 / either as f64)
}

fn figure(suite: &str, tally: &Tally) -> Figure {
    Figure::Overlap {
        title: suite.to_owned(),
        both_right: tally.both_right,
        reference_wrong: tally.reference_wrong,
        suspect_wrong: tally.suspect_wrong,
        both_wrong_differently: tally.both_wrong_differently,
        both_wrong_alike: tally.both_wrong_alike,
    }
}

fn row(suite: &str, tally: &Tally) -> Vec<String> {
    let (a, b) = tally.errors();
    let (low, high) = interval::wilson(tally.both_wrong_alike, tally.both_wrong(), LEVEL);
    vec![
        suite.to_owned(),
        tally.n().to_string(),
        a.to_string(),
        b.to_string(),
        tally.both_wrong().to_string(),
        format!("{:.1}", a as f64 * b as f64 / tally.n() as f64),
        tally.both_wrong_alike.to_string(),
        format!("{low:.3} to {high:.3}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{answered_with_truth, pair};

    /// The 2024 case: 1,000 items, 236 and 194 errors, 182 shared, 118 of them alike.
    #[test]
    fn the_rare_script_case() {
        let truth = |i: usize| format!("t{i}");
        let reference = |i: usize| if i < 236 { format!("w{i}") } else { truth(i) };
        let suspect = |i: usize| match i {
            0..118 => format!("w{i}"),
            118..182 | 236..248 => format!("v{i}"),
            _ => truth(i),
        };
        let a = answered_with_truth(1, 1000, truth, reference);
        let b = answered_with_truth(2, 1000, truth, suspect);
        let Outcome::Measured(finding) = ErrorOverlap.assess(&pair(&a, &b)).unwrap() else {
            panic!()
        };
        assert_eq!(finding.n, 182);
        assert!((finding.statistic - 118.0 / 182.0).abs() < 1e-12);
        assert!((finding.details["error_jaccard"] - 0.734).abs() < 5e-4);
        assert!(
            finding.caveats[0].contains("-132.4"),
            "{}",
            finding.caveats[0]
        );
        let interval = finding.interval.unwrap();
        assert!((interval.low - 0.577).abs() < 1e-3 && (interval.high - 0.714).abs() < 1e-3);
        let Figure::Overlap {
            both_right,
            reference_wrong,
            suspect_wrong,
            ..
        } = finding.figures[0]
        else {
            panic!()
        };
        assert_eq!((both_right, reference_wrong, suspect_wrong), (752, 54, 12));
    }

    #[test]
    fn without_shared_errors_there_is_no_share() {
        let truth = |i: usize| format!("t{i}");
        let a = answered_with_truth(1, 10, truth, truth);
        let outcome = ErrorOverlap.assess(&pair(&a, &a)).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("never both")));
    }
}
