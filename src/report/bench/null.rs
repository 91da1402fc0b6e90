//! P-values between models that have nothing in common: the table, and the files.

use std::path::{Path, PathBuf};

use crate::bench::null::{Checked, Law, Summary};
use crate::report::error::Error;
use crate::report::json::pretty;
use crate::report::terminal::{Style, columns_table};
use crate::report::words::plural;
use crate::report::write::write_named;

/// Writes `null.json` and `null.csv` into `dir`; the path of the latter.
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write(dir: &Path, summary: &Summary, rows: &str) -> Result<PathBuf, Error> {
    let json = pretty(summary)?;
    write_named(dir, &[("null.csv", rows), ("null.json", &json)])?;
    Ok(dir.join("null.csv"))
}

/// The table, with what its columns are.
pub fn table(summary: &Summary, style: Style) -> String {
    let mut lines = vec![style.bold(&format!(
        "{}: p-values of exact tests under the null: {} of random models, {} of trained ones",
        summary.tool,
        plural(summary.random_pairs, "pair", "pairs"),
        plural(summary.trained_pairs, "pair", "pairs"),
    ))];
    let columns = [
        ("method", 0),
        ("law", 7),
        ("random", 8),
        ("KS p", 7),
        ("trained", 9),
        ("KS p", 7),
        ("p<=.05", 8),
        ("p<=.01", 8),
    ];
    let rows = summary.methods.iter().map(|method| {
        let law = match method.law {
            Law::Exact => "exact",
            Law::Bound => "bound",
        };
        let ks = |checked: &Checked| match checked.pairs {
            0 => "-".to_owned(),
            _ => format!("{:.2}", checked.uniform_p),
        };
        vec![
            method.id.clone(),
            law.to_owned(),
            method.random.pairs.to_string(),
            ks(&method.random),
            method.trained.pairs.to_string(),
            ks(&method.trained),
            format!("{:.3}", method.all.at_most_5_percent),
            format!("{:.3}", method.all.at_most_1_percent),
        ]
    });
    lines.extend(columns_table(&columns, 2..8, rows.collect(), style));
    lines.push(String::new());
    lines.extend(NOTES.map(|note| format!("  {note}")));
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

/// What the columns are.
const NOTES: [&str; 5] = [
    "exact: Kolmogorov and Smirnov's test of P(T > t) + U P(T = t) against the uniform law, two-sided.",
    "bound: the p-value is an upper bound, conservative by construction; whether any are too small,",
    "       one-sided.",
    "p<=.05, p<=.01: share of the p-values that a report prints, all pairs; at most that share is",
    "       valid, less is conservative.",
];
