//! The overlap on a terminal: one screen, with everything there is to say of two models and the closest pairs
//! of several.

use super::Document;
use super::MISSING;
use super::decimals;
use super::panel;
use super::percent;
use super::reason;
use super::significant;
use crate::evidence::overlap::Deviation;
use crate::evidence::overlap::Naive;
use crate::evidence::overlap::NaiveRow;
use crate::evidence::overlap::Overlap;
use crate::evidence::overlap::PairRow;
use crate::evidence::overlap::RunRow;
use crate::evidence::overlap::Stated;
use crate::report::number;
use crate::report::terminal;
use crate::report::terminal::LABELS;
use crate::report::terminal::Labelled;
use crate::report::terminal::Style;
use crate::report::words;
use crate::text::ModelText;

/// Models and pairs that are listed.
const RUNS: usize = 10;
const PAIRS: usize = 10;
/// Suites and notes that are listed.
const NOTES: usize = 3;
/// Width of the labels under a pair.
const MEASURES: usize = 20;

/// The overlap, ending in a newline; `files` says where the rest is.
pub fn screen(document: &Document<'_>, files: Option<&super::Written>, style: Style) -> String {
    let overlap = document.overlap;
    let title = format!(
        "{}: answers of {} to {}",
        document.tool,
        words::plural(overlap.runs.len(), "model", "models"),
        words::plural(overlap.items.total as usize, "item", "items"),
    );
    let mut lines = vec![
        style.dim(&terminal::one_line(&title, style)),
        style.bold(&headline(overlap)),
        String::new(),
    ];
    lines.extend(runs(overlap, style));
    lines.push(String::new());
    if let Some(against) = overlap.panel.value() {
        lines.extend(panel::screen(against, style));
        lines.push(String::new());
    }
    match (&overlap.pairs[..], &overlap.not_evidence.pairs[..]) {
        ([pair], [naive]) => lines.extend(one_pair(pair, naive, style)),
        _ => lines.extend(several(overlap, style)),
    }
    let notes = notes(overlap);
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(terminal::block(&notes, LABELS, style));
    }
    if let Some(files) = files {
        lines.push(String::new());
        lines.extend(terminal::files(Some(&files.report), style));
        let table = [Labelled::new(
            "items",
            &files.table.display().to_string(),
            1,
        )];
        lines.extend(terminal::block(&table, LABELS, style));
    }
    lines.join("\n") + "\n"
}

fn headline(overlap: &Overlap) -> String {
    match reason(&overlap.panel) {
        Some(reason) => format!("○ descriptive only: {reason}"),
        None => "● held against a panel of other models".to_owned(),
    }
}

fn runs(overlap: &Overlap, style: Style) -> Vec<String> {
    let columns = [
        ("model", 0),
        ("answered", 10),
        ("right", 9),
        ("accuracy", 23),
        ("with itself", 13),
    ];
    let row = |run: &RunRow| {
        let itself = run.self_agreement.value();
        vec![
            ModelText::new(run.label.as_str()).clipped(28),
            number::short_count(run.answered),
            number::short_count(run.right),
            decimals(&run.accuracy),
            itself.map_or_else(
                || MISSING.to_owned(),
                |itself| {
                    itself.exact_match.value().map_or_else(
                        || MISSING.to_owned(),
                        |share| format!("{:.1} %", 100.0 * share.value),
                    )
                },
            ),
        ]
    };
    let rows = overlap.runs.iter().take(RUNS).map(row).collect();
    let mut lines = terminal::columns_table(&columns, 1..5, rows, style);
    lines.extend(left(overlap.runs.len(), RUNS, style));
    lines
}

fn left(all: usize, shown: usize, style: Style) -> Option<String> {
    (all > shown).then(|| style.dim(&format!("  … and {} more in the report", all - shown)))
}

