//! A folder of activations, of this program or another, as evidence takes it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest;
use sha2::Sha256;

use super::manifest::Heard;
use super::manifest::MANIFEST;
use super::manifest::Manifest;
use super::manifest::SCHEMA;
use super::pool::Pool;
use super::whole::Whole;
use crate::model::Site;
use crate::model::TensorStore;
use crate::record::Activations;
use crate::record::Error;
use crate::record::SiteActivations;
use crate::source::Format;
use crate::text::ModelText;

/// Largest manifest that is read.
const LARGEST: u64 = 64 << 20;

/// A folder of activations.
#[derive(Debug, Clone, PartialEq)]
pub struct Tapped {
    /// What it says of itself.
    pub manifest: Manifest,
    /// All of it.
    pub activations: Activations,
    /// Of every item the hash of its prompt.
    pub prompts: BTreeMap<String, String>,
}

impl Tapped {
    /// Refuses recordings of which one item names two prompts.
    ///
    /// # Errors
    /// In words, naming the item.
    pub fn reads_as(&self, other: &Self) -> Result<(), String> {
        let differs = |(item, prompt): &(&String, &String)| {
            let theirs = other.prompts.get(item.as_str());
            theirs.is_some_and(|theirs| theirs != *prompt)
        };
        match self.prompts.iter().find(differs) {
            None => Ok(()),
            Some((item, _)) => Err(format!(
                "item `{}` is one prompt in {} and another in {}: record both with the same suite",
                ModelText::new(item).clipped(60),
                ModelText::new(&self.manifest.model).clipped(40),
                ModelText::new(&other.manifest.model).clipped(40),
            )),
        }
    }
}

/// Reads a folder of activations, or its manifest.
///
/// # Errors
/// One line that names the file: it cannot be read, is not what the manifest says, or is damaged.
pub fn read(path: &Path) -> Result<Tapped, Error> {
    let path = match path.is_dir() {
        true => path.join(MANIFEST),
        false => path.to_path_buf(),
    };
    let manifest = manifest(&path)?;
    let sites = sites(&path, &manifest)?;
    let whole = whole(&path, &manifest, &sites)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut columns: Vec<(Option<usize>, Vec<f32>)> = vec![(None, Vec::new()); sites.len()];
    for shard in &manifest.files {
        let file =
            beside(folder, &shard.file, &shard.sha256).map_err(|reason| damaged(&path, reason))?;
        let rows: usize = shard.items.iter().map(Heard::rows).sum();
        let wrong = |reason: String| damaged(&file, reason);
        let store = TensorStore::open_files([file.as_path()], Format::Safetensors)
            .map_err(|error| wrong(error.to_string()))?;
        for ((width, values), (name, _)) in columns.iter_mut().zip(&sites) {
            let found = take(&store, name, rows).map_err(wrong)?;
            let here = found.len() / rows.max(1);
            if whole.is_some_and(|whole| whole.width() != Some(here)) {
                return Err(wrong(format!(
                    "`{name}` is not as wide as the manifest's heads and tokens make it"
                )));
            }
            if *width.get_or_insert(here) != here {
                return Err(wrong(format!(
                    "`{name}` is not as wide as in the files before"
                )));
            }
            values.extend(found);
        }
    }
    let (items, offsets) = rows(&path, &manifest)?;
    let columns = columns.into_iter().zip(sites);
    let mut sites: Vec<SiteActivations> = columns
        .map(|((width, values), (_, site))| SiteActivations {
            site,
            width: width.unwrap_or(0),
            values,
        })
        .collect();
    sites.sort_by_key(|one| one.site.turn());
    let prompts = manifest
        .items()
        .map(|heard| (heard.item.clone(), heard.prompt_sha256.clone()));
    Ok(Tapped {
        prompts: prompts.collect(),
        activations: Activations {
            suite: manifest.suite.clone(),
            items,
            offsets,
            tokens: whole.map(|whole| whole.tokens),
            key_value_heads: manifest.key_value_heads,
            sites,
        },
        manifest,
    })
}

