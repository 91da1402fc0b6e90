//! A suspect written as a model of the reference's architecture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Mapping, bindings};
use crate::model::logits::Logits;
use crate::model::role::{Part, Role};
use crate::model::spec::{DecoderSpec, ShapedRole};
use crate::model::store::{self, Files, Partial};
use crate::model::weights::{Binding, Weights};
use crate::model::{Decoder, Family, Model, arch, decoder, tensors};
use crate::source::{self, Format, Locator, ModelRef, OpenOptions};
use crate::text::ModelText;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is something where the result should go.
    #[error("{}: exists already; remove it or name another folder", ModelText::new(path.display().to_string()))]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The reference cannot be run, so that nothing can be written as it is.
    #[error("{}: {reason}; name a reference that can be run", ModelText::new(model).clipped(80))]
    Reference {
        /// Its label.
        model: String,
        /// Why.
        reason: String,
    },
    /// The suspect does not have all that the reference's architecture needs.
    #[error("{}: cannot be written as the reference's architecture: {reason}", ModelText::new(model).clipped(80))]
    Incomplete {
        /// Its label.
        model: String,
        /// What is missing or does not fit.
        reason: String,
    },
    /// Files could not be written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What was written cannot be found again.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// What was written cannot be opened.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// Weights cannot be read.
    #[error(transparent)]
    Tensors(#[from] tensors::Error),
    /// A model cannot be run.
    #[error(transparent)]
    Decoder(#[from] decoder::Error),
}

/// What was written, and what it says beside the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Written {
    /// Family that reads it.
    pub architecture: &'static str,
    /// Its weights.
    pub parameters: u64,
    /// Number format in `torch_dtype`'s words.
    pub stored: &'static str,
    /// Largest difference of logits over the reference's largest, on random tokens.
    pub logit_distance: f64,
    /// Share of these positions with the same most likely token.
    pub top1_agreement: f64,
    /// What of the config is not the reference's, in words.
    pub notes: Vec<String>,
}

/// Writes the numbers of `suspect` with the tensor names, layout and config of `reference` into `out`,
/// opens the result and runs both on the same tokens that `seed` draws. The tokenizer is the suspect's if
/// it has one. The folder appears when all is written and was run.
///
/// Memory: one tensor while writing, one model in f32 at a time for the run.
///
/// # Errors
/// [`Error::Exists`], [`Error::Reference`] and [`Error::Incomplete`] before anything is written; what
/// reading and writing report.
pub fn write(
    suspect: &Model,
    reference: &Model,
    mapping: &Mapping,
    out: &Path,
    seed: u64,
) -> Result<Written, Error> {
    if out.exists() {
        let path = out.to_path_buf();
        return Err(Error::Exists { path });
    }
    let copy = Copy::new(suspect, reference, mapping)?;
    let partial = Partial::new(out)?;
    let format = copy.write(partial.path())?;
    let opened = open(partial.path())?;
    let [ours, theirs] = run([reference, &opened], seed)?;
    partial.keep(out)?;
    Ok(Written {
        architecture: copy.family.id,
        parameters: opened.parameters,
        stored: format.torch_name(),
        logit_distance: ours.largest_difference(&theirs),
        top1_agreement: ours.agreement(&theirs),
        notes: copy.notes,
    })
}

/// What will be written.
struct Copy<'a> {
    suspect: &'a Model,
    reference: &'a Model,
    family: &'static Family,
    config: Map<String, Value>,
    roles: Vec<ShapedRole>,
    names: BTreeMap<Role, Binding>,
    weights: Weights,
    notes: Vec<String>,
}

impl<'a> Copy<'a> {
    fn new(suspect: &'a Model, reference: &'a Model, mapping: &Mapping) -> Result<Self, Error> {
        let unfit = |reason: String| Error::Reference {
            model: reference.label.clone(),
            reason,
        };
        let spec = reference.spec.as_ref().map_err(|why| unfit(why.clone()))?;
        let known = |family: &&&'static Family| Some(family.id) == reference.family;
        let family = arch::FAMILIES.iter().find(known).copied();
        let family = family.ok_or_else(|| unfit("its family is not known".to_owned()))?;
        let (weights, _) = suspect.weights.rebound(&bindings(mapping));
        let mut copy = Self {
            config: store::plain_config(reference, spec),
            roles: Vec::new(),
            names: names(reference, family, spec)?,
            notes: Vec::new(),
            suspect,
            reference,
            family,
            weights,
        };
        copy.fit(spec).map_err(|reason| Error::Incomplete {
            model: suspect.label.clone(),
            reason,
        })?;
        Ok(copy)
    }

