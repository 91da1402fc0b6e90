//! Answers that were recorded before, by this program or another -> one [`Sheet`]. Loads no model.
//!
//! A format is one file here and one line of [`FORMATS`]. Files are read as streams: what stays in memory is
//! a few numbers per answer and the beginning of every distinct text.

mod error;
mod inspect;
mod join;
mod jsonl;
mod lines;
mod lm_eval;
mod options;
mod recording;
mod reference;
mod scalar;
mod sheet;
mod table;
mod texts;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::sheet_of;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::Error;
pub use reference::AnswersRef;
pub use sheet::Cell;
pub use sheet::Column;
pub use sheet::Item;
pub use sheet::Sheet;
pub use sheet::SuiteFacts;
pub use texts::TextId;
pub use texts::Texts;

use join::Intake;
use join::Join;

/// A way of writing answers down.
#[derive(Debug)]
pub struct Format {
    /// What a reference to it begins with.
    pub scheme: &'static str,
    /// What follows, in a word.
    pub path: &'static str,
    /// What it is.
    pub title: &'static str,
    read: fn(&Path, &Choice, &mut Intake<'_>) -> Result<(), Error>,
}

/// Every format.
pub static FORMATS: &[Format] = &[
    Format {
        scheme: "run",
        path: "folder",
        title: "recordings of kinprobe run",
        read: recording::read,
    },
    Format {
        scheme: "log:jsonl",
        path: "file",
        title: "JSON lines",
        read: jsonl::read,
    },
    Format {
        scheme: "log:csv",
        path: "file",
        title: "comma-separated values",
        read: table::read,
    },
    Format {
        scheme: "log:lm-eval",
        path: "folder",
        title: "samples of lm-evaluation-harness",
        read: lm_eval::read,
    },
    Format {
        scheme: "log:inspect",
        path: "file",
        title: "log of inspect_ai",
        read: inspect::read,
    },
];

/// Where this program's own is in [`FORMATS`].
const RUN: usize = 0;

/// What to read where a log holds several things.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Filter of lm-evaluation-harness; the first in the file when absent.
    pub filter: Option<String>,
    /// Scorer of inspect_ai; the first of a sample when absent.
    pub scorer: Option<String>,
}

/// Reads all answers and joins them item by item.
///
/// `begun` is told of every log before it is read.
///
/// # Errors
/// One line that names the file, the line and the reason: a log cannot be read, answers an item twice, or
/// contradicts another log about an item or the version of a task; two models have one name; no two models
/// answered the same item.
pub fn import(
    runs: &[AnswersRef],
    choice: &Choice,
    mut begun: impl FnMut(&AnswersRef),
) -> Result<Sheet, Error> {
    let mut join = Join::default();
    let mut seen: BTreeMap<String, &AnswersRef> = BTreeMap::new();
    for run in runs {
        let label = run.name();
        if let Some(other) = seen.insert(label.clone(), run) {
            return Err(Error::Reference {
                given: run.to_string(),
                reason: format!(
                    "`{other}` would be called `{label}`, too: name one of them, as in `other={run}`"
                ),
            });
        }
        begun(run);
        let mut intake = join.begin(&label, &run.to_string(), run.format.title);
        (run.format.read)(&run.path, choice, &mut intake)?;
        intake.end(&run.path)?;
    }
    let mut sheet = join.sheet;
    let items = sheet.items.len();
    for column in &mut sheet.columns {
        column.cells.resize(items, None);
    }
    let shared = |at: &usize| {
        sheet
            .columns
            .iter()
            .filter(|column| column.cells[*at].is_some())
            .count()
            > 1
    };
    if sheet.columns.len() > 1 && !(0..items).any(|at| shared(&at)) {
        return Err(Error::Nothing(nothing_shared(&sheet)));
    }
    Ok(sheet)
}

/// Why no two logs have an item in common, in words with examples.
fn nothing_shared(sheet: &Sheet) -> String {
    let example = |column: &Column| {
        let at = column.cells.iter().position(Option::is_some)?;
        let item = sheet.items.get(at)?;
        let suite = &sheet.suites.get(item.suite as usize)?.id;
        let word = |text: &str| crate::text::ModelText::new(text).clipped(40);
        Some(format!(
            "{}: suite `{}`, item `{}`",
            word(&column.label),
            word(suite),
            word(&item.id)
        ))
    };
    let examples: Vec<String> = sheet.columns.iter().take(2).filter_map(example).collect();
    format!(
        "no two logs answer the same item ({}): items are joined by suite and id, or by the hash of their content",
        examples.join("; ")
    )
}
