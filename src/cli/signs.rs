//! Answers to pictures, of a pair and of everybody it is held against, side by side.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

use crate::cli::assemble;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Dossier;
use crate::evidence::overlap;
use crate::evidence::overlap::Overlap;
use crate::evidence::overlap::Settings;
use crate::record::import;
use crate::record::import::AnswersRef;
use crate::record::import::Choice;
use crate::report;
use crate::report::overlap::Document;

/// Folder beside a pair's report.
pub const FOLDER: &str = "signs";

/// Fewest models of a panel.
const FEWEST: usize = 3;

/// Writes what pictures tell into [`FOLDER`] below `folder`: the answers of all, and how they overlap. `None`
/// where a model of the pair reads no pictures, none were shown, or nobody else saw them.
///
/// # Errors
/// Files that cannot be written.
pub fn side_by_side(
    bench: &Bench<'_>,
    folder: &Path,
    pair: [&Dossier; 2],
    panel: &[Dossier],
) -> Result<Option<Overlap>> {
    let suites = bench.suites.iter().filter(|suite| suite.shows_pictures());
    let suites: Vec<&str> = suites.map(|suite| suite.id.as_str()).collect();
    let saw = |dossier: &&Dossier| {
        let mut recordings = dossier.recordings.iter();
        recordings.any(|recording| suites.contains(&recording.header.suite.as_str()))
    };
    let panel: Vec<&Dossier> = panel.iter().filter(saw).collect();
    if !pair.iter().all(saw) || panel.len() < FEWEST {
        return Ok(None);
    }
    let place = folder.join(FOLDER);
    let mut logs = Vec::new();
    for dossier in pair.iter().chain(&panel) {
        logs.push(keep(bench, &place, dossier, &suites)?);
    }
    let sheet = import::import(&logs, &Choice::default(), |_| ())?;
    let settings = Settings {
        seed: bench.seed,
        panel: (pair.len()..logs.len()).collect(),
        ..Settings::default()
    };
    let overlap = overlap::overlap(&sheet, &settings);
    let document = Document {
        tool: assemble::tool(),
        overlap: &overlap,
        reproduce: reproduce(&logs, pair.len()),
    };
    report::overlap::write(&place, &document, overlap::table(&sheet))?;
    Ok(Some(overlap))
}

/// One model's answers to pictures, copied to where they are read from.
fn keep(bench: &Bench<'_>, place: &Path, dossier: &Dossier, suites: &[&str]) -> Result<AnswersRef> {
    let label = assemble::file_word(&dossier.model.label);
    let folder = place.join("recordings").join(&label);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    for recording in &dossier.recordings {
        let header = &recording.header;
        if suites.contains(&header.suite.as_str()) {
            let file = folder.join(format!("{}.jsonl", assemble::file_word(&header.suite)));
            fs::copy(bench.store.path(header), &file)
                .with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(AnswersRef::recordings(&label, folder))
}

/// The command that compares them again, from within the folder.
fn reproduce(logs: &[AnswersRef], compared: usize) -> String {
    let word = |log: &AnswersRef| format!("run:recordings/{}", log.name());
    let (pair, panel) = logs.split_at(compared);
    let words = |logs: &[AnswersRef]| logs.iter().map(word).collect::<Vec<_>>().join(" ");
    format!("kinprobe overlap {} --panel {}", words(pair), words(panel))
}
