//! The stages of a comparison: open, plan, record, assess, judge, report.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::cli::Global;
use crate::cli::exit;
use crate::cli::progress::Bars;
use crate::cli::references;
use crate::evidence;
use crate::evidence::Assessment;
use crate::evidence::Memo;
use crate::evidence::Pair;
use crate::evidence::Subject;
use crate::model::DecoderSpec;
use crate::model::Model;
use crate::model::SERVED;
use crate::model::mapping;
use crate::model::sample::Sample;
use crate::probe;
use crate::probe::Suite;
use crate::record;
use crate::record::Activations;
use crate::record::Patches;
use crate::record::Recording;
use crate::record::RecordingStore;
use crate::record::WeightProfile;
use crate::record::grams::ReferenceGrams;
use crate::record::tapped::Pool;
use crate::source;
use crate::source::Collection;
use crate::source::ModelRef;
use crate::source::OpenOptions;
use crate::source::ZooMember;
use crate::source::ZooStart;
use crate::verdict;
use crate::verdict::Calibration;
use crate::verdict::Findings;

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

/// One model with all that was recorded of it.
pub struct Dossier {
    pub model: Model,
    pub profile: Option<WeightProfile>,
    pub recordings: Vec<Recording>,
    pub activations: Option<Activations>,
    pub patches: Option<Patches>,
    pub missing: Option<String>,
    /// What was read of the weights, where not all of them were.
    pub sample: Option<Sample>,
}

impl Dossier {
    /// The view evidence methods take.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            profile: self.profile.as_ref(),
            recordings: &self.recordings,
            activations: self.activations.as_ref(),
            patches: self.patches.as_ref(),
            missing: self.missing.as_deref(),
        }
    }
}

