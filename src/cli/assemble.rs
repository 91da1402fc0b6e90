//! From models, outcomes and findings to the plain data of a report.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde_json::Value;

use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Dossier;
use crate::cli::sampling;
use crate::evidence::Assessment;
use crate::evidence::Outcome;
use crate::model::Model;
use crate::model::SERVED;
use crate::probe::Picture;
use crate::record::Record;
use crate::report::Report;
use crate::report::data;
use crate::verdict;
use crate::verdict::Calibration;
use crate::verdict::Findings;

/// Answers shown side by side; the rest stay in the recordings.
const ANSWERS_SHOWN: usize = 120;

/// Bytes beyond which a picture is named and not shown.
const LARGEST_SHOWN: usize = 32 << 10;

/// Everything the renderers need, and nothing of candle.
pub fn report(
    bench: &Bench<'_>,
    pair: [&Dossier; 2],
    assessments: Vec<Assessment>,
    findings: Findings,
    reproduce: String,
) -> Report {
    let missing = missing(pair, &assessments);
    let calibration = bench.calibration_for(pair);
    Report {
        schema: data::RESULT_SCHEMA,
        tool: tool(),
        models: pair
            .iter()
            .map(|dossier| model_card(&dossier.model))
            .collect(),
        evidence: assessments
            .into_iter()
            .map(|assessment| evidence_row(&calibration, assessment))
            .collect(),
        coverage: data::Coverage {
            depth: bench.depth.name().to_owned(),
            weight_bytes: pair.iter().map(|one| sampling::bytes_read(one)).sum(),
            sampled: pair.iter().filter_map(|one| sampling::row(one)).collect(),
            suites: suites(bench, pair),
            missing,
        },
        answers: answers(bench, pair),
        warnings: warnings(pair, &findings),
        findings,
        reproduce,
    }
}

/// Program name and version.
pub fn tool() -> String {
    format!("kinprobe {}", env!("CARGO_PKG_VERSION"))
}

/// `reports/<time>-<a>-vs-<b>`, in UTC.
pub fn default_folder(report: &Report) -> PathBuf {
    let time = chrono::Utc::now().format("%Y%m%d-%H%M%S");
    let labels: Vec<String> = report
        .models
        .iter()
        .map(|model| file_word(&model.label))
        .collect();
    PathBuf::from("reports").join(format!("{time}-{}", labels.join("-vs-")))
}

/// Copies the answers beside the report, so that a sceptic can count again.
pub fn keep_recordings(bench: &Bench<'_>, folder: &Path, pair: [&Dossier; 2]) -> Result<()> {
    for (dossier, side) in pair.iter().zip(["reference", "suspect"]) {
        for recording in &dossier.recordings {
            let file = folder
                .join("recordings")
                .join(side)
                .join(format!("{}.jsonl", file_word(&recording.header.suite)));
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)
                    .with_context(|| format!("create {}", parent.display()))?;
            }
            let kept = bench.store.path(&recording.header);
            fs::copy(&kept, &file).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}

fn model_card(model: &Model) -> data::ModelCard {
    let dimensions = [
        "num_hidden_layers",
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "num_local_experts",
        "num_experts",
        "tie_word_embeddings",
    ]
    .iter()
    .filter_map(|key| {
        let value = model.config.get(*key)?;
        Some(((*key).to_owned(), plain(value)))
    })
    .collect();
    data::ModelCard {
        label: model.label.clone(),
        source: model.artefacts.reference.clone(),
        revision: model.artefacts.revision.clone(),
        digest: model.digest(),
        architecture: architecture(model),
        parameters: (!model.is_served()).then_some(model.parameters),
        dtype: main_dtype(model),
        dimensions,
        files: model
            .artefacts
            .files()
            .map(|file| data::FileRow {
                name: file.name.clone(),
                size: file.size,
                sha256: file.sha256.clone(),
                digest: sampling::digest(file),
            })
            .collect(),
        caveats: model.caveats.clone(),
    }
}

