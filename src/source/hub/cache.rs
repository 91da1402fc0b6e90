//! The hub cache on disk, in the layout that `huggingface_hub` and `hf-hub` share.
//!
//! `models--owner--name/` holds `blobs/<object id>`, `snapshots/<commit>/<file>` linking to them,
//! `refs/<branch>` with a commit, and empty `.no_exist/<commit>/<file>` for files known not to exist.
//! Because a blob's name is the hash of its content, the cache can be checked without the hub.

use std::fs::File;
use std::fs::TryLockError;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use super::super::Error;
use super::super::folder::is_inner;
use super::object::Check;
use super::object::Object;
use super::object::ObjectId;

/// How often a lock that another process holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// One repository's part of the cache.
pub(super) struct Cache {
    repo: PathBuf,
    locks: PathBuf,
}

impl Cache {
    /// `repo` is `owner/name`, whose characters the reference's parser has checked.
    pub(super) fn new(root: &Path, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Cache {
            repo: root.join(&name),
            locks: root.join(".locks").join(name),
        }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, id: &ObjectId) -> PathBuf {
        self.repo.join("blobs").join(id.as_str())
    }

    /// Parts of a file that is not there as a whole.
    pub(super) fn parts(&self, id: &ObjectId) -> PathBuf {
        self.repo.join("kinprobe-parts").join(id.as_str())
    }

    /// Where a download grows until it is complete.
    pub(super) fn partial(&self, id: &ObjectId) -> PathBuf {
        self.repo
            .join("blobs")
            .join(format!("{}.incomplete", id.as_str()))
    }

    /// The commit that a branch or tag was last seen at.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.repo.join("refs").join(revision)).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.repo.join("refs").join(revision);
        create_parent(&path)?;
        std::fs::write(&path, commit).map_err(Error::io(&path))
    }

    pub(super) fn mark_absent(&self, commit: &str, name: &str) -> Result<(), Error> {
        let path = self.absent_mark(commit, name);
        if path.exists() {
            return Ok(());
        }
        create_parent(&path)?;
        std::fs::write(&path, "").map_err(Error::io(&path))
    }

    pub(super) fn is_absent(&self, commit: &str, name: &str) -> bool {
        self.absent_mark(commit, name).exists()
    }

    fn absent_mark(&self, commit: &str, name: &str) -> PathBuf {
        self.repo.join(".no_exist").join(commit).join(name)
    }

    /// What the snapshot's file says it holds, by the name of the blob it links to.
    pub(super) fn object_of(&self, commit: &str, name: &str) -> Option<ObjectId> {
        let target = std::fs::read_link(self.snapshot(commit).join(name)).ok()?;
        ObjectId::parse(target.file_name()?.to_str()?)
    }

    /// Whether the blob is there: the right size and, below `hash_up_to` bytes, the right content.
    /// A blob that is not is removed.
    pub(super) fn has_blob(&self, object: &Object, hash_up_to: u64) -> Result<bool, Error> {
        let path = self.blob(&object.id);
        let Ok(meta) = std::fs::metadata(&path) else {
            return Ok(false);
        };
        let good = meta.len() == object.size
            && (object.size > hash_up_to || matches(&path, object).map_err(Error::io(&path))?);
        if !good {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        Ok(good)
    }

    /// Whether the content of a snapshot's file is what its blob's name promises.
    /// `None` where the file is no link into the blob folder, and so promises nothing.
    pub(super) fn keeps_promise(&self, commit: &str, name: &str, sha256: &str) -> Option<bool> {
        let id = self.object_of(commit, name)?;
        if let ObjectId::Sha256(expected) = &id {
            return Some(expected == sha256);
        }
        let path = self.snapshot(commit).join(name);
        let size = std::fs::metadata(&path).ok()?.len();
        Some(matches(&path, &Object { size, id }).unwrap_or(false))
    }

    /// Lets the snapshot's file link to the blob; leaves a link that does as it is, since another
    /// process may be reading through it and the cache may be read-only.
    pub(super) fn link(&self, commit: &str, name: &str, id: &ObjectId) -> Result<(), Error> {
        debug_assert!(is_inner(name), "names are checked when they are chosen");
        if self.object_of(commit, name).as_ref() == Some(id) {
            return Ok(());
        }
        let pointer = self.snapshot(commit).join(name);
        create_parent(&pointer)?;
        if pointer.symlink_metadata().is_ok() {
            std::fs::remove_file(&pointer).map_err(Error::io(&pointer))?;
        }
        make_link(&self.blob(id), id, name, &pointer).map_err(Error::io(&pointer))
    }

    /// Removes a snapshot's file and the blob behind it.
    pub(super) fn discard(&self, commit: &str, name: &str) {
        let pointer = self.snapshot(commit).join(name);
        // Either may be gone already; what matters is that neither is used again.
        if let Some(id) = self.object_of(commit, name) {
            let _ = std::fs::remove_file(self.blob(&id));
        }
        let _ = std::fs::remove_file(pointer);
    }

    /// Waits for the right to write a blob; held until the file is dropped.
    ///
    /// # Errors
    /// [`Error::Io`] of kind `TimedOut` if another process holds it and gets nowhere for `patience`.
    pub(super) async fn lock(&self, id: &ObjectId, patience: Duration) -> Result<File, Error> {
        let path = self.locks.join(format!("{}.lock", id.as_str()));
        create_parent(&path)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        let grown = || std::fs::metadata(self.partial(id)).map_or(0, |meta| meta.len());
        let (mut size, mut since) = (grown(), Instant::now());
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(e)) => return Err(Error::io(&path)(e)),
                Err(TryLockError::WouldBlock) => {}
            }
            if grown() != size {
                (size, since) = (grown(), Instant::now());
            } else if since.elapsed() > patience {
                return Err(Error::io(&path)(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "another process is fetching this file and gets nowhere; end it and run again",
                )));
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }
}

