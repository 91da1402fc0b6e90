//! Families: which config words and tensor names mean what. Data and small functions; the forward pass
//! is [`super::decoder`].
//!
//! A new family is one file here with its two lines below.

mod baichuan;
mod bert;
mod deepseek;
mod deepseek_gguf;
mod gemma3;
mod gguf;
mod gguf_config;
mod gguf_rope;
mod glm4;
mod gpt2;
mod gpt_neox;
mod internlm2;
mod llama;
pub(super) mod minicpmv;
mod mixtral;
mod names;
mod olmo2;
mod paddleocr_vl;
mod pangu_pro_moe;
mod parts;
mod phi3;
mod protein_mpnn;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod trocr;
mod yi;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::config::{ConfigError, RawConfig};
use super::role::Role;
use super::spec::{DecoderSpec, RopeScaling, ShapedRole};
use super::tensors::TensorStore;
use super::weights::{Binding, Unbound, Weights};
use crate::source::Format;
use crate::text::ModelText;

/// One family of architectures.
#[derive(Debug)]
pub struct Family {
    /// Its name in reports.
    pub id: &'static str,
    /// Values of `model_type` that mean it.
    pub model_types: &'static [&'static str],
    /// Values of GGUF's `general.architecture` that mean it.
    pub gguf: &'static [&'static str],
    /// Completes translated GGUF metadata to this family's `config.json`: `model_type`, names that
    /// only this family uses, and what llama.cpp has in code where a config says it.
    pub gguf_words: fn(&mut Map<String, Value>, &TensorStore),
    /// Reads the config.
    pub spec: fn(&RawConfig) -> Result<DecoderSpec, ConfigError>,
    /// Finds the tensor of each role of the spec. A role whose tensor is not stored is bound to the
    /// name it should have.
    pub bind: fn(&DecoderSpec, &TensorStore) -> BTreeMap<Role, Binding>,
}

/// Every family.
// These are alphabetic.
pub static FAMILIES: &[&Family] = &[
    &baichuan::BAICHUAN,
    &bert::BERT,
    &deepseek::DEEPSEEK,
    &gemma3::GEMMA3,
    &glm4::GLM4,
    &gpt2::GPT2,
    &gpt_neox::GPT_NEOX,
    &internlm2::INTERNLM2,
    &llama::LLAMA,
    &minicpmv::MINICPMV,
    &mixtral::MIXTRAL,
    &olmo2::OLMO2,
    &paddleocr_vl::PADDLEOCR_VL,
    &pangu_pro_moe::PANGU_PRO_MOE,
    &phi3::PHI3,
    &protein_mpnn::PROTEIN_MPNN,
    &qwen2::QWEN2,
    &qwen2_moe::QWEN2_MOE,
    &qwen3::QWEN3,
    &qwen3_moe::QWEN3_MOE,
    &trocr::TROCR,
    &yi::YI,
];

/// A model as its family reads it.
#[derive(Debug)]
pub struct Description {
    /// Which.
    pub family: &'static Family,
    /// What the decoder needs to know.
    pub spec: DecoderSpec,
    /// Where each role's numbers are.
    pub bindings: BTreeMap<Role, Binding>,
}

impl Description {
    /// How the model is run, and what its weights are compared by.
    ///
    /// Both need every role in the shape that the config asks for; a model with config entries that are
    /// not supported is compared and not run.
    pub fn readings(&self, weights: &Weights, unbound: &[Unbound]) -> Readings {
        // The step that does not fit says more than the role that is missing for it.
        let unbound: Vec<String> = unbound
            .first()
            .map(Unbound::to_string)
            .into_iter()
            .collect();
        let missing = self.missing(weights);
        let of = |why_not: [&[String]; 3]| match why_not.concat().as_slice() {
            [] => Ok(self.spec.clone()),
            [only] => Err(only.clone()),
            [first, rest @ ..] => Err(format!("{first} (and {} more obstacles)", rest.len())),
        };
        Readings {
            spec: of([&unbound, &self.spec.unsupported, &missing]),
            plan: of([&unbound, &[], &missing]),
        }
    }

