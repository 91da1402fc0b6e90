//! Answers of several models side by side: terminal, `result.json`, one page, and the table of all items.

mod page;
mod panel;
mod panel_words;
mod terminal;
mod upset;

pub use terminal::screen as terminal;

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use super::error::Error;
use super::json::pretty;
use super::write::Content;
use super::write::Paths;
use super::write::write_all;
use crate::evidence::overlap::Estimate;
use crate::evidence::overlap::Overlap;
use crate::evidence::overlap::Stated;

/// Schema tag of the document.
pub const SCHEMA: &str = "kinprobe/overlap/v1";

/// What is shown.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// Program name and version.
    pub tool: String,
    /// What was measured.
    pub overlap: &'a Overlap,
    /// Command that makes all of it again.
    pub reproduce: String,
}

/// Where a report lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The page and the data.
    pub report: Paths,
    /// Every item with every answer.
    pub table: PathBuf,
}

#[derive(Serialize)]
struct Row<'a> {
    schema: &'static str,
    tool: &'a str,
    conclusion: &'static str,
    because: &'static str,
    #[serde(flatten)]
    overlap: &'a Overlap,
    reproduce: &'a str,
}

/// What may be concluded, in a word, and why.
fn conclusion(overlap: &Overlap) -> (&'static str, &'static str) {
    match overlap.panel {
        Stated::Missing { .. } => (
            "descriptive_only",
            "No panel of other models stands beside the answers, so that nothing here says whether an overlap is larger \
             than between any two models of this kind: models share errors because items are hard, not only because one \
             was made from the other.",
        ),
        Stated::Value(_) => (
            "against_panel",
            "Shared answers are held against what a panel of other models shares. A small p says that the two are more \
             alike than the panel's models are: also for distilled models, and for models trained on the same private \
             data. Answers alone never decide lineage.",
        ),
    }
}

/// The document as JSON.
///
/// # Errors
/// Only for data that JSON has no form for.
pub fn json(document: &Document<'_>) -> Result<String, Error> {
    let (conclusion, because) = conclusion(document.overlap);
    pretty(&Row {
        schema: SCHEMA,
        tool: &document.tool,
        conclusion,
        because,
        overlap: document.overlap,
        reproduce: &document.reproduce,
    })
}

/// Writes `index.html`, `result.json` and `items.csv` (the lines of `table`) into `dir`.
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write(
    dir: &Path,
    document: &Document<'_>,
    table: impl Iterator<Item = Vec<String>>,
) -> Result<Written, Error> {
    let json = json(document)?;
    let page = page::html(document)?;
    let mut table = table;
    let mut lines = |file: &mut dyn std::io::Write| -> std::io::Result<()> {
        let mut writer = csv::Writer::from_writer(file);
        table.try_for_each(|line| writer.write_record(line))?;
        writer.flush()
    };
    write_all(
        dir,
        &mut [
            ("items.csv", Content::Stream(&mut lines)),
            ("result.json", Content::Text(&json)),
            ("index.html", Content::Text(&page)),
        ],
    )?;
    Ok(Written {
        report: Paths {
            html: dir.join("index.html"),
            json: dir.join("result.json"),
        },
        table: dir.join("items.csv"),
    })
}

/// `0.805 [0.758, 0.848]`, or `missing`.
fn decimals(stated: &Stated<Estimate>) -> String {
    in_words(stated, |x| format!("{x:.3}"))
}

/// `64.8 % [57.7, 71.4]`, or `missing`.
fn percent(stated: &Stated<Estimate>) -> String {
    let Some(estimate) = stated.value() else {
        return MISSING.to_owned();
    };
    let number = |x: f64| format!("{:.1}", 100.0 * x);
    format!("{} %{}", number(estimate.value), ends(estimate, number))
}

/// `211 [111, 403]`, or `missing`: three significant digits.
fn significant(stated: &Stated<Estimate>) -> String {
    in_words(stated, |x| {
        let whole = if x > 0.0 {
            x.log10().floor().max(-9.0)
        } else {
            0.0
        };
        let digits = (2.0 - whole).clamp(0.0, 11.0) as usize;
        format!("{x:.digits$}")
    })
}

/// A number that is not there; the reason is in the data.
const MISSING: &str = "missing";

fn in_words(stated: &Stated<Estimate>, number: impl Fn(f64) -> String) -> String {
    stated.value().map_or_else(
        || MISSING.to_owned(),
        |estimate| format!("{}{}", number(estimate.value), ends(estimate, &number)),
    )
}

fn ends(estimate: &Estimate, number: impl Fn(f64) -> String) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!(" [{}, {}]", number(low), number(high)),
        _ => String::new(),
    }
}

/// Why a number is missing, if it is.
fn reason<T>(stated: &Stated<T>) -> Option<&str> {
    match stated {
        Stated::Missing { missing } => Some(missing),
        Stated::Value(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(value: f64, low: f64, high: f64) -> Stated<Estimate> {
        Stated::Value(Estimate {
            value,
            low: Some(low),
            high: Some(high),
            n: 1,
        })
    }

    #[test]
    fn numbers_are_written_with_their_intervals() {
        assert_eq!(
            decimals(&stated(0.804_98, 0.7583, 0.8484)),
            "0.805 [0.758, 0.848]"
        );
        assert_eq!(
            percent(&stated(118.0 / 182.0, 0.577, 0.714)),
            "64.8 % [57.7, 71.4]"
        );
        assert_eq!(significant(&stated(211.2, 110.7, 402.9)), "211 [111, 403]");
        assert_eq!(
            significant(&stated(1.234, 0.056_78, 12.345)),
            "1.23 [0.0568, 12.3]"
        );
        assert_eq!(decimals(&Stated::missing("x")), "missing");
    }
}
