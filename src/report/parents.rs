//! Candidates for a model's origin: a table, and the shares of a mixture by layer.

use serde::Serialize;

use crate::text::ModelText;
use crate::verdict::parents::{Candidate, Conclusion, Mixed, Parents, Parts};

use super::error::Error;
use super::json::pretty;
use super::number;
use super::terminal::{self, LABELS, Labelled, Style};
use super::words;

/// Schema tag of the document.
pub const SCHEMA: &str = "kinprobe/parents/v1";

/// Layers of a mixture that a terminal shows.
const LAYERS: usize = 12;

/// What is shown.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// Program name and version.
    pub tool: String,
    /// The suspect, as it was named.
    pub suspect: String,
    /// The candidates, as they were named.
    pub sources: Vec<String>,
    /// What was found.
    pub parents: &'a Parents,
}

#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    tool: &'a str,
    suspect: &'a str,
    sources: &'a [String],
    #[serde(flatten)]
    parents: &'a Parents,
}

/// The document as JSON.
///
/// # Errors
/// Only for data that JSON has no form for.
pub fn json(document: &Document<'_>) -> Result<String, Error> {
    pretty(&Row {
        schema: SCHEMA,
        tool: &document.tool,
        suspect: &document.suspect,
        sources: &document.sources,
        parents: document.parents,
    })
}

/// The conclusion, the candidates, the mixture.
pub fn terminal(document: &Document<'_>, style: Style) -> String {
    let parents = document.parents;
    let mut lines = vec![
        style.dim(&terminal::one_line(
            &format!(
                "{}: {} among {}",
                document.tool,
                ModelText::new(&*document.suspect).clipped(40),
                words::plural(parents.candidates.len(), "candidate", "candidates")
            ),
            style,
        )),
        style.bold(&terminal::one_line(&headline(parents), style)),
    ];
    let because = [Labelled::new("", &parents.because, 4)];
    lines.extend(terminal::block(&because, 2, style));
    lines.push(String::new());
    lines.extend(candidates(parents, style));
    if let Some(mixed) = &parents.mixture {
        lines.push(String::new());
        lines.extend(mixture(mixed, style));
    }
    lines.push(String::new());
    let notes = [Labelled::new(
        "log10 p",
        "of the strongest exact test, adjusted for the number of candidates (Holm); the other levels allow for it, too",
        3,
    )];
    lines.extend(terminal::block(&notes, LABELS, style));
    lines.join("\n") + "\n"
}

fn headline(parents: &Parents) -> String {
    let names: Vec<String> = parents.named.iter().map(|at| name(parents, *at)).collect();
    let names = names.join(", ");
    match parents.conclusion {
        Conclusion::Merged => format!("● consistent with a mixture of {names}"),
        Conclusion::Between => format!("● related, between {names}"),
        Conclusion::Nearest => format!("● related, nearest to {names}"),
        Conclusion::None => "○ independent of every candidate".to_owned(),
        Conclusion::Undetermined => "◐ undetermined".to_owned(),
    }
}

fn name(parents: &Parents, at: usize) -> String {
    let label = parents
        .candidates
        .get(at)
        .map_or("", |one| one.label.as_str());
    ModelText::new(label).clipped(28)
}

fn candidates(parents: &Parents, style: Style) -> Vec<String> {
    let columns = [
        ("candidate", 0),
        ("lineage", 16),
        ("log10 p", 11),
        ("in common", 11),
        ("aligned", 9),
    ];
    let number = |value: Option<f64>| value.map_or_else(none, |value| format!("{value:.4}"));
    let row = |(at, one): (usize, &Candidate)| {
        let mark = words::lineage_in_list(&one.lineage);
        vec![
            format!("{} {}", at + 1, name(parents, at)),
            format!("{} {}", mark.symbol, mark.word),
            one.log10_p_adjusted.map_or_else(none, number::log10),
            number(one.common),
            number(one.aligned),
        ]
    };
    let rows = parents.candidates.iter().enumerate().map(row).collect();
    terminal::columns_table(&columns, 2..5, rows, style)
}

fn none() -> String {
    "-".to_owned()
}

/// Shares by layer; of many layers, evenly chosen ones.
fn mixture(mixed: &Mixed, style: Style) -> Vec<String> {
    let heads: Vec<String> = mixed
        .parents
        .iter()
        .map(|at| format!("of {}", at + 1))
        .collect();
    let mut columns = vec![("shares in", 0)];
    columns.extend(heads.iter().map(|head| (head.as_str(), 17)));
    columns.push(("explained", 11));
    let row = |label: String, part: &Parts| {
        let mut cells = vec![label];
        let shares = part.shares.iter().zip(&part.half_widths);
        cells.extend(shares.map(|(share, half)| format!("{share:.3} ± {half:.3}")));
        cells.push(part.gain.map_or_else(none, |gain| format!("{gain:.3}")));
        cells
    };
    let step = mixed.layers.len().div_ceil(LAYERS).max(1);
    let mut rows = vec![row("everything".to_owned(), &mixed.whole)];
    rows.extend(mixed.layers.iter().step_by(step).map(|part| {
        let label = match part.layer {
            Some(layer) => format!("block {layer}"),
            None => "outside of blocks".to_owned(),
        };
        row(label, part)
    }));
    let numbers = 1..columns.len();
    terminal::columns_table(&columns, numbers, rows, style)
}
