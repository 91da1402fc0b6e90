//! What is done to a suspect before it is compared.

use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use sha2::Digest;
use sha2::Sha256;

use super::error::Error;
use crate::model::Model;
use crate::zoo::launder;
use crate::zoo::launder::Step;

/// Name of doing nothing.
pub const NONE: &str = "none";

/// A chain of launderings.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Change {
    name: String,
    steps: Vec<Step>,
}

impl FromStr for Change {
    type Err = String;

    /// Reads `none`, or launderings joined by `+`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self::none());
        }
        let steps: Result<Vec<Step>, launder::Error> = text.split('+').map(str::parse).collect();
        let steps = steps.map_err(|error| error.to_string())?;
        let names: Vec<String> = steps.iter().map(Step::to_string).collect();
        Ok(Self {
            name: names.join("+"),
            steps,
        })
    }
}

impl TryFrom<String> for Change {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Change {
    /// Nothing.
    pub fn none() -> Self {
        Self {
            name: NONE.to_owned(),
            steps: Vec::new(),
        }
    }

    /// The launderings with their strengths, joined by `+`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The launderings, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the model computes the same function afterwards, up to rounding.
    pub fn exact(&self) -> bool {
        self.steps.iter().all(Step::exact)
    }

    /// Whether a second model is mixed in.
    pub fn needs_other(&self) -> bool {
        self.steps.iter().any(Step::needs_other)
    }

    /// Whether the model that both come from is asked for, too.
    pub fn needs_base(&self) -> bool {
        self.steps.iter().any(Step::needs_base)
    }

    /// The folder of the changed model below `work`, made unless it is there.
    ///
    /// Its name is a hash of the models and of everything that is done, so that equal work is done
    /// once; it appears only when it is complete.
    pub(super) fn make(
        &self,
        model: &Model,
        [other, base]: [Option<&Model>; 2],
        seed: u64,
        work: &Path,
    ) -> Result<PathBuf, Made> {
        let digest = |model: Option<&Model>| model.map(Model::digest).unwrap_or_default();
        let canonical = format!(
            "{} {}{} {seed} {}",
            model.digest(),
            digest(other),
            digest(base),
            self.name
        );
        let hash = Sha256::digest(canonical.as_bytes());
        let name: String = hash
            .iter()
            .take(12)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = work.join(name);
        if folder.exists() {
            return Ok(folder);
        }
        let options = launder::Options {
            seed,
            other,
            base,
            // Whether exact launderings are exact is tested where they are made; here it would cost
            // two forward passes for each of hundreds of models.
            verify: false,
        };
        match launder::launder(model, &self.steps, &options, &folder) {
            Ok(_) => Ok(folder),
            Err(error @ (launder::Error::Refused { .. } | launder::Error::Unfit { .. })) => {
                Err(Made::NotApplicable(error.to_string()))
            }
            Err(error) => Err(Made::Failed(error.into())),
        }
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why a changed model was not made.
#[derive(Debug)]
pub(super) enum Made {
    /// The change does not apply to such a model, in words.
    NotApplicable(String),
    /// It failed.
    Failed(Error),
}
