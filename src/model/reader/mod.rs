//! Models that read pictures with parts of their own: not our decoder with a vision part before it, but an
//! encoder and a decoder (or a decoder with other positions) that only this family has.
//!
//! Such a model answers what a picture shows. Its weights have the roles that its family in
//! [`super::arch`] gives them, and names else. Encoders are those of candle-transformers where they
//! compute what the reference computes; what does not is here. A new family is one folder here with its
//! two lines below.

mod error;
mod paddleocr_vl;
mod processor;
mod stored;
mod trocr;
mod words;

pub use error::Error;

use std::fmt;

use candle_core::Tensor;
use serde_json::Map;
use serde_json::Value;

use super::config::RawConfig;
use super::tensors::TensorStore;
use super::tokenizer::Tokenizer;
use super::vision::Image;
use stored::Stored;

/// One family of such models.
#[derive(Debug)]
pub struct Family {
    /// Its name in reports.
    pub id: &'static str,
    /// Value of `model_type` that means it.
    pub model_type: &'static str,
    /// In what form it is given a prompt.
    pub prompting: &'static str,
    /// What a reader of its answers must know.
    pub caveat: &'static str,
    /// Reads the configs; reads no weights.
    pub plan: fn(&Configs) -> Result<Box<dyn Plan>, Error>,
}

/// Every family.
// These are alphabetic.
static FAMILIES: &[&Family] = &[&paddleocr_vl::PADDLEOCR_VL, &trocr::TROCR];

/// What is written about a model.
#[derive(Debug)]
pub struct Configs {
    /// `config.json`.
    pub model: RawConfig,
    /// `preprocessor_config.json`: how a picture becomes numbers.
    pub processor: RawConfig,
}

/// How a model is run, before its weights are read.
pub trait Plan: fmt::Debug + Send + Sync {
    /// How pictures are prepared, in words: what an answer depends on besides the weights.
    fn preparation(&self) -> String;

    /// Reads the weights.
    ///
    /// # Errors
    /// Tensors that are missing, have other shapes than the config asks for, or cannot be read.
    fn load(&self, weights: Stored<'_>) -> Result<Box<dyn Reader>, Error>;
}

/// A model in memory that reads pictures.
pub trait Reader: fmt::Debug + Send + Sync {
    /// Tokens that end an answer, besides those that the tokenizer's files name.
    fn eos(&self) -> &[u32];

    /// Shows it a picture with a prompt.
    ///
    /// # Errors
    /// [`Error::Refused`] for what this model does not take, others for what went wrong.
    fn show<'r>(
        &'r self,
        tokenizer: &Tokenizer,
        image: &Image,
        prompt: &str,
    ) -> Result<Box<dyn Reading + 'r>, Error>;
}

/// An answer being written.
pub trait Reading {
    /// Tokens before the answer, the picture's among them.
    fn prompt_tokens(&self) -> usize;

    /// Logits `[vocab_size]` of the first token, or of the one after `token`; `None` when the model takes no
    /// more tokens.
    ///
    /// # Errors
    /// From candle.
    fn next(&mut self, token: Option<u32>) -> Result<Option<Vec<f32>>, Error>;

    /// What the encoder made of the picture, `[positions, width]`.
    fn seen(&self) -> &Tensor;
}

/// How one model reads pictures.
#[derive(Debug)]
pub struct Blueprint {
    /// Its family.
    pub family: &'static Family,
    plan: Box<dyn Plan>,
}

impl Blueprint {
    /// That of a model with these configs and these tensors; `None` for a model of no such family.
    ///
    /// # Errors
    /// A config that cannot be honoured, a missing `preprocessor_config.json`, tensors that do not fit. No
    /// weights are read.
    pub fn new(
        config: &RawConfig,
        processor: Option<Map<String, Value>>,
        store: &TensorStore,
    ) -> Option<Result<Self, Error>> {
        let family = family(config)?;
        let blueprint = || {
            let configs = Configs {
                model: RawConfig::new(config.map().clone()),
                processor: RawConfig::new(processor.ok_or(Error::NoProcessor)?),
            };
            let plan = (family.plan)(&configs)?;
            plan.load(Stored::shapes_of(store))?;
            Ok(Self { family, plan })
        };
        Some(blueprint())
    }

    /// How prompts and pictures are prepared, in words.
    pub fn preparation(&self) -> String {
        let Family { id, prompting, .. } = self.family;
        format!("{id}, {prompting}, {}", self.plan.preparation())
    }

    /// Reads the weights into memory, on the CPU.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn load(&self, store: &TensorStore) -> Result<Box<dyn Reader>, Error> {
        self.plan.load(Stored::numbers_of(store))
    }
}

/// The family that this config names.
pub fn family(config: &RawConfig) -> Option<&'static Family> {
    let named = |family: &&&'static Family| family.model_type == config.model_type();
    FAMILIES.iter().find(named).copied()
}
