//! Parts of files from the hub into the cache, and back out of it.
//!
//! A part is a file of its own, named by the object it belongs to, its place in it and its own hash
//! (`kinprobe-parts/<object>/<start>-<end>-<sha256>`): it can be taken up by a later run, and nothing
//! that looks for whole files ever sees it.

use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use futures_util::StreamExt;
use futures_util::TryStreamExt;
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use reqwest::header::RANGE;
use sha2::Digest;
use sha2::Sha256;

use super::PARALLEL;
use super::api::FIRST_PAUSE;
use super::api::Hub;
use super::api::is_passing;
use super::cache::Cache;
use super::cache::create_parent;
use super::fetch::Wanted;
use crate::source::Error;
use crate::source::HubOptions;
use crate::source::Progress;
use crate::source::ProgressTask;
use crate::source::parts::Remote;
use crate::source::pin::hex;

/// Bytes asked for at a time, which is also what a break costs.
const MOST: u64 = 8 << 20;

/// Weight files on a hub, read by range.
#[derive(Debug)]
pub(super) struct Ranges {
    pub repo: String,
    pub commit: String,
    pub options: HubOptions,
    /// In the order of the model's weight files.
    pub files: Vec<Wanted>,
}

impl Remote for Ranges {
    fn fetch(
        &self,
        wanted: &[(usize, Range<u64>)],
        progress: &dyn Progress,
    ) -> Result<Vec<(usize, Range<u64>, PathBuf)>, Error> {
        let refuse = |reason: String| Error::Hub {
            repo: self.repo.clone(),
            reason,
        };
        let Some(root) = self.options.cache.as_deref() else {
            return Err(refuse("no folder for downloads is known".to_owned()));
        };
        let cache = Cache::new(root, &self.repo);
        let pieces: Vec<(usize, Range<u64>)> = wanted
            .iter()
            .flat_map(|(place, range)| cut(range).map(|range| (*place, range)))
            .collect();
        let total = pieces.iter().map(|(_, range)| range.end - range.start);
        let task = progress.start(&format!("fetch parts of {}", self.repo), total.sum());
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| refuse(format!("no network runtime ({e}); run again")))?
            .block_on(async {
                let hub = Hub::new(&self.repo, &self.options)?;
                futures_util::stream::iter(pieces)
                    .map(|(place, range)| self.piece(&hub, &cache, place, range, task.as_ref()))
                    .buffered(PARALLEL)
                    .try_collect()
                    .await
            })
    }
}

/// A range in pieces of bounded size.
fn cut(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let Range { start, end } = *range;
    (start..end)
        .step_by(MOST as usize)
        .map(move |from| from..end.min(from + MOST))
}

impl Ranges {
    async fn piece(
        &self,
        hub: &Hub<'_>,
        cache: &Cache,
        place: usize,
        range: Range<u64>,
        task: &dyn ProgressTask,
    ) -> Result<(usize, Range<u64>, PathBuf), Error> {
        let Some(file) = self.files.get(place) else {
            return Err(hub.fault("a part of a file that the model does not have"));
        };
        let folder = cache.parts(&file.object.id);
        let stem = format!("{}-{}-", range.start, range.end);
        if let Some(path) = kept(&folder, &stem, range.end - range.start) {
            task.advance(range.end - range.start);
            return Ok((place, range, path));
        }
        let bytes = hub.range(&self.commit, file, &range).await?;
        let name = format!("{stem}{}", hex(&Sha256::digest(&bytes)));
        let path = folder.join(&name);
        let partial = folder.join(format!("{name}.{}", std::process::id()));
        create_parent(&path)?;
        std::fs::write(&partial, &bytes).map_err(Error::io(&partial))?;
        std::fs::rename(&partial, &path).map_err(Error::io(&path))?;
        task.advance(bytes.len() as u64);
        Ok((place, range, path))
    }
}

