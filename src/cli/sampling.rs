//! Depth quick: a planned sample of the weights in place of all of them.

use anyhow::Result;

use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::cli::pipeline::Dossier;
use crate::cli::progress::Bars;
use crate::model::Model;
use crate::model::sample;
use crate::model::sample::Sample;
use crate::report::data::SampledModel;
use crate::source::Artefact;
use crate::source::Digested;

/// MiB of weights that depth quick reads of each model, unless told otherwise.
pub const SAMPLE_MIB: u64 = 64;

impl Bench<'_> {
    /// What will be read of each model of a pair; `None` where all is read.
    pub fn samples(&self, pair: [&Model; 2]) -> Option<[Sample; 2]> {
        let budget = self.options.sample.filter(|_| self.depth == Depth::Quick)?;
        Some(sample::plan(pair, budget, self.seed))
    }

    /// `model` with what was planned of it.
    pub fn sampled(&self, model: Model, sample: Option<&Sample>) -> Result<Model> {
        let Some(sample) = sample else {
            return Ok(model);
        };
        let mut model = model.sampled(sample, &*Bars::shared(self.global))?;
        model.caveats.push(format!(
            "sampled: {} were read; {}",
            sample.words(),
            digests(&model)
        ));
        Ok(model)
    }
}

/// What the digests of the weight files stand on.
pub fn digests(model: &Model) -> &'static str {
    let weights = &model.artefacts.weights;
    let any = |digest| weights.iter().any(|file| file.digest == digest);
    if any(Digested::Unknown) {
        "digests of files that were not read as a whole are not known"
    } else if any(Digested::Listed) {
        "digests of the weight files are those that the hub lists, not checked"
    } else {
        "digests are of the whole files"
    }
}

/// What a file's digest stands on, as reports say it.
pub fn digest(file: &Artefact) -> &'static str {
    match file.digest {
        Digested::Read => "read",
        Digested::Listed => "listed",
        Digested::Unknown => "unknown",
    }
}

/// A row of the coverage.
pub fn row(dossier: &Dossier) -> Option<SampledModel> {
    let sample = dossier.sample.as_ref()?;
    Some(SampledModel {
        label: dossier.model.label.clone(),
        tensors: sample.touched,
        of_tensors: sample.of_tensors,
        bytes: sample.bytes,
        of_bytes: sample.of_bytes,
        digests: digests(&dossier.model).to_owned(),
    })
}

/// Bytes of weights that were read.
pub fn bytes_read(dossier: &Dossier) -> u64 {
    match (&dossier.sample, &dossier.profile) {
        (Some(sample), _) => sample.bytes,
        (None, Some(_)) => dossier
            .model
            .artefacts
            .weights
            .iter()
            .map(|file| file.size)
            .sum(),
        (None, None) => 0,
    }
}
