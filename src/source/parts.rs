//! Weight files of which only parts are read.
//!
//! What was planned is brought first, from the disk or from the hub; nothing else can be read. A part of
//! a file never stands for the file: its digest is the hub's word, or not known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::Error;
use super::Format;
use super::Progress;

/// Bytes of the length in front of a safetensors header.
const PREFIX: u64 = 8;
/// Longest header that the safetensors format allows.
const LONGEST_HEADER: u64 = 100_000_000;
/// First bytes that are asked for: most headers are shorter.
const FIRST_GUESS: u64 = 1 << 15;
/// First bytes of a GGUF file that are asked for, where its vocabulary and tensor list must end.
const GGUF_HEAD: u64 = 24 << 20;

/// The weight files of one model, in their order.
#[derive(Debug)]
pub struct Parts {
    files: Vec<PartFile>,
    remote: Option<Box<dyn Remote>>,
}

/// Where bytes come from that are not on this machine.
pub(super) trait Remote: std::fmt::Debug + Send + Sync {
    /// Brings ranges of files (by their place), and says in which file on disk each now begins.
    ///
    /// # Errors
    /// One line that names the file, the reason and the way out.
    fn fetch(
        &self,
        wanted: &[(usize, Range<u64>)],
        progress: &dyn Progress,
    ) -> Result<Vec<(usize, Range<u64>, PathBuf)>, Error>;
}

/// One weight file.
#[derive(Debug)]
pub(super) struct PartFile {
    /// Bytes.
    pub size: u64,
    /// The whole file, where it is on this machine.
    pub whole: Option<PathBuf>,
    held: Mutex<Held>,
}

/// What may be read of one file, by first byte.
type Held = BTreeMap<u64, Piece>;

/// Some bytes of a file.
#[derive(Debug, Clone)]
struct Piece {
    end: u64,
    path: PathBuf,
    /// Where the piece's first byte lies in the file at `path`.
    at: u64,
}

impl PartFile {
    pub fn new(size: u64, whole: Option<PathBuf>) -> Self {
        Self {
            size,
            whole,
            held: Mutex::new(Held::default()),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    pub(super) fn new(files: Vec<PartFile>, remote: Option<Box<dyn Remote>>) -> Self {
        Self { files, remote }
    }

    /// Brings the headers of the files; of GGUF files, whose headers do not say how long they are, some
    /// MiB in which headers mostly end.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn bring_heads(&self, format: Format, progress: &dyn Progress) -> Result<(), Error> {
        if format == Format::Gguf {
            let heads = self.files.iter().map(|file| 0..file.size.min(GGUF_HEAD));
            return self.fetch(&heads.enumerate().collect::<Vec<_>>(), progress);
        }
        let guesses = self.files.iter().map(|file| 0..file.size.min(FIRST_GUESS));
        self.fetch(&guesses.enumerate().collect::<Vec<_>>(), progress)?;
        let mut rest = Vec::new();
        for (place, file) in self.files.iter().enumerate() {
            let mut prefix = [0; PREFIX as usize];
            // A file too short for a header is told by whoever reads it.
            if file.size < PREFIX || !self.read_at(place, &mut prefix, 0)? {
                continue;
            }
            let end = u64::from_le_bytes(prefix).min(LONGEST_HEADER) + PREFIX;
            if end > FIRST_GUESS && end <= file.size {
                rest.push((place, FIRST_GUESS..end));
            }
        }
        self.fetch(&rest, progress)
    }

    /// Bytes of each file.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.files.iter().map(|file| file.size)
    }

    /// Brings ranges, each as the place of its file and bytes of it; from then on they can be read.
    ///
    /// # Errors
    /// Bytes that cannot be had, in one line.
    pub fn fetch(
        &self,
        wanted: &[(usize, Range<u64>)],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut missing = Vec::new();
        for (place, range) in wanted {
            let Some(file) = self.files.get(*place).filter(|_| !range.is_empty()) else {
                continue;
            };
            match &file.whole {
                Some(path) => hold(file, range.clone(), path.clone(), range.start),
                None => missing.push((*place, range.clone())),
            }
        }
        if let (Some(remote), false) = (&self.remote, missing.is_empty()) {
            for (place, range, path) in remote.fetch(&missing, progress)? {
                if let Some(file) = self.files.get(place) {
                    hold(file, range, path, 0);
                }
            }
        }
        Ok(())
    }

    /// Fills `buffer` with bytes of the file at `place`; `false` if some of them are not at hand.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn read_at(&self, place: usize, buffer: &mut [u8], offset: u64) -> Result<bool, Error> {
        let Some(file) = self.files.get(place) else {
            return Ok(false);
        };
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let found = {
                let held = file.held();
                piece(&held, at).map(|(start, piece)| (start, piece.clone()))
            };
            let Some((start, piece)) = found else {
                return Ok(false);
            };
            let length = (buffer.len() - done).min((piece.end - at) as usize);
            let from = piece.at + (at - start);
            read(&piece.path, from, &mut buffer[done..done + length])
                .map_err(Error::io(&piece.path))?;
            done += length;
        }
        Ok(true)
    }
}

fn hold(file: &PartFile, range: Range<u64>, path: PathBuf, at: u64) {
    let mut pieces = file.held();
    let piece = Piece {
        end: range.end,
        path,
        at,
    };
    match pieces.get(&range.start) {
        Some(known) if known.end >= range.end => {}
        _ => {
            pieces.insert(range.start, piece);
        }
    }
}

/// The piece that holds the byte at `at`, with its first byte.
fn piece(pieces: &BTreeMap<u64, Piece>, at: u64) -> Option<(u64, &Piece)> {
    let before = pieces.range(..=at).rev();
    // Pieces may overlap, though few do.
    before
        .map(|(start, piece)| (*start, piece))
        .find(|(_, piece)| piece.end > at)
}

fn read(path: &PathBuf, from: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    file.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Silent;

    #[test]
    fn only_what_was_planned_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let bytes: Vec<u8> = (0..100).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = PartFile::new(100, Some(path));
        let parts = Parts::new(vec![file], None);
        let mut buffer = [0; 10];
        assert!(!parts.read_at(0, &mut buffer, 10).unwrap());
        parts.fetch(&[(0, 10..15), (0, 15..25)], &Silent).unwrap();
        assert!(parts.read_at(0, &mut buffer, 12).unwrap());
        assert_eq!(buffer[..], bytes[12..22]);
        assert!(!parts.read_at(0, &mut buffer, 16).unwrap());
        assert!(!parts.read_at(0, &mut buffer, 9).unwrap());
        assert!(!parts.read_at(1, &mut buffer, 12).unwrap());
    }
}
