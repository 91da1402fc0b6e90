//! Stored tensors by their own names: safetensors (single or sharded) and GGUF.
//!
//! Headers are checked against the file before anything they say is used; numbers are read and
//! decoded on demand, so that a tensor larger than memory can be walked through.

mod dtype;
mod error;
mod file;
mod gguf;
mod safetensors;
mod shards;
mod wide;

pub use dtype::Dtype;
pub(super) use dtype::with_alignment;
pub use error::Error;
pub use gguf::{Metadata, Value};

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::Path;

use crate::source::{Artefacts, Format};
use crate::text::ModelText;
use file::WeightFile;

/// Every stored tensor of one model, in name order.
#[derive(Debug)]
pub struct TensorStore {
    format: Format,
    files: Vec<WeightFile>,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: Metadata,
}

/// One stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Storage type.
    pub dtype: Dtype,
    /// Row-major, slowest axis first (GGUF's reversed order is undone).
    pub shape: Vec<usize>,
    /// Numbers: the product of `shape`.
    pub elements: usize,
    /// Bytes in the file.
    pub size: usize,
    file: usize,
    offset: u64,
}

impl TensorInfo {
    /// Length of the first axis; 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers per row.
    pub fn row_elements(&self) -> usize {
        self.shape.iter().skip(1).product()
    }
}

/// Numbers decoded at a time: the intermediate bytes stay in cache and off the heap.
const DECODE_ELEMENTS: usize = 1 << 18;

impl TensorStore {
    /// Opens the weight files of a model and checks their headers.
    ///
    /// # Errors
    /// A file that cannot be read or whose header is not true to it; an undecodable GGUF type; a
    /// tensor that two files hold, or that a shard index names and none holds.
    pub fn open(artefacts: &Artefacts) -> Result<Self, Error> {
        let store = match &artefacts.parts {
            None => {
                let paths = artefacts.weights.iter().map(|file| file.path.as_path());
                Self::open_files(paths, artefacts.format)?
            }
            Some(parts) => {
                let files = artefacts.weights.iter().zip(parts.sizes()).enumerate();
                let files = files.map(|(place, (file, size))| {
                    Ok(WeightFile::of_parts(parts, place, &file.path, size))
                });
                Self::of_files(files, artefacts.format)?
            }
        };
        let mut others = artefacts.others.iter();
        if let Some(index) = others.find(|file| file.name.ends_with(".safetensors.index.json")) {
            shards::check_index(index, &store)?;
        }
        Ok(store)
    }