/// A part that an earlier run kept, if it still is what its name says.
fn kept(folder: &Path, stem: &str, length: u64) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let Some(sha256) = name.to_str().and_then(|name| name.strip_prefix(stem)) else {
            continue;
        };
        let fits = entry.metadata().is_ok_and(|meta| meta.len() == length);
        if fits && std::fs::read(entry.path()).is_ok_and(|b| hex(&Sha256::digest(b)) == sha256) {
            return Some(entry.path());
        }
    }
    None
}

impl Hub<'_> {
    /// Exactly the bytes of `range` of a file.
    async fn range(
        &self,
        commit: &str,
        file: &Wanted,
        range: &Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let mut pause = FIRST_PAUSE;
        let mut repeats = self.options.retries;
        loop {
            match self.try_range(commit, file, range).await {
                Ok(bytes) => return Ok(bytes),
                Err((error, passing)) if repeats == 0 || !passing => return Err(error),
                Err(_) => {}
            }
            repeats -= 1;
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// The error says whether asking again may help.
    async fn try_range(
        &self,
        commit: &str,
        file: &Wanted,
        range: &Range<u64>,
    ) -> Result<Vec<u8>, (Error, bool)> {
        let name = &file.name;
        let last = |reason: &str| (self.fault(&format!("{name}: {reason}")), false);
        let url = self.file_url(commit, name).map_err(|e| (e, false))?;
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let mut request = self.http.get(url).header(RANGE, bytes);
        if let Some(token) = &self.options.token {
            request = request.bearer_auth(token.expose());
        }
        let broken = |error: &reqwest::Error| {
            let passing = !error.is_builder() && !error.is_redirect();
            (self.unreachable(error), passing)
        };
        let mut response = request.send().await.map_err(|e| broken(&e))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                return Err(last(
                    "the server sends the whole file where a part was asked for, so no sample can be taken; \
                     use --depth standard, which reads all of it",
                ));
            }
            status => return Err((self.status(status, name), is_passing(status))),
        }
        let expected = format!(
            "bytes {}-{}/{}",
            range.start,
            range.end - 1,
            file.object.size
        );
        let told = response.headers().get(CONTENT_RANGE);
        if told.and_then(|value| value.to_str().ok()) != Some(expected.as_str()) {
            return Err(last(
                "the server sends another part than was asked for; use --depth standard, or check HF_ENDPOINT",
            ));
        }
        let length = (range.end - range.start) as usize;
        let cut_off = |error: &reqwest::Error| {
            let cause = self.cause(error);
            let reason = format!("{name}: {cause}; run again, whole parts are kept");
            (self.fault(&reason), true)
        };
        let mut body = Vec::with_capacity(length);
        while let Some(chunk) = response.chunk().await.map_err(|e| cut_off(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() > length {
                return Err(last(
                    "the server sends more than the part that was asked for; check HF_ENDPOINT",
                ));
            }
        }
        if body.len() < length {
            let got = body.len();
            let reason =
                format!("{name}: the answer ended after {got} of {length} bytes; run again");
            return Err((self.fault(&reason), true));
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_without_gap_or_overlap() {
        let cuts: Vec<_> = cut(&(5..5 + 2 * MOST + 1)).collect();
        assert_eq!(cuts.len(), 3);
        assert_eq!((cuts[0].start, cuts[2].end), (5, 5 + 2 * MOST + 1));
        assert!(cuts.windows(2).all(|two| two[0].end == two[1].start));
        assert_eq!(cut(&(3..3)).count(), 0);
    }

    #[test]
    fn a_part_that_changed_on_the_disk_is_not_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("0-5-{}", hex(&Sha256::digest(b"hello")));
        std::fs::write(dir.path().join(&name), b"hello").unwrap();
        assert_eq!(kept(dir.path(), "0-5-", 5), Some(dir.path().join(&name)));
        assert_eq!(kept(dir.path(), "0-6-", 6), None);
        std::fs::write(dir.path().join(&name), b"hellO").unwrap();
        assert_eq!(kept(dir.path(), "0-5-", 5), None);
    }
}