/// The storage type of most weights, by elements.
fn main_dtype(model: &Model) -> String {
    if model.is_served() {
        return format!("not known: {SERVED}");
    }
    let mut elements: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, tensor) in model.weights.store().iter() {
        *elements.entry(tensor.dtype.name).or_default() += tensor.shape.iter().product::<usize>();
    }
    elements
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or_else(|| "none".to_owned(), |(name, _)| name.to_owned())
}

/// The family that read it, or what the config calls itself.
pub fn architecture(model: &Model) -> String {
    if model.is_served() {
        return format!("not known: {SERVED}");
    }
    match (model.family, model.config.get("model_type")) {
        (Some(family), _) => family.to_owned(),
        (None, Some(Value::String(named))) => format!("{named} (not known to kinprobe)"),
        (None, _) => "unknown".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A method's outcome with what the tables say of it.
pub fn evidence_row(calibration: &Calibration, assessment: Assessment) -> data::EvidenceRow {
    let card = assessment.card;
    let supports = assessment.finding().map_or("descriptive", |finding| {
        verdict::supports(card, finding, calibration)
    });
    let log10_lr = assessment
        .finding()
        .and_then(|finding| verdict::log10_lr(card, finding, calibration));
    let mut row = data::EvidenceRow {
        id: card.id.to_owned(),
        family: card.family.to_owned(),
        version: card.version,
        title: card.title.to_owned(),
        measures: card.measures.to_owned(),
        fooled_by: card.fooled_by.to_owned(),
        reference: card.reference.to_owned(),
        status: "measured",
        reason: None,
        statistic: None,
        n: None,
        null: None,
        log10_p: None,
        log10_lr,
        supports,
        explanation: String::new(),
        caveats: Vec::new(),
        interval: None,
        controls: Vec::new(),
        figures: Vec::new(),
        table: None,
    };
    match assessment.outcome {
        Ok(Outcome::Measured(finding)) => {
            row.statistic = Some(finding.statistic);
            row.n = Some(finding.n);
            row.null = Some(finding.null);
            row.log10_p = finding.log10_p;
            row.explanation = finding.explanation;
            row.caveats = finding.caveats;
            row.interval = finding.interval;
            row.controls = finding.controls;
            row.figures = finding.figures;
            row.table = finding.table;
        }
        Ok(Outcome::NotApplicable(reason)) => {
            row.status = "not_applicable";
            row.reason = Some(reason);
        }
        Err(error) => {
            row.status = "failed";
            row.reason = Some(error);
        }
    }
    row
}

fn missing(pair: [&Dossier; 2], assessments: &[Assessment]) -> Vec<String> {
    let mut lines: Vec<String> = pair
        .iter()
        .filter_map(|dossier| {
            let reason = dossier.missing.as_ref()?;
            Some(format!(
                "{}: answers and activations: {reason}",
                dossier.model.label
            ))
        })
        .collect();
    for assessment in assessments {
        match &assessment.outcome {
            Ok(Outcome::Measured(_)) => {}
            Ok(Outcome::NotApplicable(reason)) => {
                lines.push(format!("{}: {reason}", assessment.card.id));
            }
            Err(error) => lines.push(format!("{}: failed: {error}", assessment.card.id)),
        }
    }
    lines
}

fn warnings(pair: [&Dossier; 2], findings: &Findings) -> Vec<String> {
    let mut lines = verdict::limits(&findings.lineage);
    for dossier in pair {
        let model = &dossier.model;
        lines.extend(
            model
                .caveats
                .iter()
                .map(|caveat| format!("{}: {caveat}", model.label)),
        );
        let errors: usize = dossier
            .recordings
            .iter()
            .flat_map(|recording| &recording.records)
            .filter(|record| record.error.is_some())
            .count();
        if errors > 0 {
            lines.push(format!("{}: {errors} items ended in an error", model.label));
        }
    }
    lines
}

fn suites(bench: &Bench<'_>, pair: [&Dossier; 2]) -> Vec<data::SuiteCoverage> {
    bench
        .suites
        .iter()
        .map(|suite| data::SuiteCoverage {
            suite: format!("{} v{}", suite.id, suite.version),
            sha256: suite.sha256.clone(),
            planned: suite.items.len(),
            answered: matched(pair, &suite.id)
                .iter()
                .filter(|(a, b)| a.error.is_none() && b.error.is_none())
                .count(),
        })
        .collect()
}

/// Records of both models to the same item, in suite order.
fn matched<'a>(pair: [&'a Dossier; 2], suite: &str) -> Vec<(&'a Record, &'a Record)> {
    let of = |dossier: &'a Dossier| {
        dossier
            .recordings
            .iter()
            .find(|recording| recording.header.suite == suite)
            .map_or(&[][..], |recording| &recording.records[..])
    };
    let by_item: BTreeMap<&str, &Record> = of(pair[1])
        .iter()
        .map(|record| (record.item.as_str(), record))
        .collect();
    of(pair[0])
        .iter()
        .filter_map(|record| Some((record, *by_item.get(record.item.as_str())?)))
        .collect()
}