    /// Opens weight files that no [`Artefacts`] describes.
    ///
    /// # Errors
    /// As [`TensorStore::open`].
    pub fn open_files<'a>(
        paths: impl IntoIterator<Item = &'a Path>,
        format: Format,
    ) -> Result<Self, Error> {
        Self::of_files(paths.into_iter().map(WeightFile::open), format)
    }

    fn of_files(
        files: impl Iterator<Item = Result<WeightFile, Error>>,
        format: Format,
    ) -> Result<Self, Error> {
        let mut store = Self {
            format,
            files: Vec::new(),
            tensors: BTreeMap::new(),
            metadata: Metadata::default(),
        };
        for file in files {
            let file = file?;
            let found = match format {
                Format::Safetensors => safetensors::read_header(&file)?,
                Format::Gguf => {
                    let header = gguf::read_header(&file)?;
                    store.metadata = header.metadata;
                    header.tensors
                }
            };
            store.add(file, found)?;
        }
        Ok(store)
    }

    fn add(&mut self, file: WeightFile, found: Vec<Found>) -> Result<(), Error> {
        let index = self.files.len();
        for tensor in found {
            match self.tensors.entry(tensor.name) {
                Entry::Vacant(place) => {
                    place.insert(TensorInfo {
                        dtype: tensor.dtype,
                        elements: tensor.elements,
                        shape: tensor.shape,
                        size: tensor.size,
                        file: index,
                        offset: tensor.offset,
                    });
                }
                Entry::Occupied(taken) => {
                    let first = self.files.get(taken.get().file);
                    return Err(Error::Duplicate {
                        tensor: ModelText::new(taken.key()).clipped(120),
                        other: first.map_or_else(|| file.shown.clone(), |f| f.shown.clone()),
                        file: file.shown,
                    });
                }
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// How the weights are stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Key-value pairs of a GGUF header; empty for safetensors.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Tensor names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Every tensor with its description, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// The description of one tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The place of the file that holds bytes `range` of `name`, and where in it they lie.
    pub fn place(&self, name: &str, range: &Range<usize>) -> Option<(usize, Range<u64>)> {
        let info = self.info(name).filter(|info| range.end <= info.size)?;
        let at = |offset: usize| info.offset + offset as u64;
        Some((info.file, at(range.start)..at(range.end)))
    }

    /// The stored bytes of one tensor. For large tensors prefer [`TensorStore::read_bytes`].
    ///
    /// # Errors
    /// An unknown name, or a file that cannot be read.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut buffer = vec![0; self.known(name)?.size];
        self.read_bytes(name, 0, &mut buffer)?;
        Ok(buffer)
    }

    /// Fills `buffer` with the stored bytes of `name` from `start`.
    ///
    /// # Errors
    /// An unknown name, a range beyond the tensor, or a file that cannot be read.
    pub fn read_bytes(&self, name: &str, start: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let info = self.known(name)?;
        let end = start.saturating_add(buffer.len());
        let file = self.files.get(info.file).filter(|_| end <= info.size);
        let Some(file) = file else {
            return Err(out_of_range(name, "bytes", info.size, &(start..end)));
        };
        file.read_at(buffer, info.offset + start as u64)
    }

    /// Rows of the first axis as f32, row-major.
    ///
    /// # Errors
    /// As [`TensorStore::elements`].
    pub fn rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        let info = self.known(name)?;
        if rows.start > rows.end || rows.end > info.rows() {
            return Err(out_of_range(name, "rows", info.rows(), &rows));
        }
        let width = info.row_elements();
        self.elements(name, rows.start * width..rows.end * width)
    }

    /// Numbers of one tensor as f32, by row-major position; blocks are decoded only where needed.
    ///
    /// # Errors
    /// An unknown name, a range beyond the tensor, an undecodable type, a file that cannot be read.
    pub fn elements(&self, name: &str, range: Range<usize>) -> Result<Vec<f32>, Error> {
        let info = self.known(name)?;
        if range.start > range.end || range.end > info.elements {
            return Err(out_of_range(name, "elements", info.elements, &range));
        }
        let block = info.dtype.block_elements;
        let first = range.start / block;
        let last = range.end.div_ceil(block);
        let mut values = Vec::with_capacity((last - first) * block);
        let step = (DECODE_ELEMENTS / block).max(1);
        let mut buffer = vec![0; step.min(last - first) * info.dtype.block_bytes];
        for start in (first..last).step_by(step) {
            let blocks = step.min(last - start);
            let raw = &mut buffer[..blocks * info.dtype.block_bytes];
            self.read_bytes(name, start * info.dtype.block_bytes, raw)?;
            info.dtype
                .decode(raw, &mut values)
                .map_err(|_| self.undecodable(name, info))?;
        }
        values.truncate(range.end - first * block);
        values.drain(..range.start - first * block);
        Ok(values)
    }

    /// Appends the numbers in `bytes`, whole blocks of `name` as they are stored, to `out` as f32.
    ///
    /// # Errors
    /// An unknown name or an undecodable type.
    pub fn decode(&self, name: &str, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), Error> {
        let info = self.known(name)?;
        let decoded = info.dtype.decode(bytes, out);
        decoded.map_err(|_| self.undecodable(name, info))
    }

    fn known(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.info(name).ok_or_else(|| Error::NoSuchTensor {
            tensor: ModelText::new(name).clipped(120),
        })
    }

    fn undecodable(&self, name: &str, info: &TensorInfo) -> Error {
        let file = self.files.get(info.file);
        Error::Undecodable {
            file: file.map(|f| f.shown.clone()).unwrap_or_default(),
            tensor: ModelText::new(name).clipped(120),
            dtype: info.dtype.name.to_owned(),
            way_out: "convert the checkpoint to bf16 first",
        }
    }
}

/// A tensor as a header describes it, checked against the file.
#[derive(Debug)]
struct Found {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    elements: usize,
    /// From the start of the file.
    offset: u64,
    size: usize,
}

/// Numbers and bytes of a tensor of `shape`.
///
/// # Errors
/// In words, where either does not fit, or where the axes would not even with zeros left out (rows
/// are counted without them), or where the numbers do not fill whole blocks.
fn extent(dtype: Dtype, shape: &[usize]) -> Result<(usize, usize), String> {
    let too_large = || "is larger than any file".to_owned();
    shape
        .iter()
        .try_fold(1usize, |product, axis| product.checked_mul((*axis).max(1)))
        .ok_or_else(too_large)?;
    let elements: usize = shape.iter().product();
    if !elements.is_multiple_of(dtype.block_elements) {
        let (name, block) = (dtype.name, dtype.block_elements);
        return Err(format!(
            "has {elements} numbers, but {name} packs {block} at a time"
        ));
    }
    let size = dtype.bytes_for(elements).ok_or_else(too_large)?;
    Ok((elements, size))
}

fn out_of_range(name: &str, what: &'static str, len: usize, asked: &Range<usize>) -> Error {
    Error::OutOfRange {
        tensor: ModelText::new(name).clipped(120),
        what,
        len,
        start: asked.start,
        end: asked.end,
    }
}
