//! What lm-evaluation-harness writes with `--log_samples`: `samples_<task>_<date>.jsonl`, one line per
//! document and filter, beside `results_<date>.json`, which holds the versions of the tasks.
//!
//! A document is known by the harness's own hash of it, so that runs over different parts of a task join.
//! A task of options is answered by the option with the highest log-likelihood, as the harness's `acc` has it;
//! the probabilities are those among the options.

mod sample;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

use super::Choice;
use super::Error;
use super::join::Intake;
use super::lines::each_line;
use super::scalar::Tree;
use crate::text::ModelText;
use sample::Sample;

/// Reads a folder, or the one folder in it.
pub(super) fn read(path: &Path, choice: &Choice, intake: &mut Intake<'_>) -> Result<(), Error> {
    let found = Files::in_folder(path)?;
    if found.results.is_empty() {
        intake.note(
            "no results_*.json beside the samples, so that the versions of the tasks are not known",
        );
    }
    for results in &found.results {
        for (task, version) in versions(results)? {
            if found.samples.contains_key(&task) {
                intake.version(results, &task, &version)?;
            }
        }
    }
    for (task, file) in &found.samples {
        read_task(task, file, choice, intake)?;
    }
    Ok(())
}

/// The files of one run.
struct Files {
    /// By task.
    samples: BTreeMap<String, PathBuf>,
    results: Vec<PathBuf>,
}

impl Files {
    fn in_folder(path: &Path) -> Result<Self, Error> {
        let mut found = Self::directly_in(path)?;
        if found.samples.is_empty() {
            // The harness makes a folder per model below the one that it was given.
            let folders: Vec<PathBuf> = entries(path)?
                .into_iter()
                .filter(|entry| entry.is_dir())
                .collect();
            let mut with_samples = Vec::new();
            for folder in folders {
                let inside = Self::directly_in(&folder)?;
                if !inside.samples.is_empty() {
                    with_samples.push((folder, inside));
                }
            }
            match with_samples.len() {
                0 => {
                    return Err(Error::file(
                        path,
                        "there is no samples_*.jsonl in it; run the harness with --log_samples --output_path",
                    ));
                }
                1 => found = with_samples.remove(0).1,
                n => {
                    let first = with_samples[0].0.display();
                    let reason = format!(
                        "it holds the samples of {n} models; name each, as in log:lm-eval:{first}"
                    );
                    return Err(Error::file(path, reason));
                }
            }
        }
        Ok(found)
    }

    fn directly_in(path: &Path) -> Result<Self, Error> {
        let mut found = Self {
            samples: BTreeMap::new(),
            results: Vec::new(),
        };
        for file in entries(path)? {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if let Some(task) = name
                .strip_prefix("samples_")
                .and_then(|rest| rest.strip_suffix(".jsonl"))
            {
                let task = without_date(task).to_owned();
                if let Some(other) = found.samples.insert(task.clone(), file.clone()) {
                    let task = ModelText::new(task).clipped(80);
                    let reason = format!(
                        "task {task} was run before, in {}; move one of the files away",
                        other.display()
                    );
                    return Err(Error::file(&file, reason));
                }
            } else if name.starts_with("results_") && name.ends_with(".json") {
                found.results.push(file);
            }
        }
        Ok(found)
    }
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |error| Error::io(folder, error);
    let mut paths = std::fs::read_dir(folder)
        .map_err(io)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    paths.sort();
    Ok(paths)
}

/// `task` of `task_2024-06-28T00-31-34.102003`.
fn without_date(name: &str) -> &str {
    let is_date = |text: &str| {
        let mut parts = text.splitn(3, '-');
        let year = parts
            .next()
            .is_some_and(|year| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()));
        year && parts.next().is_some_and(|month| month.len() == 2) && text.contains('T')
    };
    match name.rsplit_once('_') {
        Some((task, date)) if is_date(date) => task,
        _ => name,
    }
}

/// Versions by task; a task without one has none.
fn versions(path: &Path) -> Result<Vec<(String, String)>, Error> {
    #[derive(Deserialize)]
    struct Results {
        #[serde(default)]
        versions: BTreeMap<String, serde_json::Value>,
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let results: Results =
        serde_json::from_slice(&bytes).map_err(|error| Error::json(path, error.line(), &error))?;
    let stated = results
        .versions
        .into_iter()
        .filter_map(|(task, version)| match version {
            serde_json::Value::Number(number) => Some((task, number.to_string())),
            serde_json::Value::String(text) if !matches!(text.as_str(), "N/A" | "Yaml") => {
                Some((task, text))
            }
            _ => None,
        });
    Ok(stated.collect())
}

fn read_task(
    task: &str,
    path: &Path,
    choice: &Choice,
    intake: &mut Intake<'_>,
) -> Result<(), Error> {
    let mut filter = choice.filter.clone();
    let mut others = BTreeSet::new();
    let mut taken = 0_usize;
    each_line(path, |number, bytes| {
        let sample: Sample<'_> =
            serde_json::from_slice(bytes).map_err(|error| Error::json(path, number, &error))?;
        let own = sample.filter.as_deref().unwrap_or("none");
        let wanted = filter.get_or_insert_with(|| own.to_owned());
        if wanted != own {
            others.insert(own.to_owned());
            return Ok(());
        }
        taken += 1;
        sample.take(task, path, number, intake)
    })?;
    let names: Vec<String> = others
        .iter()
        .map(|name| ModelText::new(name.as_str()).clipped(40))
        .collect();
    if taken == 0 && !names.is_empty() {
        return Err(Error::file(
            path,
            format!("no sample has that filter; it has {}", names.join(", ")),
        ));
    }
    if !names.is_empty() && choice.filter.is_none() {
        let used = ModelText::new(filter.unwrap_or_default()).clipped(40);
        intake.note(&format!(
            "task {}: answers of filter {used} are read; --filter chooses another ({})",
            ModelText::new(task).clipped(60),
            names.join(", ")
        ));
    }
    Ok(())
}

/// A leaf as a number.
fn number(leaf: &Tree<'_>) -> Option<f64> {
    match leaf {
        Tree::Leaf(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::without_date;

    #[test]
    fn dates_end_task_names() {
        for (name, task) in [
            ("mmlu_anatomy_2024-06-28T00-31-34.102003", "mmlu_anatomy"),
            ("gsm8k_2025-01-02T03-04-05.000006", "gsm8k"),
            ("arc_easy", "arc_easy"),
            ("x_2024-06", "x_2024-06"),
        ] {
            assert_eq!(without_date(name), task);
        }
    }
}
