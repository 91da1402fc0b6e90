//! The stages of a comparison: open, plan, record, assess, judge, report.

mod dossier;
mod panel;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;

use crate::cli::Global;
use crate::cli::progress::Bars;
use crate::evidence;
use crate::evidence::Assessment;
use crate::evidence::Memo;
use crate::evidence::Pair;
use crate::evidence::Subject;
use crate::model::Model;
use crate::model::mapping;
use crate::probe;
use crate::probe::Suite;
use crate::record;
use crate::record::RecordingStore;
use crate::source;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::verdict;
use crate::verdict::Calibration;
use crate::verdict::Findings;

pub use dossier::Dossier;
pub use panel::Panel;
pub(super) use panel::strangers;

/// How much is read and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Depth {
    /// Config, tokenizer, tensor lists and a planned sample of the weights
    Quick,
    /// Every weight as well
    Standard,
    /// Activations and the probe suites on both models as well
    Full,
}

impl Depth {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }
}

/// What every comparison of one invocation shares.
pub struct Bench<'g> {
    pub global: &'g Global,
    pub options: OpenOptions,
    pub data: PathBuf,
    pub suites: Vec<Suite>,
    pub store: RecordingStore,
    pub calibration: Calibration,
    pub depth: Depth,
    pub seed: u64,
    /// Whether methods of the literature are shown beside ours.
    pub published: bool,
    /// Bytes of memory that a model may take, where that is limited.
    pub memory: Option<u64>,
}

impl<'g> Bench<'g> {
    /// Finds the data folder, the suites and the calibration.
    pub fn new(global: &'g Global, wanted: &[String], depth: Depth, seed: u64) -> Result<Self> {
        let data = source::data_root(global.data.as_deref())?;
        let suites = match depth {
            Depth::Full => probe::select(&data, wanted)?,
            _ => Vec::new(),
        };
        let mut options = OpenOptions::from_env();
        options.offline |= global.offline;
        options.data_root = Some(data.clone());
        options.progress = Some(Bars::shared(global));
        Ok(Self {
            global,
            options,
            suites,
            store: RecordingStore::in_cache()?,
            calibration: Calibration::load(&data)?,
            data,
            depth,
            seed,
            published: false,
            memory: None,
        })
    }

    /// Source files, pinned, behind the canonical view.
    pub fn open(&self, reference: &ModelRef, default_label: &str) -> Result<Model> {
        let label = reference.label.as_deref().unwrap_or(default_label);
        let artefacts = source::open(reference, &self.options)?;
        Ok(Model::open(artefacts, label)?)
    }

    /// Adds the shipped suites of pictures where both models see and no suite was `wanted` by name.
    ///
    /// # Errors
    /// A suite of pictures that was wanted of models that read text alone.
    pub fn show_pictures(&mut self, pair: [&Model; 2], wanted: &[String]) -> Result<()> {
        let sees = pair.iter().all(|model| model.sees());
        if self.depth == Depth::Full && wanted.is_empty() && sees {
            self.suites.extend(probe::pictures(&self.data)?);
        }
        match self.suites.iter().find(|suite| suite.shows_pictures()) {
            Some(suite) if !sees => Err(record::Error::Pictures {
                suite: suite.id.clone(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Both models of a pair; where the tensors of one have names that say nothing, with the roles that
    /// the other's have.
    pub fn with_roles(&self, reference: Model, suspect: Model) -> Result<[Model; 2]> {
        // What no weights are known of gives no roles and needs none.
        if self.depth == Depth::Quick || reference.is_served() || suspect.is_served() {
            return Ok([reference, suspect]);
        }
        let suspect = match mapping::with_roles_of(&suspect, &reference)? {
            Some(known) => known,
            None => suspect,
        };
        let reference = match mapping::with_roles_of(&reference, &suspect)? {
            Some(known) => known,
            None => reference,
        };
        Ok([reference, suspect])
    }

    /// Every method that was asked for on the pair.
    ///
    /// # Errors
    /// Shipped Gram matrices that are damaged.
    pub fn assess(&self, pair: [&Dossier; 2], panel: &Panel) -> Result<Vec<Assessment>> {
        let references = self.references(pair, panel)?;
        let population: Vec<Subject<'_>> = panel.population.iter().map(Dossier::subject).collect();
        let pair = Pair {
            reference: pair[0].subject(),
            suspect: pair[1].subject(),
            population: &population,
            derived: panel
                .derived
                .as_ref()
                .map(|(parent, child)| (parent.subject(), child.subject())),
            references: &references,
            seed: self.seed,
            memo: Memo::default(),
        };
        Ok(evidence::assess_all(&pair, self.published, |_| {}))
    }

    /// Findings under the rules of evidence.
    pub fn judge(&self, pair: [&Dossier; 2], assessments: &[Assessment]) -> Findings {
        verdict::judge(assessments, &self.calibration_for(pair))
    }

    /// The tables without what the runs of the pair added to them, as the zoo lists them and as the tables
    /// know the files: no pair calibrates its own verdict. A sample of the weights is judged by exact tests
    /// alone: the tables are of whole models.
    pub fn calibration_for(&self, pair: [&Dossier; 2]) -> Calibration {
        if self.depth == Depth::Quick {
            return self.calibration.for_samples();
        }
        let runs = pair
            .iter()
            .filter_map(|one| one.model.artefacts.run.clone());
        let mut runs: BTreeSet<String> = runs.collect();
        for one in pair {
            runs.extend(self.calibration.known_as(&one.model.digest()));
        }
        self.calibration.without(&runs)
    }
}
