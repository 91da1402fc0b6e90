//! The header of a safetensors file: eight bytes of length, that many of JSON, then data that the
//! tensors cover without gap or overlap.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::dtype::Dtype;
use super::file::WeightFile;
use super::{Error, Found, extent};
use crate::text::ModelText;

/// Bytes of the length in front of the header.
const PREFIX: u64 = 8;

/// Longest header that the format's own implementation accepts.
const MAX_HEADER: u64 = 100_000_000;

/// Reads and checks the header of `file`.
///
/// # Errors
/// When the file is too short for it, when it is not what the format asks for, or when shapes,
/// types and offsets do not cover the data exactly.
pub(super) fn read_header(file: &WeightFile) -> Result<Vec<Found>, Error> {
    let malformed = |reason: String| Error::Malformed {
        file: file.shown.clone(),
        reason,
    };
    let length = header_length(file)?;
    let mut json = vec![0; length as usize];
    file.read_at(&mut json, PREFIX)?;
    let header: Header = serde_json::from_slice(&json).map_err(|error| {
        malformed(format!(
            "its header is not a safetensors header ({})",
            shown(&error)
        ))
    })?;
    drop(json);
    let start = PREFIX + length;
    let mut tensors = Vec::with_capacity(header.0.len());
    for (name, entry) in header.0 {
        let found = entry.check(&name, start).map_err(|reason| {
            let name = ModelText::new(&name).clipped(120);
            malformed(format!("tensor `{name}` {reason}"))
        })?;
        tensors.push(found);
    }
    check_cover(&mut tensors, start, file.len).map_err(malformed)?;
    Ok(tensors)
}

/// The header's length, once it is known to lie within the file.
fn header_length(file: &WeightFile) -> Result<u64, Error> {
    let malformed = |reason: String| Error::Malformed {
        file: file.shown.clone(),
        reason,
    };
    if file.len < PREFIX {
        return Err(malformed(format!(
            "a safetensors file of {} bytes has no header",
            file.len
        )));
    }
    let mut prefix = [0; PREFIX as usize];
    file.read_at(&mut prefix, 0)?;
    let length = u64::from_le_bytes(prefix);
    if length > file.len - PREFIX {
        return Err(malformed(format!(
            "its header claims {length} bytes, the file has {} (is it a safetensors file?)",
            file.len
        )));
    }
    if length > MAX_HEADER {
        return Err(malformed(format!(
            "its header has {length} bytes, at most {MAX_HEADER} are read"
        )));
    }
    Ok(length)
}

/// Data must be covered from the header's end to the file's end, each byte once.
fn check_cover(tensors: &mut [Found], start: u64, file_len: u64) -> Result<(), String> {
    tensors.sort_by(|a, b| (a.offset, a.size, &a.name).cmp(&(b.offset, b.size, &b.name)));
    let mut covered = start;
    for tensor in tensors.iter() {
        let name = || ModelText::new(&tensor.name).clipped(120);
        if tensor.offset < covered {
            return Err(format!("tensor `{}` overlaps another one", name()));
        }
        if tensor.offset > covered {
            let gap = tensor.offset - covered;
            return Err(format!(
                "{gap} bytes before tensor `{}` belong to none",
                name()
            ));
        }
        covered = covered.saturating_add(tensor.size as u64);
        if covered > file_len {
            let missing = covered - file_len;
            return Err(format!(
                "tensor `{}` ends {missing} bytes after the file does",
                name()
            ));
        }
    }
    match file_len - covered {
        0 => Ok(()),
        extra => Err(format!("{extra} bytes at its end belong to no tensor")),
    }
}

/// What the header says of one tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    fn check(self, name: &str, data_start: u64) -> Result<Found, String> {
        let dtype = Dtype::safetensors(&self.dtype).ok_or_else(|| {
            let dtype = ModelText::new(&self.dtype).clipped(24);
            format!("has the type `{dtype}`, which the format does not know")
        })?;
        let overflow = || "is larger than any file".to_owned();
        let shape: Result<Vec<usize>, _> = self.shape.into_iter().map(usize::try_from).collect();
        let shape = shape.map_err(|_| overflow())?;
        let (begin, end) = self.data_offsets;
        let claimed = end
            .checked_sub(begin)
            .ok_or_else(|| format!("ends at {end}, before its start at {begin}"))?;
        let (elements, size) = extent(dtype, &shape)?;
        if size as u64 != claimed {
            return Err(format!(
                "takes {claimed} bytes, but {elements} numbers of type {} take {size}",
                dtype.name
            ));
        }
        Ok(Found {
            name: name.to_owned(),
            dtype,
            shape,
            elements,
            offset: data_start.checked_add(begin).ok_or_else(overflow)?,
            size,
        })
    }
}

/// Entries in file order; a name that occurs twice is an error, which a JSON map would hide.
struct Header(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut entries = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                let name = ModelText::new(name).clipped(120);
                return Err(A::Error::custom(format_args!("`{name}` occurs twice")));
            }
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Header(entries))
    }
}

/// serde's message may quote the file.
fn shown(error: &serde_json::Error) -> String {
    ModelText::new(error.to_string()).clipped(200)
}
