//! The bench as one self-contained page.

use std::collections::BTreeMap;
use std::fmt::Write;

use askama::Template;

use super::terminal::alarms;
use crate::bench::summary::Cell;
use crate::bench::summary::Method;
use crate::bench::summary::Summary;
use crate::report::error::Error;
use crate::report::html::page::Shell;
use crate::report::html::page::shown;
use crate::report::number;
use crate::text::ModelText;

/// The page.
pub(super) fn html(summary: &Summary) -> Result<String, Error> {
    Ok(Page::new(summary).render()?)
}

#[derive(Template)]
#[template(path = "bench.html", config = "src/report/templates/askama.toml")]
struct Page {
    shell: Shell,
    models: usize,
    runs: usize,
    tier: String,
    alarms: String,
    /// Heads of the map's columns, with whether the pairs share weights.
    columns: Vec<Column>,
    map: Vec<Row>,
    rocs: Vec<Roc>,
    said: Vec<[String; 5]>,
    nulls: Vec<[String; 6]>,
    costs: Vec<[String; 6]>,
    members: Vec<[String; 3]>,
    reproduce: String,
}

struct Column {
    name: String,
    lineage: bool,
    pairs: usize,
    runs: usize,
}

struct Row {
    method: String,
    cells: Vec<Shade>,
}

/// One cell of the map.
struct Shade {
    /// `h0` to `h10`, or `absent`.
    class: String,
    text: String,
    title: String,
}

struct Roc {
    method: String,
    path: String,
    auc: String,
    pairs: String,
    description: String,
}

impl Page {
    fn new(summary: &Summary) -> Self {
        let heads = heads(summary);
        let columns = heads.iter().map(|((change, relation), cell)| Column {
            name: head(change, relation),
            lineage: cell.lineage,
            pairs: cell.pairs,
            runs: cell.runs,
        });
        let map = summary.methods.iter().map(|method| Row {
            method: shown(&method.id),
            cells: heads.iter().map(|(key, _)| shade(method, key)).collect(),
        });
        Self {
            shell: Shell::new("kinprobe bench", &summary.tool),
            models: summary.members.len(),
            runs: summary.runs,
            tier: shown(&summary.tier),
            alarms: alarms(&summary.false_positives),
            columns: columns.collect(),
            map: map.collect(),
            rocs: summary.methods.iter().filter_map(roc).collect(),
            said: said(summary),
            nulls: summary.methods.iter().filter_map(null).collect(),
            costs: summary.methods.iter().map(cost).collect(),
            members: summary
                .members
                .iter()
                .map(|model| {
                    let runs: Vec<&str> = model.runs.iter().map(String::as_str).collect();
                    [
                        shown(&model.name),
                        shown(&runs.join(", ")),
                        shown(&model.digest),
                    ]
                })
                .collect(),
            reproduce: ModelText::new(&*summary.reproduce).clipped(4000),
        }
    }
}

type Key = (String, String);

/// Every group of pairs, in the order in which methods list them.
fn heads(summary: &Summary) -> Vec<(Key, &Cell)> {
    let mut heads: Vec<(Key, &Cell)> = Vec::new();
    for cell in summary.methods.iter().flat_map(|method| &method.cells) {
        let key = (cell.change.clone(), cell.relation.clone());
        if heads.iter().all(|(known, _)| *known != key) {
            heads.push((key, cell));
        }
    }
    heads
}

fn head(change: &str, relation: &str) -> String {
    let relation = relation.replace('_', " ");
    shown(&match (change, relation.as_str()) {
        ("none", "kin") => "all kin, as made".to_owned(),
        ("none", relation) => relation.to_owned(),
        (change, "kin") => change.to_owned(),
        (change, relation) => format!("{change}, {relation}"),
    })
}

