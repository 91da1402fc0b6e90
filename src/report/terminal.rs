//! The report on a terminal: the conclusion first, one screen.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width};

use crate::text::ModelText;

use super::data::{EvidenceRow, Report};
use super::number;
use super::words;
use super::write::Paths;

/// Most lines that [`terminal`] fills.
pub const LINES: usize = 40;
/// Most columns that [`terminal`] fills.
pub const COLUMNS: usize = 80;
/// Below this the evidence table has no room for its numbers.
const NARROWEST: usize = 60;

/// How to write for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to use ANSI colours; meaning never hangs on them.
    pub color: bool,
    /// Columns of the terminal; used from 60 to [`COLUMNS`].
    pub width: usize,
}

impl Style {
    /// No colour, [`COLUMNS`] wide.
    pub const PLAIN: Self = Self {
        color: false,
        width: COLUMNS,
    };

    fn columns(self) -> usize {
        self.width.clamp(NARROWEST, COLUMNS)
    }

    fn paint(self, code: &str, line: &str) -> String {
        if self.color && !line.is_empty() {
            format!("\u{1b}[{code}m{line}\u{1b}[0m")
        } else {
            line.to_owned()
        }
    }

    pub(super) fn bold(self, line: &str) -> String {
        self.paint("1", line)
    }

    pub(super) fn dim(self, line: &str) -> String {
        self.paint("2", line)
    }
}

/// `report` in at most [`LINES`] lines of at most [`COLUMNS`] columns, ending in a newline.
///
/// `paths` is where the page and the data lie, when they were written.
pub fn terminal(report: &Report, paths: Option<&Paths>, style: Style) -> String {
    let mut lines = head(report, style);
    let tail = tail(report, paths, style);
    lines.push(String::new());
    let room = LINES.saturating_sub(lines.len() + tail.len() + 1);
    lines.extend(evidence(report, room, style));
    lines.push(String::new());
    lines.extend(tail);
    lines.join("\n") + "\n"
}

/// Who, and the four findings.
fn head(report: &Report, style: Style) -> Vec<String> {
    let findings = &report.findings;
    let lineage = &findings.lineage;
    let mark = words::lineage(lineage.conclusion);
    let mut headline = format!("{} lineage: {}", mark.symbol, mark.word);
    if let Some(relation) = words::relation(lineage) {
        headline.push_str(", consistent with ");
        headline.push_str(&relation);
    }
    let mut lines = vec![
        style.dim(&one_line(&names(report), style)),
        style.bold(&one_line(&headline, style)),
    ];
    let mut because = vec![Labelled::new("", &lineage.because, 3)];
    if let Some(id) = &lineage.decided_by {
        let p = lineage
            .log10_p
            .map_or(String::new(), |p| format!(", {}", number::p_value(p)));
        because.push(Labelled::new("", &format!("decided by {id}{p}"), 1));
    }
    if let Some(lr) = lineage.log10_lr {
        let text = format!(
            "log10 LR {}: {}",
            number::log10(lr),
            words::likelihood_ratio(lr)
        );
        because.push(Labelled::new("", &text, 1));
    }
    lines.extend(block(&because, 2, style));
    lines.push(String::new());
    let others: Vec<_> = words::other_findings(findings)
        .iter()
        .map(|(name, word, reason)| {
            Labelled::new(&name.to_lowercase(), &format!("{word}. {reason}"), 2)
        })
        .collect();
    lines.extend(block(&others, LABELS, style));
    lines
}

/// `reference vs suspect`, with the program's name.
fn names(report: &Report) -> String {
    let labels: Vec<_> = report
        .models
        .iter()
        .map(|model| ModelText::new(&*model.label).clipped(24))
        .collect();
    format!("{}: {}", report.tool, labels.join(" vs "))
}

/// What is left open, coverage, warnings, and where the rest lies.
fn tail(report: &Report, paths: Option<&Paths>, style: Style) -> Vec<String> {
    let mut rows = Vec::new();
    if let Some(open) = words::not_excluded(&report.findings).first() {
        rows.push(Labelled::new("not excluded", open, 2));
    }
    rows.push(Labelled::new("coverage", &words::coverage(report), 6));
    if let Some(first) = report.warnings.first() {
        let more = report.warnings.len() - 1;
        let first = ModelText::new(&**first).clipped(120);
        let text = if more == 0 {
            first
        } else {
            format!("{first} (and {more} more in the report)")
        };
        rows.push(Labelled::new("warning", &text, 3));
    }
    let mut lines = block(&rows, LABELS, style);
    lines.extend(files(paths, style));
    lines
}

/// Where the page and the data lie.
pub(super) fn files(paths: Option<&Paths>, style: Style) -> Vec<String> {
    let Some(paths) = paths else {
        return Vec::new();
    };
    let room = style.columns() - LABELS - INDENT;
    let files = [("report", &paths.html), ("data", &paths.json)]
        .map(|(label, path)| Labelled::new(label, &tail_of(&path.display().to_string(), room), 1));
    block(&files, LABELS, style)
}

