//! The bench on a terminal.

use std::collections::BTreeMap;

use crate::bench::summary::Called;
use crate::bench::summary::Cell;
use crate::bench::summary::KIN;
use crate::bench::summary::Method;
use crate::bench::summary::Spread;
use crate::bench::summary::Summary;
use crate::report::terminal::LABELS;
use crate::report::terminal::Labelled;
use crate::report::terminal::Style;
use crate::report::terminal::block;
use crate::report::terminal::columns_table;
use crate::report::terminal::files;
use crate::report::words::plural;
use crate::report::write::Paths;

/// Name of the suspect to which nothing was done.
const NONE: &str = "none";

/// Names of changes longer than this are spelt out below their table, under their first letters.
const SHORT: usize = 20;

/// As many.
const CLIPPED: usize = 12;

/// Everything a reader of the terminal needs, and where the rest lies.
pub fn terminal(summary: &Summary, paths: Option<&Paths>, style: Style) -> String {
    let mut text = table(summary, style);
    let lines = files(paths, style);
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&lines.join("\n"));
        text.push('\n');
    }
    text
}

/// The tables alone, as the README shows them.
pub fn table(summary: &Summary, style: Style) -> String {
    let mut lines = vec![style.bold(&format!(
        "{}: bench, {} tier: {}, {}",
        summary.tool,
        summary.tier,
        plural(summary.members.len(), "model", "models"),
        plural(summary.runs, "pre-training run", "pre-training runs"),
    ))];
    lines.extend(methods(summary, style));
    lines.push(String::new());
    if summary.methods.iter().any(|method| method.of_lineage) {
        lines.extend(changes(summary, style));
        lines.push(String::new());
        lines.extend(verdicts(summary, style));
        lines.push(String::new());
    }
    if !summary.recovered.is_empty() {
        lines.extend(recovered(summary, style));
        lines.push(String::new());
    }
    if !summary.answered.is_empty() {
        lines.extend(answered(summary, style));
        lines.push(String::new());
    }
    lines.extend(notes(summary, style));
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

/// Which pairs answer more alike than their panel.
fn answered(summary: &Summary, style: Style) -> Vec<String> {
    let columns = [
        ("median log10 p beside a panel", 0),
        ("pairs", 7),
        ("alike", 7),
        ("answers", 9),
        ("least", 7),
        ("laws", 7),
        ("least", 7),
    ];
    let rows = summary.answered.iter().map(|one| {
        let number = |pick: fn(&Spread) -> f64, at: usize| {
            let spread = one.tests.get(at).and_then(Option::as_ref);
            spread.map_or_else(none, |all| format!("{:.1}", pick(all)))
        };
        let mut cells = vec![
            one.what.clone(),
            one.pairs.to_string(),
            one.more_alike.to_string(),
        ];
        for at in 0..2 {
            cells.extend([number(|all| all.median, at), number(|all| all.lowest, at)]);
        }
        cells
    });
    columns_table(&columns, 1..7, rows.collect(), style)
}

fn cell<'a>(method: &'a Method, change: &str, relation: &str) -> Option<&'a Cell> {
    let mut cells = method.cells.iter();
    cells.find(|cell| cell.change == change && cell.relation == relation)
}

/// Unchanged kin against independent pairs.
fn methods(summary: &Summary, style: Style) -> Vec<String> {
    let columns = [
        ("method (suspect as made)", 0),
        ("applies", 10),
        ("AUC", 8),
        ("found", 9),
        ("called", 10),
        ("ms", 8),
    ];
    let rows = summary.methods.iter().map(|method| {
        let kin = cell(method, NONE, KIN);
        let called = method.called.as_ref();
        vec![
            method.id.clone(),
            kin.map_or_else(none, |kin| format!("{}/{}", kin.applicable, kin.pairs)),
            kin.and_then(|kin| kin.auc)
                .map_or_else(none, |auc| format!("{auc:.3}")),
            kin.map_or_else(none, found),
            called.map_or_else(none, |called| {
                format!("{}/{}", called.pairs_called, called.pairs)
            }),
            format!("{:.1}", method.seconds * 1e3),
        ]
    });
    columns_table(&columns, 1..6, rows.collect(), style)
}

fn none() -> String {
    "-".to_owned()
}

/// Share found at one false alarm in a hundred; `~` where there are too few independent pairs for it.
fn found(cell: &Cell) -> String {
    cell.power.first().map_or_else(none, |power| {
        let rough = if power.resolved { "" } else { "~" };
        format!("{rough}{:.0} %", 100.0 * power.detected)
    })
}

/// Per change: what the best methods still find.
fn changes(summary: &Summary, style: Style) -> Vec<String> {
    let columns = [
        ("change of the suspect", 0),
        ("kin", 6),
        ("verdict related", 18),
        ("best method", 26),
        ("found", 8),
    ];
    let mut seen: Vec<&str> = Vec::new();
    for said in &summary.verdict {
        if !seen.contains(&said.change.as_str()) {
            seen.push(&said.change);
        }
    }
    let rows = seen.into_iter().filter_map(|change| {
        let of_lineage = summary.methods.iter().filter(|method| method.of_lineage);
        let cells = of_lineage.filter_map(|method| Some((method, cell(method, change, KIN)?)));
        let (best, kin) = cells.max_by(|a, b| {
            let power = |cell: &Cell| cell.power.first().map_or(0.0, |power| power.detected);
            // The first of equals, as registered.
            power(a.1)
                .total_cmp(&power(b.1))
                .then(std::cmp::Ordering::Greater)
        })?;
        let related = count(summary, change, true);
        Some(vec![
            change.to_owned(),
            kin.pairs.to_string(),
            format!("{related}/{}", kin.pairs),
            best.id.clone(),
            found(kin),
        ])
    });
    let mut lines = columns_table(&columns, 1..3, rows.collect(), style);
    let long = |said: &&crate::bench::summary::Said| said.change.len() > SHORT;
    let mut seen: Vec<&str> = Vec::new();
    for said in summary.verdict.iter().filter(long) {
        if !seen.contains(&said.change.as_str()) {
            seen.push(&said.change);
        }
    }
    let spelt = seen.into_iter().map(|change| {
        let steps = change.replace('+', " + ");
        Labelled::new(&steps[..CLIPPED], &steps, 4)
    });
    let spelt: Vec<Labelled> = spelt.collect();
    if !spelt.is_empty() {
        lines.push(String::new());
        lines.extend(block(&spelt, LABELS, style));
    }
    lines
}

