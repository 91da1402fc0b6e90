//! Whether a suspect says the reference's next tokens more than it says those of other models.

use super::items;
use crate::evidence::control::Controls;
use crate::evidence::{
    Card, Error, Evidence, Finding, Interval, Needs, Outcome, Pair, Subject, Table,
};
use crate::stat::interval;
use crate::stat::provenance;
use crate::stat::provenance::Provenance as Tested;
use crate::stat::tails::log10;

/// See [`CARD`].
pub(super) struct Provenance;

static CARD: Card = Card {
    id: "behaviour.provenance",
    version: 1,
    family: "behaviour.next_token",
    title: "next-token agreement beyond that of controls (Nikolic et al.)",
    measures: "Prompts after which a next token was asked: the share at which the suspect's is the reference's. Beside it, \
               for each independent model as a control, how often only the reference agrees with the suspect and how often \
               only the control does (McNemar's exact test, one-sided, the same prompts), corrected by Holm.",
    null: "The same share for independent models. The tests' null is that the suspect is as likely to agree with the \
           control as with the reference: a suspect that was made from neither may be nearer to one of them, so that \
           rejecting it is no evidence of being made from the reference.",
    fooled_by: "Models that are nearer for other reasons (data, size, tokenizer); controls that are no closer than any \
                stranger; predictable prompts.",
    cost: "None beyond the recordings.",
    reference: "Nikolic, Baluta, Saxena: Model Provenance Testing for Large Language Models (NeurIPS 2025, arXiv \
                2502.00706), here paired and one-sided.",
    needs: Needs::Panel,
    symmetric: false,
    survives: &[],
};

/// Level of the interval.
const LEVEL: f64 = 0.95;

impl Evidence for Provenance {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        if items::shared(pair.reference, pair.suspect).is_empty() {
            return Ok(Outcome::NotApplicable(items::why_missing(pair)));
        }
        let Some(tested) = tested(pair) else {
            let reason = "it needs independent models that answered the same next-token prompts: name some with --panel";
            return Ok(Outcome::NotApplicable(reason.to_owned()));
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let agree = agreements(a, b);
            let same = agree.values().filter(|agree| **agree).count();
            Ok((!agree.is_empty()).then(|| same as f64 / agree.len() as f64))
        })?;
        Ok(Outcome::Measured(Box::new(finding(&tested, &controls))))
    }
}

/// The test, and who its controls are.
struct Controlled {
    test: Tested,
    labels: Vec<String>,
}

type Agreements<'a> = std::collections::BTreeMap<(&'a str, &'a str), bool>;

/// By suite and item: whether both gave the same next token. Suites of next tokens are those whose answers
/// were read along.
fn agreements<'a>(a: Subject<'a>, b: Subject<'a>) -> Agreements<'a> {
    let mut found = Agreements::new();
    for suite in items::shared(a, b) {
        for (x, y) in &suite.items {
            if !x.places.is_empty() && !y.places.is_empty() {
                found.insert((suite.id, x.item.as_str()), x.answer == y.answer);
            }
        }
    }
    found
}

