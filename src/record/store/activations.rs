//! The safetensors half of a recording, and the file of rows it grows from.
//!
//! Rows are appended as items are answered (`<name>.rows`: a fixed header, then per item its number
//! and its values) and become `<name>.safetensors` when the last one is there.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use super::make_parent;
use crate::model::Site;
use crate::record::Activations;
use crate::record::Error;
use crate::record::Header;
use crate::record::SiteActivations;

/// Name of the one metadata entry (one, because their order in the file is not fixed).
const METADATA: &str = "kinprobe";

/// What the safetensors file says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    key: String,
    suite: String,
    items: Vec<String>,
}

/// Rows of activations gathered so far.
#[derive(Debug)]
pub(in crate::record) struct Rows {
    path: PathBuf,
    file: Option<File>,
    start: [u8; HEAD],
    sites: usize,
    width: usize,
    rows: BTreeMap<u32, Vec<f32>>,
}

/// Bytes before the first row: the hash of key, sites and width.
const HEAD: usize = 32;

impl Rows {
    /// Reads back what an interrupted run left; anything that does not fit is dropped, since the rows
    /// can be computed again. `recording` is the JSONL file.
    pub(in crate::record) fn open(
        recording: &Path,
        header: &Header,
        sites: usize,
        width: usize,
    ) -> Result<Self, Error> {
        let path = recording.with_extension("rows");
        let start: [u8; HEAD] =
            Sha256::digest(format!("{} {sites} {width}", header.key).as_bytes()).into();
        let mut rows = Self {
            path,
            file: None,
            start,
            sites,
            width,
            rows: BTreeMap::new(),
        };
        if let Ok(bytes) = fs::read(&rows.path) {
            rows.restore(&bytes);
        }
        Ok(rows)
    }

    /// Whether the row of item number `item` is there.
    pub(in crate::record) fn has(&self, item: usize) -> bool {
        u32::try_from(item).is_ok_and(|item| self.rows.contains_key(&item))
    }

    /// Appends one row (`[sites * width]`) and hands it to the system; the journal's own wait for the
    /// disk follows.
    pub(in crate::record) fn append(&mut self, item: usize, values: Vec<f32>) -> Result<(), Error> {
        let io = |error| Error::io(&self.path, error);
        let number =
            u32::try_from(item).map_err(|_| io(std::io::ErrorKind::InvalidInput.into()))?;
        if values.len() != self.sites * self.width {
            return Err(io(std::io::ErrorKind::InvalidData.into()));
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = begin(&self.path, &self.start, &self.rows).map_err(io)?;
                self.file.insert(file)
            }
        };
        file.write_all(&encode(number, &values)).map_err(io)?;
        self.rows.insert(number, values);
        Ok(())
    }

    /// The rows as [`Activations`]: `items[i]` names item number `i`; those without a row are left out.
    pub(in crate::record) fn finish(
        self,
        recording: &Path,
        header: &Header,
        items: &[String],
    ) -> Result<Activations, Error> {
        let mut named = Vec::with_capacity(self.rows.len());
        let mut sites: Vec<SiteActivations> = (0..self.sites)
            .map(|layer| SiteActivations {
                site: Site::ResidPost(layer).to_string(),
                width: self.width,
                values: Vec::with_capacity(self.rows.len() * self.width),
            })
            .collect();
        for (number, values) in &self.rows {
            let Some(id) = items.get(*number as usize) else {
                continue;
            };
            named.push(id.clone());
            for (site, part) in sites.iter_mut().zip(values.chunks(self.width.max(1))) {
                site.values.extend_from_slice(part);
            }
        }
        let activations = Activations {
            suite: header.suite.clone(),
            items: named,
            sites,
        };
        write(recording, header, &activations)?;
        Self::forget(recording)?;
        Ok(activations)
    }

    /// Deletes the rows of a finished recording, which a kill may have left behind.
    pub(in crate::record) fn forget(recording: &Path) -> Result<(), Error> {
        let path = recording.with_extension("rows");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path, error))
            }
            _ => Ok(()),
        }
    }

    fn restore(&mut self, bytes: &[u8]) {
        let Some(body) = bytes.strip_prefix(self.start.as_slice()) else {
            return;
        };
        let length = 4 + 4 * self.sites * self.width;
        for row in body.chunks_exact(length) {
            let mut words = row.chunks_exact(4).map(|w| [w[0], w[1], w[2], w[3]]);
            let number = words.next().map_or(0, u32::from_le_bytes);
            self.rows
                .insert(number, words.map(f32::from_le_bytes).collect());
        }
    }
}

/// A fresh rows file with the rows known so far, without whatever torn end the old one had.
fn begin(path: &Path, start: &[u8], rows: &BTreeMap<u32, Vec<f32>>) -> std::io::Result<File> {
    let fresh = path.with_extension("rows-new");
    let mut file = File::create(&fresh)?;
    file.write_all(start)?;
    for (number, values) in rows {
        file.write_all(&encode(*number, values))?;
    }
    file.sync_data()?;
    drop(file);
    fs::rename(&fresh, path)?;
    OpenOptions::new().append(true).open(path)
}

fn encode(number: u32, values: &[f32]) -> Vec<u8> {
    let mut row = number.to_le_bytes().to_vec();
    row.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    row
}

/// The finished activations beside `recording`, or `None` when there are none that belong to it.
pub(super) fn read(recording: &Path, header: &Header) -> Result<Option<Activations>, Error> {
    let path = recording.with_extension("safetensors");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(&path, error)),
    };
    Ok(decode(&bytes, header))
}

/// `None` for anything that does not fit: activations can be recorded again.
fn decode(bytes: &[u8], header: &Header) -> Option<Activations> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let about: About = serde_json::from_str(metadata.metadata().as_ref()?.get(METADATA)?).ok()?;
    if about.key != header.key || about.suite != header.suite {
        return None;
    }
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut sites = Vec::new();
    for layer in 0..file.len() {
        let site = Site::ResidPost(layer).to_string();
        let view = file.tensor(&site).ok()?;
        let [rows, width] = *view.shape() else {
            return None;
        };
        if view.dtype() != Dtype::F32 || rows != about.items.len() {
            return None;
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]]))
            .collect();
        sites.push(SiteActivations {
            site,
            width,
            values,
        });
    }
    Some(Activations {
        suite: about.suite,
        items: about.items,
        sites,
    })
}

/// Writes the safetensors file under another name first, so that it is whole or not there.
fn write(recording: &Path, header: &Header, activations: &Activations) -> Result<(), Error> {
    let path = recording.with_extension("safetensors");
    make_parent(&path)?;
    let io = |error| Error::io(&path, error);
    let other = |reason: String| io(std::io::Error::other(reason));
    let about = About {
        key: header.key.clone(),
        suite: activations.suite.clone(),
        items: activations.items.clone(),
    };
    let about = serde_json::to_string(&about).map_err(|error| other(error.to_string()))?;
    let bytes: Vec<Vec<u8>> = activations
        .sites
        .iter()
        .map(|site| site.values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::new();
    for (site, data) in activations.sites.iter().zip(&bytes) {
        let shape = vec![activations.items.len(), site.width];
        let view =
            TensorView::new(Dtype::F32, shape, data).map_err(|error| other(error.to_string()))?;
        views.push((site.site.as_str(), view));
    }
    let metadata = HashMap::from([(METADATA.to_owned(), about)]);
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|error| other(error.to_string()))?;
    let fresh = recording.with_extension("safetensors-new");
    fs::write(&fresh, file).map_err(|error| Error::io(&fresh, error))?;
    fs::rename(&fresh, &path).map_err(io)
}
