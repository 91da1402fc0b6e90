//! `tokenizer.json`: read within bounds, made deterministic, and its merges kept.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use tokenizers::ModelWrapper;

use super::contain::contained;
use crate::text::ModelText;

/// Largest file that is read; the largest real ones have about 35 MB.
const MAX_BYTES: u64 = 256 << 20;

/// A tokenizer and what its library does not give back.
pub(super) struct Parts {
    pub inner: tokenizers::Tokenizer,
    pub merges: Vec<(String, String)>,
    pub kind: &'static str,
}

/// Reads a JSON object.
pub(super) fn read(path: &Path) -> Result<Value, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "a tokenizer of more than {MAX_BYTES} bytes is not read"
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let error = ModelText::new(error.to_string()).clipped(200);
        format!("not JSON ({error}); fetch the file again")
    })
}

/// Builds the tokenizer that `value`, in the form of a `tokenizer.json`, describes.
pub(super) fn build(mut value: Value) -> Result<Parts, String> {
    let Some(fields) = value.as_object_mut() else {
        return Err("not a JSON object; fetch the file again".to_owned());
    };
    fields.insert("truncation".to_owned(), Value::Null);
    fields.insert("padding".to_owned(), Value::Null);
    let mut merges = Vec::new();
    if let Some(model) = fields.get_mut("model").and_then(Value::as_object_mut) {
        model.shift_remove("dropout");
        merges = model.get("merges").map(merges_of).unwrap_or_default();
    }
    let loaded = contained(|| serde_json::from_value::<tokenizers::Tokenizer>(value))?;
    let inner = loaded.map_err(|error| {
        let error = ModelText::new(error.to_string()).clipped(200);
        format!("not a tokenizer that can be read ({error}); fetch the file again")
    })?;
    let kind = match inner.get_model() {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "WordLevel",
        ModelWrapper::Unigram(_) => "Unigram",
    };
    Ok(Parts {
        inner,
        merges,
        kind,
    })
}

/// Merges as pairs, whether written `"a b"` (older files) or `["a", "b"]`.
fn merges_of(value: &Value) -> Vec<(String, String)> {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .filter_map(|row| match row {
            Value::String(joined) => joined.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => {
                    Some((left.as_str(), right.as_str()))
                }
                _ => None,
            },
            _ => None,
        })
        .map(|(left, right)| (left.to_owned(), right.to_owned()))
        .collect()
}
