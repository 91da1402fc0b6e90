//! What a user types to name answers.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Error;
use super::FORMATS;
use super::Format;
use super::RUN;
use crate::source::split_label;

/// `[label=]run:folder` or `[label=]log:format:path`.
#[derive(Debug, Clone)]
pub struct AnswersRef {
    /// The name the user gave the model.
    pub label: Option<String>,
    /// How the answers are written down.
    pub format: &'static Format,
    /// Where they are.
    pub path: PathBuf,
}

impl AnswersRef {
    /// Recordings of this program in `folder`.
    pub fn recordings(label: &str, folder: PathBuf) -> Self {
        Self {
            label: Some(label.to_owned()),
            format: &FORMATS[RUN],
            path: folder,
        }
    }

    /// What the model is called if the user gave no name: the file's or folder's own.
    pub fn name(&self) -> String {
        let stem = match self.path.is_dir() {
            true => self.path.file_name(),
            false => self.path.file_stem(),
        };
        let name = stem.and_then(|stem| stem.to_str()).unwrap_or("model");
        self.label.clone().unwrap_or_else(|| name.to_owned())
    }
}

impl fmt::Display for AnswersRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            write!(f, "{label}=")?;
        }
        write!(f, "{}:{}", self.format.scheme, self.path.display())
    }
}

impl FromStr for AnswersRef {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Reference {
            given: given.to_owned(),
            reason,
        };
        let (label, rest) = split_label(given).map_err(refuse)?;
        let found = FORMATS.iter().find_map(|format| {
            let path = rest.strip_prefix(format.scheme)?.strip_prefix(':')?;
            Some((format, path))
        });
        match found {
            Some((_, "")) => Err(refuse("a path must follow".to_owned())),
            Some((format, path)) => Ok(Self {
                label,
                format,
                path: PathBuf::from(path),
            }),
            None => {
                let known: Vec<String> = FORMATS
                    .iter()
                    .map(|format| format!("`{}:{}`", format.scheme, format.path))
                    .collect();
                Err(refuse(format!(
                    "recorded answers are {}, each with an optional `label=`; a model is first asked with `kinprobe run`",
                    known.join(", ")
                )))
            }
        }
    }
}
