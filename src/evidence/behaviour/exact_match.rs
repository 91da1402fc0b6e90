//! Equal answers.

use std::collections::BTreeMap;

use super::items::{self, Suite, alike};
use crate::evidence::control::Controls;
use crate::evidence::{
    Card, Error, Evidence, Finding, Interval, Needs, Outcome, Pair, Subject, Table,
};
use crate::stat::interval;

/// See [`CARD`].
pub(super) struct ExactMatch;

static CARD: Card = Card {
    id: "behaviour.exact_match",
    version: 1,
    family: "behaviour.answers",
    title: "exact match of answers",
    measures: "The share of items, over all suites, to which both models give the same answer (fields of structured \
               answers one by one; other answers without regard to case, white space and final punctuation), right \
               or wrong.",
    null: "The same share for independent models on the same items.",
    fooled_by: "Easy items: all able models agree on them. Models that answer with one constant string.",
    cost: "None beyond the recordings.",
    reference: "The 2024 comparison of MiniCPM-Llama3-V 2.5 and Llama3-V on 1,000 unpublished images (87 % equal).",
    needs: Needs::Answers,
    symmetric: true,
    survives: &[],
};

/// Level of every interval of this method.
const LEVEL: f64 = 0.95;

impl Evidence for ExactMatch {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let suites = items::shared(pair.reference, pair.suspect);
        if suites.is_empty() {
            return Ok(Outcome::NotApplicable(items::why_missing(pair)));
        }
        let counts: Vec<Count> = suites.iter().map(Count::of).collect();
        let total = counts
            .iter()
            .fold((0, 0), |(equal, n), c| (equal + c.equal, n + c.n));
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let suites = items::shared(a, b);
            let counts = suites.iter().map(Count::of);
            let (equal, n) = counts.fold((0, 0), |(equal, n), c| (equal + c.equal, n + c.n));
            Ok((n > 0).then(|| equal as f64 / n as f64))
        })?;
        Ok(Outcome::Measured(Box::new(finding(
            total, &counts, &controls,
        ))))
    }
}

/// Equal answers in one suite.
struct Count {
    suite: String,
    n: u64,
    equal: u64,
    /// Different answers that occur, of either model: 1 says that nobody said anything.
    distinct: usize,
}

impl Count {
    fn of(suite: &Suite<'_>) -> Self {
        let answers = suite.items.iter().flat_map(|(a, b)| [&a.answer, &b.answer]);
        let distinct: BTreeMap<&String, ()> = answers.map(|answer| (answer, ())).collect();
        Self {
            suite: suite.id.to_owned(),
            n: suite.items.len() as u64,
            equal: suite.items.iter().filter(|(a, b)| alike(a, b)).count() as u64,
            distinct: distinct.len(),
        }
    }
}

fn finding((equal, n): (u64, u64), counts: &[Count], controls: &Controls) -> Finding {
    let statistic = equal as f64 / n as f64;
    let (low, high) = interval::wilson(equal, n, LEVEL);
    let mut caveats = controls.caveats();
    let constant = counts.iter().filter(|count| count.distinct == 1);
    caveats.extend(constant.map(|count| {
        format!(
            "suite {}: every answer of both models is one and the same string",
            count.suite
        )
    }));
    let row = |count: &Count| {
        let (low, high) = interval::wilson(count.equal, count.n, LEVEL);
        vec![
            count.suite.clone(),
            count.n.to_string(),
            count.equal.to_string(),
            format!("{:.3}", count.equal as f64 / count.n as f64),
            format!("{low:.3} to {high:.3}"),
        ]
    };
    Finding {
        statistic,
        n,
        null: controls.words(statistic),
        log10_p: None,
        interval: Some(Interval {
            low,
            high,
            level: LEVEL,
        }),
        details: controls.details(statistic),
        explanation: format!(
            "{equal} of {n} answers are the same ({:.1} %, 95 % interval {:.1} to {:.1} %).",
            100.0 * statistic,
            100.0 * low,
            100.0 * high
        ),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(Table {
            columns: ["suite", "items", "equal", "share", "95 % interval"]
                .map(str::to_owned)
                .to_vec(),
            rows: counts.iter().map(row).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, answered, pair};

    fn measured(a: &Open, b: &Open) -> Finding {
        match ExactMatch.assess(&pair(a, b)).unwrap() {
            Outcome::Measured(finding) => *finding,
            Outcome::NotApplicable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn answers_are_counted_over_suites() {
        let a = answered(
            1,
            &[("x", &["Paris.", "2", "c", "!"]), ("y", &["left", "right"])],
        );
        let b = answered(
            2,
            &[("x", &["paris", "3", "c", "?"]), ("y", &["left", "left"])],
        );
        let finding = measured(&a, &b);
        assert_eq!((finding.n, finding.statistic), (6, 0.5));
        let interval = finding.interval.unwrap();
        assert!(interval.low < 0.5 && interval.high > 0.5);
        assert_eq!(finding.table.unwrap().rows.len(), 2);
    }

    #[test]
    fn constant_answers_are_named() {
        let a = answered(1, &[("x", &["", "", ""])]);
        let finding = measured(&a, &a);
        assert!(
            finding
                .caveats
                .iter()
                .any(|caveat| caveat.contains("one and the same"))
        );
    }

    #[test]
    fn suites_of_another_content_are_not_joined() {
        let a = answered(1, &[("x", &["a"])]);
        let b = answered(2, &[("z", &["a"])]);
        assert!(matches!(
            ExactMatch.assess(&pair(&a, &b)).unwrap(),
            Outcome::NotApplicable(_)
        ));
    }
}