/// Most telling first: the same wrong answer, then different answers, then the same right one.
fn answers(bench: &Bench<'_>, pair: [&Dossier; 2]) -> Vec<data::AnswerRow> {
    let mut ranked: Vec<(u8, data::AnswerRow)> = Vec::new();
    for suite in &bench.suites {
        let items: BTreeMap<&str, _> = suite
            .items
            .iter()
            .map(|item| (item.id.as_str(), item))
            .collect();
        for (reference, suspect) in matched(pair, &suite.id) {
            let Some(item) = items.get(reference.item.as_str()) else {
                continue;
            };
            let same = reference.answer == suspect.answer;
            let wrong = reference.correct == Some(false) && suspect.correct == Some(false);
            let rank = match (same, wrong) {
                (true, true) => 0,
                (false, _) => 1,
                (true, false) => 2,
            };
            ranked.push((
                rank,
                data::AnswerRow {
                    suite: suite.id.clone(),
                    item: item.id.clone(),
                    prompt: item.prompt.clone(),
                    picture: item.picture.as_ref().map(picture),
                    target: item.targets.first().cloned(),
                    reference: shown(reference),
                    suspect: shown(suspect),
                    reference_correct: reference.correct,
                    suspect_correct: suspect.correct,
                    alike: same,
                },
            ));
        }
    }
    balanced(ranked)
}

fn picture(picture: &Picture) -> data::PictureRow {
    let small = picture.bytes().len() <= LARGEST_SHOWN;
    data::PictureRow {
        sha256: picture.sha256.clone(),
        bytes: small.then(|| picture.bytes().to_vec()),
    }
}

/// The first rows of every rank in turn, so that no kind of answer crowds out the others.
fn balanced(mut ranked: Vec<(u8, data::AnswerRow)>) -> Vec<data::AnswerRow> {
    ranked.sort_by_key(|(rank, _)| *rank);
    let per_rank = ANSWERS_SHOWN / 3;
    let mut taken: BTreeMap<u8, usize> = BTreeMap::new();
    ranked.retain(|(rank, _)| {
        let count = taken.entry(*rank).or_default();
        *count += 1;
        *count <= per_rank
    });
    ranked.into_iter().map(|(_, row)| row).collect()
}

fn shown(record: &Record) -> String {
    match &record.error {
        Some(error) => format!("(no answer: {error})"),
        None => record.answer.clone(),
    }
}

/// A label as part of a file name.
pub fn file_word(label: &str) -> String {
    let word: String = label
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    if word.starts_with('.') || word.is_empty() {
        format!("model{word}")
    } else {
        word
    }
}