/// The table of evidence in at most `room` lines, most telling rows first when not all fit.
fn evidence(report: &Report, room: usize, style: Style) -> Vec<String> {
    let measured: Vec<&EvidenceRow> = report
        .evidence
        .iter()
        .filter(|row| words::measured(row))
        .collect();
    let absent: Vec<&EvidenceRow> = report
        .evidence
        .iter()
        .filter(|row| !words::measured(row))
        .collect();
    let mut notes = Vec::new();
    if let [first, rest @ ..] = absent.as_slice() {
        let others = match rest.len() {
            0 => String::new(),
            n => format!("; {n} more in the report"),
        };
        let why = ModelText::new(words::reason(first)).clipped(100);
        let text = format!("{} ({why}){others}", first.id);
        notes = block(&[Labelled::new("no number", &text, 2)], LABELS, style);
    }
    let room = room.saturating_sub(notes.len() + 1);
    let (shown, left) = choose(&measured, room);
    let mut lines = if shown.is_empty() {
        Vec::new()
    } else {
        evidence_table(&shown, style)
    };
    if left > 0 {
        lines.push(style.dim(&format!("  … and {left} more in the report")));
    }
    lines.extend(notes);
    lines
}

/// The rows that fit, in their own order, and how many do not.
fn choose<'a>(rows: &[&'a EvidenceRow], room: usize) -> (Vec<&'a EvidenceRow>, usize) {
    if rows.len() <= room {
        return (rows.to_vec(), 0);
    }
    let rank = |row: &EvidenceRow| match row.supports {
        "related" | "independent" => 0,
        "neither" => 1,
        _ => 2,
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rank(rows[i]));
    order.truncate(room.saturating_sub(1));
    order.sort_unstable();
    let left = rows.len() - order.len();
    (order.into_iter().map(|i| rows[i]).collect(), left)
}

fn evidence_table(rows: &[&EvidenceRow], style: Style) -> Vec<String> {
    let columns = [
        ("evidence", 0),
        ("statistic", 12),
        ("n", 8),
        ("log10 p", 9),
        ("supports", 15),
    ];
    let cells = rows
        .iter()
        .map(|row| {
            let mark = words::supports(row);
            vec![
                row.id.clone(),
                row.statistic.map_or_else(String::new, number::statistic),
                row.n.map_or_else(|| "n/a".to_owned(), number::short_count),
                row.log10_p.map_or_else(|| "none".to_owned(), number::log10),
                format!("{} {}", mark.symbol, mark.word),
            ]
        })
        .collect();
    columns_table(&columns, 1..4, cells, style)
}

/// A table whose first column takes what the others leave; columns in `numbers` are flush right.
pub(super) fn columns_table(
    columns: &[(&str, usize)],
    numbers: std::ops::Range<usize>,
    rows: Vec<Vec<String>>,
    style: Style,
) -> Vec<String> {
    let taken: usize = columns.iter().map(|(_, width)| width).sum();
    let widths = columns.iter().map(|&(_, width)| match width {
        0 => style.columns() - taken - INDENT,
        width => width,
    });
    let line = |cells: Vec<String>| {
        let mut row = Row::from(cells.iter().enumerate().map(|(i, text)| {
            let side = if numbers.contains(&i) {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            };
            Cell::new(ModelText::new(&**text).clipped(COLUMNS)).set_alignment(side)
        }));
        row.max_height(1);
        row
    };
    let names = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows = std::iter::once(names).chain(rows).map(line).collect();
    let mut lines = indented(&fixed(widths, rows));
    if let Some(first) = lines.first_mut() {
        *first = style.dim(first);
    }
    lines
}

/// Width of the label column.
pub(super) const LABELS: usize = 14;
/// Columns left free at the left edge.
const INDENT: usize = 2;

/// A label and its text, cut after a number of lines.
pub(super) struct Labelled {
    label: String,
    text: String,
    lines: usize,
}

impl Labelled {
    pub(super) fn new(label: &str, text: &str, lines: usize) -> Self {
        Self {
            label: label.to_owned(),
            // More than `lines` lines can never show, so a megabyte is not wrapped in vain.
            text: ModelText::new(text).clipped((lines + 1) * COLUMNS),
            lines,
        }
    }
}

/// Labels of `label_width` columns, texts wrapped beside them.
pub(super) fn block(rows: &[Labelled], label_width: usize, style: Style) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let text_width = style.columns() - label_width - INDENT;
    let rows = rows.iter().map(|labelled| {
        let mut row = Row::from([labelled.label.as_str(), labelled.text.as_str()]);
        row.max_height(labelled.lines);
        row
    });
    indented(&fixed([label_width, text_width], rows.collect()))
}

/// One line that fits, whatever is in it.
pub(super) fn one_line(text: &str, style: Style) -> String {
    let mut row = Row::from([ModelText::new(text).clipped(COLUMNS * 2)]);
    row.max_height(1);
    fixed([style.columns()], vec![row]).trim_fmt()
}

/// The end of a path, which says more than its start.
fn tail_of(path: &str, room: usize) -> String {
    let shown = ModelText::new(path).to_string();
    let length = shown.chars().count();
    if length <= room {
        return shown;
    }
    let cut: String = shown.chars().skip(length + 1 - room).collect();
    format!("…{cut}")
}

/// `rows` in columns of these widths, with no lines drawn.
fn fixed(widths: impl IntoIterator<Item = usize>, rows: Vec<Row>) -> Table {
    let widths: Vec<u16> = widths
        .into_iter()
        .map(|width| u16::try_from(width).unwrap_or(u16::MAX))
        .collect();
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(widths.iter().sum())
        .add_rows(rows);
    for (column, &width) in table.column_iter_mut().zip(&widths) {
        column
            .set_padding((0, 2))
            .set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
    }
    table
}

fn indented(table: &Table) -> Vec<String> {
    table
        .trim_fmt()
        .lines()
        .map(|line| format!("{:INDENT$}{line}", "").trim_end().to_owned())
        .collect()
}
