//! Same wrong answers, beside a panel of other models.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::items::{comparable, key};
use crate::evidence::control::Controls;
use crate::evidence::{Card, Error, Evidence, Finding, Needs, Outcome, Pair, Subject, Table};
use crate::record::Record;
use crate::stat::copying::answers::{Answers, MISSING};
use crate::stat::copying::fraction::{Carrier, carriers, copied_fraction};
use crate::stat::copying::law::{PairLaw, PanelLaw};
use crate::stat::copying::matrix::{PairTest, test_pairs};
use crate::stat::copying::shared_wrong;
use crate::stat::tails;

/// See [`CARD`].
pub(super) struct SharedAnswers;

static CARD: Card = Card {
    id: "behaviour.shared_answers",
    version: 2,
    family: "behaviour.shared_answers",
    title: "same wrong answers, beside a panel of independent models",
    measures: "Items with a truth that both models get wrong with the same answer, over all suites that the panel answered as \
               well, beside what the panel's law of difficulty and of tempting wrong answers expects of two independent \
               models of their abilities. The statistic is the excess as a share of the items that both get wrong.",
    null: "The compound binomial law of the panel, after what the panel's own pairs show against the law that leaves them out \
           is taken off.",
    fooled_by: "A panel that is not of the pair's kind: models that learnt the same text share more than models that did not. \
                Fine-tuning on other answers, which takes away what was shared.",
    cost: "None beyond the recordings; the law is fitted once per pair.",
    reference: "van der Linden and Sotaridona, Detecting Answer Copying When the Regular Response Process Follows a Known \
                Response Model (2006), for the generalised binomial test; law and correction are ours.",
    needs: Needs::Panel,
    symmetric: true,
    survives: &[],
};

/// Fewest panel models: pairs of them are what the law is checked on.
const FEWEST: usize = 3;

/// Items that carry the evidence, listed.
const LISTED: usize = 12;

/// Level of the copied share's interval.
const LEVEL: f64 = 0.95;

/// The code of a right answer, whatever its spelling.
const RIGHT: u32 = MISSING - 1;

impl Evidence for SharedAnswers {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn assess(&self, pair: &Pair<'_>) -> Result<Outcome, Error> {
        let why = |reason: String| Ok(Outcome::NotApplicable(reason));
        if pair.reference.recordings.is_empty() || pair.suspect.recordings.is_empty() {
            return why(super::items::why_missing(pair));
        }
        let panel: Vec<Subject<'_>> = pair
            .population
            .iter()
            .filter(|member| !member.recordings.is_empty())
            .copied()
            .collect();
        if panel.len() < FEWEST {
            return why(format!(
                "a panel of {FEWEST} or more independent models that answered is needed, {} were at hand",
                panel.len()
            ));
        }
        let models: Vec<Subject<'_>> = [pair.reference, pair.suspect]
            .into_iter()
            .chain(panel)
            .collect();
        let sheet = Sheet::of(&models);
        if sheet.items.is_empty() {
            return why(
                "no item with a truth was answered by both models and the panel".to_owned(),
            );
        }
        let members: Vec<usize> = (2..models.len()).collect();
        let law = PanelLaw::fit(&sheet.answers, &members);
        let test = test_pairs(&law, &[(0, 1)], |_, _| true);
        let (Some(test), Some(statistic)) = (test.first(), excess(&law.pair(0, 1))) else {
            return why("no item is wrong in both models: the suites say nothing here".to_owned());
        };
        let place = |one: Subject<'_>| {
            let same = |other: &Subject<'_>| std::ptr::eq(one.model, other.model);
            models.iter().position(same)
        };
        let controls = Controls::measure(pair, &|a: Subject<'_>, b: Subject<'_>| {
            let places = place(a).zip(place(b));
            Ok(places.and_then(|(a, b)| excess(&law.pair(a, b))))
        })?;
        let mut finding = finding(&sheet, &law, test, statistic);
        finding.details.extend(controls.details(statistic));
        finding.null = format!("{}; {}", finding.null, controls.words(statistic));
        finding.caveats.extend(controls.caveats());
        finding.controls = controls.list;
        Ok(Outcome::Measured(Box::new(finding)))
    }
}

/// Same wrong answers beyond the law, as a share of the items that both get wrong.
fn excess(pair: &PairLaw) -> Option<f64> {
    let both_wrong = pair
        .items
        .iter()
        .filter(|item| !item.first_right && !item.second_right);
    let alike = pair.items.iter().filter(|item| item.is_wrong_alike());
    let expected: f64 = pair.items.iter().map(|item| item.wrong_alike).sum();
    let share = (alike.count() as f64 - expected) / both_wrong.count() as f64;
    share.is_finite().then_some(share)
}

/// Items that all were asked, with what each model answered.
struct Sheet<'r> {
    answers: Answers,
    /// Item, and the reference's record.
    items: Vec<&'r Record>,
}

