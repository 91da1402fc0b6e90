//! The files of a folder of activations while they are written, a chunk of prompts at a time.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use super::One;
use super::listener::Rows;
use super::manifest::Heard;
use super::manifest::MANIFEST;
use super::manifest::Manifest;
use super::manifest::Missing;
use super::manifest::Shard;
use crate::model::Site;
use crate::probe::Item;
use crate::record::Error;

/// Name of the one metadata entry of a file.
const METADATA: &str = "kinprobe";

/// What a file says of itself, so that a killed run can go on.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    /// Of what is recorded.
    key: String,
    /// Whose rows it holds.
    items: Vec<Heard>,
    /// Those that have none.
    missing: Vec<Missing>,
}

/// Files so far.
pub(super) struct Shards {
    folder: PathBuf,
    key: String,
    files: Vec<(Shard, Vec<Missing>)>,
}

impl Shards {
    /// Makes `folder`, or finds what an interrupted run left there; `manifest` says what is recorded.
    pub fn open(folder: &Path, manifest: &Manifest, items: &[Item]) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let mut shards = Self {
            folder: folder.to_path_buf(),
            key: key(manifest),
            files: Vec::new(),
        };
        loop {
            let path = folder.join(shards.next());
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(Error::io(&path, error)),
            };
            let foreign = |reason: &str| Error::Foreign {
                path: path.clone(),
                reason: reason.to_owned(),
            };
            let about = about(&bytes).ok_or_else(|| foreign("it is no file of this recording"))?;
            if about.key != shards.key {
                return Err(foreign(
                    "it belongs to another model, suite, pool or other sites",
                ));
            }
            let shard = Shard {
                file: shards.next(),
                sha256: hex(&bytes),
                items: about.items,
            };
            shards.files.push((shard, about.missing));
        }
        if shards.items() > items.len() {
            return Err(Error::Foreign {
                path: folder.join(MANIFEST),
                reason: "it has more prompts than the suite".to_owned(),
            });
        }
        Ok(shards)
    }

    /// Prompts that are done.
    pub fn items(&self) -> usize {
        let files = self.files.iter();
        files
            .map(|(shard, missing)| shard.items.len() + missing.len())
            .sum()
    }

    fn next(&self) -> String {
        format!("{:05}.safetensors", self.files.len())
    }

    /// Writes the next file.
    pub fn append(&mut self, sites: &[Site], chunk: Vec<One>) -> Result<(), Error> {
        let (mut items, mut missing, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for one in chunk {
            match one {
                Ok((heard, values)) => {
                    items.push(heard);
                    rows.push(values);
                }
                Err(none) => missing.push(none),
            }
        }
        let about = About {
            key: self.key.clone(),
            items,
            missing,
        };
        let file = self.next();
        let path = self.folder.join(&file);
        let bytes = encode(&about, sites, &rows)
            .map_err(|reason| Error::io(&path, std::io::Error::other(reason)))?;
        let fresh = path.with_extension("safetensors-new");
        fs::write(&fresh, &bytes).map_err(|error| Error::io(&fresh, error))?;
        fs::rename(&fresh, &path).map_err(|error| Error::io(&path, error))?;
        let shard = Shard {
            file,
            sha256: hex(&bytes),
            items: about.items,
        };
        self.files.push((shard, about.missing));
        Ok(())
    }

    /// Names the files in `manifest`, and writes it.
    pub fn finish(self, manifest: &mut Manifest) -> Result<(), Error> {
        for (shard, missing) in self.files {
            manifest.missing.extend(missing);
            manifest.files.push(shard);
        }
        manifest.files.retain(|file| !file.items.is_empty());
        let reached = match manifest.files.first() {
            Some(first) => names(&self.folder.join(&first.file))?,
            None => Vec::new(),
        };
        manifest.sites.retain(|site| reached.contains(site));
        manifest.write(&self.folder)
    }
}

/// Of everything that rows depend on.
fn key(manifest: &Manifest) -> String {
    let Manifest {
        schema,
        model_digest,
        engine,
        suite,
        suite_sha256,
        pool,
        sites,
        ..
    } = manifest;
    let all = serde_json::json!([
        schema,
        model_digest,
        engine,
        suite,
        suite_sha256,
        pool,
        sites
    ]);
    hex(all.to_string().as_bytes())
}

fn about(bytes: &[u8]) -> Option<About> {
    // Torn files are never renamed into place; a header is read whole or not at all.
    let file = SafeTensors::deserialize(bytes).ok()?;
    drop(file);
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    serde_json::from_str(metadata.metadata().as_ref()?.get(METADATA)?).ok()
}

fn names(path: &Path) -> Result<Vec<String>, Error> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::io(path, std::io::Error::other(error.to_string())))?;
    Ok(file.names().into_iter().map(str::to_owned).collect())
}

fn encode(about: &About, sites: &[Site], rows: &[Rows]) -> Result<Vec<u8>, String> {
    let count: usize = about.items.iter().map(Heard::rows).sum();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        let values = rows.iter().flat_map(|row| &row.values[at]);
        let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        let elements = bytes.len() / size_of::<f32>();
        if elements == 0 {
            // The pass does not come by: a dense site of a sparse block.
            continue;
        }
        if count == 0 || !elements.is_multiple_of(count) {
            return Err(format!("rows at {site} are not of one width"));
        }
        tensors.push((site.to_string(), vec![count, elements / count], bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (name.as_str(), view))
            .map_err(|error| error.to_string())
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    let about = serde_json::to_string(about).map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(METADATA.to_owned(), about)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

pub(in crate::record) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let hash = Sha256::digest(bytes);
    hash.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
