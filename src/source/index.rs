//! `model.safetensors.index.json`: which files the weights are spread over.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::Error;
use super::folder::Folder;
use super::folder::has_extension;
use super::pin::Candidate;
use crate::text::ModelText;

/// The largest published index (a 671B mixture of experts) has 9 MB.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// The files that the index names, in name order; each exists and lies inside the folder.
pub(super) fn shards(folder: &Folder, index: &Candidate) -> Result<Vec<Candidate>, Error> {
    let refuse = |reason: String| Error::ShardIndex {
        path: index.path.clone(),
        reason,
    };
    let names = shard_names(&index.path)?;
    let mut found = Vec::with_capacity(names.len());
    for name in &names {
        match folder.find(name) {
            Ok(Some(file)) => found.push(file),
            Ok(None) => {
                return Err(refuse(format!(
                    "it names {}, which is not in the folder; download the missing file",
                    shown(name)
                )));
            }
            Err(Error::Outside { name, .. }) => {
                return Err(refuse(format!(
                    "it names {}, which leads outside the folder; such an index is not followed",
                    shown(&name)
                )));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// The distinct file names in the index at `path`.
pub(super) fn shard_names(path: &Path) -> Result<BTreeSet<String>, Error> {
    let refuse = |reason: String| Error::ShardIndex {
        path: path.to_owned(),
        reason,
    };
    let parsed: ShardIndex = serde_json::from_slice(&read_capped(path, MAX_BYTES)?)
        .map_err(|e| refuse(format!("not a shard index ({e}); fetch the file again")))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(refuse("it names no files; fetch the file again".to_owned()));
    }
    match names
        .iter()
        .find(|name| !has_extension(name, &["safetensors"]))
    {
        Some(other) => Err(refuse(format!(
            "it names {}, which is not a safetensors file; such an index is not followed",
            shown(other)
        ))),
        None => Ok(names),
    }
}

/// The whole of a small file; a larger one is an error.
pub(super) fn read_capped(path: &Path, max: u64) -> Result<Vec<u8>, Error> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    if bytes.len() as u64 > max {
        return Err(Error::unusable(
            path,
            format!("larger than {} MiB, which no such file is", max >> 20),
        ));
    }
    Ok(bytes)
}

fn shown(name: &str) -> String {
    ModelText::new(name).clipped(120)
}
