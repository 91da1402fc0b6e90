//! Answers of several models to the same items: who is right, wrong, and wrong in the same way.
//!
//! Everything here describes. Whether an overlap is more than models of this kind share anyway can only be
//! said beside other models; see [`NotEvidence`] for the numbers that pretend to say it without.

mod anytime;
mod confusion;
mod consensus;
mod data;
mod free_text;
mod habits;
mod indices;
mod items;
mod options;
mod pairs;
mod panel;
mod power;
mod suites;
mod tally;
mod twins;
mod upset;
mod view;

#[cfg(test)]
mod tests;

pub use anytime::AnytimeRow;
pub use anytime::Until;
pub use confusion::Confusion;
pub use consensus::Deviation;
pub use data::*;
pub use free_text::TextErrors;
pub use habits::Habits;
pub use indices::CalibrationRow;
pub use indices::IndexResult;
pub use indices::IndexRow;
pub use items::table;
pub use panel::AgainstPanel;
pub use panel::CarrierRow;
pub use panel::ClaimRow;
pub use panel::Copied;
pub use panel::PanelPair;
pub use panel::Rank;
pub use power::Power;

use crate::record::import::Sheet;
use free_text::FreeTexts;
use pairs::Extras;
use pairs::share;
use view::View;

/// What may be chosen.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Seed of the resamples.
    pub seed: u64,
    /// Number of options of items whose log does not say it.
    pub options: Option<u32>,
    /// Models (columns) that the others are held against.
    pub panel: Vec<usize>,
    /// The base that the panel and the second model of a pair are said to come from.
    pub base: Option<usize>,
    /// The p-value at which one would stop asking.
    pub until: Option<f64>,
}

impl Settings {
    /// The models that are neither of the panel nor the base.
    fn compared(&self, models: usize) -> Vec<usize> {
        (0..models)
            .filter(|at| self.role(*at) == "compared")
            .collect()
    }

    fn role(&self, at: usize) -> &'static str {
        match self.panel.contains(&at) {
            true => "panel",
            false if self.base == Some(at) => "base",
            false => "compared",
        }
    }
}

/// Why independence is no null.
const WHY: &str = "Against errors that fall independently on items, and against wrong answers spread evenly over the \
    wrong options, almost any two models differ: hard items are hard for all, and some wrong answers attract all. Of \
    2,257 pairs of models from different companies in HELM's MMLU records, 98 % have p < 1e-6 by the first and 95 % \
    by the second.";

/// One in a million, the level at which such p-values are usually quoted.
const QUOTED_LOG10: f64 = -6.0;

/// Compares every pair.
pub fn overlap(sheet: &Sheet, settings: &Settings) -> Overlap {
    let suites = suites::suites(sheet);
    let vacuous: Vec<bool> = suites.iter().map(|suite| suite.vacuous.is_some()).collect();
    let view = View::new(sheet, &vacuous, settings.options);
    let extras = Extras {
        texts: FreeTexts::new(&view),
        habits: habits::habits(&view),
        without_truth: consensus::without_truth(&view),
    };
    let runs: Vec<RunRow> = (0..sheet.columns.len())
        .map(|at| run(&view, at, settings.role(at), &extras))
        .collect();
    let (mut pairs, naive): (Vec<PairRow>, Vec<NaiveRow>) =
        pairs::pairs(&view, settings, &extras).into_iter().unzip();
    for (pair, capa) in pairs
        .iter_mut()
        .zip(options::probabilistic(&view, settings.seed))
    {
        pair.capa_probabilistic = capa;
    }
    Overlap {
        matrices: matrices(&runs, &pairs),
        upset: upset::upset(&view),
        panel: panel::against(&view, settings),
        items: items::items(&view),
        not_evidence: NotEvidence {
            why: WHY,
            pairs_below_1e_6: below(&naive.iter().collect::<Vec<_>>()),
            panel_pairs_below_1e_6: panel_below(&naive, &runs),
            pairs: naive,
        },
        notes: notes(sheet, &suites),
        runs,
        suites,
        pairs,
    }
}

/// How far the evidence of the first two models has come, beside `settings.panel`: the rest of what
/// [`overlap`] finds is left out, since this is looked at again and again.
pub fn at_any_time(sheet: &Sheet, settings: &Settings) -> Stated<AnytimeRow> {
    let suites = suites::suites(sheet);
    let vacuous: Vec<bool> = suites.iter().map(|suite| suite.vacuous.is_some()).collect();
    panel::at_any_time(&View::new(sheet, &vacuous, settings.options), settings)
}

fn run(view: &View<'_>, at: usize, role: &'static str, extras: &Extras) -> RunRow {
    let column = &view.sheet.columns[at];
    let verdicts: Vec<bool> = view.columns[at].right.iter().flatten().copied().collect();
    let judged = verdicts.len() as u64;
    let right = verdicts.iter().filter(|right| **right).count() as u64;
    RunRow {
        label: column.label.clone(),
        role,
        source: column.source.clone(),
        format: column.format.to_owned(),
        answered: column.cells.iter().flatten().count() as u64,
        failed: column.failed as u64,
        judged,
        right,
        accuracy: share(right, judged, "no answer was judged"),
        text_errors: extras.texts.errors(at),
        habits: extras.habits[at].clone(),
        self_agreement: pairs::with_itself(view, at),
    }
}

