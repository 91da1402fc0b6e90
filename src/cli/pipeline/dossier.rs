//! One model with all that is recorded of it: weights read once, suites asked.

use anyhow::Context;
use anyhow::Result;

use super::Bench;
use super::Depth;
use crate::cli::progress::Bars;
use crate::evidence::Subject;
use crate::model::Model;
use crate::model::sample::Sample;
use crate::probe::Suite;
use crate::record;
use crate::record::Activations;
use crate::record::Patches;
use crate::record::Recording;
use crate::record::WeightProfile;

/// One model with all that was recorded of it.
pub struct Dossier {
    pub model: Model,
    pub profile: Option<WeightProfile>,
    pub recordings: Vec<Recording>,
    pub activations: Option<Activations>,
    /// What its tower and resampler make of random patches, or why that is missing.
    pub patches: Result<Patches, String>,
    pub missing: Option<String>,
    /// What was read of the weights, where not all of them were.
    pub sample: Option<Sample>,
}

impl Dossier {
    /// Nothing recorded yet.
    fn new(model: Model, missing: Option<String>) -> Self {
        Self {
            model,
            profile: None,
            recordings: Vec::new(),
            activations: None,
            patches: Err("not run".to_owned()),
            missing,
            sample: None,
        }
    }

    /// The view evidence methods take.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            profile: self.profile.as_ref(),
            recordings: &self.recordings,
            activations: self.activations.as_ref(),
            patches: self.patches.as_ref().map_err(String::as_str),
            missing: self.missing.as_deref(),
        }
    }
}

impl Bench<'_> {
    /// Why `model` of `pair` is not asked the suites, if it is not: answers of one model alone are of
    /// no use to a comparison.
    pub fn not_run(&self, model: &Model, pair: [&Model; 2]) -> Option<String> {
        if self.depth < Depth::Full {
            return Some(format!("not run at depth {}", self.depth.name()));
        }
        if let Some(reason) = not_runnable(model) {
            return Some(reason);
        }
        let other = pair
            .into_iter()
            .find(|other| not_runnable(other).is_some())?;
        Some(format!("not asked, because {} cannot be run", other.label))
    }

    /// Both models of a pair.
    pub fn record_pair(&self, reference: Model, suspect: Model) -> Result<[Dossier; 2]> {
        let both = [&reference, &suspect];
        let reasons = both.map(|model| self.not_run(model, both));
        let [for_reference, for_suspect] = reasons;
        let [of_reference, of_suspect] = match self.samples(both) {
            Some(samples) => samples.map(Some),
            None => [None, None],
        };
        if both.iter().any(|model| model.is_served()) {
            // Where one side shows no weights, reading those of the other would be for nothing.
            return Ok([
                self.answers(reference, for_reference)?,
                self.answers(suspect, for_suspect)?,
            ]);
        }
        Ok([
            self.record_unless(reference, of_reference, for_reference)?,
            self.record_unless(suspect, of_suspect, for_suspect)?,
        ])
    }

    /// Reads the weights once and asks the suites.
    pub fn record(&self, model: Model) -> Result<Dossier> {
        let reason = self.not_run(&model, [&model, &model]);
        let sample = self.samples([&model, &model]).map(|[sample, _]| sample);
        self.record_unless(model, sample, reason)
    }

    /// Asks the suites and reads no weights but to run the model.
    fn answers(&self, model: Model, missing: Option<String>) -> Result<Dossier> {
        let mut dossier = Dossier::new(model, missing);
        if dossier.missing.is_none() {
            self.ask(&mut dossier)?;
        }
        Ok(dossier)
    }

    fn record_unless(
        &self,
        model: Model,
        sample: Option<Sample>,
        missing: Option<String>,
    ) -> Result<Dossier> {
        let model = self.sampled(model, sample.as_ref())?;
        let profile = record::profile(&model, &*Bars::shared(self.global))?;
        let mut dossier = Dossier {
            profile: Some(profile),
            sample,
            ..Dossier::new(model, missing)
        };
        if self.depth == Depth::Full {
            dossier.patches = record::patches(&dossier.model).map_err(|error| error.to_string());
        }
        if dossier.missing.is_none() {
            self.ask(&mut dossier)?;
        }
        Ok(dossier)
    }

    fn ask(&self, dossier: &mut Dossier) -> Result<()> {
        let runner = match record::load_within(&dossier.model, self.memory) {
            Ok(runner) => runner,
            Err(error) if error.is_not_runnable() => {
                dossier.missing = Some(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // A panel may have members that read text alone, or pictures alone.
        let legible = |suite: &&Suite| match suite.shows_pictures() {
            true => runner.sees(),
            false => runner.reads_text(),
        };
        for suite in self.suites.iter().filter(legible) {
            let bars = Bars::shared(self.global);
            let (recording, activations) = record::run_suite(&*runner, suite, &self.store, &*bars)
                .with_context(|| format!("suite {}", suite.id))?;
            dossier.recordings.push(recording);
            dossier.activations = dossier.activations.take().or(activations);
        }
        Ok(())
    }
}

/// Why a model cannot be run at all.
fn not_runnable(model: &Model) -> Option<String> {
    // A server has the tokenizer of its model.
    let tokenizer = || match model.is_served() {
        true => None,
        false => model.tokenizer.as_ref().err().cloned(),
    };
    model.not_runnable().or_else(tokenizer)
}