fn manifest(path: &Path) -> Result<Manifest, Error> {
    let size = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if size.len() > LARGEST {
        return Err(damaged(path, "is larger than any manifest".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| damaged(path, ModelText::new(error.to_string()).clipped(200)))?;
    if manifest.schema != SCHEMA {
        let other = ModelText::new(&manifest.schema).clipped(60);
        return Err(damaged(
            path,
            format!("its schema is `{other}`, not {SCHEMA}"),
        ));
    }
    Ok(manifest)
}

/// Names and places.
fn sites(path: &Path, manifest: &Manifest) -> Result<Vec<(String, Site)>, Error> {
    let mut seen = BTreeSet::new();
    let mut sites = Vec::new();
    for name in &manifest.sites {
        let shown = || ModelText::new(name).clipped(60);
        let site: Site = name
            .parse()
            .map_err(|_| damaged(path, format!("`{}` is no site", shown())))?;
        if !seen.insert(site) {
            return Err(damaged(path, format!("`{}` is named twice", shown())));
        }
        sites.push((name.clone(), site));
    }
    match sites.is_empty() {
        true => Err(damaged(path, "it names no site".to_owned())),
        false => Ok(sites),
    }
}

/// What a row is where prompts were kept whole.
fn whole(
    path: &Path,
    manifest: &Manifest,
    sites: &[(String, Site)],
) -> Result<Option<Whole>, Error> {
    let patterns = sites
        .iter()
        .all(|(_, site)| matches!(site, Site::Pattern(_)));
    let offsets = manifest.items().any(|heard| !heard.offsets.is_empty());
    match (manifest.pool, manifest.whole) {
        (Pool::Whole, Some(whole)) if patterns && !offsets => Ok(Some(whole)),
        (Pool::Last | Pool::Mean | Pool::All, None) => Ok(None),
        _ => Err(damaged(
            path,
            "patterns of whole prompts are the pool `whole`, have `whole: {heads, tokens}`, one row for each \
             prompt, and no other site beside them"
                .to_owned(),
        )),
    }
}

/// A file that a list in `folder` names: beside the list, and what it was.
///
/// # Errors
/// In words, naming the file: it lies elsewhere, cannot be read, or is another by its hash.
pub(in crate::record) fn beside(
    folder: &Path,
    name: &str,
    sha256: &str,
) -> Result<PathBuf, String> {
    let shown = ModelText::new(name).clipped(60);
    let name = Path::new(name);
    if name.file_name() != Some(name.as_os_str()) {
        return Err(format!("`{shown}` does not lie beside it"));
    }
    let path = folder.join(name);
    let unreadable = |error| format!("`{shown}` cannot be read: {error}");
    let mut reader = std::fs::File::open(&path).map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = std::io::Read::read(&mut reader, &mut buffer).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    match found == sha256 {
        true => Ok(path),
        false => Err(format!(
            "`{shown}` is another file by its sha256 than the one that is named"
        )),
    }
}

/// `[rows, width]` of one site.
fn take(store: &TensorStore, name: &str, rows: usize) -> Result<Vec<f32>, String> {
    let shown = || ModelText::new(name).clipped(60);
    let info = store.info(name);
    let info = info.ok_or_else(|| format!("it has no tensor `{}`", shown()))?;
    match info.shape[..] {
        [count, width] if count == rows && width > 0 => {}
        _ => {
            return Err(format!(
                "`{}` is {:?}, not a row for each of {rows}",
                shown(),
                info.shape
            ));
        }
    }
    let values = store.elements(name, 0..info.elements);
    let values = values.map_err(|error| error.to_string())?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(format!("`{}` holds numbers that are not finite", shown())),
    }
}

/// Of every row its item, and the bytes up to its end where rows have them.
fn rows(path: &Path, manifest: &Manifest) -> Result<(Vec<String>, Vec<u32>), Error> {
    let (mut items, mut offsets) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for heard in manifest.items() {
        if !seen.insert(&heard.item) {
            let item = ModelText::new(&heard.item).clipped(60);
            return Err(damaged(path, format!("item `{item}` is there twice")));
        }
        items.extend(std::iter::repeat_n(heard.item.clone(), heard.rows()));
        offsets.extend(&heard.offsets);
    }
    match offsets.len() {
        0 => {}
        count if count == items.len() => {}
        _ => {
            let reason = "some items have offsets and some have none".to_owned();
            return Err(damaged(path, reason));
        }
    }
    Ok((items, offsets))
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Activations {
        path: path.to_path_buf(),
        reason,
    }
}
