//! One weight file, read by position.
//!
//! Positional reads rather than a memory map: a file that shrinks while it is read is an error here
//! and would be a fatal signal there, and what stays resident is what was asked for.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Error;
use crate::text::ModelText;

/// An open file of known length.
#[derive(Debug)]
pub(super) struct WeightFile {
    /// As shown in errors.
    pub shown: String,
    file: File,
    /// Bytes when it was opened.
    pub len: u64,
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = ModelText::new(path.display().to_string()).to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((len, file)) => Ok(Self { shown, file, len }),
            Err(source) => Err(Error::Io {
                file: shown,
                source,
            }),
        }
    }

    /// Fills `buffer` from `offset`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        read_exact_at(&self.file, buffer, offset).map_err(|source| Error::Io {
            file: self.shown.clone(),
            source,
        })
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
