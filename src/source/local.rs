//! Models on disk: a folder, one safetensors file, one GGUF file.

#[cfg(feature = "hub")]
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::Artefact;
use super::Artefacts;
use super::Digested;
use super::Error;
use super::Format;
use super::Parts;
use super::Progress;
use super::folder::Folder;
use super::folder::has_extension;
use super::index;
use super::layout;
use super::layout::CONFIG;
use super::layout::EXTRAS;
use super::layout::INDEX;
use super::layout::TOKENIZER;
use super::layout::Weights;
use super::parts::PartFile;
use super::pin::Candidate;
use super::pin::pin;

/// The files of a model before they are hashed.
struct Layout {
    format: Format,
    weights: Vec<Candidate>,
    config: Option<Candidate>,
    tokenizer: Option<Candidate>,
    others: Vec<Candidate>,
}

/// Opens a folder or file; its kind is told by what is there.
pub(super) fn open(
    path: &Path,
    reference: String,
    sample: Option<u64>,
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let meta = std::fs::metadata(path).map_err(|e| not_there(path, e))?;
    let layout = if meta.is_dir() {
        folder(&Folder::open(path)?)?
    } else {
        file(path)?
    };
    pinned(layout, reference, sample, progress)
}

/// Opens a GGUF file, whatever its extension.
pub(super) fn open_gguf(
    path: &Path,
    reference: String,
    sample: Option<u64>,
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let meta = std::fs::metadata(path).map_err(|e| not_there(path, e))?;
    if meta.is_dir() {
        return Err(Error::unusable(
            path,
            "a folder; after `gguf:` write the path of one GGUF file",
        ));
    }
    pinned(gguf(path)?, reference, sample, progress)
}

fn folder(folder: &Folder) -> Result<Layout, Error> {
    let refuse = |reason: String| Error::unusable(folder.path(), reason);
    let names = folder.names()?;
    match layout::choose(&names).map_err(refuse)? {
        Weights::File(name) => with_sidecars(folder, vec![folder.require(&name)?], None),
        Weights::Gguf(name) => gguf(&folder.require(&name)?.path),
        Weights::Sharded => {
            let index = folder.require(INDEX)?;
            let shards = index::shards(folder, &index)?;
            layout::not_both(&names, shards.iter().map(|shard| shard.name.as_str()))
                .map_err(refuse)?;
            with_sidecars(folder, shards, Some(index))
        }
    }
}

fn file(path: &Path) -> Result<Layout, Error> {
    let refuse = |reason: String| Error::unusable(path, reason);
    let name = file_name(path);
    if has_extension(&name, &["gguf"]) {
        return gguf(path);
    }
    if layout::is_pickle(&name) {
        return Err(refuse(layout::pickle(&name)));
    }
    if has_extension(&name, &["safetensors"]) {
        layout::not_a_shard(&name).map_err(refuse)?;
        let folder = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
        let weights = Candidate {
            name,
            path: path.to_owned(),
        };
        return with_sidecars(&folder, vec![weights], None);
    }
    Err(refuse(if name == INDEX || name == CONFIG {
        "name the folder that it lies in".to_owned()
    } else {
        "not a model file by its name; expected .safetensors or .gguf (or write `gguf:` in front)"
            .to_owned()
    }))
}

fn gguf(path: &Path) -> Result<Layout, Error> {
    let name = file_name(path);
    layout::not_split_gguf(&name).map_err(|reason| Error::unusable(path, reason))?;
    Ok(Layout {
        format: Format::Gguf,
        weights: vec![Candidate {
            name,
            path: path.to_owned(),
        }],
        config: None,
        tokenizer: None,
        others: Vec::new(),
    })
}

fn with_sidecars(
    folder: &Folder,
    weights: Vec<Candidate>,
    index: Option<Candidate>,
) -> Result<Layout, Error> {
    let mut others = Vec::from_iter(index);
    for name in EXTRAS {
        others.extend(folder.find(name)?);
    }
    Ok(Layout {
        format: Format::Safetensors,
        weights,
        config: folder.find(CONFIG)?,
        tokenizer: folder.find(TOKENIZER)?,
        others,
    })
}

/// The files beside the weights in `folder`, those of these names only.
#[cfg(feature = "hub")]
pub(super) fn sidecars(
    folder: &Path,
    names: &BTreeSet<String>,
    reference: &str,
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let folder = Folder::open(folder)?;
    let find = |name: &str| match names.contains(name) {
        true => folder.find(name),
        false => Ok(None),
    };
    let mut others = Vec::from_iter(find(INDEX)?);
    for name in EXTRAS {
        others.extend(find(name)?);
    }
    let layout = Layout {
        format: Format::Safetensors,
        weights: Vec::new(),
        config: find(CONFIG)?,
        tokenizer: find(TOKENIZER)?,
        others,
    };
    pinned(layout, reference.to_owned(), None, progress)
}

/// Hashes everything in one parallel pass and puts the files back in their places. Weights of more than
/// `sample` bytes are not hashed, and read in parts.
fn pinned(
    layout: Layout,
    reference: String,
    sample: Option<u64>,
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let Layout {
        format,
        weights,
        config,
        tokenizer,
        others,
    } = layout;
    let parts = match sample {
        Some(most) => in_parts(&weights, format, most, progress)?,
        None => None,
    };
    let hashed = if parts.is_some() { 0 } else { weights.len() };
    let counts = [hashed, config.iter().len(), tokenizer.iter().len()];
    let files: Vec<Candidate> = weights
        .iter()
        .take(hashed)
        .cloned()
        .chain(config)
        .chain(tokenizer)
        .chain(others)
        .collect();
    let mut rest = pin(&reference, &files, progress)?.into_iter();
    let mut take = |n: usize| rest.by_ref().take(n).collect::<Vec<_>>();
    let mut pinned = take(counts[0]);
    if let Some(parts) = &parts {
        let unread = weights.iter().zip(parts.sizes());
        pinned.extend(unread.map(|(file, size)| Artefact {
            name: file.name.clone(),
            path: file.path.clone(),
            size,
            sha256: String::new(),
            digest: Digested::Unknown,
        }));
    }
    Ok(Artefacts {
        reference,
        revision: None,
        format,
        weights: pinned,
        config: take(counts[1]).pop(),
        tokenizer: take(counts[2]).pop(),
        others: rest.collect(),
        run: None,
        parts,
        endpoint: None,
    })
}

/// The weight files, to be read in parts, if they have more than `most` bytes together.
fn in_parts(
    weights: &[Candidate],
    format: Format,
    most: u64,
    progress: &dyn Progress,
) -> Result<Option<Arc<Parts>>, Error> {
    let file = |file: &Candidate| {
        let meta = std::fs::metadata(&file.path).map_err(Error::io(&file.path))?;
        let path = Some(file.path.clone());
        Ok(PartFile::new(meta.len(), path))
    };
    let files: Vec<PartFile> = weights.iter().map(file).collect::<Result<_, Error>>()?;
    if files.iter().map(|file| file.size).sum::<u64>() <= most {
        return Ok(None);
    }
    let parts = Parts::new(files, None);
    parts.bring_heads(format, progress)?;
    Ok(Some(Arc::new(parts)))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn not_there(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::unusable(
            path,
            "no such file or folder (a hub model is written `hf:owner/name`, a shipped one `zoo:name`)",
        );
    }
    Error::io(path)(error)
}
