//! Plain data -> terminal, JSON, HTML. Nothing here knows candle.
//!
//! Every renderer reads [`Report`] and nothing else, so all of them say the same. Foreign text (model
//! answers, labels, paths, tensor names) reaches a reader only through [`crate::text::ModelText`].

pub mod bench;
pub mod check;
pub mod data;
pub mod demo;
mod error;
mod finite;
mod html;
mod json;
mod number;
pub mod overlap;
pub mod parents;
mod terminal;
mod words;
mod write;

pub use data::Report;
pub use error::Error;
pub use html::PAGE_BYTES;
pub use terminal::{COLUMNS, LINES, Style, terminal};
pub use write::Paths;
pub use write::write_named;

use std::path::Path;

/// `result.json`: pretty, in the schema that [`data::RESULT_SCHEMA`] names.
///
/// # Errors
/// Only for data that JSON has no form for.
pub fn json(report: &Report) -> Result<String, Error> {
    json::pretty(&finite::finite(report))
}

/// The report as one self-contained page of at most [`PAGE_BYTES`], for any browser, offline.
///
/// # Errors
/// Only if the page cannot be filled in.
pub fn html(report: &Report) -> Result<String, Error> {
    html::page(&finite::finite(report))
}

/// Writes `index.html` and `result.json` into `dir`, which is made if need be.
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write(dir: &Path, report: &Report) -> Result<Paths, Error> {
    write::write_files(dir, &html(report)?, &json(report)?)
}
