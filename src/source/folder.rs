//! A model's folder: names in it are followed only as far as they stay inside.

use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use super::Error;
use super::pin::Candidate;

/// A folder whose names are looked up with care: it may come from a stranger.
#[derive(Debug)]
pub(super) struct Folder {
    /// As the user knows it.
    shown: PathBuf,
    /// With every link resolved.
    root: PathBuf,
    /// The blob store of a hub cache, when the folder is a snapshot in one.
    blobs: Option<PathBuf>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // `Path::parent` of a bare file name is the empty path.
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let root = path.canonicalize().map_err(Error::io(path))?;
        Ok(Folder {
            shown: path.to_owned(),
            blobs: hub_blobs(&root),
            root,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.shown
    }

    /// The file of that name, or `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Outside`] if the name is absolute, climbs out, or is a link that leads out of the folder.
    pub(super) fn find(&self, name: &str) -> Result<Option<Candidate>, Error> {
        let outside = || Error::Outside {
            root: self.shown.clone(),
            name: name.to_owned(),
        };
        if !is_inner(name) {
            return Err(outside());
        }
        let path = self.shown.join(name);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let real = path.canonicalize().map_err(Error::io(&path))?;
        let inside = real.starts_with(&self.root)
            || self.blobs.as_ref().is_some_and(|dir| real.starts_with(dir));
        if !inside {
            return Err(outside());
        }
        Ok(Some(Candidate {
            name: name.to_owned(),
            path,
        }))
    }

    /// [`Self::find`] for a file that was seen a moment ago.
    pub(super) fn require(&self, name: &str) -> Result<Candidate, Error> {
        self.find(name)?.ok_or_else(|| Error::Io {
            path: self.shown.join(name),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Names of the folder's own entries (not of its subfolders'), sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(Error::io(&self.shown))? {
            let entry = entry.map_err(Error::io(&self.shown))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// Whether the file name ends in one of the extensions, in any case.
pub(super) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x)))
}

/// Relative, and made of plain parts only, under the rules of any system that might read it.
pub(super) fn is_inner(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', '\0', ':'])
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// Snapshots of a hub cache (`models--o--n/snapshots/<commit>`) are links into `models--o--n/blobs`.
fn hub_blobs(root: &Path) -> Option<PathBuf> {
    let snapshots = root.parent()?;
    let repo = snapshots.parent()?;
    let is_cache = snapshots.file_name()? == "snapshots"
        && repo.file_name()?.to_string_lossy().starts_with("models--");
    let blobs = repo.join("blobs");
    (is_cache && blobs.is_dir()).then_some(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["model.safetensors", "sub/x.safetensors", "a..b"] {
            assert!(is_inner(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "..",
            "C:\\x",
            "c:x",
            "a\\..\\b",
        ] {
            assert!(!is_inner(name), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_out_are_refused_but_a_hub_snapshot_is_followed() {
        use std::os::unix::fs::symlink;

        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        let model = dir.path().join("model");
        std::fs::create_dir(&model).unwrap();
        symlink(&secret, model.join("config.json")).unwrap();
        let folder = Folder::open(&model).unwrap();
        assert!(matches!(
            folder.find("config.json"),
            Err(Error::Outside { .. })
        ));
        assert!(folder.find("absent.json").unwrap().is_none());

        let repo = dir.path().join("models--o--n");
        let snapshot = repo.join("snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir(repo.join("blobs")).unwrap();
        std::fs::write(repo.join("blobs/e"), "{}").unwrap();
        symlink("../../blobs/e", snapshot.join("config.json")).unwrap();
        symlink(&secret, snapshot.join("tokenizer.json")).unwrap();
        let folder = Folder::open(&snapshot).unwrap();
        assert!(folder.find("config.json").unwrap().is_some());
        assert!(folder.find("tokenizer.json").is_err());
    }
}