    /// Roles that are not bound or have another shape than the config asks for, in words.
    fn missing(&self, weights: &Weights) -> Vec<String> {
        let unfit = |(role, shape): ShapedRole| match weights.shape(&role) {
            Some(found) if found == shape => None,
            Some(found) => Some(format!(
                "{role} has shape {found:?} but the config asks for {shape:?}"
            )),
            None => Some(match self.bindings.get(&role) {
                Some(binding) => {
                    let tensor = ModelText::new(&binding.tensor).clipped(120);
                    format!("no tensor `{tensor}` for {role}")
                }
                None => format!("a {} model has no {role}", self.family.id),
            }),
        };
        self.spec.roles().into_iter().filter_map(unfit).collect()
    }
}

/// What a description makes of the tensors that are there; each in words where it does not fit.
#[derive(Debug)]
pub struct Readings {
    /// How the model is run.
    pub spec: Result<DecoderSpec, String>,
    /// What its weights are compared by.
    pub plan: Result<DecoderSpec, String>,
}

/// The family that reads this config; `None` for an architecture that is not known.
pub fn family(config: &RawConfig) -> Option<&'static Family> {
    let name = config.model_type();
    let named = |family: &&&'static Family| family.model_types.contains(&name);
    FAMILIES.iter().find(named).copied()
}

/// What a model of this family calls its tensors when it is stored as published: each role's tensor
/// and how it is seen. Where files differ, the first of the names that are read.
///
/// # Errors
/// None in practice: opening no files cannot fail.
pub fn names_of(
    family: &Family,
    spec: &DecoderSpec,
    format: Format,
) -> Result<BTreeMap<Role, Binding>, super::tensors::Error> {
    let empty = TensorStore::open_files(std::iter::empty(), format)?;
    Ok((family.bind)(spec, &empty))
}

/// Reads a model's config and finds its tensors; `None` for an architecture that is not known.
///
/// # Errors
/// A config without a necessary key, or with one that makes no sense.
pub fn describe(
    config: &RawConfig,
    store: &TensorStore,
) -> Result<Option<Description>, ConfigError> {
    let Some(family) = family(config) else {
        return Ok(None);
    };
    let mut spec = (family.spec)(config)?;
    if store.format() == Format::Gguf {
        gguf::settle(&mut spec, store)?;
    }
    let bindings = (family.bind)(&spec, store);
    note_unread(&mut spec, &bindings, store);
    Ok(Some(Description {
        family,
        spec,
        bindings,
    }))
}

/// Parts of the names of tensors that a forward pass never reads: buffers that older checkpoints
/// stored, and the towers of multimodal models.
const NOT_WEIGHTS: &[&str] = &[
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    "embeddings.position_ids",
    "multi_modal_projector.",
    "resampler.",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    "rope_freqs.weight",
    "rotary_emb.",
    "vision_tower.",
    "vpm.",
];

/// States which stored tensors have no place in the spec.
fn note_unread(spec: &mut DecoderSpec, bindings: &BTreeMap<Role, Binding>, store: &TensorStore) {
    let bound: BTreeSet<&str> = bindings
        .values()
        .map(|binding| binding.tensor.as_str())
        .collect();
    let known = |name: &str| {
        let tied_head = spec.tie_word_embeddings && name.ends_with("lm_head.weight");
        tied_head || bound.contains(name) || NOT_WEIGHTS.iter().any(|part| name.contains(part))
    };
    let unread: Vec<&str> = store.names().filter(|name| !known(name)).collect();
    if let Some(first) = unread.first() {
        let first = ModelText::new(*first).clipped(80);
        let note = format!(
            "{} stored tensors have no place in a {} model, the first is `{first}`",
            unread.len(),
            spec.family
        );
        spec.caveats.push(note);
    }
}

#[cfg(test)]
mod tests;