    /// Holds what the suspect has against what the architecture needs; other tokens are all that may
    /// differ.
    fn fit(&mut self, spec: &DecoderSpec) -> Result<(), String> {
        let mut spec = spec.clone();
        let tokens = self.weights.shape(&Role::model(Part::Embed));
        if let Some((rows, _)) = tokens
            && rows != spec.vocab_size
        {
            self.notes.push(format!(
                "vocab_size is the suspect's {rows}, not the reference's {}",
                spec.vocab_size
            ));
            self.config.insert("vocab_size".to_owned(), rows.into());
            spec.vocab_size = rows;
        }
        self.roles = spec.roles();
        let missing = |(role, _): &&ShapedRole| !self.weights.has(role);
        let missing: Vec<&ShapedRole> = self.roles.iter().filter(missing).collect();
        if let Some((role, _)) = missing.first() {
            let more = match missing.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            return Err(format!("nothing in it corresponds to {role}{more}"));
        }
        for (role, shape) in &self.roles {
            let found = self.weights.shape(role).unwrap_or_default();
            if found != *shape {
                return Err(format!("{role} has shape {found:?}, not {shape:?}"));
            }
        }
        Ok(())
    }

    fn write(&self, folder: &Path) -> Result<store::NumberFormat, Error> {
        let format = store::format_of(&self.weights);
        let mut config = self.config.clone();
        let key = if config.contains_key("dtype") {
            "dtype"
        } else {
            "torch_dtype"
        };
        config.insert(key.to_owned(), format.torch_name().into());
        let mut files = vec![(
            "config.json".to_owned(),
            format!("{:#}\n", Value::Object(config)).into_bytes(),
        )];
        let own = store::sidecars(self.suspect)?;
        let has_tokenizer = own.iter().any(|(name, _)| name == "tokenizer.json");
        files.extend(if has_tokenizer {
            own
        } else {
            store::sidecars(self.reference)?
        });
        for (name, bytes) in &files {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(store::Error::io(&path))?;
        }
        let tensors = store::plan(&self.roles, &self.names)?;
        let shards = self.suspect.artefacts.weights.len();
        let files = Files { format, shards };
        files.write(folder, &tensors, &mut |role| -> Result<_, Error> {
            Ok(self.weights.all(role)?)
        })?;
        Ok(format)
    }
}

/// The reference's own names; those that its family publishes where its files are not safetensors or hold
/// more than the text part.
fn names(
    reference: &Model,
    family: &Family,
    spec: &DecoderSpec,
) -> Result<BTreeMap<Role, Binding>, Error> {
    let weights = &reference.weights;
    let whole = !reference.config.contains_key("text_config");
    if weights.store().format() == Format::Safetensors && whole {
        let bound = weights.roles().filter_map(|role| {
            let binding = weights.binding(role)?;
            Some((*role, binding.clone()))
        });
        return Ok(bound.collect());
    }
    Ok(arch::names_of(family, spec, Format::Safetensors)?)
}

fn open(folder: &Path) -> Result<Model, Error> {
    let reference = ModelRef {
        label: None,
        locator: Locator::Local(folder.to_path_buf()),
    };
    let artefacts = source::open(&reference, &OpenOptions::default())?;
    Ok(Model::open(artefacts, "the result")?)
}

/// Logits of both on the same tokens, one model in memory at a time.
fn run(models: [&Model; 2], seed: u64) -> Result<[Logits; 2], Error> {
    let mut specs = Vec::with_capacity(models.len());
    for model in models {
        specs.push(model.spec.as_ref().map_err(|reason| Error::Incomplete {
            model: model.label.clone(),
            reason: reason.clone(),
        })?);
    }
    let tokens = specs.iter().map(|spec| spec.vocab_size).min().unwrap_or(0);
    let logits = |at: usize| -> Result<Logits, Error> {
        let decoder = Decoder::load(&models[at].weights, specs[at], &Device::Cpu)?;
        Ok(Logits::on_random_tokens(&decoder, tokens, seed)?)
    };
    Ok([logits(0)?, logits(1)?])
}
