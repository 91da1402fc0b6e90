//! `--until`: two models are asked only until their answers have shown enough.

use anyhow::Context;
use anyhow::Result;

use crate::cli::Global;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::evidence::overlap;
use crate::evidence::overlap::AnytimeRow;
use crate::evidence::overlap::Settings;
use crate::evidence::overlap::Stated;
use crate::probe::Suite;
use crate::record;
use crate::record::Recording;
use crate::record::RecordingStore;
use crate::record::Runner;
use crate::record::import;
use crate::record::import::AnswersRef;
use crate::record::import::Choice;
use crate::text::ModelText;

/// Items that both are asked between two looks; a look costs as much as a few answers.
const STEP: usize = 32;

/// A p-value at which to stop: above 0, below 1.
pub fn level(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if p > 0.0 && p < 1.0 => Ok(p),
        _ => Err(format!(
            "{} is no p-value to stop at; give a number above 0 and below 1, as in 1e-6",
            ModelText::new(text).clipped(40)
        )),
    }
}

/// A model that is asked, and where its answers are kept.
pub struct Asked<'a> {
    /// What it is called.
    pub label: &'a str,
    /// Loaded.
    pub runner: Box<dyn Runner + 'a>,
    /// Of its own.
    pub store: &'a RecordingStore,
}

/// When to stop, and beside whom.
pub struct Rule<'a> {
    /// Answers of other models to the same items.
    pub panel: &'a [AnswersRef],
    /// Largest p-value that stops.
    pub p: f64,
}

/// What two models answered until then.
pub struct Stopped {
    /// One per suite that was begun, of each model.
    pub recordings: Vec<[Recording; 2]>,
    /// How far the evidence came.
    pub found: AnytimeRow,
}

/// Asks both models suite by suite, in the suites' order, and looks after every step.
///
/// What was recorded before counts at the first look. A recording that stopped early is completed by
/// `kinprobe run` without `--until`.
///
/// # Errors
/// Those of asking and of reading answers; a panel beside which nothing can be said.
pub fn ask(
    global: &Global,
    models: &[Asked<'_>; 2],
    suites: &[Suite],
    rule: &Rule<'_>,
) -> Result<Stopped> {
    let mut recordings: Vec<[Recording; 2]> = Vec::new();
    let mut found = None;
    for suite in suites {
        let mut asked = 0;
        while asked < suite.items.len() {
            asked = (asked + STEP).min(suite.items.len());
            let begin = |model: &Asked<'_>| {
                let bars = Bars::shared(global);
                record::run_beginning(&*model.runner, suite, model.store, asked, &*bars)
                    .with_context(|| format!("suite {}", suite.id))
            };
            let both = [begin(&models[0])?, begin(&models[1])?];
            if asked > STEP {
                recordings.pop();
            }
            recordings.push(both);
            let row = look(models, rule)?;
            found = Some(row);
            if row.until.is_some_and(|until| until.reached_after.is_some()) {
                return Ok(Stopped {
                    recordings,
                    found: row,
                });
            }
        }
    }
    let found =
        found.ok_or_else(|| exit::coded(exit::NOTHING_TO_DO, "the suites have no items"))?;
    Ok(Stopped { recordings, found })
}

/// How far the evidence has come with what is recorded.
fn look(models: &[Asked<'_>; 2], rule: &Rule<'_>) -> Result<AnytimeRow> {
    let logs: Vec<AnswersRef> = models
        .iter()
        .map(|model| AnswersRef::recordings(model.label, model.store.folder()))
        .chain(rule.panel.iter().cloned())
        .collect();
    let sheet = import::import(&logs, &Choice::default(), |_| ())?;
    let settings = Settings {
        panel: (2..logs.len()).collect(),
        until: Some(rule.p),
        ..Settings::default()
    };
    match overlap::at_any_time(&sheet, &settings) {
        Stated::Value(row) => Ok(row),
        Stated::Missing { missing } => Err(exit::usage(format!(
            "--until cannot tell when to stop: {missing}"
        ))),
    }
}

/// In words.
pub fn words(row: &AnytimeRow) -> String {
    let Some(until) = row.until else {
        return String::new();
    };
    let stop = match until.reached_after {
        Some(_) => format!("stopped: p {:e} is reached", until.p),
        None => format!("p {:e} was not reached with all items", until.p),
    };
    format!(
        "{stop}; {} of {} shared errors alike in {} items, log10 e {:.2}, log10 p {:.2} at any time",
        row.both_wrong_alike, row.both_wrong, row.items, row.log10_e, row.log10_p
    )
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn levels_are_probabilities_that_can_be_reached() {
        assert_eq!(level("1e-6"), Ok(1e-6));
        for bad in ["0", "1", "-1", "NaN", "often", "1e-400"] {
            assert!(level(bad).unwrap_err().contains("as in 1e-6"), "{bad}");
        }
    }
}
