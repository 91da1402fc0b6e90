//! A model that is being changed: nothing is computed before it is asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use serde_json::Map;
use serde_json::Value;

use crate::model::Binding;
use crate::model::DecoderSpec;
use crate::model::Family;
use crate::model::Model;
use crate::model::Part;
use crate::model::RawConfig;
use crate::model::Role;
use crate::model::arch;
use crate::model::store;
use crate::model::store::Files;
use crate::model::store::NumberFormat;
use crate::source::Format;

use super::super::checkpoint::Checkpoint;
use super::super::checkpoint::Matrix;
use super::Error;
use super::Options;
use super::Step;
use super::vocabulary::Vocabulary;

/// Gives the weight of a role when it is asked for.
pub type Source<'a> = dyn Fn(&Role) -> Result<Matrix, Error> + 'a;

/// A model on its way to becoming another one. Launderings wrap the source of its weights, so that
/// memory holds what one stored tensor takes, whatever the size of the model.
#[derive(Clone)]
pub struct Draft<'a> {
    /// `config.json`, as its family reads it.
    pub config: Map<String, Value>,
    /// What the config says.
    pub spec: DecoderSpec,
    /// Files that go along unchanged, by name.
    pub sidecars: Vec<(String, Vec<u8>)>,
    /// What was done that the steps do not say.
    pub notes: Vec<String>,
    /// Files to spread the weights over.
    pub(super) shards: usize,
    /// Number format that was asked for.
    pub(super) format: Option<NumberFormat>,
    /// What to call the tensors, unless as the family does; with the seed of the names.
    pub(super) naming: Option<(Vocabulary, u64)>,
    /// Whether there are numbers that no file of the original held.
    computed: bool,
    source_format: NumberFormat,
    family: &'static Family,
    source: Rc<Source<'a>>,
}

impl<'a> Draft<'a> {
    /// An opened model, unchanged.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a model that cannot be run, or whose config would not say in
    /// `config.json` what its files say now.
    pub fn of(model: &'a Model) -> Result<Self, Error> {
        let unfit = |reason: String| Error::Unfit {
            model: model.label.clone(),
            reason,
        };
        let spec = model.spec.as_ref().map_err(|why| unfit(why.clone()))?;
        if !spec.kind.has_head() {
            let reason = "an encoder has no logits to measure a change by";
            return Err(unfit(reason.to_owned()));
        }
        let config = store::plain_config(model, spec);
        let weights = &model.weights;
        let source = move |role: &Role| {
            let (rows, columns) = weights.shape(role).unwrap_or_default();
            Ok(Matrix {
                values: weights.all(role)?,
                shape: if role.is_vector() {
                    vec![rows]
                } else {
                    vec![rows, columns]
                },
            })
        };
        let mut draft = Self::new(config, source, store::format_of(weights)).map_err(unfit)?;
        if !same(&draft.spec, spec) {
            let reason = "its files say what no config.json of its family can say";
            return Err(unfit(reason.to_owned()));
        }
        draft.sidecars = store::sidecars(model)?;
        if model.config.contains_key("text_config") {
            let note = "of a multimodal model, the text part alone";
            draft.notes.push(note.to_owned());
        }
        Ok(draft)
    }

    /// A member in memory, unchanged.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a config that no family reads.
    pub fn of_checkpoint(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let source = |role: &Role| {
            let weight = checkpoint.weights.get(role).cloned();
            weight.ok_or_else(|| Error::Decoder(crate::model::decoder::Error::Missing(*role)))
        };
        let mut draft =
            Self::new(checkpoint.config.clone(), source, NumberFormat::F32).map_err(|reason| {
                Error::Unfit {
                    model: "checkpoint".to_owned(),
                    reason,
                }
            })?;
        draft.sidecars = vec![("tokenizer.json".to_owned(), checkpoint.tokenizer.clone())];
        Ok(draft)
    }

    fn new(
        config: Map<String, Value>,
        source: impl Fn(&Role) -> Result<Matrix, Error> + 'a,
        source_format: NumberFormat,
    ) -> Result<Self, String> {
        let (family, spec) = read(&config)?;
        Ok(Self {
            config,
            spec,
            sidecars: Vec::new(),
            notes: Vec::new(),
            shards: 1,
            format: None,
            naming: None,
            computed: false,
            source_format,
            family,
            source: Rc::new(source),
        })
    }

    /// Does `steps` in order. Nothing is computed yet but what a step must know beforehand.
    ///
    /// # Errors
    /// [`Error::Refused`] for a model that a step cannot be done to; the steps before it are done.
    pub fn apply(&mut self, steps: &[Step], options: &Options<'a>) -> Result<(), Error> {
        for (place, step) in steps.iter().enumerate() {
            step.apply(self, place, options)?;
        }
        Ok(())
    }

    /// One weight as it is now.
    ///
    /// # Errors
    /// When a file cannot be read or a laundering fails.
    pub fn weight(&self, role: &Role) -> Result<Matrix, Error> {
        (self.source)(role)
    }

    /// All weights as they are now, in memory.
    ///
    /// # Errors
    /// As [`Draft::weight`].
    pub fn weights(&self) -> Result<BTreeMap<Role, Matrix>, Error> {
        let roles = self.spec.roles().into_iter();
        roles
            .map(|(role, _)| Ok((role, self.weight(&role)?)))
            .collect()
    }

