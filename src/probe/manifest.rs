//! The YAML half of a suite, as typed.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::error::Error;
use super::suggest::instead_of;
use super::{Readout, Score};
use crate::text::ModelText;

/// Schema tag of a suite file.
const SCHEMA: &str = "kinprobe/suite/v1";
/// Most tokens a suite may ask for per item.
const MAX_TOKENS: usize = 4096;

/// A suite file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    schema: String,
    pub(super) suite: String,
    pub(super) version: u32,
    pub(super) description: String,
    pub(super) license: String,
    pub(super) dataset: Dataset,
    pub(super) prompt: String,
    /// Field that holds what is shown with the prompt.
    #[serde(default)]
    pub(super) image: Option<String>,
    /// Field that renderings of one question share.
    #[serde(default)]
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) target: Option<String>,
    readout: RawReadout,
    score: RawScore,
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

/// The dataset and its hash.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dataset {
    pub(super) path: String,
    pub(super) sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReadout {
    kind: ReadoutKind,
    max_tokens: Option<usize>,
    stop: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadoutKind {
    NextToken,
    Generate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScore {
    kind: ScoreKind,
    fields: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScoreKind {
    Exact,
    Prefix,
    Fields,
}

impl Manifest {
    /// Parses and checks everything that needs no dataset.
    pub(super) fn parse(path: &Path, yaml: &str) -> Result<Self, Error> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            merge_keys: MergeKeyPolicy::Error,
            budget: serde_saphyr::budget! {
                max_aliases: 0,
                max_anchors: 0,
                max_depth: 8,
                max_documents: 1,
                max_nodes: 2_000,
            },
        };
        let manifest: Self = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|error| yaml_error(path, &error))?;
        manifest
            .check()
            .map_err(|reason| Error::invalid(path, None, reason))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!(
                "schema {} is not known: this program reads `{SCHEMA}`",
                instead_of(&self.schema, [SCHEMA])
            ));
        }
        if !is_id(&self.suite) {
            return Err(format!(
                "suite id `{}` must be 1-64 characters of a-z, 0-9 and `-`",
                ModelText::new(&self.suite).clipped(64)
            ));
        }
        for (key, text) in [
            ("description", &self.description),
            ("license", &self.license),
        ] {
            if text.trim().is_empty() || text.trim().contains(char::is_control) {
                return Err(format!("`{key}` must be one line of text"));
            }
        }
        // A single-quoted YAML scalar keeps `\n` as two characters: nobody means that in a prompt.
        if self.prompt.contains("\\n") {
            return Err(
                "`prompt` holds a backslash and an n: write it in double quotes for a line break"
                    .to_owned(),
            );
        }
        self.readout()?;
        self.score().map(drop)
    }

    /// What is read off the model.
    pub(super) fn readout(&self) -> Result<Readout, String> {
        let RawReadout {
            kind,
            max_tokens,
            stop,
        } = &self.readout;
        match (kind, max_tokens, stop) {
            (ReadoutKind::NextToken, None, None) => Ok(Readout::NextToken),
            (ReadoutKind::NextToken, ..) => {
                Err("`readout: next_token` takes neither `max_tokens` nor `stop`: drop them".into())
            }
            (ReadoutKind::Generate, Some(1..=MAX_TOKENS), stop)
                if stop.iter().flatten().all(|end| !end.is_empty()) =>
            {
                Ok(Readout::Generate {
                    max_tokens: max_tokens.unwrap_or(MAX_TOKENS),
                    stop: stop.clone().unwrap_or_default(),
                })
            }
            (ReadoutKind::Generate, ..) => Err(format!(
                "`readout: generate` needs `max_tokens` from 1 to {MAX_TOKENS}, and no empty `stop` string"
            )),
        }
    }

    /// How answers are scored.
    pub(super) fn score(&self) -> Result<Score, String> {
        match (self.score.kind, &self.score.fields) {
            (ScoreKind::Exact, None) => Ok(Score::Exact),
            (ScoreKind::Prefix, None) => Ok(Score::Prefix),
            (ScoreKind::Fields, Some(fields)) if !fields.is_empty() && all_different(fields) => {
                Ok(Score::Fields(fields.clone()))
            }
            (ScoreKind::Fields, _) => {
                Err("`score: fields` needs `fields`, a list of different names".to_owned())
            }
            (_, Some(_)) => Err("only `score: fields` takes `fields`: drop it".to_owned()),
        }
    }
}

/// Whether `id` can be a suite id: it also becomes a file name.
pub(super) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn all_different(names: &[String]) -> bool {
    names
        .iter()
        .enumerate()
        .all(|(at, name)| !names[..at].contains(name))
}

/// One line with the place; the parser's own rendering spans several.
fn yaml_error(path: &Path, error: &serde_saphyr::Error) -> Error {
    use serde_saphyr::Error as Yaml;
    let error = error.without_snippet();
    let line = error.location().map(|at| at.line()).filter(|l| *l > 0);
    let reason = match error {
        Yaml::SerdeUnknownField {
            field, expected, ..
        } => {
            format!(
                "there is no key {}",
                instead_of(field, expected.iter().copied())
            )
        }
        Yaml::SerdeUnknownVariant {
            variant, expected, ..
        } => format!(
            "there is no kind {}",
            instead_of(variant, expected.iter().copied())
        ),
        Yaml::SerdeMissingField { field, .. } => {
            format!("key `{field}` is missing: add it (probes/README.md lists the keys)")
        }
        Yaml::DuplicateMappingKey { key, .. } => format!(
            "key `{}` is there twice: keep one",
            ModelText::new(key.clone().unwrap_or_default()).clipped(40)
        ),
        other => format!(
            "not a suite: {} (probes/README.md describes the format)",
            ModelText::new(first_line(&other.to_string())).clipped(160)
        ),
    };
    Error::invalid(path, line, reason)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
