//! MiniCPM-V 2.5 and 2.6, their text part: Llama 3 and Qwen2 under a prefix of their own. What sees images
//! is [`crate::model::vision`].

use serde_json::Value;

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig};
use super::{llama, parts};
use crate::model::role::Part;

pub(super) static MINICPMV: Family = Family {
    id: "minicpmv",
    model_types: &["minicpmv"],
    // llama.cpp splits such a model into a Llama and a file of its own for the rest.
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
};

static NAMES: Names = Names {
    prefixes: &["llm.model.", "model.", ""],
    anchor: llama::ANCHOR,
    tables: &[HEAD, llama::TABLE],
};

/// The head stands beside the prefix.
const HEAD: &[Name] = &[name(Part::Unembed, "llm.lm_head.{p}")];

/// Words of the config that are about images.
const OF_IMAGES: &[&str] = &[
    "batch_vision_input",
    "drop_vision_last_layer",
    "image_size",
    "mm_use_im_start_end",
    "patch_size",
    "query_num",
    "resampler_num_heads",
    "slice_config",
    "slice_mode",
    "use_image_id",
    "vision_batch_size",
    "vision_config",
];

/// Which language model is inside; the config says it by its version alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Version {
    /// Llama 3. Its config was published without a number at first.
    Llama3,
    /// Qwen2.
    Qwen2,
}

impl Version {
    /// By `version`; in words where it is another.
    pub(in crate::model) fn of(config: &RawConfig) -> Result<Self, String> {
        match config.get("version") {
            None => Ok(Self::Llama3),
            Some(Value::String(text)) if text == "2.5" => Ok(Self::Llama3),
            Some(Value::String(text)) if text == "2.6" => Ok(Self::Qwen2),
            Some(Value::Number(number)) if number.as_f64() == Some(2.5) => Ok(Self::Llama3),
            Some(Value::Number(number)) if number.as_f64() == Some(2.6) => Ok(Self::Qwen2),
            Some(other) => {
                let other = crate::text::ModelText::new(other.to_string()).clipped(40);
                Err(format!("`version` is {other}, neither 2.5 nor 2.6"))
            }
        }
    }
}

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    for word in OF_IMAGES {
        config.get(word);
    }
    config.caveat("of a multimodal model, the text part");
    let mut spec = parts::llama_like(config, "minicpmv", parts::Defaults::LLAMA)?;
    match Version::of(config) {
        Ok(Version::Llama3) => {
            let attention = config.flag("attention_bias", false)?;
            spec.biases.qkv = attention;
            spec.biases.output = attention;
            spec.biases.mlp = config.flag("mlp_bias", false)?;
        }
        Ok(Version::Qwen2) => {
            spec.biases.qkv = true;
            parts::qwen_windows(config, &mut spec)?;
        }
        Err(reason) => config.refuse(reason),
    }
    parts::finish(config, spec)
}
