//! A model on the bench with all that was recorded of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Error;
use super::listening::Listening;
use crate::evidence::Subject;
use crate::model::Model;
use crate::probe::Suite;
use crate::record;
use crate::record::Activations;
use crate::record::Patches;
use crate::record::Recording;
use crate::record::RecordingStore;
use crate::record::WeightProfile;
use crate::source;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::source::Silent;

/// Opens models and records them.
pub(super) struct Desk<'a> {
    pub options: OpenOptions,
    /// Asked of every model; none where no method needs answers or activations.
    pub suites: &'a [Suite],
    /// Recorded of every model for single methods.
    pub taps: &'a [Listening],
    pub store: RecordingStore,
}

/// One model with what was recorded of it.
pub(super) struct Dossier {
    pub model: Arc<Model>,
    profile: WeightProfile,
    recordings: Vec<Recording>,
    activations: Option<Activations>,
    patches: Result<Patches, String>,
    missing: Option<String>,
    /// By method.
    heard: BTreeMap<&'static str, Result<Activations, String>>,
}

impl Desk<'_> {
    /// Opens, reads the weights once, asks the suites.
    pub fn dossier(&self, place: &ModelRef, label: &str) -> Result<Dossier, Error> {
        let model = Model::open(source::open(place, &self.options)?, label)?;
        let profile = record::profile(&model, &Silent)?;
        self.recorded(model, profile)
    }

    /// `dossier` as `model` is: the same weights with roles that another model has.
    pub fn with_roles(&self, dossier: &Dossier, model: Model) -> Result<Dossier, Error> {
        let profile = record::with_roles(&dossier.profile, &model)?;
        self.recorded(model, profile)
    }

    fn recorded(&self, model: Model, profile: WeightProfile) -> Result<Dossier, Error> {
        let mut dossier = Dossier {
            profile,
            patches: record::patches(&model).map_err(|error| error.to_string()),
            model: Arc::new(model),
            recordings: Vec::new(),
            activations: None,
            missing: None,
            heard: BTreeMap::new(),
        };
        for listening in self.taps {
            let heard = listening.hear(&dossier.model)?;
            dossier.heard.insert(listening.method, heard);
        }
        if self.suites.is_empty() {
            dossier.missing = Some("no suite was asked for".to_owned());
            return Ok(dossier);
        }
        self.ask(&mut dossier)?;
        Ok(dossier)
    }

    fn ask(&self, dossier: &mut Dossier) -> Result<(), Error> {
        let runner = match record::load(&dossier.model) {
            Ok(runner) => runner,
            Err(error) if error.is_not_runnable() => {
                dossier.missing = Some(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for suite in self.suites {
            let (recording, activations) =
                record::run_suite(&*runner, suite, &self.store, &Silent)?;
            dossier.recordings.push(recording);
            dossier.activations = dossier.activations.take().or(activations);
        }
        Ok(())
    }
}

impl Dossier {
    /// What `method` takes.
    pub fn subject_of(&self, method: &str) -> Subject<'_> {
        let Some(heard) = self.heard.get(method) else {
            return self.subject();
        };
        Subject {
            activations: heard.as_ref().ok(),
            missing: heard.as_ref().err().map(String::as_str),
            ..self.subject()
        }
    }

    /// The view that methods take.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            profile: Some(&self.profile),
            recordings: &self.recordings,
            activations: self.activations.as_ref(),
            patches: self.patches.as_ref().map_err(String::as_str),
            missing: self.missing.as_deref(),
        }
    }
}
