//! One weight file, read by position.
//!
//! Positional reads rather than a memory map: a file that shrinks while it is read is an error here
//! and would be a fatal signal there, and what stays resident is what was asked for.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Error;
use crate::source::Parts;
use crate::text::ModelText;

/// An open file of known length.
#[derive(Debug)]
pub(super) struct WeightFile {
    /// As shown in errors.
    pub shown: String,
    bytes: Bytes,
    /// Bytes when it was opened.
    pub len: u64,
}

/// Where a file's bytes are.
#[derive(Debug)]
enum Bytes {
    Whole(File),
    /// Some of them at hand, of the file at this place.
    Parts(Arc<Parts>, usize),
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = ModelText::new(path.display().to_string()).to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((len, file)) => Ok(Self {
                shown,
                bytes: Bytes::Whole(file),
                len,
            }),
            Err(source) => Err(Error::Io {
                file: shown,
                source,
            }),
        }
    }

    /// The file at `place` of a model that is read in parts.
    pub fn of_parts(parts: &Arc<Parts>, place: usize, path: &Path, len: u64) -> Self {
        Self {
            shown: ModelText::new(path.display().to_string()).to_string(),
            bytes: Bytes::Parts(Arc::clone(parts), place),
            len,
        }
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// What the system answers; [`Error::NotInSample`] for bytes of a file that is read in parts.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let io = |source| Error::Io {
            file: self.shown.clone(),
            source,
        };
        match &self.bytes {
            Bytes::Whole(file) => read_exact_at(file, buffer, offset).map_err(io),
            Bytes::Parts(parts, place) => match parts.read_at(*place, buffer, offset) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Error::NotInSample {
                    file: self.shown.clone(),
                    start: offset,
                    end: offset + buffer.len() as u64,
                }),
                Err(error) => Err(io(io::Error::other(error.to_string()))),
            },
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}