impl<'r> Sheet<'r> {
    fn of(models: &[Subject<'r>]) -> Self {
        let (mut items, mut codes) = (Vec::new(), vec![Vec::new(); models.len()]);
        for suite in models[0].recordings {
            let same: Option<Vec<BTreeMap<&str, &'r Record>>> = models
                .iter()
                .map(|model| {
                    let found = model.recordings.iter().find(|one| comparable(suite, one))?;
                    Some(
                        found
                            .records
                            .iter()
                            .map(|one| (one.item.as_str(), one))
                            .collect(),
                    )
                })
                .collect();
            let Some(same) = same else { continue };
            for record in suite.records.iter().filter(|one| one.correct.is_some()) {
                let given: Vec<Option<&Record>> = same
                    .iter()
                    .map(|model| model.get(record.item.as_str()).copied())
                    .map(|found| found.filter(|one| one.error.is_none()))
                    .collect();
                items.push(record);
                coded(&given, &mut codes);
            }
        }
        let mut answers = Answers::of_items(items.iter().map(|_| (RIGHT, 0)));
        for codes in codes {
            // One code per item, so that the length is right.
            let _ = answers.push(codes);
        }
        Self { answers, items }
    }
}

/// One item's answers as small numbers, equal ones equal.
fn coded(given: &[Option<&Record>], codes: &mut [Vec<u32>]) {
    let keys: BTreeSet<String> = given.iter().flatten().map(|record| key(record)).collect();
    for (codes, record) in codes.iter_mut().zip(given) {
        codes.push(match record {
            None => MISSING,
            Some(record) if record.correct == Some(true) => RIGHT,
            Some(record) => {
                let key = key(record);
                keys.iter()
                    .position(|other| *other == key)
                    .unwrap_or_default() as u32
            }
        });
    }
}

fn finding(sheet: &Sheet<'_>, law: &PanelLaw<'_>, test: &PairTest, statistic: f64) -> Finding {
    let tested = &test.shared_wrong;
    let pair = law.pair(0, 1);
    let spread = test.calibration.map_or(1.0, |calibration| calibration.sd);
    let copied = copied_fraction(&pair, LEVEL, spread);
    let ln_p = tested.calibrated_ln_p.unwrap_or(tested.ln_p);
    let z = tested.z.unwrap_or_default();
    let mut details = BTreeMap::from([
        ("items", tested.items as f64),
        ("both_wrong_alike", tested.observed as f64),
        ("expected", tested.expected),
        ("panel_models", law.members().len() as f64),
        ("panel_pairs", test.panel_pairs as f64),
        ("log10_p_of_law", tails::log10(tested.ln_p)),
        ("rank_log10_p", tails::log10(test.rank_ln_p)),
        ("copied_share", copied.estimate),
        ("copied_share_low", copied.low),
        ("copied_share_high", copied.high),
    ]);
    let mut words = "has no pairs to be checked on".to_owned();
    if let Some(calibration) = test.calibration {
        details.extend([
            ("panel_mean_z", calibration.mean),
            ("panel_sd_z", calibration.sd),
        ]);
        words = format!(
            "has a mean of {:.2} and a standard deviation of {:.2} over {} pairs, which is taken off",
            calibration.mean, calibration.sd, calibration.pairs
        );
    }
    Finding {
        statistic,
        n: tested.items as u64,
        null: format!("{}; the excess of the panel's own over it {words}", shared_wrong::NULL),
        log10_p: Some(tails::log10(ln_p)),
        interval: None,
        explanation: format!(
            "Of {} items {} are wrong in both with the same answer; {} independent models of the panel make {:.1} likely \
             (z = {z:.1}). As if {:.0} % of the answers were repeated ({:.0} to {:.0} %).",
            tested.items,
            tested.observed,
            law.members().len(),
            tested.expected,
            100.0 * copied.estimate,
            100.0 * copied.low,
            100.0 * copied.high,
        ),
        details,
        caveats: vec![
            "it says that answers are more alike than the panel's, and is no evidence of shared weights".to_owned(),
        ],
        controls: Vec::new(),
        figures: Vec::new(),
        table: Some(table(sheet, &carriers(&pair, copied.estimate))),
    }
}

/// The same wrong answers that an independent model would be least likely to give.
fn table(sheet: &Sheet<'_>, carriers: &[Carrier]) -> Table {
    let wrong = carriers.iter().filter(|carrier| carrier.wrong).take(LISTED);
    let row = |carrier: &Carrier| {
        let record = sheet.items[carrier.item];
        vec![
            record.item.clone(),
            record.answer.trim().to_owned(),
            format!("{:.4}", carrier.repeats),
        ]
    };
    Table {
        columns: ["item", "same wrong answer", "chance of it"]
            .map(str::to_owned)
            .to_vec(),
        rows: wrong.map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
