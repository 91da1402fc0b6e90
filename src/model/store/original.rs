//! What a copy takes from the files of the model it starts from.

use serde_json::Map;
use serde_json::Value;

use crate::model::DecoderSpec;
use crate::model::Model;
use crate::model::Tokenizer;
use crate::model::Weights;
use crate::source::Format;

use super::Error;
use super::NumberFormat;

/// The config of a folder, of a GGUF file in the same words, of a multimodal model the text part's.
pub fn plain_config(model: &Model, spec: &DecoderSpec) -> Map<String, Value> {
    let mut config = match model.config.get("text_config").and_then(Value::as_object) {
        Some(text) => {
            let mut text = text.clone();
            text.insert("model_type".to_owned(), "gemma3_text".into());
            let tied = spec.tie_word_embeddings;
            text.insert("tie_word_embeddings".to_owned(), tied.into());
            text
        }
        None => model.config.clone(),
    };
    config.shift_remove("gguf_architecture");
    config
}

/// The format that holds every stored number of every role: the files' own when they have one for all.
pub fn format_of(weights: &Weights) -> NumberFormat {
    let mut formats = weights.roles().filter_map(|role| {
        let info = weights.store().info(&weights.binding(role)?.tensor)?;
        Some(match info.dtype.name {
            "BF16" => NumberFormat::Bf16,
            "F16" => NumberFormat::F16,
            _ => NumberFormat::F32,
        })
    });
    let first = formats.next().unwrap_or(NumberFormat::F32);
    if formats.all(|format| format == first) {
        first
    } else {
        NumberFormat::F32
    }
}

/// The tokenizer and what says how to use it: files by name.
///
/// # Errors
/// [`Error::Io`].
pub fn sidecars(model: &Model) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let artefacts = &model.artefacts;
    let extras = artefacts.others.iter().filter(|file| {
        let name = file.name.as_str();
        name.ends_with("tokenizer_config.json") || name.ends_with("generation_config.json")
    });
    let mut files = Vec::new();
    for file in artefacts.tokenizer.iter().chain(extras) {
        let bytes = std::fs::read(&file.path).map_err(Error::io(&file.path))?;
        let name = file.name.rsplit('/').next().unwrap_or(&file.name);
        files.push((name.to_owned(), bytes));
    }
    if artefacts.tokenizer.is_none() && artefacts.format == Format::Gguf {
        // A GGUF file has its tokenizer inside, and nothing that reads it is no obstacle.
        let metadata = model.weights.store().metadata();
        if let Ok(json) = Tokenizer::json_of_gguf(metadata, &model.label) {
            files.push(("tokenizer.json".to_owned(), json.into_bytes()));
        }
    }
    Ok(files)
}
