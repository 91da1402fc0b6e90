//! Report -> files, all or nothing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::Error;

/// Where a report lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The page.
    pub html: PathBuf,
    /// The data.
    pub json: PathBuf,
}

/// Writes `index.html` and `result.json` into `dir`, which is made if need be.
///
/// Both are complete on disk under temporary names before either gets its own name; after an error
/// what stood there before still stands, and nothing half-written is left.
pub(super) fn write_files(dir: &Path, html: &str, json: &str) -> Result<Paths, Error> {
    write_named(dir, &[("result.json", json), ("index.html", html)])?;
    Ok(Paths {
        html: dir.join("index.html"),
        json: dir.join("result.json"),
    })
}

/// Writes files by name into `dir`, which is made if need be: all of them or none.
///
/// # Errors
/// Names the file that could not be written; nothing half-written is left.
pub fn write_named(dir: &Path, files: &[(&str, &str)]) -> Result<(), Error> {
    let mut files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, Content::Text(text)))
        .collect();
    write_all(dir, &mut files)
}

/// What goes into a file.
pub(super) enum Content<'c> {
    /// All of it.
    Text(&'c str),
    /// Written piece by piece, for what need not be in memory at once.
    Stream(&'c mut dyn FnMut(&mut dyn Write) -> io::Result<()>),
}

/// Writes files into `dir` as [`write_files`] does.
pub(super) fn write_all(dir: &Path, files: &mut [(&str, Content<'_>)]) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::Write {
        path: dir.to_owned(),
        source,
    })?;
    let mut pending = Vec::new();
    for (name, content) in files {
        pending.push(Pending::write(dir.join(*name), content)?);
    }
    pending.into_iter().try_for_each(Pending::publish)
}

/// A complete file under a temporary name; removed unless published.
struct Pending {
    target: PathBuf,
    temporary: PathBuf,
}

impl Pending {
    fn write(target: PathBuf, content: &mut Content<'_>) -> Result<Self, Error> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let pending = Self { target, temporary };
        pending
            .fill(content)
            .map_err(|source| pending.error(source))?;
        Ok(pending)
    }

    fn fill(&self, content: &mut Content<'_>) -> io::Result<()> {
        // A leftover of a killed run with the same process id; `create_new` then follows no link.
        if let Err(error) = fs::remove_file(&self.temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.temporary)?;
        let mut file = io::BufWriter::new(file);
        match content {
            Content::Text(text) => file.write_all(text.as_bytes())?,
            Content::Stream(write) => write(&mut file)?,
        }
        file.into_inner()?.sync_all()
    }

    fn publish(self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.target).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Write {
            path: self.target.clone(),
            source,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Gone already once published.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::write_files;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), "old page", "old data").unwrap();
        // A folder in the page's place makes its rename fail.
        std::fs::remove_file(dir.path().join("index.html")).unwrap();
        std::fs::create_dir_all(dir.path().join("index.html/inside")).unwrap();
        let error = write_files(dir.path(), "new page", "new data").unwrap_err();
        let line = error.to_string();
        assert!(line.contains("index.html") && line.contains("-o"), "{line}");
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.iter().all(|n| !n.ends_with(".part")), "{names:?}");
    }

    #[test]
    fn an_unwritable_folder_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let line = write_files(&file.join("below"), "p", "d")
            .unwrap_err()
            .to_string();
        assert!(line.contains("below") && !line.contains('\n'), "{line}");
    }
}
