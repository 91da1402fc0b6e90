//! What `check` leaves for build servers: SARIF, and the summary of a run.

use std::env;
use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::baseline;
use crate::cli::Global;
use crate::cli::exit;
use crate::report;
use crate::report::check::Document;
use crate::report::check::Place;

/// Where GitHub's runner says that a step's summary goes.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Writes the SARIF file; `baselines` in the order of the document's suites.
///
/// # Errors
/// A file that cannot be read or written.
pub fn write_sarif(
    file: &Path,
    document: &Document,
    baselines: impl Iterator<Item = PathBuf>,
) -> Result<()> {
    let root = source_root()?;
    let places = baselines.map(|path| place(&root, &path));
    let places = places.collect::<Result<Vec<Place>>>()?;
    let text = report::check::sarif(document, &places)?;
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| exit::usage("--sarif: name a file"))?;
    Ok(report::write_named(folder(file), &[(name, &text)])?)
}

/// Appends the summary to `file`, and, with `--github`, to where the runner wants it.
///
/// # Errors
/// When `file` cannot be written. What the runner named is only warned of: the verdict must not be lost with it.
pub fn write_summary(
    global: &Global,
    file: Option<&Path>,
    github: bool,
    document: &Document,
) -> Result<()> {
    let runners = env::var_os(STEP_SUMMARY)
        .map(PathBuf::from)
        .filter(|path| github && !path.as_os_str().is_empty());
    if file.is_none() && runners.is_none() {
        return Ok(());
    }
    let text = report::check::summary(document);
    if let Some(file) = file {
        append(file, &text)
            .map_err(|error| exit::usage(format!("--summary {}: {error}", file.display())))?;
    }
    if let Some(runners) = runners.filter(|path| !file.is_some_and(|file| same(file, path)))
        && let Err(error) = append(&runners, &text)
    {
        global.note(&format!("{STEP_SUMMARY}: no summary is written: {error}"));
    }
    Ok(())
}

/// Adds to a file, or begins it; what others wrote stays.
fn append(file: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder(file))?;
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    // What stands there may end within a paragraph.
    let gap = match file.metadata()?.len() {
        0 => "",
        _ => "\n\n",
    };
    // One write, so that steps that run at once do not mix.
    file.write_all(format!("{gap}{text}").as_bytes())
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// The working copy that the current folder is in, else that folder.
fn source_root() -> Result<PathBuf> {
    let here = env::current_dir().and_then(fs::canonicalize);
    let here = here.context("--sarif: the current folder cannot be named")?;
    let copy = here.ancestors().find(|folder| folder.join(".git").exists());
    Ok(copy.unwrap_or(&here).to_owned())
}

fn place(root: &Path, baseline: &Path) -> Result<Place> {
    let whole = fs::canonicalize(baseline).map_err(|source| baseline::Error::Io {
        path: baseline.to_owned(),
        source,
    })?;
    let below = whole.strip_prefix(root).map(Path::to_owned);
    Ok(Place {
        lines: baseline::lines(&whole)?,
        file: below.unwrap_or(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_added_to_what_stands_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/summary.md");
        append(&file, "one\n").unwrap();
        append(&file, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n\n\ntwo\n");
        assert!(append(folder.path(), "x").is_err());
        assert!(same(&file, &folder.path().join("new/../new/summary.md")));
        assert!(!same(&file, &folder.path().join("none")));
    }
}
