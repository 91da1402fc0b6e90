//! Reference Gram matrices from what was recorded inside a model.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::list::Entry;
use super::list::List;
use super::list::SCHEMA;
use super::list::damaged;
use super::list::stem;
use crate::model::Site;
use crate::record::Error;
use crate::record::inside::spaced;
use crate::record::tapped;
use crate::record::tapped::Pool;
use crate::record::tapped::Tapped;
use crate::stat::cka::CentredGram;
use crate::text::ModelText;

/// Blocks of a model whose matrices are kept.
const MOST_BLOCKS: usize = 6;

/// What a list says of a model besides what its recording tells.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// What reports are to call it.
    pub label: &'a str,
    /// Pre-training run.
    pub run: &'a str,
    /// Of the model.
    pub licence: &'a str,
}

/// Puts the Gram matrices of a model into `folder`, in place of those it has under the same label there.
///
/// # Errors
/// Rows of several to a prompt, a model without blocks, prompts that are not those of the others in the folder, a
/// block to which all prompts are alike, or a folder that cannot be written.
pub fn write(folder: &Path, of: &Tapped, about: &About<'_>) -> Result<Entry, Error> {
    let manifest = &of.manifest;
    let path = List::path(folder, &manifest.suite, manifest.pool);
    let refuse = |reason: String| damaged(&path, reason);
    let label = ModelText::new(about.label).clipped(60);
    if !matches!(manifest.pool, Pool::Last | Pool::Mean) {
        return Err(refuse(format!(
            "{label} was recorded with --pool {}: a Gram matrix over prompts needs one row of each, `last` or `mean`",
            manifest.pool.name()
        )));
    }
    let mut list = match path.exists() {
        true => List::read(&path)?,
        false => List {
            schema: SCHEMA.to_owned(),
            suite: manifest.suite.clone(),
            suite_sha256: manifest.suite_sha256.clone(),
            pool: manifest.pool,
            prompts: manifest
                .items()
                .map(|heard| heard.prompt_sha256.clone())
                .collect(),
            models: Vec::new(),
        },
    };
    let rows = rows(&list, of).map_err(|reason| refuse(format!("{label} {reason}")))?;
    let stack = of.activations.stack(Site::ResidPost);
    let kept: Vec<usize> = spaced(&(0..stack.len()).collect::<Vec<_>>(), MOST_BLOCKS);
    let Some((_, first)) = stack.first() else {
        return Err(refuse(format!(
            "{label} was not recorded behind its blocks: tap 'blocks.*.hook_resid_post'"
        )));
    };
    let mut tensors = Vec::new();
    for &at in &kept {
        let (layer, site) = stack[at];
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| &site.values[row * site.width..(row + 1) * site.width])
            .copied()
            .collect();
        let gram = CentredGram::new(&values, rows.len())
            .ok_or_else(|| refuse(format!("{label}: all prompts are alike to block {layer}")))?;
        tensors.push((Site::ResidPost(layer).to_string(), gram.triangle()));
    }
    let bytes = encode(&tensors).map_err(refuse)?;
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let name = crate::record::file_name(&label);
    let entry = Entry {
        run: about.run.to_owned(),
        digest: manifest.model_digest.clone(),
        licence: about.licence.to_owned(),
        engine: manifest.engine.clone(),
        blocks: stack.len(),
        width: first.width,
        kept: kept.iter().map(|at| stack[*at].0).collect(),
        file: format!("{}.{name}.safetensors", stem(&list.suite, list.pool)),
        sha256: tapped::hex(&bytes),
        label,
    };
    list.models.retain(|other| other.label != entry.label);
    if list.models.iter().any(|other| other.file == entry.file) {
        let file = &entry.file;
        return Err(refuse(format!(
            "`{file}` is another model's: give {} another label, LABEL=FOLDER",
            entry.label
        )));
    }
    put(&folder.join(&entry.file), &bytes)?;
    list.models.push(entry.clone());
    list.models.sort_by(|a, b| a.label.cmp(&b.label));
    let text = serde_json::to_string_pretty(&list).map_err(|error| refuse(error.to_string()))?;
    put(&path, format!("{text}\n").as_bytes())?;
    Ok(entry)
}

/// The row of each prompt of the list.
fn rows(list: &List, of: &Tapped) -> Result<Vec<usize>, String> {
    let heard = of.manifest.items().enumerate();
    let places: HashMap<&str, usize> = heard
        .map(|(row, heard)| (heard.prompt_sha256.as_str(), row))
        .collect();
    let found = list
        .prompts
        .iter()
        .filter_map(|hash| places.get(hash.as_str()).copied());
    let found: Vec<usize> = found.collect();
    let (planned, there) = (list.prompts.len(), found.len());
    match there == planned {
        true => Ok(found),
        false => Err(format!(
            "read {there} of the {planned} prompts of the others here: record the whole suite, or choose another folder"
        )),
    }
}

fn encode(tensors: &[(String, Vec<f32>)]) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, values)| {
            let halves = values.iter().map(|value| f16::from_f32(*value));
            halves.flat_map(f16::to_le_bytes).collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, values), bytes)| {
        let view = TensorView::new(Dtype::F16, vec![values.len()], bytes);
        view.map(|view| (name.as_str(), view))
            .map_err(|error| error.to_string())
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Under another name first, so that a file is whole or not there.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("-new");
    std::fs::write(&fresh, bytes).map_err(|error| Error::io(Path::new(&fresh), error))?;
    std::fs::rename(&fresh, path).map_err(|error| Error::io(path, error))
}
