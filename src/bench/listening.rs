//! What is recorded of every model for one method.

use std::fmt;

use super::error::Error;
use crate::model::Model;
use crate::model::Site;
use crate::probe::Suite;
use crate::record::Activations;
use crate::record::tapped;
use crate::record::tapped::Pool;
use crate::record::tapped::Taps;

/// Prompts, and what is kept of a model while it reads them.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Whose.
    pub method: &'static str,
    /// The prompts.
    pub suite: Suite,
    /// Patterns of sites.
    pub sites: Vec<String>,
    /// Which rows of a prompt.
    pub pool: Pool,
}

impl Listening {
    /// For a reader.
    pub fn words(&self) -> String {
        format!(
            "{} prompts of {}, {}, {}",
            self.suite.items.len(),
            self.suite.id,
            self.sites.join(" "),
            self.pool.name()
        )
    }

    /// What `model` has there, or why it has nothing.
    ///
    /// # Errors
    /// A model that fails.
    pub(super) fn hear(&self, model: &Model) -> Result<Result<Activations, String>, Error> {
        let spec = match &model.spec {
            Ok(spec) => spec,
            Err(reason) => return Ok(Err(reason.clone())),
        };
        let patterns = self.sites.iter();
        let sites = patterns.flat_map(|pattern| Site::matching(pattern, spec.num_hidden_layers));
        let mut sites: Vec<Site> = sites.collect();
        sites.sort_by_key(|site| site.turn());
        sites.dedup();
        let taps = Taps {
            sites,
            pool: self.pool,
        };
        match tapped::hear(model, &self.suite, &taps) {
            Ok(heard) => Ok(Ok(heard)),
            Err(error) if error.is_not_runnable() => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

/// All that a recording depends on.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = self.sites.join(" ");
        let (suite, pool) = (&self.suite.sha256, self.pool.name());
        write!(f, "{} {suite} {sites} {pool}", self.method)
    }
}
