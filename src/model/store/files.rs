//! Tensors into safetensors files, one at a time.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::NumberFormat;
use super::error::Error;
use super::plan::StoredTensor;
use crate::model::Role;

/// How tensors lie in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// Of every tensor.
    pub format: NumberFormat,
    /// Files; more than one has an index.
    pub shards: usize,
}

impl Files {
    /// Writes `tensors` into `folder`; `weight` is asked for each role once, and no more than one
    /// tensor is in memory.
    ///
    /// # Errors
    /// What the file system answers, what `weight` and [`StoredTensor::values`] report.
    pub fn write<E: From<Error>>(
        &self,
        folder: &Path,
        tensors: &[StoredTensor],
        weight: &mut dyn FnMut(&Role) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        let runs = runs(tensors, self.shards);
        let count = runs.len();
        let mut index = Map::new();
        for (place, run) in runs.iter().enumerate() {
            let file = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", place + 1),
            };
            self.write_file(&folder.join(&file), run, weight)?;
            for tensor in *run {
                index.insert(tensor.name.clone(), Value::String(file.clone()));
            }
        }
        if count > 1 {
            let elements: usize = tensors.iter().map(StoredTensor::elements).sum();
            let total = elements * self.format.size();
            let index = json!({"metadata": {"total_size": total}, "weight_map": index});
            let path = folder.join("model.safetensors.index.json");
            std::fs::write(&path, format!("{index:#}\n")).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    fn write_file<E: From<Error>>(
        &self,
        path: &Path,
        tensors: &[StoredTensor],
        weight: &mut dyn FnMut(&Role) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        let file = File::create(path).map_err(Error::io(path))?;
        let mut file = BufWriter::new(file);
        let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io(path));
        let header = self.header(tensors);
        put(&(header.len() as u64).to_le_bytes())?;
        put(&header)?;
        for tensor in tensors {
            let values = tensor.values(weight)?;
            // Encoded in pieces, so that no second copy of a large tensor is made.
            for piece in values.chunks(1 << 18) {
                put(&self.format.encode(piece))?;
            }
        }
        file.flush().map_err(Error::io(path))?;
        Ok(())
    }

    fn header(&self, tensors: &[StoredTensor]) -> Vec<u8> {
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
        let mut at = 0;
        for tensor in tensors {
            let end = at + tensor.elements() * self.format.size();
            let entry = json!({
                "dtype": self.format.header_name(),
                "shape": tensor.shape,
                "data_offsets": [at, end],
            });
            header.insert(tensor.name.clone(), entry);
            at = end;
        }
        let mut bytes = Value::Object(header).to_string().into_bytes();
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        bytes
    }
}

/// Tensors in order, cut into at most `count` runs of about the same size.
fn runs(tensors: &[StoredTensor], count: usize) -> Vec<&[StoredTensor]> {
    let total: usize = tensors.iter().map(StoredTensor::elements).sum();
    let count = count.clamp(1, tensors.len().max(1));
    let mut before = 0;
    let shards: Vec<usize> = tensors
        .iter()
        .map(|tensor| {
            let shard = (before * count / total.max(1)).min(count - 1);
            before += tensor.elements();
            shard
        })
        .collect();
    let mut runs = Vec::new();
    let mut start = 0;
    for end in 1..=tensors.len() {
        if end == tensors.len() || shards[end] != shards[start] {
            runs.push(&tensors[start..end]);
            start = end;
        }
    }
    runs
}
