//! Reads a header from front to back and never believes a length.

use std::io;

use super::super::Error;
use super::super::file::WeightFile;

/// Longest string that is read; the largest real ones are chat templates of some 100 kB.
const MAX_STRING: u64 = 16 << 20;
/// Longest header: those of vocabularies of 260,000 tokens have about 15 MB.
const MAX_HEADER: u64 = 256 << 20;
/// Most array elements in one header, all arrays together.
const MAX_ELEMENTS: u64 = 4 << 20;
const BUFFER: usize = 1 << 16;

/// A position in a header, with what may still be spent on it.
pub(super) struct Cursor<'a> {
    file: &'a WeightFile,
    buffer: Vec<u8>,
    /// Next unread byte of `buffer`.
    at: usize,
    /// Where `buffer` ends in the file.
    buffer_end: u64,
    elements_left: u64,
}

/// What went wrong, before it is known in which file.
pub(super) enum Fault {
    Malformed(String),
    Io(Error),
}

impl Fault {
    pub fn malformed(reason: String) -> Self {
        Self::Malformed(reason)
    }

    pub fn in_file(self, file: &WeightFile) -> Error {
        match self {
            Self::Malformed(reason) => Error::Malformed {
                file: file.shown.clone(),
                reason,
            },
            Self::Io(error) => error,
        }
    }
}

impl<'a> Cursor<'a> {
    pub fn new(file: &'a WeightFile) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            at: 0,
            buffer_end: 0,
            elements_left: MAX_ELEMENTS,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.buffer_end - (self.buffer.len() - self.at) as u64
    }

    fn remaining(&self) -> u64 {
        self.file.len - self.position()
    }

    /// A number of things of at least `min_bytes` each, held against what is left of the file.
    pub fn count(&mut self, what: &str, min_bytes: u64) -> Result<u64, Fault> {
        let count = self.u64()?;
        if count.saturating_mul(min_bytes) > self.remaining() {
            return Err(Fault::malformed(format!(
                "it claims {count} {what}, more than {} bytes can hold",
                self.remaining()
            )));
        }
        Ok(count)
    }

    /// Takes `count` array elements from the header's allowance.
    pub fn spend(&mut self, count: u64) -> Result<(), Fault> {
        self.elements_left = self.elements_left.checked_sub(count).ok_or_else(|| {
            Fault::malformed(format!(
                "its metadata has more than {MAX_ELEMENTS} array elements"
            ))
        })?;
        Ok(())
    }

    /// UTF-8 with what is not replaced (some vocabularies hold split characters), without the final
    /// NULs that some writers leave.
    pub fn string(&mut self) -> Result<String, Fault> {
        let length = self.count("bytes of text", 1)?;
        if length > MAX_STRING {
            return Err(Fault::malformed(format!(
                "it has a text of {length} bytes, at most {MAX_STRING} are read"
            )));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        bytes.truncate(end);
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn fill(&mut self, mut target: &mut [u8]) -> Result<(), Fault> {
        while !target.is_empty() {
            if self.at == self.buffer.len() {
                self.refill()?;
            }
            let ready = &self.buffer[self.at..];
            let take = ready.len().min(target.len());
            target[..take].copy_from_slice(&ready[..take]);
            target = &mut target[take..];
            self.at += take;
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<(), Fault> {
        let left = self.file.len - self.buffer_end;
        if left == 0 {
            return Err(Fault::Io(Error::Io {
                file: self.file.shown.clone(),
                source: io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it ends within its GGUF header; fetch it again",
                ),
            }));
        }
        if self.buffer_end > MAX_HEADER {
            return Err(Fault::malformed(format!(
                "its header has more than {MAX_HEADER} bytes"
            )));
        }
        self.buffer.resize(left.min(BUFFER as u64) as usize, 0);
        self.file
            .read_at(&mut self.buffer, self.buffer_end)
            .map_err(Fault::Io)?;
        self.buffer_end += self.buffer.len() as u64;
        self.at = 0;
        Ok(())
    }
}