fn shade(method: &Method, (change, relation): &Key) -> Shade {
    let mut cells = method.cells.iter();
    let found = cells.find(|cell| cell.change == *change && cell.relation == *relation);
    let Some((cell, power)) = found.and_then(|cell| Some((cell, cell.power.first()?))) else {
        return Shade {
            class: "absent".to_owned(),
            text: "-".to_owned(),
            title: "no independent pairs to hold it against".to_owned(),
        };
    };
    let percent = 100.0 * power.detected;
    let auc = cell
        .auc
        .map_or_else(String::new, |auc| format!("AUC {auc:.3}, "));
    Shade {
        class: if cell.applicable == 0 {
            "absent".to_owned()
        } else {
            format!("h{:.0}", (percent / 10.0).floor())
        },
        text: if cell.applicable == 0 {
            "n/a".to_owned()
        } else {
            format!("{percent:.0}")
        },
        title: format!(
            "{auc}applies to {} of {} pairs of {} runs, against {} independent pairs of {} run pairs{}",
            cell.applicable,
            cell.pairs,
            cell.runs,
            cell.independent,
            cell.independent_runs,
            if power.resolved {
                ""
            } else {
                " (too few to tell 1 % from 0)"
            }
        ),
    }
}

/// Side of a ROC plot.
const SIDE: f64 = 120.0;

fn roc(method: &Method) -> Option<Roc> {
    let kin = method
        .cells
        .iter()
        .find(|cell| cell.change == "none" && cell.relation == "kin")?;
    let auc = kin.auc?;
    let mut path = String::new();
    for (at, (x, y)) in method.roc.iter().enumerate() {
        let verb = if at == 0 { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{verb}{:.1} {:.1}", x * SIDE, (1.0 - y) * SIDE);
    }
    Some(Roc {
        method: shown(&method.id),
        path,
        auc: format!("{auc:.3}"),
        pairs: format!("{} kin, {} independent pairs", kin.pairs, kin.independent),
        description: format!("ROC curve of {}, area {auc:.3}", shown(&method.id)),
    })
}

fn said(summary: &Summary) -> Vec<[String; 5]> {
    let row = |said: &crate::bench::summary::Said| {
        let words = said
            .words
            .iter()
            .map(|(words, count)| format!("{words}: {count}"));
        [
            shown(&said.change),
            shown(&said.relation.replace('_', " ")),
            said.pairs.to_string(),
            said.runs.to_string(),
            shown(&words.collect::<Vec<_>>().join("; ").replace('_', " ")),
        ]
    };
    summary.verdict.iter().map(row).collect()
}

fn null(method: &Method) -> Option<[String; 6]> {
    let null = method.null?;
    let (called, runs) = method.called.as_ref().map_or_else(
        || ("no level".to_owned(), "no level".to_owned()),
        |called| {
            let share =
                |hits, all, high: f64| format!("{hits} of {all} (up to {:.2} %)", 100.0 * high);
            (
                share(called.pairs_called, called.pairs, called.pairs_interval.1),
                share(called.runs_called, called.runs, called.runs_interval.1),
            )
        },
    );
    Some([
        shown(&method.id),
        null.n.to_string(),
        format!("{:.3}", null.too_small.1),
        format!("{:.3}", null.kolmogorov_smirnov.1),
        called,
        runs,
    ])
}

fn cost(method: &Method) -> [String; 6] {
    let kinds: BTreeMap<String, usize> = method
        .outcomes
        .iter()
        .map(|(status, count)| {
            let word = serde_json::to_value(status).ok();
            let word = word
                .as_ref()
                .and_then(|word| word.as_str())
                .unwrap_or_default();
            (word.replace('_', " "), *count)
        })
        .collect();
    let outcomes: Vec<String> = kinds
        .iter()
        .map(|(word, count)| format!("{word} {count}"))
        .collect();
    [
        shown(&method.id),
        shown(&method.family),
        method
            .cost
            .map_or_else(|| "none".to_owned(), |cost| format!("{cost:.3}")),
        format!("{:.1}", method.seconds * 1e3),
        method
            .bytes
            .map_or_else(|| "not measured".to_owned(), number::bytes),
        outcomes.join(", "),
    ]
}