/// Models that the numbers of a pair are held against.
pub struct Panel {
    /// Independent pre-training runs, one model each.
    pub population: Vec<Dossier>,
    /// A pair known to be related.
    pub derived: Option<(Dossier, Dossier)>,
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
        let mut dossier = Dossier {
            model,
            profile: None,
            sample: None,
            recordings: Vec::new(),
            activations: None,
            patches: None,
            missing,
        };
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
        let profile = Some(record::profile(&model, &*Bars::shared(self.global))?);
        let mut dossier = Dossier {
            model,
            profile,
            sample,
            recordings: Vec::new(),
            activations: None,
            patches: None,
            missing,
        };
        if self.depth == Depth::Full && dossier.model.sees() {
            // Parts that are not those of a known family are left to other evidence.
            dossier.patches = record::patches(&dossier.model).ok();
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

    /// The models named for it and the shipped ones of runs other than those of `pair`, each once, and a
    /// shipped derived pair.
    pub fn panel(&self, pair: [&Dossier; 2], extra: &[ModelRef]) -> Result<Panel> {
        let mut panel = Panel {
            population: Vec::new(),
            derived: None,
        };
        // A model that stood in the panel twice would agree with itself as no two strangers do.
        let mut known = pair.map(|dossier| dossier.model.digest()).to_vec();
        for (index, reference) in extra.iter().enumerate() {
            let model = self.open(reference, &format!("panel-{}", index + 1))?;
            if model.is_served() && !pair.iter().any(|dossier| dossier.model.is_served()) {
                return Err(exit::usage(format!(
                    "--panel {reference}: {SERVED}, and the two models that are compared show more: name one with files"
                )));
            }
            if known[..pair.len()].contains(&model.digest()) {
                return Err(exit::usage(format!(
                    "--panel {reference} is one of the two models that are compared: a panel is of others"
                )));
            }
            if !known.contains(&model.digest()) {
                known.push(model.digest());
                panel.population.push(self.record(model)?);
            }
        }
        // Those who read pictures are held against those who do.
        let collection = match pair.iter().all(|dossier| dossier.model.sees()) {
            true => Collection::Script,
            false => Collection::Text,
        };
        let members = source::zoo_members(&self.data, collection)?;
        let runs: Vec<&str> = pair
            .iter()
            .filter_map(|dossier| dossier.model.artefacts.run.as_deref())
            .collect();
        let strangers = strangers(&members, &runs).into_iter();
        let mut strangers = strangers
            .map(|base| self.open(&format!("zoo:{}", base.name).parse()?, &base.name))
            .collect::<Result<Vec<Model>>>()?;
        let alike = |model: &Model| pair.iter().any(|one| same_construction(&one.model, model));
        if strangers.iter().filter(|model| alike(model)).count() >= LEAST_ALIKE {
            strangers.retain(alike);
        }
        for model in strangers {
            if !known.contains(&model.digest()) {
                panel.population.push(self.record(model)?);
            }
        }
        if let Some(child) = members
            .iter()
            .find(|member| member.relation.as_deref() == Some("fine_tuned"))
            && let Some(parent) = &child.parent
        {
            panel.derived = Some((self.zoo(parent)?, self.zoo(&child.name)?));
        }
        Ok(panel)
    }

    fn zoo(&self, name: &str) -> Result<Dossier> {
        let reference: ModelRef = format!("zoo:{name}").parse()?;
        self.record(self.open(&reference, name)?)
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

    /// Shipped Gram matrices of runs that neither the pair nor the panel is of.
    fn references(&self, pair: [&Dossier; 2], panel: &Panel) -> Result<Vec<ReferenceGrams>> {
        let Some(read) = &pair[0].activations else {
            return Ok(Vec::new());
        };
        let recordings = pair[0].recordings.iter();
        let records = recordings
            .filter(|recording| recording.header.suite == read.suite)
            .flat_map(|recording| &recording.records);
        let prompts = records.map(|record| (record.item.clone(), record.prompt_sha256.clone()));
        let all = || pair.into_iter().chain(&panel.population);
        let digests: Vec<String> = all().map(|one| one.model.digest()).collect();
        let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
        let runs: Vec<&str> = all()
            .filter_map(|one| one.model.artefacts.run.as_deref())
            .collect();
        references::of_other_runs(
            self.global,
            (Pool::Last, &prompts.collect()),
            &digests,
            &runs,
        )
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

/// With fewer bases built like the pair than this, the null is all bases there are.
const LEAST_ALIKE: usize = 3;

/// Bases that share neither a run nor initial weights with the pair or with each other, and whose
/// answers none of them learnt.
pub(super) fn strangers<'m>(members: &'m [ZooMember], runs: &[&str]) -> Vec<&'m ZooMember> {
    let ours = |member: &&ZooMember| member.run.as_deref().is_some_and(|run| runs.contains(&run));
    let teachers = members
        .iter()
        .filter(ours)
        .filter_map(|m| m.teacher.as_deref());
    let teachers: Vec<&str> = teachers.collect();
    let starts = members
        .iter()
        .filter(ours)
        .filter_map(|m| m.initial.as_ref());
    let mut starts: BTreeSet<&ZooStart> = starts.collect();
    members
        .iter()
        .filter(|member| member.parent.is_none() && member.teacher.is_none())
        .filter(|member| !teachers.contains(&member.name.as_str()))
        .filter(|member| {
            member
                .initial
                .as_ref()
                .is_none_or(|start| starts.insert(start))
        })
        .collect()
}

/// Whether two models have the same configuration, so that nothing but their weights differs.
fn same_construction(one: &Model, other: &Model) -> bool {
    match (&one.spec, &other.spec) {
        (Ok(one), Ok(other)) => {
            let bare = |spec: &DecoderSpec| DecoderSpec {
                caveats: Vec::new(),
                ..spec.clone()
            };
            bare(one) == bare(other)
        }
        _ => false,
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

#[cfg(test)]
mod tests {
    use super::ZooMember;
    use super::ZooStart;
    use super::strangers;

    fn member(name: &str, seed: Option<u64>, teacher: Option<&str>) -> ZooMember {
        ZooMember {
            name: name.to_owned(),
            run: Some(name.to_owned()),
            parent: None,
            relation: None,
            initial: seed.map(|seed| ZooStart {
                architecture: "a".to_owned(),
                seed,
            }),
            teacher: teacher.map(str::to_owned),
        }
    }

    #[test]
    fn the_null_is_of_runs_that_share_nothing() {
        let mut members = vec![
            member("one", Some(1), None),
            member("two", Some(2), None),
            member("twin-of-one", Some(1), None),
            member("three", Some(3), None),
            member("twin-of-three", Some(3), None),
            member("pupil", Some(4), Some("two")),
        ];
        members.push(ZooMember {
            parent: Some("two".to_owned()),
            initial: None,
            ..member("child", None, None)
        });
        let names = |runs: &[&str]| -> Vec<String> {
            let found = strangers(&members, runs).into_iter();
            found.map(|member| member.name.clone()).collect()
        };
        assert_eq!(names(&["one"]), ["two", "three"]);
        assert_eq!(names(&["pupil"]), ["one", "three"]);
        assert_eq!(names(&[]), ["one", "two", "three"]);
    }
}