/// On the prompts that the pair and all controls answered; `None` without a control or a prompt.
fn tested(pair: &Pair<'_>) -> Option<Controlled> {
    let ours = agreements(pair.reference, pair.suspect);
    let others: Vec<(String, Agreements<'_>)> = pair
        .population
        .iter()
        .map(|one| (one.model.label.clone(), agreements(*one, pair.suspect)))
        .filter(|(_, agreements)| !agreements.is_empty())
        .collect();
    let all: Vec<_> = ours
        .keys()
        .filter(|key| others.iter().all(|(_, other)| other.contains_key(key)))
        .collect();
    let column = |of: &Agreements<'_>| -> Vec<bool> { all.iter().map(|key| of[*key]).collect() };
    let columns: Vec<Vec<bool>> = others.iter().map(|(_, other)| column(other)).collect();
    let test = provenance::provenance(&column(&ours), &columns)?;
    (!columns.is_empty()).then(|| Controlled {
        test,
        labels: others.into_iter().map(|(label, _)| label).collect(),
    })
}

fn finding(tested: &Controlled, controls: &Controls) -> Finding {
    let test = &tested.test;
    let statistic = test.agreement;
    let same = (statistic * test.prompts as f64).round() as u64;
    let (low, high) = interval::wilson(same, test.prompts as u64, LEVEL);
    let ahead = test
        .against
        .iter()
        .filter(|one| one.candidate_only > one.control_only)
        .count();
    let mut details = controls.details(statistic);
    details.insert("ahead_of_all_log10_p", log10(test.ln_p));
    let mut caveats = vec![format!(
        "not evidence of being made from the reference: that it is ahead of every control has log10 p = {:.1}, and a \
         suspect that was made from none of them may be nearer to one, too",
        log10(test.ln_p)
    )];
    caveats.extend(controls.caveats());
    let row = |one: &provenance::Against| {
        vec![
            tested.labels.get(one.control).cloned().unwrap_or_default(),
            one.candidate_only.to_string(),
            one.control_only.to_string(),
            format!("{:.1}", log10(one.ln_p)),
            format!("{:.1}", one.holm_log10_p),
            one.published_ln_p
                .map_or_else(|| "-".to_owned(), |ln| format!("{:.1}", log10(ln))),
        ]
    };
    Finding {
        statistic,
        n: test.prompts as u64,
        null: controls.words(statistic),
        log10_p: None,
        interval: Some(Interval {
            low,
            high,
            level: LEVEL,
        }),
        details,
        explanation: format!(
            "After {:.1} % of {} prompts the suspect says the reference's next token; it agrees with the reference more \
             than with {ahead} of {} controls.",
            100.0 * statistic,
            test.prompts,
            test.against.len()
        ),
        caveats,
        controls: controls.list.clone(),
        figures: Vec::new(),
        table: Some(Table {
            columns: [
                "control",
                "reference only",
                "control only",
                "log10 p",
                "after Holm",
                "log10 p as published (unpaired)",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: test.against.iter().map(row).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::toy::{Open, expecting, pair};

    /// Answers read off a text, prompt by prompt.
    fn model(seed: u64, answers: &str) -> Open {
        let mut open = expecting(seed, &vec![&[(1, &[("a", 0.5)][..])][..]; answers.len()]);
        for (record, answer) in open.recordings[0].records.iter_mut().zip(answers.chars()) {
            record.answer = answer.to_string();
        }
        open
    }

    #[test]
    fn the_reference_is_held_against_controls_on_the_same_prompts() {
        let (reference, suspect) = (model(1, "aaaaaaax"), model(2, "aaaaaaab"));
        let (near, far) = (model(3, "aaaxxxxx"), model(4, "xxxxxxxb"));
        let panel = [near.subject(), far.subject()];
        let with = Pair {
            population: &panel,
            ..pair(&reference, &suspect)
        };
        let Outcome::Measured(finding) = Provenance.assess(&with).unwrap() else {
            panic!()
        };
        assert_eq!((finding.statistic, finding.n), (7.0 / 8.0, 8));
        let rows = finding.table.unwrap().rows;
        assert_eq!(rows[0][1..3], ["4".to_owned(), "0".to_owned()]);
        assert_eq!(rows[1][1..3], ["7".to_owned(), "1".to_owned()]);
        // 4 of 4 is 1/16, 7 or 8 of 8 is 9/256: the worse of both counts.
        let wanted = (1.0_f64 / 16.0).log10();
        assert!((finding.details["ahead_of_all_log10_p"] - wanted).abs() < 1e-9);
        assert_eq!(finding.log10_p, None);
    }

    #[test]
    fn without_controls_there_is_no_test() {
        let (a, b) = (model(1, "ab"), model(2, "ab"));
        let outcome = Provenance.assess(&pair(&a, &b)).unwrap();
        assert!(matches!(outcome, Outcome::NotApplicable(reason) if reason.contains("--panel")));
    }
}
