//! Reference Gram matrices from their folder.

use std::collections::BTreeMap;
use std::path::Path;

use super::ReferenceGrams;
use super::list::Entry;
use super::list::List;
use super::list::damaged;
use crate::model::Site;
use crate::model::TensorStore;
use crate::record::Error;
use crate::record::tapped;
use crate::record::tapped::Pool;
use crate::source::Format;
use crate::text::ModelText;

/// Those of `folder` whose rows are of `pool` and that hold prompts of `prompts`, which gives the hash of every
/// item's prompt; none of a folder that is not there.
///
/// # Errors
/// A list or a file that cannot be read, or is not what the list says.
pub fn read(
    folder: &Path,
    pool: Pool,
    prompts: &BTreeMap<String, String>,
) -> Result<Vec<ReferenceGrams>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Result<Vec<_>, _> = paths.collect();
    let mut paths = paths.map_err(|error| Error::io(folder, error))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let list = List::read(&path)?;
        if list.pool != pool {
            continue;
        }
        let items = items(&list, prompts);
        if items.is_empty() {
            continue;
        }
        for entry in &list.models {
            found.push(grams(&path, &list, entry, &items)?);
        }
    }
    Ok(found)
}

/// Of every item that the list has the number of its prompt.
fn items(list: &List, prompts: &BTreeMap<String, String>) -> BTreeMap<String, usize> {
    let known: BTreeMap<&str, usize> = list
        .prompts
        .iter()
        .enumerate()
        .map(|(number, hash)| (hash.as_str(), number))
        .collect();
    let one = |(item, hash): (&String, &String)| Some((item.clone(), *known.get(hash.as_str())?));
    prompts.iter().filter_map(one).collect()
}

fn grams(
    list_path: &Path,
    list: &List,
    entry: &Entry,
    items: &BTreeMap<String, usize>,
) -> Result<ReferenceGrams, Error> {
    let folder = list_path.parent().unwrap_or(Path::new("."));
    let path = tapped::beside(folder, &entry.file, &entry.sha256)
        .map_err(|reason| damaged(list_path, reason))?;
    let wrong = |reason: String| damaged(&path, reason);
    let store = TensorStore::open_files([path.as_path()], Format::Safetensors)
        .map_err(|error| wrong(error.to_string()))?;
    let rows = list.prompts.len();
    let count = rows * rows.saturating_sub(1) / 2;
    let block = |layer: &usize| {
        let name = Site::ResidPost(*layer).to_string();
        let info = store
            .info(&name)
            .ok_or_else(|| wrong(format!("it has no tensor `{name}`")))?;
        if info.shape != [count] {
            let shape = &info.shape;
            return Err(wrong(format!(
                "`{name}` is {shape:?}, and {rows} prompts make {count} pairs"
            )));
        }
        let values = store.elements(&name, 0..count);
        let values = values.map_err(|error| wrong(error.to_string()))?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(wrong(format!("`{name}` holds numbers that are not finite"))),
        }
    };
    Ok(ReferenceGrams {
        label: ModelText::new(&entry.label).clipped(60),
        run: entry.run.clone(),
        digest: entry.digest.clone(),
        shape: (entry.blocks, entry.width),
        items: items.clone(),
        rows,
        blocks: entry.kept.iter().map(block).collect::<Result<_, _>>()?,
    })
}
