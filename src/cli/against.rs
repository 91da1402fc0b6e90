//! A model held against a baseline: asked all of it, or until it is decided.

use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::baseline;
use crate::baseline::Baseline;
use crate::baseline::check::LOOKS;
use crate::baseline::check::ORDER;
use crate::baseline::check::Outcome;
use crate::baseline::check::Settings;
use crate::baseline::check::at_a_look;
use crate::baseline::check::beginning;
use crate::cli::Global;
use crate::cli::baseline::ask;
use crate::cli::baseline::made;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::probe::Suite;
use crate::record;
use crate::record::RecordingStore;
use crate::record::Runner;
use crate::record::header;
use crate::text::ModelText;

/// A model, a suite and what was accepted.
pub struct Against<'a> {
    pub global: &'a Global,
    pub model: &'a Model,
    pub runner: &'a dyn Runner,
    pub suite: &'a Suite,
    pub before: &'a Baseline,
    /// The baseline's file.
    pub place: PathBuf,
}

impl Against<'_> {
    /// What the model answers to every item, and what came of it.
    ///
    /// # Errors
    /// A baseline of other conditions; a model that cannot be asked.
    pub fn all(&self, settings: &Settings) -> Result<(Baseline, Outcome)> {
        self.comparable()?;
        let asked = ask(self.global, self.runner, self.suite).with_context(|| self.what())?;
        let now = self.made(&asked, settings);
        let outcome = baseline::check(self.before, &now, settings);
        Ok((now, outcome.map_err(|reason| self.incomparable(reason))?))
    }

    /// Asks in random order and looks a few times on the way.
    ///
    /// # Errors
    /// Those of [`Self::all`].
    pub fn until_decided(&self, settings: &Settings) -> Result<Outcome> {
        self.comparable()?;
        let suite = self.suite.shuffled(ORDER);
        let folder = tempfile::tempdir().context("no folder for temporary files")?;
        let store = RecordingStore::keyed(folder.path());
        let bars = Bars::shared(self.global);
        for look in 1..LOOKS {
            let items = (suite.items.len() * look).div_ceil(LOOKS);
            let recording = record::run_beginning(self.runner, &suite, &store, items, &*bars)
                .with_context(|| self.what())?;
            let now = self.made(&(recording, None), settings);
            let decided = beginning(self.before, &now, settings);
            if let Some(outcome) = decided.map_err(|reason| self.incomparable(reason))? {
                return Ok(outcome);
            }
        }
        let asked = record::run_suite(self.runner, &suite, &store, &*bars);
        let now = self.made(&asked.with_context(|| self.what())?, settings);
        let outcome = baseline::check(self.before, &now, &at_a_look(settings, true));
        Ok(outcome.map_err(|reason| self.incomparable(reason))?)
    }

    /// Before anything is asked.
    fn comparable(&self) -> Result<()> {
        let bound = baseline::bound(self.model, &header(self.runner, self.suite));
        let comparable = baseline::check::comparable(&self.before.head.bound, &bound);
        Ok(comparable.map_err(|reason| self.incomparable(reason))?)
    }

    fn made(
        &self,
        asked: &(record::Recording, Option<record::Activations>),
        settings: &Settings,
    ) -> Baseline {
        let accepted = self.before.head.accepted.clone();
        let gate = (settings.gate, self.before.head.noise_floor);
        made(self.model, self.suite, asked, accepted, gate)
    }

    fn incomparable(&self, reason: String) -> baseline::Error {
        baseline::Error::Incomparable {
            path: self.place.clone(),
            reason,
        }
    }

    fn what(&self) -> String {
        let label = ModelText::new(self.model.label.as_str());
        format!("suite {} on {label}", self.suite.id)
    }
}
