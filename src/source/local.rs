//! Models on disk: a folder, one safetensors file, one GGUF file.

use std::path::Path;

use super::Artefacts;
use super::Error;
use super::Format;
use super::Progress;
use super::folder::Folder;
use super::folder::has_extension;
use super::index;
use super::pin::Candidate;
use super::pin::pin;

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Read when they are there.
pub(super) const EXTRAS: [&str; 3] = [
    "generation_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];
const PICKLES: [&str; 5] = ["bin", "pt", "pth", "ckpt", "pkl"];

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
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let meta = std::fs::metadata(path).map_err(|e| not_there(path, e))?;
    let layout = if meta.is_dir() {
        folder(&Folder::open(path)?)?
    } else {
        file(path)?
    };
    pinned(layout, reference, progress)
}

/// Opens a GGUF file, whatever its extension.
pub(super) fn open_gguf(
    path: &Path,
    reference: String,
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let meta = std::fs::metadata(path).map_err(|e| not_there(path, e))?;
    if meta.is_dir() {
        return Err(Error::unusable(
            path,
            "a folder; after `gguf:` write the path of one GGUF file",
        ));
    }
    pinned(gguf(path)?, reference, progress)
}

fn folder(folder: &Folder) -> Result<Layout, Error> {
    let single = folder.find(SINGLE)?;
    let index = folder.find(INDEX)?;
    let weights = match (single, &index) {
        (Some(single), None) => vec![single],
        (single, Some(index)) => {
            let shards = index::shards(folder, index)?;
            if single.is_some() && shards.iter().all(|shard| shard.name != SINGLE) {
                return Err(Error::unusable(
                    folder.path(),
                    format!(
                        "holds both {SINGLE} and the shards of {INDEX}; name the one file, or move it away"
                    ),
                ));
            }
            shards
        }
        (None, None) => match folder.with_extension(&["safetensors"])?.as_slice() {
            [] => return without_safetensors(folder),
            [only] => return safetensors(folder, only),
            several => {
                return Err(Error::unusable(
                    folder.path(),
                    format!(
                        "{} safetensors files but neither {SINGLE} nor {INDEX}; name one file, or add the index",
                        several.len()
                    ),
                ));
            }
        },
    };
    with_sidecars(folder, weights, index)
}

/// A folder without safetensors: one GGUF file, or an error that says what to do.
fn without_safetensors(folder: &Folder) -> Result<Layout, Error> {
    match folder.with_extension(&["gguf"])?.as_slice() {
        [] => {}
        [only] => {
            let file = folder.find(only)?.ok_or_else(|| vanished(folder, only))?;
            return gguf(&file.path);
        }
        several => {
            // A split model is told apart from several whole ones.
            for name in several {
                refuse_split(&folder.path().join(name))?;
            }
            return Err(Error::unusable(
                folder.path(),
                format!(
                    "{} GGUF files; name one of them, such as {}",
                    several.len(),
                    folder.path().join(&several[0]).display()
                ),
            ));
        }
    }
    if let Some(name) = folder.with_extension(&PICKLES)?.first() {
        return Err(pickle(&folder.path().join(name)));
    }
    Err(Error::unusable(
        folder.path(),
        format!("no weights: expected {SINGLE}, {INDEX} with its shards, or one .gguf file"),
    ))
}

fn file(path: &Path) -> Result<Layout, Error> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if has_extension(&name, &["gguf"]) {
        return gguf(path);
    }
    if has_extension(&name, &PICKLES) {
        return Err(pickle(path));
    }
    if has_extension(&name, &["safetensors"]) {
        if let Some((_, total)) = split_part(&name, ".safetensors") {
            return Err(Error::unusable(
                path,
                format!("one of {total} shards; name the folder that holds them and {INDEX}"),
            ));
        }
        let folder = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
        let weights = Candidate {
            name,
            path: path.to_owned(),
        };
        return with_sidecars(&folder, vec![weights], None);
    }
    if name == INDEX || name == CONFIG {
        return Err(Error::unusable(path, "name the folder that it lies in"));
    }
    Err(Error::unusable(
        path,
        "not a model file by its name; expected .safetensors or .gguf (or write `gguf:` in front)",
    ))
}

