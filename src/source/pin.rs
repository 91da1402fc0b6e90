//! Pins files: size and sha256 of exactly what is read.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use rayon::prelude::*;
use sha2::Digest;
use sha2::Sha256;

use super::Artefact;
use super::Error;
use super::Progress;
use super::ProgressTask;

/// Large enough that the hash, not the system call, is the cost.
const BLOCK: usize = 1 << 20;

/// A file that will be pinned.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Relative to the model's root, with `/`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Hashes the files in parallel; the result keeps their order.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Unusable`] for one that is no regular file.
pub(super) fn pin(
    label: &str,
    files: &[Candidate],
    progress: &dyn Progress,
) -> Result<Vec<Artefact>, Error> {
    let mut total = 0_u64;
    for file in files {
        let meta = std::fs::metadata(&file.path).map_err(Error::io(&file.path))?;
        if !meta.is_file() {
            return Err(Error::unusable(
                &file.path,
                "not a regular file; a model is made of plain files",
            ));
        }
        total = total.saturating_add(meta.len());
    }
    let task = progress.start(&format!("hash {label}"), total);
    files
        .par_iter()
        .map(|file| {
            let (size, sha256) = hash_file(&file.path, task.as_ref())?;
            Ok(Artefact {
                name: file.name.clone(),
                path: file.path.clone(),
                size,
                sha256,
                digest: super::Digested::Read,
            })
        })
        .collect()
}

/// Bytes and lower-case hex sha256 of a file.
pub(super) fn hash_file(path: &Path, task: &dyn ProgressTask) -> Result<(u64, String), Error> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let mut block = vec![0_u8; BLOCK];
    let mut size = 0_u64;
    loop {
        let n = match file.read(&mut block) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io(path)(e)),
        };
        hash.update(&block[..n]);
        size += n as u64;
        task.advance(n as u64);
    }
    Ok((size, hex(&hash.finalize())))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;
    use crate::source::Silent;

    #[derive(Default, Clone)]
    struct Counter(Arc<Mutex<(u64, u64)>>);

    impl Progress for Counter {
        fn start(&self, label: &str, total_bytes: u64) -> Box<dyn ProgressTask> {
            assert_eq!(label, "hash two files");
            self.0.lock().unwrap().0 = total_bytes;
            Box::new(self.clone())
        }
    }

    impl ProgressTask for Counter {
        fn advance(&self, bytes: u64) {
            self.0.lock().unwrap().1 += bytes;
        }
    }

    #[test]
    fn hashes_are_the_standard_ones_and_progress_adds_up() {
        let dir = tempfile::tempdir().unwrap();
        let small = dir.path().join("small");
        let large = dir.path().join("large");
        std::fs::write(&small, b"abc").unwrap();
        std::fs::write(&large, vec![0_u8; BLOCK * 2 + 17]).unwrap();
        let files = [("large", large), ("small", small)].map(|(name, path)| Candidate {
            name: name.to_owned(),
            path,
        });
        let counter = Counter::default();
        let pinned = pin("two files", &files, &counter).unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            pinned[1].sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            (pinned[0].name.as_str(), pinned[0].size),
            ("large", 2_097_169)
        );
        let expected = 2_097_169 + 3;
        assert_eq!(*counter.0.lock().unwrap(), (expected, expected));
    }

    #[test]
    fn a_missing_file_and_a_folder_are_errors_that_name_it() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("gone"), dir.path().to_owned()] {
            let file = Candidate {
                name: "x".into(),
                path: path.clone(),
            };
            let message = pin("x", &[file], &Silent).unwrap_err().to_string();
            assert!(
                message.starts_with(&path.display().to_string()),
                "{message}"
            );
        }
    }
}
