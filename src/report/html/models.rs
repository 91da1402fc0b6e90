//! What was compared.

use crate::report::data::{ModelCard, Report};
use crate::report::number;

use super::Limits;
use super::page::{sentence, shown};

/// The table of models with their files.
pub(super) struct Models {
    pub labels: Vec<String>,
    pub attributes: Vec<Attribute>,
    pub files: Vec<Files>,
    pub caveats: Vec<(String, String)>,
}

/// One line of the table.
pub(super) struct Attribute {
    pub name: String,
    pub values: Vec<String>,
    /// Long hexadecimal or path-like values.
    pub code: bool,
    pub differs: bool,
}

/// The files of one model.
pub(super) struct Files {
    pub label: String,
    pub count: usize,
    pub size: String,
    pub rows: Vec<[String; 3]>,
    pub left: usize,
}

impl Models {
    pub fn new(report: &Report, limits: Limits) -> Self {
        let models = &report.models;
        let caveats = models
            .iter()
            .flat_map(|m| m.caveats.iter().map(|c| (shown(&m.label), sentence(c))));
        Self {
            labels: models.iter().map(|model| shown(&model.label)).collect(),
            attributes: attributes(models),
            files: models.iter().map(|model| files(model, limits)).collect(),
            caveats: caveats.take(limits.rows).collect(),
        }
    }
}

fn attributes(models: &[ModelCard]) -> Vec<Attribute> {
    let line = |name: &str, code: bool, value: &dyn Fn(&ModelCard) -> String| {
        let values: Vec<String> = models.iter().map(value).collect();
        Attribute {
            name: shown(name),
            code,
            differs: values.windows(2).any(|pair| pair[0] != pair[1]),
            values,
        }
    };
    let revision = |m: &ModelCard| shown(m.revision.as_deref().unwrap_or("none (not from a hub)"));
    let parameters = |m: &ModelCard| {
        m.parameters
            .map_or_else(|| "not known".to_owned(), number::count)
    };
    let mut lines = vec![
        line("source", true, &|m| shown(&m.source)),
        line("revision", true, &revision),
        line("digest", true, &|m| shown(&m.digest)),
        line("architecture", false, &|m| shown(&m.architecture)),
        line("parameters", false, &parameters),
        line("stored as", false, &|m| shown(&m.dtype)),
    ];
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in models.iter().flat_map(|model| &model.dimensions) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    lines.extend(names.into_iter().take(40).map(|name| {
        line(name, false, &|m| {
            m.dimensions
                .iter()
                .find(|(own, _)| own == name)
                .map_or_else(|| "not stated".to_owned(), |(_, value)| shown(value))
        })
    }));
    lines
}

fn files(model: &ModelCard, limits: Limits) -> Files {
    let size = model
        .files
        .iter()
        .fold(0_u64, |sum, file| sum.saturating_add(file.size));
    let rows: Vec<_> = model
        .files
        .iter()
        .take(limits.rows)
        .map(|file| {
            [
                shown(&file.name),
                number::count(file.size),
                match file.digest {
                    "read" => shown(&file.sha256),
                    "listed" => format!("{} (as the hub lists it)", shown(&file.sha256)),
                    _ => "not known: read in parts".to_owned(),
                },
            ]
        })
        .collect();
    Files {
        label: shown(&model.label),
        count: model.files.len(),
        size: number::bytes(size),
        left: model.files.len() - rows.len(),
        rows,
    }
}
