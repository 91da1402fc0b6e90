//! What a shard index promises, held against what the shards hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::{Error, TensorStore};
use crate::source::Artefact;
use crate::text::ModelText;

/// The largest published index (a 671B mixture of experts) has 9 MB.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

/// Checks that every tensor that `index` names is in `store`: a shard that was replaced by another
/// one is noticed here.
///
/// # Errors
/// An index that cannot be read, or names a tensor that no shard holds.
pub(super) fn check_index(index: &Artefact, store: &TensorStore) -> Result<(), Error> {
    let malformed = |reason: String| Error::Malformed {
        file: ModelText::new(index.path.display().to_string()).to_string(),
        reason,
    };
    let bytes = read(&index.path).map_err(|error| malformed(error.to_string()))?;
    let parsed: Index = serde_json::from_slice(&bytes).map_err(|error| {
        let error = ModelText::new(error.to_string()).clipped(200);
        malformed(format!("it is not a shard index ({error})"))
    })?;
    let missing = |(tensor, _): &(&String, &String)| store.info(tensor).is_none();
    match parsed.weight_map.iter().find(missing) {
        None => Ok(()),
        Some((tensor, file)) => {
            let tensor = ModelText::new(tensor).clipped(120);
            let file = ModelText::new(file).clipped(120);
            Err(malformed(format!(
                "it names tensor `{tensor}` in {file}, which does not hold it"
            )))
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("it has more than {MAX_BYTES} bytes");
        return Err(std::io::Error::other(reason));
    }
    Ok(bytes)
}
