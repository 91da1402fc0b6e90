//! The header of a GGUF file: counts, key-value pairs, tensor descriptions.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Every count and length is held
//! against what is left of the file before anything is reserved for it.

mod cursor;
mod value;

pub use value::{Metadata, Value};

use std::collections::BTreeSet;

use cursor::{Cursor, Fault};

use super::dtype::Dtype;
use super::file::WeightFile;
use super::{Error, Found, extent};
use crate::text::ModelText;

/// A checked GGUF header.
#[derive(Debug)]
pub(super) struct Header {
    pub metadata: Metadata,
    pub tensors: Vec<Found>,
}

/// `GGUF`, read as a little-endian number.
const MAGIC: u32 = 0x4655_4747;
const DEFAULT_ALIGNMENT: u64 = 32;
/// `GGML_MAX_DIMS`.
const MAX_AXES: u32 = 4;
const CONVERT: &str = "convert it with llama.cpp's `llama-quantize` to Q8_0 or F16 first";

/// Reads and checks the header of `file`.
///
/// # Errors
/// When it is not a GGUF header, does not fit the file, or names a type that cannot be decoded.
pub(super) fn read_header(file: &WeightFile) -> Result<Header, Error> {
    let mut cursor = Cursor::new(file);
    let (tensor_count, pair_count) = counts(&mut cursor).map_err(|fault| fault.in_file(file))?;
    let metadata = Metadata::read(&mut cursor, pair_count).map_err(|fault| fault.in_file(file))?;
    let mut drafts = Vec::new();
    let mut names = BTreeSet::new();
    for _ in 0..tensor_count {
        let draft = Draft::read(&mut cursor).map_err(|fault| fault.in_file(file))?;
        if !names.insert(draft.name.clone()) {
            let name = ModelText::new(&draft.name).clipped(120);
            return Err(Fault::malformed(format!("tensor `{name}` occurs twice")).in_file(file));
        }
        drafts.push(draft);
    }
    let alignment = alignment(&metadata).map_err(|fault| fault.in_file(file))?;
    let start = cursor.position().next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(drafts.len());
    for draft in drafts {
        tensors.push(draft.check(file, start, alignment)?);
    }
    check_overlaps(&mut tensors).map_err(|fault| fault.in_file(file))?;
    Ok(Header { metadata, tensors })
}

/// Magic, version, number of tensors, number of key-value pairs.
fn counts(cursor: &mut Cursor<'_>) -> Result<(u64, u64), Fault> {
    if cursor.u32()? != MAGIC {
        return Err(Fault::malformed(
            "it does not begin as a GGUF file does".to_owned(),
        ));
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if (1..=3).contains(&version.swap_bytes()) => {
            let reason = "it is a big-endian GGUF file, which is not read".to_owned();
            return Err(Fault::malformed(reason));
        }
        version => {
            let reason = format!("it is GGUF version {version}; versions 2 and 3 are read");
            return Err(Fault::malformed(reason));
        }
    }
    let tensors = cursor.count("tensors", Draft::MIN_BYTES)?;
    let pairs = cursor.count("metadata entries", Metadata::MIN_PAIR_BYTES)?;
    Ok((tensors, pairs))
}

fn alignment(metadata: &Metadata) -> Result<u64, Fault> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(value) => value
            .as_u64()
            .filter(|alignment| alignment.is_power_of_two() && *alignment <= 1 << 20)
            .ok_or_else(|| {
                Fault::malformed(
                    "`general.alignment` is not a power of two up to 1048576".to_owned(),
                )
            }),
    }
}

/// A tensor description as it stands in the file.
struct Draft {
    name: String,
    /// Row-major.
    shape: Vec<u64>,
    ggml_type: u32,
    /// From the start of the data.
    offset: u64,
}

impl Draft {
    /// Name length, number of axes, type, offset.
    const MIN_BYTES: u64 = 8 + 4 + 4 + 8;

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let name = cursor.string()?;
        let axes = cursor.u32()?;
        if axes > MAX_AXES {
            let name = ModelText::new(&name).clipped(120);
            return Err(Fault::malformed(format!(
                "tensor `{name}` claims {axes} axes, GGUF has at most {MAX_AXES}"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            shape.push(cursor.u64()?);
        }
        shape.reverse();
        Ok(Self {
            name,
            shape,
            ggml_type: cursor.u32()?,
            offset: cursor.u64()?,
        })
    }

    fn check(self, file: &WeightFile, start: u64, alignment: u64) -> Result<Found, Error> {
        let shown = ModelText::new(&self.name).clipped(120);
        let wrong =
            |reason: String| Fault::malformed(format!("tensor `{shown}` {reason}")).in_file(file);
        let dtype = Dtype::ggml(self.ggml_type).map_err(|known| Error::Undecodable {
            file: file.shown.clone(),
            tensor: shown.clone(),
            dtype: known.map_or_else(
                || format!("ggml type {}", self.ggml_type),
                |name| format!("{name} (ggml type {})", self.ggml_type),
            ),
            way_out: CONVERT,
        })?;
        let shape: Vec<usize> = self
            .shape
            .iter()
            .map(|axis| usize::try_from(*axis))
            .collect::<Result<_, _>>()
            .map_err(|_| wrong("is larger than any file".to_owned()))?;
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(dtype.block_elements) {
            return Err(wrong(format!(
                "has rows of {row} numbers, but {} packs {} at a time",
                dtype.name, dtype.block_elements
            )));
        }
        let (elements, size) = extent(dtype, &shape).map_err(&wrong)?;
        if !self.offset.is_multiple_of(alignment) {
            return Err(wrong(format!(
                "starts at {}, which is not a multiple of {alignment}",
                self.offset
            )));
        }
        let offset = start.checked_add(self.offset);
        let end = offset.and_then(|offset| offset.checked_add(size as u64));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= file.len => Ok(Found {
                name: self.name,
                dtype,
                shape,
                elements,
                offset,
                size,
            }),
            _ => Err(wrong(format!(
                "needs {size} bytes from {}, beyond the end of the file",
                self.offset
            ))),
        }
    }
}

/// Padding between tensors is usual, sharing bytes is not.
fn check_overlaps(tensors: &mut [Found]) -> Result<(), Fault> {
    tensors.sort_by(|a, b| (a.offset, a.size, &a.name).cmp(&(b.offset, b.size, &b.name)));
    for (before, after) in tensors.iter().zip(tensors.iter().skip(1)) {
        if before.offset + before.size as u64 > after.offset {
            let before = ModelText::new(&before.name).clipped(120);
            let after = ModelText::new(&after.name).clipped(120);
            return Err(Fault::malformed(format!(
                "tensors `{before}` and `{after}` overlap"
            )));
        }
    }
    Ok(())
}
