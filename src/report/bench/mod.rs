//! What the bench found: terminal, `bench.json`, one page, and the table of every score.

pub mod null;
pub mod overlap;
mod page;
mod terminal;

pub use terminal::table;
pub use terminal::terminal;

use std::path::Path;

use super::error::Error;
use super::json::pretty;
use super::write::Paths;
use super::write::write_named;
use crate::bench::summary::Summary;

/// Writes `index.html`, `bench.json` and `scores.csv` into `dir`.
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write(dir: &Path, summary: &Summary, scores: &str) -> Result<Paths, Error> {
    let page = page::html(summary)?;
    let json = pretty(summary)?;
    write_named(
        dir,
        &[
            ("scores.csv", scores),
            ("bench.json", &json),
            ("index.html", &page),
        ],
    )?;
    Ok(Paths {
        html: dir.join("index.html"),
        json: dir.join("bench.json"),
    })
}
