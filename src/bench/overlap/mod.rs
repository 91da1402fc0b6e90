//! How often tests of shared answers call strangers alike, and how often they see a copy: simulated.
//!
//! Independent models answer items that are hard for all alike and tempt all with the same wrong
//! answers; nothing else connects them. A test that is to say something about origin must be quiet here.
//! The tests of behaviour as a rule are not: independent errors and equally likely wrong answers are
//! nulls that no two real models meet. Beside them the indices of [`crate::stat::copying`], each with
//! the same panel of other models of that world.

mod panel;
mod settings;

use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use super::error::Error;
use crate::source::Progress;
use crate::stat::interval::clopper_pearson;
pub use panel::{Row, TESTS, Test};
pub use settings::{Bars, Cell, Overlap};

/// Schema tag of the summary.
pub const SCHEMA: &str = "kinprobe/bench-overlap/v1";

/// What is simulated and how.
pub struct Work {
    /// Worlds, panels, numbers of pairs.
    pub settings: Overlap,
    /// Of every random choice.
    pub seed: u64,
    /// Threads; all cores when absent.
    pub jobs: Option<usize>,
    /// Who is told how far it is.
    pub progress: Arc<dyn Progress>,
}

/// What was found, world by world.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Program name and version.
    pub tool: String,
    /// Of every random choice.
    pub seed: u64,
    /// Items that every model answered.
    pub items: usize,
    /// A p-value at most this counts.
    pub level: f64,
    /// Share of the answers that a copy took over.
    pub copied: f64,
    /// What the panel's p-value is to hold.
    pub bars: Bars,
    /// In the order of the settings.
    pub worlds: Vec<World>,
}

/// One world.
#[derive(Debug, Clone, Serialize)]
pub struct World {
    /// Name in the settings.
    pub name: String,
    /// Models of the panel.
    pub panel: usize,
    /// Pairs of independent models.
    pub pairs: usize,
    /// Pairs of a model and a copy.
    pub copies: usize,
    /// In the order of [`TESTS`].
    pub tests: Vec<Counted>,
    /// Whether the panel's p-value holds both bars here.
    pub holds: bool,
    /// Items after which the test that is looked at after every one reached the level, in the median of
    /// the copies where it did; absent where it never did.
    pub copies_stop_after: Option<usize>,
}

/// One test in one world.
#[derive(Debug, Clone, Serialize)]
pub struct Counted {
    /// Which test.
    #[serde(flatten)]
    pub test: Test,
    /// Independent pairs at or below the level.
    pub false_positives: usize,
    /// The same as a share.
    pub false_positive_rate: f64,
    /// Exact 95 % interval of that share.
    pub false_positive_interval: (f64, f64),
    /// Share of the copies at or below the level.
    pub power: f64,
}

/// Level of the intervals beside the shares.
const INTERVAL: f64 = 0.95;

/// Draws, tests, counts.
///
/// # Errors
/// Threads that cannot be started.
pub fn run(work: &Work, tool: String) -> Result<(Summary, Vec<Row>), Error> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(jobs) = work.jobs {
        pool = pool.num_threads(jobs);
    }
    let settings = &work.settings;
    let panels: Vec<(usize, usize)> = settings
        .worlds
        .iter()
        .enumerate()
        .flat_map(|(at, cell)| (0..settings.panels_of(cell)).map(move |number| (at, number)))
        .collect();
    let bar = work.progress.start("simulated panels", panels.len() as u64);
    let rows = pool.build()?.install(|| {
        let tested = panels.par_iter().map(|(at, number)| {
            let rows = panel::measure(settings, &settings.worlds[*at], *number, work.seed);
            bar.advance(1);
            rows
        });
        tested.collect::<Vec<_>>()
    });
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let worlds = settings
        .worlds
        .iter()
        .map(|cell| World::of(cell, settings, &rows));
    let summary = Summary {
        schema: SCHEMA,
        tool,
        seed: work.seed,
        items: settings.items,
        level: settings.level,
        copied: settings.copied,
        bars: settings.bars,
        worlds: worlds.collect(),
    };
    Ok((summary, rows))
}

impl World {
    /// The test that was looked at after every item.
    pub fn at_any_time(&self) -> Option<&Counted> {
        self.tests.iter().find(|one| one.test.id == panel::ANYTIME)
    }

    fn of(cell: &Cell, settings: &Overlap, rows: &[Row]) -> Self {
        let of_world = rows.iter().filter(|row| row.world == cell.name);
        let (copies, strangers): (Vec<&Row>, Vec<&Row>) = of_world.partition(|row| row.copied);
        let log10_level = settings.level.log10();
        let count = |rows: &[&Row], at: usize| {
            rows.iter()
                .filter(|row| row.log10_p[at] <= log10_level)
                .count()
        };
        let tests: Vec<Counted> = TESTS
            .iter()
            .enumerate()
            .map(|(at, test)| {
                let (false_positives, n) = (count(&strangers, at), strangers.len());
                Counted {
                    test: *test,
                    false_positives,
                    false_positive_rate: false_positives as f64 / n.max(1) as f64,
                    false_positive_interval: clopper_pearson(
                        false_positives as u64,
                        n as u64,
                        INTERVAL,
                    ),
                    power: count(&copies, at) as f64 / copies.len().max(1) as f64,
                }
            })
            .collect();
        let bars = settings.bars;
        let holds = tests.iter().filter(|one| one.test.is_panel_p()).all(|one| {
            one.false_positive_rate <= bars.false_positive_rate && one.power >= bars.power
        });
        Self {
            name: cell.name.clone(),
            panel: cell.panel,
            pairs: strangers.len(),
            copies: copies.len(),
            tests,
            holds,
            copies_stop_after: median(copies.iter().filter_map(|row| row.stopped_after)),
        }
    }
}

fn median(values: impl Iterator<Item = usize>) -> Option<usize> {
    let mut values: Vec<usize> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Every p-value of every pair.
///
/// # Errors
/// Rows that CSV cannot hold.
pub fn to_csv(rows: &[Row]) -> Result<String, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["world", "panel_number", "pair", "copied"];
    header.extend(TESTS.iter().map(|test| test.id));
    header.push("stopped_after");
    writer.write_record(&header)?;
    for row in rows {
        let mut record = vec![
            row.world.clone(),
            row.panel_number.to_string(),
            row.pair.to_string(),
            row.copied.to_string(),
        ];
        record.extend(row.log10_p.iter().map(|log10_p| format!("{log10_p:.4}")));
        record.push(
            row.stopped_after
                .map_or_else(String::new, |at| at.to_string()),
        );
        writer.write_record(&record)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::from(csv::Error::from(error.into_error())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
