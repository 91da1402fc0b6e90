//! One file from the hub into the cache: resumed where it broke, checked before it counts.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::PathBuf;

use futures_util::StreamExt;

use super::super::Error;
use super::super::ProgressTask;
use super::api::Break;
use super::api::FIRST_PAUSE;
use super::api::Hub;
use super::cache::Cache;
use super::cache::create_parent;
use super::object::Check;
use super::object::Object;

/// What is wanted: a file of a commit.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub name: String,
    pub object: Object,
}

/// Brings the file's content into the blob folder under its hash.
///
/// An interrupted download stays as `.incomplete` and is continued by the next one, here or in
/// another run. Nothing gets its final name before size and hash are right.
///
/// # Errors
/// [`Error::Hub`] with what to do; [`Error::Io`] for the disk.
pub(super) async fn fetch(
    hub: &Hub<'_>,
    cache: &Cache,
    commit: &str,
    wanted: &Wanted,
    task: &dyn ProgressTask,
) -> Result<(), Error> {
    let object = &wanted.object;
    let _lock = cache
        .lock(&object.id, hub.options.read_timeout.saturating_mul(2))
        .await?;
    // Another process may have been faster.
    if cache.has_blob(object, 0)? {
        task.advance(object.size);
        return Ok(());
    }
    let path = cache.partial(&object.id);
    create_parent(&path)?;
    let mut part = Part::open(path, object, task)?;
    let mut pause = FIRST_PAUSE;
    let mut failures = 0;
    loop {
        let (reason, spoiled) = match pour(hub, commit, wanted, &mut part, task).await {
            Ok(()) if part.size < object.size => (
                format!(
                    "the answer ended after {} of {} bytes",
                    part.size, object.size
                ),
                false,
            ),
            Ok(()) if part.is_good(object) => break,
            Ok(()) => (
                "the bytes do not have the hash that the hub lists".to_owned(),
                true,
            ),
            Err(Break::Passing(reason)) => (reason, part.size > object.size),
            Err(Break::Final(error)) => {
                part.remove_if_empty();
                return Err(error);
            }
        };
        if spoiled {
            // Bytes kept from an earlier run may be to blame, but only once.
            if !part.resumed {
                part.remove();
                return Err(hub.fault(&format!(
                    "{}: {reason}; nothing was kept, run again, and check HF_ENDPOINT if it repeats",
                    wanted.name
                )));
            }
            part.restart(object)?;
            continue;
        }
        if failures >= hub.options.retries {
            part.remove_if_empty();
            return Err(hub.fault(&format!(
                "{}: {reason}; run again to continue from there",
                wanted.name
            )));
        }
        failures += 1;
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    part.finish(&cache.blob(&object.id))
}

/// Appends what the hub sends, from where the part ends.
async fn pour(
    hub: &Hub<'_>,
    commit: &str,
    wanted: &Wanted,
    part: &mut Part,
    task: &dyn ProgressTask,
) -> Result<(), Break> {
    let object = &wanted.object;
    if part.size >= object.size {
        return Ok(());
    }
    let mut stream = hub
        .stream(commit, &wanted.name, part.size, object.size)
        .await
        .map_err(Break::Final)?;
    loop {
        let next = tokio::time::timeout(hub.options.read_timeout, stream.next()).await;
        let chunk = match next {
            Err(_) => return Err(Break::Passing(hub.silence())),
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => return Err(hub.broken(error, &wanted.name)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        let chunk = chunk.as_ref();
        part.append(chunk).map_err(Break::Final)?;
        task.advance(chunk.len() as u64);
        if part.size > object.size {
            return Err(Break::Passing(format!(
                "more than the {} bytes that the hub lists",
                object.size
            )));
        }
    }
}

/// A file that grows until it is complete.
struct Part {
    path: PathBuf,
    file: File,
    size: u64,
    check: Check,
    /// Whether some of it is from an earlier run.
    resumed: bool,
}

impl Part {
    fn open(path: PathBuf, object: &Object, task: &dyn ProgressTask) -> Result<Self, Error> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        let mut part = Part {
            path,
            file,
            size: 0,
            check: Check::new(object),
            resumed: false,
        };
        part.reread().map_err(Error::io(&part.path.clone()))?;
        part.resumed = part.size > 0;
        if part.size > object.size {
            part.restart(object)?;
        }
        task.advance(part.size);
        Ok(part)
    }

    /// Takes what is there already into the hash.
    fn reread(&mut self) -> std::io::Result<()> {
        let mut block = vec![0_u8; 1 << 20];
        loop {
            match self.file.read(&mut block)? {
                0 => return Ok(()),
                n => {
                    self.check.update(&block[..n]);
                    self.size += n as u64;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io(&self.path))?;
        self.check.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn is_good(&self, object: &Object) -> bool {
        self.size == object.size && self.check.clone().matches(&object.id)
    }

    fn restart(&mut self, object: &Object) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::io(&self.path))?;
        self.size = 0;
        self.check = Check::new(object);
        self.resumed = false;
        Ok(())
    }

    fn remove(&self) {
        // If it cannot be removed, the next run finds its hash wrong and starts over.
        let _ = std::fs::remove_file(&self.path);
    }

    fn remove_if_empty(&self) {
        if self.size == 0 {
            self.remove();
        }
    }

    fn finish(self, blob: &std::path::Path) -> Result<(), Error> {
        std::fs::rename(&self.path, blob).map_err(Error::io(blob))
    }
}