/// 40 lower-case hex digits.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(ObjectId::parse(text), Some(ObjectId::GitBlob(_)))
}

pub(super) fn create_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(Error::io(parent)),
        None => Ok(()),
    }
}

fn matches(path: &Path, object: &Object) -> std::io::Result<bool> {
    let mut check = Check::new(object);
    let mut file = File::open(path)?;
    let mut block = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(check.matches(&object.id)),
            n => check.update(&block[..n]),
        }
    }
}

/// Relative, so that the cache may be moved as a whole.
#[cfg(unix)]
fn make_link(_blob: &Path, id: &ObjectId, name: &str, pointer: &Path) -> std::io::Result<()> {
    let up = "../".repeat(2 + name.matches('/').count());
    std::os::unix::fs::symlink(format!("{up}blobs/{}", id.as_str()), pointer)
}

/// Links need a privilege elsewhere; the other tools copy too.
#[cfg(not(unix))]
fn make_link(blob: &Path, _id: &ObjectId, _name: &str, pointer: &Path) -> std::io::Result<()> {
    std::fs::hard_link(blob, pointer).or_else(|_| std::fs::copy(blob, pointer).map(|_| ()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn cache_with(content: &str) -> (tempfile::TempDir, Cache, Object) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), "owner/name");
        let object = Object {
            size: 6,
            id: ObjectId::parse(HELLO).unwrap(),
        };
        let blob = cache.blob(&object.id);
        create_parent(&blob).unwrap();
        std::fs::write(&blob, content).unwrap();
        (dir, cache, object)
    }

    #[test]
    fn links_are_relative_and_reach_the_blob() {
        let (dir, cache, object) = cache_with("hello\n");
        for name in ["config.json", "sub/deep/config.json"] {
            cache.link(COMMIT, name, &object.id).unwrap();
            cache.link(COMMIT, name, &object.id).unwrap();
            let path = dir
                .path()
                .join("models--owner--name/snapshots")
                .join(COMMIT)
                .join(name);
            assert_eq!(std::fs::read_to_string(path).unwrap(), "hello\n");
            assert_eq!(cache.object_of(COMMIT, name), Some(object.id.clone()));
            assert_eq!(cache.keeps_promise(COMMIT, name, ""), Some(true));
        }
    }

    #[test]
    fn wrong_content_is_found_and_removed() {
        for (content, hash_up_to) in [("hellO\n", 100), ("hello", 0)] {
            let (_dir, cache, object) = cache_with(content);
            assert!(!cache.has_blob(&object, hash_up_to).unwrap());
            assert!(!cache.blob(&object.id).exists());
        }
        let (_dir, cache, object) = cache_with("hellO\n");
        cache.link(COMMIT, "config.json", &object.id).unwrap();
        assert_eq!(cache.keeps_promise(COMMIT, "config.json", ""), Some(false));
        cache.discard(COMMIT, "config.json");
        assert!(!cache.blob(&object.id).exists());
        assert_eq!(cache.object_of(COMMIT, "config.json"), None);
    }

    #[test]
    fn refs_hold_commits_or_nothing() {
        let (_dir, cache, _) = cache_with("");
        cache.remember("refs/pr/1", COMMIT).unwrap();
        assert_eq!(cache.commit_of("refs/pr/1").as_deref(), Some(COMMIT));
        cache.remember("main", "../../x").unwrap();
        assert_eq!(cache.commit_of("main"), None);
    }
}
