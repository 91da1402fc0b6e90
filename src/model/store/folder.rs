//! A folder that appears only when it is complete.

use std::path::Path;
use std::path::PathBuf;

use super::Error;

/// A folder beside the one that is wanted; gone again unless it is kept.
#[derive(Debug)]
pub struct Partial(PathBuf);

impl Partial {
    /// Beside `out`.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn new(out: &Path) -> Result<Self, Error> {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let folder = out.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        // What a killed process of the same number may have left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        Ok(Self(folder))
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn keep(self, out: &Path) -> Result<(), Error> {
        std::fs::rename(&self.0, out).map_err(Error::io(out))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After `keep` there is nothing left to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