/// Kin under a change that the verdict calls related.
fn count(summary: &Summary, change: &str, lineage: bool) -> usize {
    let said = summary.verdict.iter().filter(|said| {
        said.change == change && crate::verdict::population::is_lineage(&said.relation) == lineage
    });
    said.flat_map(|said| &said.words)
        .filter(|(words, _)| words.starts_with("related"))
        .map(|(_, count)| count)
        .sum()
}

/// Unchanged pairs by known relation.
fn verdicts(summary: &Summary, style: Style) -> Vec<String> {
    let columns = [
        ("known relation", 0),
        ("pairs", 7),
        ("runs", 6),
        ("verdict", 24),
        ("named", 19),
    ];
    let rows = summary
        .verdict
        .iter()
        .filter(|said| said.change == NONE)
        .map(|said| {
            let (mut verdicts, mut named) = (BTreeMap::new(), BTreeMap::new());
            for (words, count) in &said.words {
                let (verdict, name) = words.split_once(": ").unwrap_or((words, ""));
                *verdicts.entry(verdict).or_insert(0) += count;
                if !name.is_empty() {
                    *named.entry(name).or_insert(0) += count;
                }
            }
            vec![
                said.relation.replace('_', " "),
                said.pairs.to_string(),
                said.runs.to_string(),
                counted(&verdicts),
                counted(&named),
            ]
        });
    columns_table(&columns, 1..3, rows.collect(), style)
}

/// `one 3, other 1`, the most frequent first.
fn counted(counts: &BTreeMap<&str, usize>) -> String {
    let mut sorted: Vec<(&&str, &usize)> = counts.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let words = sorted
        .into_iter()
        .map(|(word, count)| format!("{word} {count}"));
    words.collect::<Vec<_>>().join(", ").replace('_', " ")
}

/// What was done, read off the changed model.
fn recovered(summary: &Summary, style: Style) -> Vec<String> {
    let columns = [
        ("change, read off a copy", 0),
        ("what", 34),
        ("right", 7),
        ("worst", 8),
        ("related", 9),
    ];
    let rows = summary.recovered.iter().map(|one| {
        vec![
            one.change.clone(),
            one.what.clone(),
            format!("{}/{}", one.right, one.models),
            one.worst.map_or_else(none, |worst| format!("{worst:.4}")),
            one.related
                .map_or_else(none, |related| format!("{related}/{}", one.models)),
        ]
    });
    columns_table(&columns, 2..5, rows.collect(), style)
}

fn notes(summary: &Summary, style: Style) -> Vec<String> {
    let mut rows = vec![Labelled::new(
        "false alarms",
        &alarms(&summary.false_positives),
        4,
    )];
    if let Some(real) = &summary.real {
        let called = &real.false_positives;
        let text = format!(
            "{} beside the zoo: of their {} the verdict calls {} related. \
             --calibrate puts these pairs into the tables; held against the zoo's models they count for false \
             alarms alone",
            plural(real.models, "real model", "real models"),
            plural(
                called.pairs as usize,
                "independent pair",
                "independent pairs"
            ),
            called.pairs_called,
        );
        rows.push(Labelled::new("real models", &text, 4));
    }
    for pair in &summary.together {
        let [one, other] = &pair.methods;
        let text = format!(
            "{one} and {other}: rank correlation {:.1} over {} of strangers (0 where families are independent)",
            pair.rank_correlation,
            plural(pair.runs, "pair of runs", "pairs of runs"),
        );
        rows.push(Labelled::new("multiplied", &text, 4));
    }
    for method in &summary.methods {
        if let Some(null) = &method.null {
            let text = format!(
                "{}: p-values of {} of independent runs too small? p = {:.2} (one-sided, exact)",
                method.id,
                plural(null.n, "pair", "pairs"),
                null.too_small.1
            );
            rows.push(Labelled::new("null", &text, 2));
        }
    }
    rows.push(Labelled::new(
        "reading it",
        "found: at one false alarm in 100 independent pairs, ~ where they are fewer than 100; a method \
         that does not apply finds nothing. called: independent pairs beyond the method's own level.",
        4,
    ));
    block(&rows, LABELS, style)
}

/// False positives with their intervals.
pub(super) fn alarms(called: &Called) -> String {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    format!(
        "the verdict calls {} of {} independent pairs related (at most {} %), of {} pairs of runs {} (at most {} %; \
         Clopper-Pearson, 95 %)",
        called.pairs_called,
        called.pairs,
        percent(called.pairs_interval.1),
        called.runs,
        called.runs_called,
        percent(called.runs_interval.1),
    )
}
