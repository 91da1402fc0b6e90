//! Tests of shared answers on simulated models: the table, and the files.

use std::path::{Path, PathBuf};

use crate::bench::overlap::{Counted, Summary, World};
use crate::report::error::Error;
use crate::report::json::pretty;
use crate::report::terminal::{Style, columns_table};
use crate::report::write::write_named;

/// Writes `overlap.json` and `overlap.csv` into `dir`; the path of the latter.
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write(dir: &Path, summary: &Summary, rows: &str) -> Result<PathBuf, Error> {
    let json = pretty(summary)?;
    write_named(dir, &[("overlap.csv", rows), ("overlap.json", &json)])?;
    Ok(dir.join("overlap.csv"))
}

/// The table, with what its columns are.
pub fn table(summary: &Summary, style: Style) -> String {
    let title = format!(
        "{}: share of pairs with p <= {} on {} simulated items, in %",
        summary.tool, summary.level, summary.items
    );
    let mut lines = vec![style.bold(&title)];
    let columns = [
        ("independent models", 0),
        ("panel", 7),
        ("pairs", 7),
        ("errors", 8),
        ("even", 6),
        ("K", 6),
        ("GBT", 6),
        ("panel p", 9),
        ("copies", 8),
    ];
    let rows = summary.worlds.iter().map(row).collect();
    lines.extend(columns_table(&columns, 1..9, rows, style));
    lines.push(String::new());
    lines.extend(at_any_time(summary, style));
    lines.push(String::new());
    lines.extend(notes(summary).into_iter().map(|note| format!("  {note}")));
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

fn row(world: &World) -> Vec<String> {
    let rate = |id: &str| {
        let found = world.tests.iter().find(|one| one.test.id == id);
        found.map_or("-".to_owned(), |one| percent(one.false_positive_rate))
    };
    let panel = world.tests.iter().find(|one| one.test.is_panel_p());
    let power = |one: &Counted| format!("{:.1}", 100.0 * one.power);
    vec![
        world.name.clone(),
        world.panel.to_string(),
        world.pairs.to_string(),
        rate("independent_errors"),
        rate("equal_options"),
        rate("k_index"),
        rate("gbt_calibrated"),
        panel.map_or("-".to_owned(), |one| percent(one.false_positive_rate)),
        panel.map_or("-".to_owned(), power),
    ]
}

/// The test that stops as soon as it has seen enough.
fn at_any_time(summary: &Summary, style: Style) -> Vec<String> {
    let title = format!(
        "Looked at after every item, stopped at p <= {}",
        summary.level
    );
    let columns = [
        ("independent models", 0),
        ("ever stopped", 14),
        ("copies stopped", 16),
        ("after items (median)", 22),
    ];
    let row = |world: &World| {
        let found = world.at_any_time();
        let share = |of: fn(&Counted) -> f64| found.map_or("-".to_owned(), |one| percent(of(one)));
        vec![
            world.name.clone(),
            share(|one| one.false_positive_rate),
            share(|one| one.power),
            world
                .copies_stop_after
                .map_or("-".to_owned(), |at| at.to_string()),
        ]
    };
    let rows = summary.worlds.iter().map(row).collect();
    let mut lines = vec![style.bold(&title)];
    lines.extend(columns_table(&columns, 1..4, rows, style));
    lines
}

fn percent(share: f64) -> String {
    if share >= 0.1 {
        format!("{:.0}", 100.0 * share)
    } else {
        format!("{:.2}", 100.0 * share)
    }
}

/// What the columns are, and whether the bars hold.
fn notes(summary: &Summary) -> Vec<String> {
    let failed: Vec<&str> = summary
        .worlds
        .iter()
        .filter(|world| !world.holds)
        .map(|world| world.name.as_str())
        .collect();
    let bars = format!(
        "Bars (at most {} %, at least {} %):",
        100.0 * summary.bars.false_positive_rate,
        100.0 * summary.bars.power
    );
    let verdict = if failed.is_empty() {
        "hold in every world.".to_owned()
    } else {
        format!("do not hold in: {}.", failed.join("; "))
    };
    vec![
        "Nothing connects these models but the items: how hard each is, what tempts.".to_owned(),
        "errors: shared errors against errors at random. even: same wrong answers".to_owned(),
        "against even guessing. Neither is evidence. K, GBT: exam forensics, with the".to_owned(),
        "panel. panel p: same wrong answers against the panel's law, less what panel".to_owned(),
        "pairs show.".to_owned(),
        format!(
            "copies: panel p on models with {} % of their answers copied.",
            100.0 * summary.copied
        ),
        format!("{bars} {verdict}"),
    ]
}