fn one_pair(pair: &PairRow, naive: &NaiveRow, style: Style) -> Vec<String> {
    let counts = &pair.counts;
    let line = |label: &str, text: &str| Labelled::new(label, text, 3);
    let largest = pair
        .largest_error_consistency
        .map_or_else(String::new, |most| format!(", at most {most:.3}"));
    let same_wrong = match pair.same_wrong.value() {
        None => because(&pair.same_wrong),
        Some(_) => format!(
            "{} of {} ({})",
            counts.both_wrong_alike,
            counts.both_wrong_known,
            percent(&pair.same_wrong)
        ),
    };
    let with = |text: String, stated: &Stated<_>| {
        if text == MISSING {
            because(stated)
        } else {
            text
        }
    };
    let mut rows = vec![
        line(
            "same answer",
            &with(percent(&pair.exact_match), &pair.exact_match),
        ),
        line(
            "errors",
            &format!(
                "{} and {} of {}, {} shared: overlap {}",
                counts.first_wrong,
                counts.second_wrong,
                counts.items,
                counts.both_wrong,
                decimals(&pair.error_overlap)
            ),
        ),
        line("same wrong answer", &same_wrong),
        line(
            "error consistency",
            &with(
                format!("kappa {}{largest}", decimals(&pair.error_consistency)),
                &pair.error_consistency,
            ),
        ),
        line(
            "odds ratio",
            &with(significant(&pair.odds_ratio), &pair.odds_ratio),
        ),
        line(
            "copy probability",
            &with(decimals(&pair.copy_probability), &pair.copy_probability),
        ),
        line("CAPA", &with(decimals(&pair.capa), &pair.capa)),
    ];
    if pair.capa_probabilistic.value().is_some() {
        rows.push(line(
            "CAPA, probabilities",
            &decimals(&pair.capa_probabilistic),
        ));
    }
    if let Some(slips) = pair.shared_slips.value() {
        let text = format!(
            "{:.1} % of {} edits of the right texts",
            100.0 * slips.value,
            slips.n
        );
        rows.push(line("shared slips", &text));
    }
    if let Some(deviation) = pair.deviation_from_consensus.value() {
        rows.push(line("without a truth", &deviation_words(deviation)));
    }
    if let Some(difference) = pair.accuracy_difference.value() {
        let text = format!(
            "differ by {:+.3}, log10 p {} (McNemar)",
            difference.value,
            number::log10(difference.log10_p)
        );
        rows.push(line("accuracies", &text));
    }
    if let Some(kappa) = pair.error_consistency_within_suites {
        rows.push(line("within suites", &format!("mean kappa {kappa:.3}")));
    }
    let mut lines = terminal::block(&rows, MEASURES, style);
    lines.push(String::new());
    lines.push(style.bold("not evidence"));
    let against = [
        line("independent errors", &naive_words(&naive.error_overlap)),
        line("even wrong answers", &naive_words(&naive.same_wrong)),
        line(
            "",
            "almost any two models differ from these: hard items are hard for all",
        ),
    ];
    lines.extend(terminal::block(&against, MEASURES, style));
    lines
}

pub(super) fn deviation_words(deviation: &Deviation) -> String {
    format!(
        "of {} items where most others agree, {} and {} depart from them, {} both, {} with the same answer",
        deviation.items, deviation.first, deviation.second, deviation.both, deviation.both_alike
    )
}

fn because<T>(stated: &Stated<T>) -> String {
    format!("{MISSING}: {}", reason(stated).unwrap_or_default())
}

pub(super) fn naive_words(stated: &Stated<Naive>) -> String {
    match stated.value() {
        Some(naive) => format!("z {:.2}, log10 p {}", naive.z, number::log10(naive.log10_p)),
        None => because(stated),
    }
}

/// The pairs of the highest error consistency.
fn several(overlap: &Overlap, style: Style) -> Vec<String> {
    let kappa = |pair: &PairRow| {
        pair.error_consistency
            .value()
            .map_or(f64::NEG_INFINITY, |one| one.value)
    };
    let mut pairs: Vec<&PairRow> = overlap.pairs.iter().collect();
    pairs.sort_by(|a, b| kappa(b).total_cmp(&kappa(a)));
    let columns = [
        ("pair", 0),
        ("kappa", 23),
        ("same wrong", 16),
        ("shared", 8),
    ];
    let row = |pair: &&PairRow| {
        let [first, second] =
            [&pair.first, &pair.second].map(|label| ModelText::new(label.as_str()).clipped(14));
        let same = pair.same_wrong.value();
        vec![
            format!("{first} and {second}"),
            decimals(&pair.error_consistency),
            same.map_or_else(
                || MISSING.to_owned(),
                |_| {
                    format!(
                        "{} of {}",
                        pair.counts.both_wrong_alike, pair.counts.both_wrong_known
                    )
                },
            ),
            number::short_count(pair.counts.both_wrong),
        ]
    };
    let rows = pairs.iter().take(PAIRS).map(row).collect();
    let mut lines = terminal::columns_table(&columns, 1..4, rows, style);
    lines.extend(left(pairs.len(), PAIRS, style));
    let below = &overlap.not_evidence.pairs_below_1e_6;
    let text = format!(
        "{} of {} pairs here have p < 1e-6 against independent errors, {} of {} against evenly spread wrong answers",
        below.by_error_overlap, below.pairs, below.by_same_wrong, below.same_wrong_pairs
    );
    lines.push(String::new());
    lines.extend(terminal::block(
        &[Labelled::new("not evidence", &text, 3)],
        LABELS,
        style,
    ));
    lines
}

fn notes(overlap: &Overlap) -> Vec<Labelled> {
    let vacuous = overlap.suites.iter().filter_map(|suite| {
        let reason = suite.vacuous.as_ref()?;
        Some(Labelled::new(
            "vacuous",
            &format!("suite {}: {reason}", suite_name(&suite.suite)),
            2,
        ))
    });
    let mut rows: Vec<Labelled> = vacuous.take(NOTES).collect();
    rows.extend(
        overlap
            .notes
            .iter()
            .take(NOTES)
            .map(|note| Labelled::new("note", note, 2)),
    );
    rows
}

pub(super) fn suite_name(id: &str) -> String {
    match id {
        "" => "without a name".to_owned(),
        id => ModelText::new(id).clipped(60),
    }
}