/// The pairs of panel members alone: what models that nobody compares reach.
fn panel_below(naive: &[NaiveRow], runs: &[RunRow]) -> Stated<Below> {
    let panel: Vec<&str> = runs
        .iter()
        .filter(|run| run.role == "panel")
        .map(|run| run.label.as_str())
        .collect();
    let member = |label: &String| panel.contains(&label.as_str());
    let of_panel: Vec<&NaiveRow> = naive
        .iter()
        .filter(|row| member(&row.first) && member(&row.second))
        .collect();
    let below = below(&of_panel);
    Stated::from_option((below.pairs > 0).then_some(below), || {
        "there is no panel of two or more models".to_owned()
    })
}

fn below(naive: &[&NaiveRow]) -> Below {
    let hits = |of: fn(&NaiveRow) -> &Stated<Naive>| {
        let values = naive
            .iter()
            .filter_map(|row| Some(of(row).value()?.log10_p));
        let (all, below) = values.fold((0, 0), |(all, below), value| {
            (all + 1, below + u64::from(value < QUOTED_LOG10))
        });
        (all, below)
    };
    let (pairs, by_error_overlap) = hits(|row| &row.error_overlap);
    let (same_wrong_pairs, by_same_wrong) = hits(|row| &row.same_wrong);
    Below {
        pairs,
        by_error_overlap,
        by_same_wrong,
        same_wrong_pairs,
    }
}

fn notes(sheet: &Sheet, suites: &[SuiteRow]) -> Vec<String> {
    let mut notes = sheet.notes.clone();
    let partial = suites
        .iter()
        .filter(|suite| suite.shared < suite.items)
        .count();
    if partial > 0 {
        notes.push(format!(
            "in {partial} of {} suites some items were not answered by all: each pair is compared on the items that both \
             answered",
            suites.len()
        ));
    }
    notes
}

type Of<T> = fn(&T) -> Option<f64>;

/// One measure: where it stands in a pair, and in a model's agreement with itself.
struct Measure {
    id: &'static str,
    title: &'static str,
    explanation: &'static str,
    pair: Of<PairRow>,
    itself: Option<Of<SelfAgreement>>,
}

fn value(stated: &Stated<Estimate>) -> Option<f64> {
    stated.value().map(|estimate| estimate.value)
}

static MEASURES: &[Measure] = &[
    Measure {
        id: "exact_match",
        title: "Same answer",
        explanation: "Share of items with the same answer, right or wrong. High between any two good models.",
        pair: |pair| value(&pair.exact_match),
        itself: Some(|itself| value(&itself.exact_match)),
    },
    Measure {
        id: "error_overlap",
        title: "Overlap of errors (Jaccard)",
        explanation: "Items that both get wrong, of those that either gets wrong. Hard items are hard for all.",
        pair: |pair| value(&pair.error_overlap),
        itself: Some(|itself| value(&itself.error_overlap)),
    },
    Measure {
        id: "same_wrong",
        title: "Same wrong answer",
        explanation: "Of the items that both get wrong, the share with the same answer. Unrelated models reach about 60 % \
                      in tests of four options.",
        pair: |pair| value(&pair.same_wrong),
        itself: Some(|itself| value(&itself.same_wrong)),
    },
    Measure {
        id: "error_consistency",
        title: "Error consistency (Cohen's kappa)",
        explanation: "How much more often both are right or both wrong than their accuracies make likely; 0 is not what \
                      unrelated models have, since they share difficult items.",
        pair: |pair| value(&pair.error_consistency),
        itself: Some(|itself| value(&itself.error_consistency)),
    },
    Measure {
        id: "copy_probability",
        title: "Copy probability (Klein et al. 2025)",
        explanation: "The share of answers that the less accurate would have to take over from the more accurate, were all \
                      other errors independent; shared difficulty counts as copying.",
        pair: |pair| value(&pair.copy_probability),
        itself: None,
    },
    Measure {
        id: "capa",
        title: "CAPA of answers (Goel et al. 2025)",
        explanation: "Agreement on options beyond that of equally accurate models whose errors spread evenly.",
        pair: |pair| value(&pair.capa),
        itself: None,
    },
    Measure {
        id: "capa_probabilistic",
        title: "CAPA of probabilities (Goel et al. 2025)",
        explanation: "The same on the probabilities of the options; a model's with itself is below 1 unless it is certain.",
        pair: |pair| value(&pair.capa_probabilistic),
        itself: None,
    },
];

/// Measures that any pair has.
fn matrices(runs: &[RunRow], pairs: &[PairRow]) -> Vec<Matrix> {
    let n = runs.len();
    let matrix = |measure: &Measure| {
        let mut values = vec![vec![None; n]; n];
        let places = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        for ((a, b), pair) in places.zip(pairs) {
            values[a][b] = (measure.pair)(pair);
            values[b][a] = values[a][b];
        }
        let mut missing = None;
        for (at, run) in runs.iter().enumerate() {
            match (&run.self_agreement, measure.itself) {
                (Stated::Value(itself), Some(of)) => values[at][at] = of(itself),
                (Stated::Missing { missing: reason }, Some(_)) => missing = Some(reason.clone()),
                (_, None) => missing = Some("not measured between repetitions".to_owned()),
            }
        }
        Matrix {
            id: measure.id,
            title: measure.title,
            explanation: measure.explanation,
            diagonal: missing,
            values,
        }
    };
    let any = |matrix: &Matrix| matrix.values.iter().flatten().any(Option::is_some);
    MEASURES.iter().map(matrix).filter(any).collect()
}