fn safetensors(folder: &Folder, name: &str) -> Result<Layout, Error> {
    if let Some((_, total)) = split_part(name, ".safetensors") {
        return Err(Error::unusable(
            folder.path(),
            format!(
                "has {name}, one of {total} shards, but no {INDEX}; add the index and the other shards"
            ),
        ));
    }
    if name == "adapter_model.safetensors" {
        return Err(Error::unusable(
            folder.path(),
            "a LoRA adapter without its base; merge it into the base first (in Python: PeftModel.merge_and_unload, then save_pretrained)",
        ));
    }
    let weights = folder.find(name)?.ok_or_else(|| vanished(folder, name))?;
    with_sidecars(folder, vec![weights], None)
}

fn gguf(path: &Path) -> Result<Layout, Error> {
    refuse_split(path)?;
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
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

/// Hashes everything in one parallel pass and puts the files back in their places.
fn pinned(layout: Layout, reference: String, progress: &dyn Progress) -> Result<Artefacts, Error> {
    let Layout {
        format,
        weights,
        config,
        tokenizer,
        others,
    } = layout;
    let counts = [weights.len(), config.iter().len(), tokenizer.iter().len()];
    let files: Vec<Candidate> = weights
        .into_iter()
        .chain(config)
        .chain(tokenizer)
        .chain(others)
        .collect();
    let mut rest = pin(&reference, &files, progress)?.into_iter();
    let mut take = |n: usize| rest.by_ref().take(n).collect::<Vec<_>>();
    let mut weights = take(counts[0]);
    weights.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Artefacts {
        reference,
        revision: None,
        format,
        weights,
        config: take(counts[1]).pop(),
        tokenizer: take(counts[2]).pop(),
        others: rest.collect(),
        run: None,
    })
}

fn refuse_split(path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match split_part(&name, ".gguf") {
        Some((part, total)) => Err(Error::unusable(
            path,
            format!(
                "part {part} of a GGUF file in {total} parts; join them first with llama.cpp's `gguf-split --merge`"
            ),
        )),
        None => Ok(()),
    }
}

/// `name-00002-of-00005.ext` -> (2, 5), for totals above one.
fn split_part(name: &str, extension: &str) -> Option<(u32, u32)> {
    let stem = name.strip_suffix(extension)?;
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (_, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        (digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<u32>().ok())
            .flatten()
    };
    let (part, total) = (number(part)?, number(total)?);
    (total > 1).then_some((part, total))
}

fn pickle(path: &Path) -> Error {
    let whole_model = path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with("pytorch_model") && name.ends_with(".bin")
    });
    let remedy = if whole_model {
        "AutoModelForCausalLM.from_pretrained(\"FOLDER\").save_pretrained(\"OUT\", safe_serialization=True) in transformers"
    } else {
        "safetensors.torch.save_file(torch.load(\"FILE\", weights_only=True), \"model.safetensors\") in Python"
    };
    Error::Pickle {
        path: path.to_owned(),
        remedy: remedy.to_owned(),
    }
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

/// A file that was listed a moment ago.
fn vanished(folder: &Folder, name: &str) -> Error {
    Error::Io {
        path: folder.path().join(name),
        source: std::io::ErrorKind::NotFound.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::split_part;

    #[test]
    fn parts_of_split_files_are_recognised() {
        assert_eq!(split_part("m-00001-of-00003.gguf", ".gguf"), Some((1, 3)));
        assert_eq!(split_part("m-00001-of-00001.gguf", ".gguf"), None);
        assert_eq!(split_part("best-of-3.gguf", ".gguf"), None);
        assert_eq!(split_part("m-00001-of-00003.gguf", ".safetensors"), None);
    }
}