    /// Whose config and names it has.
    pub(super) fn family(&self) -> &'static Family {
        self.family
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        let roles = self.spec.roles().into_iter();
        roles.map(|(_, (rows, cols))| (rows * cols) as u64).sum()
    }

    /// The number format it will be written in: what was asked for; else that of the original, or
    /// single precision where launderings computed numbers.
    pub fn number_format(&self) -> NumberFormat {
        self.format.unwrap_or(if self.computed {
            NumberFormat::F32
        } else {
            self.source_format
        })
    }

    /// Whether its tensors have names that are read by nothing but the map that goes along.
    pub fn is_foreign(&self) -> bool {
        self.naming.is_some()
    }

    /// The tensor of each role.
    ///
    /// # Errors
    /// As [`arch::names_of`].
    pub fn names(&self) -> Result<BTreeMap<Role, Binding>, Error> {
        Ok(match self.naming {
            Some((vocabulary, seed)) => vocabulary.names(self.family, &self.spec, seed)?,
            None => arch::names_of(self.family, &self.spec, Format::Safetensors)?,
        })
    }

    /// Writes the files into a folder that is there.
    ///
    /// # Errors
    /// What the file system answers, and as [`Draft::weight`].
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(super::super::Error::io(&path))
        };
        let mut config = self.config.clone();
        if let Some((vocabulary, _)) = self.naming {
            vocabulary.announce(&mut config);
        }
        let name = self.number_format().torch_name();
        let key = if config.contains_key("dtype") {
            "dtype"
        } else {
            "torch_dtype"
        };
        config.insert(key.to_owned(), name.into());
        put(
            "config.json",
            format!("{:#}\n", Value::Object(config)).as_bytes(),
        )?;
        for (name, bytes) in &self.sidecars {
            put(name, bytes)?;
        }
        let tensors = store::plan(&self.spec.roles(), &self.names()?)?;
        let files = Files {
            format: self.number_format(),
            shards: self.shards,
        };
        files.write(folder, &tensors, &mut |role| Ok(self.weight(role)?.values))
    }

    /// Puts `change` between the source and who asks: it is given the source as it was and the role
    /// that is wanted.
    pub(super) fn wrap(
        &mut self,
        change: impl Fn(&Source<'a>, &Role) -> Result<Matrix, Error> + 'a,
    ) {
        let inner = Rc::clone(&self.source);
        self.source = Rc::new(move |role| change(&*inner, role));
    }

    /// [`Draft::wrap`] for what changes each weight by itself.
    pub(super) fn alter(&mut self, change: impl Fn(&Role, &mut Matrix) -> Result<(), Error> + 'a) {
        self.wrap(move |inner, role| {
            let mut weight = inner(role)?;
            change(role, &mut weight)?;
            Ok(weight)
        });
    }

    /// Says that from here on there are numbers that the original's format may not hold.
    pub(super) fn computes(&mut self) {
        self.computed = true;
    }

    /// Gives config entries their values, of which the family must make `expected`; in words why it
    /// does not.
    pub(super) fn configure(
        &mut self,
        entries: &[(&str, Value)],
        expected: &DecoderSpec,
    ) -> Result<(), String> {
        let mut config = self.config.clone();
        for (key, value) in entries {
            config.insert((*key).to_owned(), value.clone());
        }
        self.reconfigure(config, expected)
    }

    /// As [`Draft::configure`], with a whole config.
    pub(super) fn reconfigure(
        &mut self,
        config: Map<String, Value>,
        expected: &DecoderSpec,
    ) -> Result<(), String> {
        let (family, spec) = read(&config)?;
        if !same(&spec, expected) {
            let family = family.id;
            return Err(format!("a {family} config cannot say what the result is"));
        }
        self.family = family;
        self.config = config;
        self.spec = spec;
        Ok(())
    }

    /// Gives the model a head of its own, so far equal to the embedding it shared.
    pub(super) fn untie(&mut self) -> Result<(), String> {
        if !self.spec.tie_word_embeddings {
            return Ok(());
        }
        let expected = DecoderSpec {
            tie_word_embeddings: false,
            ..self.spec.clone()
        };
        self.configure(&[("tie_word_embeddings", false.into())], &expected)?;
        self.wrap(|inner, role| match role.part {
            Part::Unembed => inner(&Role::model(Part::Embed)),
            _ => inner(role),
        });
        self.notes
            .push("the head is no longer the embedding".to_owned());
        Ok(())
    }
}

/// Equal in all that a forward pass depends on.
pub(super) fn same(a: &DecoderSpec, b: &DecoderSpec) -> bool {
    let bare = |spec: &DecoderSpec| DecoderSpec {
        family: "",
        caveats: Vec::new(),
        ..spec.clone()
    };
    bare(a) == bare(b)
}

fn read(config: &Map<String, Value>) -> Result<(&'static Family, DecoderSpec), String> {
    let config = RawConfig::new(config.clone());
    let family = arch::family(&config).ok_or("no family reads its config")?;
    let spec = (family.spec)(&config).map_err(|error| error.to_string())?;
    match spec.unsupported.first() {
        Some(reason) => Err(reason.clone()),
        None => Ok((family, spec)),
    }
}
