//! The conditions that a model's answers hold under.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;

use super::Bound;
use crate::model::Model;
use crate::model::SERVED;
use crate::model::Tokenizer;
use crate::record::Header;

/// Most that is read of the file that has the template.
const MAX_CONFIG: u64 = 16 << 20;
/// What no server shows of a model, as a baseline calls it.
const UNSEEN: [&str; 5] = ["chat_template", "device", "dtype", "tokenizer", "weights"];
/// Where GGUF files keep it.
const GGUF_TEMPLATE: &str = "tokenizer.chat_template";

/// Of `model`'s files and of the recording that `header` heads.
pub fn bound(model: &Model, header: &Header) -> Bound {
    if model.is_served() {
        return of_endpoint(header);
    }
    let (engine, device) = match header.engine.rsplit_once(", ") {
        Some((engine, device)) => (engine, device),
        None => (header.engine.as_str(), "unknown"),
    };
    Bound {
        absent: header.absent.clone(),
        chat_template: template(model).map(|text| sha256(text.as_bytes())),
        decoding: header.decoding.clone(),
        device: Some(device.to_owned()),
        dtype: Some(dtype(model)),
        engine: engine.to_owned(),
        model: header.model_digest.clone(),
        suite: header.suite.clone(),
        suite_sha256: header.suite_sha256.clone(),
        suite_version: header.suite_version,
        tokenizer: model.tokenizer.as_ref().ok().map(Tokenizer::digest),
        weights: Some(weights(model)),
    }
}

/// Of a recording alone: a server shows nothing of the model.
fn of_endpoint(header: &Header) -> Bound {
    let unseen = UNSEEN.map(|what| (what.to_owned(), SERVED.to_owned()));
    Bound {
        absent: header.absent.clone().into_iter().chain(unseen).collect(),
        chat_template: None,
        decoding: header.decoding.clone(),
        device: None,
        dtype: None,
        engine: header.engine.clone(),
        model: header.model_digest.clone(),
        suite: header.suite.clone(),
        suite_sha256: header.suite_sha256.clone(),
        suite_version: header.suite_version,
        tokenizer: None,
        weights: None,
    }
}

/// Over the sizes and hashes of the weight files; names do not enter.
pub fn weights(model: &Model) -> String {
    let mut files: Vec<String> = model
        .artefacts
        .weights
        .iter()
        .map(|file| format!("{} {}", file.size, file.sha256))
        .collect();
    files.sort_unstable();
    sha256(files.join("\n").as_bytes())
}

/// Storage types, that of most numbers first.
fn dtype(model: &Model) -> String {
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, info) in model.weights.store().iter() {
        *numbers.entry(info.dtype.name).or_default() += info.elements as u64;
    }
    let mut numbers: Vec<_> = numbers.into_iter().collect();
    numbers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<&str> = numbers.into_iter().map(|(name, _)| name).collect();
    names.join(", ")
}

/// From GGUF metadata, from `chat_template.jinja`, which libraries prefer where both are, or from
/// `tokenizer_config.json`; several named ones as JSON.
fn template(model: &Model) -> Option<String> {
    if let Some(text) = model.weights.store().metadata().text(GGUF_TEMPLATE) {
        return Some(text.to_owned());
    }
    let others = &model.artefacts.others;
    let named = |name| others.iter().find(|file| file.name.ends_with(name));
    if let Some(file) = named("chat_template.jinja") {
        return String::from_utf8(bytes(&file.path)?).ok();
    }
    let config = bytes(&named("tokenizer_config.json")?.path)?;
    let config: Value = serde_json::from_slice(&config).ok()?;
    match config.get("chat_template")? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        several => Some(several.to_string()),
    }
}

/// A file that cannot be read has no template to tell.
fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_CONFIG).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}
