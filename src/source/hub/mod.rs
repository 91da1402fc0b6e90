//! Models from a hub, through the shared cache.
//!
//! A branch is resolved to a commit once; what is then read is that commit. Every file is checked
//! against the hash that the hub lists, when it arrives and again each time it is opened.

mod api;
mod cache;
mod fetch;
mod listing;
mod object;
mod ranges;
mod sample;

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::TryStreamExt;

use self::api::Hub;
use self::cache::Cache;
use self::cache::is_commit;
use self::fetch::Wanted;
use self::fetch::fetch;
use self::listing::Listing;
use super::Artefacts;
use super::Error;
use super::OpenOptions;
use super::folder::Folder;
use super::folder::is_inner;
use super::index::shard_names;
use super::layout;
use super::layout::CONFIG;
use super::layout::EXTRAS;
use super::layout::INDEX;
use super::layout::TOKENIZER;
use super::layout::Weights;
use super::local;
use crate::text::ModelText;

/// Files fetched at the same time.
const PARALLEL: usize = 4;
/// Cached files up to this size are hashed before they are relied on; larger ones when they are pinned.
const HASH_FIRST: u64 = 64 << 20;

/// Opens `owner/name` at a branch, tag or commit.
///
/// # Errors
/// [`Error::Hub`] and [`Error::CacheMismatch`], and those of the folder that the snapshot is.
pub(super) fn open(
    repo: &str,
    revision: Option<&str>,
    reference: String,
    options: &OpenOptions,
) -> Result<Artefacts, Error> {
    let refuse = |reason: &str| Error::Hub {
        repo: repo.to_owned(),
        reason: reason.to_owned(),
    };
    let root =
        options.hub.cache.as_deref().ok_or_else(|| {
            refuse("no folder for downloads is known; set HF_HOME or HF_HUB_CACHE")
        })?;
    let model = HubModel {
        repo,
        revision: revision.unwrap_or("main"),
        reference,
        cache: Cache::new(root, repo),
        options,
    };
    if options.offline {
        return model.offline();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| refuse(&format!("no network runtime ({e}); run again")))?;
    if let Some(most) = options.sample
        && let Some(sampled) = runtime.block_on(model.sampled(most))?
    {
        return model.in_parts(sampled);
    }
    runtime.block_on(model.online())
}

struct HubModel<'a> {
    repo: &'a str,
    revision: &'a str,
    reference: String,
    cache: Cache,
    options: &'a OpenOptions,
}

impl HubModel<'_> {
    /// What the cache has; no request.
    fn offline(&self) -> Result<Artefacts, Error> {
        let commit = if is_commit(self.revision) {
            Some(self.revision.to_owned())
        } else {
            self.cache.commit_of(self.revision)
        };
        match commit {
            Some(commit) if self.cache.snapshot(&commit).is_dir() => match self.options.sample {
                None => self.verified(&commit),
                Some(_) => Ok(Artefacts {
                    revision: Some(commit.clone()),
                    ..self.local(&commit, self.options.sample)?
                }),
            },
            _ => Err(self.fault(format!(
                "revision {} is not in the cache, and offline no request is sent; run once with the network on",
                self.revision
            ))),
        }
    }

    async fn online(&self) -> Result<Artefacts, Error> {
        if is_commit(self.revision) && self.is_complete(self.revision) {
            match self.verified(self.revision) {
                // What did not match is gone from the cache now and is fetched below.
                Err(Error::CacheMismatch { .. }) => {}
                other => return other,
            }
        }
        let hub = Hub::new(self.repo, &self.options.hub)?;
        let listing = hub.listing(self.revision).await?;
        if is_commit(self.revision) && listing.commit != self.revision {
            return Err(self.fault(format!(
                "the hub answered with commit {} for the one asked for; check HF_ENDPOINT",
                listing.commit
            )));
        }
        self.complete(&hub, &listing).await?;
        match self.verified(&listing.commit) {
            Err(Error::CacheMismatch { .. }) => {
                self.complete(&hub, &listing).await?;
                self.verified(&listing.commit)
            }
            other => other,
        }
    }

    /// Pins a snapshot's files and holds them against their blobs' names.
    fn verified(&self, commit: &str) -> Result<Artefacts, Error> {
        let artefacts = self.local(commit, None)?;
        for file in artefacts.files() {
            if self.cache.keeps_promise(commit, &file.name, &file.sha256) == Some(false) {
                self.cache.discard(commit, &file.name);
                return Err(Error::CacheMismatch {
                    repo: self.repo.to_owned(),
                    name: file.name.clone(),
                });
            }
        }
        Ok(Artefacts {
            revision: Some(commit.to_owned()),
            ..artefacts
        })
    }

    /// A snapshot as the folder that it is.
    fn local(&self, commit: &str, sample: Option<u64>) -> Result<Artefacts, Error> {
        let folder = self.cache.snapshot(commit);
        local::open(
            &folder,
            self.reference.clone(),
            sample,
            self.options.progress(),
        )
    }

    /// Whether the snapshot is known to hold all that the commit has for us.
    ///
    /// A file that is neither there nor marked as absent may exist on the hub.
    fn is_complete(&self, commit: &str) -> bool {
        let Ok(folder) = Folder::open(&self.cache.snapshot(commit)) else {
            return false;
        };
        let Ok(weights) = folder.names().map(|names| layout::choose(&names)) else {
            return false;
        };
        let has = |name: &str| matches!(folder.find(name), Ok(Some(_)));
        let weights = match weights {
            Ok(Weights::Gguf(name)) => return has(&name),
            Ok(Weights::File(name)) => has(&name),
            Ok(Weights::Sharded) => shard_names(&folder.path().join(INDEX))
                .is_ok_and(|shards| shards.iter().all(|name| has(name))),
            Err(_) => false,
        };
        weights && sidecars().all(|name| has(name) || self.cache.is_absent(commit, name))
    }

    /// Brings every file of the model that the listing has into the cache.
    async fn complete(&self, hub: &Hub<'_>, listing: &Listing) -> Result<(), Error> {
        let commit = listing.commit.as_str();
        let tops: Vec<String> = listing
            .files
            .keys()
            .filter(|name| !name.contains('/'))
            .cloned()
            .collect();
        let weights = layout::choose(&tops).map_err(|reason| self.fault(reason))?;
        let mut wanted = BTreeSet::new();
        if !matches!(weights, Weights::Gguf(_)) {
            for name in sidecars() {
                if listing.files.contains_key(name) {
                    wanted.insert(name.to_owned());
                } else {
                    self.cache.mark_absent(commit, name)?;
                }
            }
        }
        match weights {
            Weights::File(name) | Weights::Gguf(name) => {
                wanted.insert(name);
            }
            Weights::Sharded => {
                let index = BTreeSet::from([INDEX.to_owned()]);
                self.bring(hub, listing, &index).await?;
                let shards = shard_names(&self.cache.snapshot(commit).join(INDEX))?;
                layout::not_both(&tops, shards.iter().map(String::as_str))
                    .map_err(|reason| self.fault(reason))?;
                wanted.extend(shards);
            }
        }
        self.bring(hub, listing, &wanted).await?;
        if is_commit(self.revision) {
            return Ok(());
        }
        self.cache.remember(self.revision, commit)
    }

    /// Fetches what is missing of the named files and links all of them into the snapshot.
    async fn bring(
        &self,
        hub: &Hub<'_>,
        listing: &Listing,
        names: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let files = names
            .iter()
            .map(|name| self.listed(listing, name))
            .collect::<Result<Vec<Wanted>, Error>>()?;
        // Files with the same content share a blob.
        let mut missing: Vec<&Wanted> = Vec::new();
        for file in &files {
            let known = missing
                .iter()
                .any(|other| other.object.id == file.object.id);
            if !known && !self.cache.has_blob(&file.object, HASH_FIRST)? {
                missing.push(file);
            }
        }
        if !missing.is_empty() {
            let total = missing.iter().map(|file| file.object.size).sum();
            let task = self
                .options
                .progress()
                .start(&format!("fetch {}", self.repo), total);
            futures_util::stream::iter(missing)
                .map(|file| fetch(hub, &self.cache, &listing.commit, file, task.as_ref()))
                .buffer_unordered(PARALLEL)
                .try_collect::<()>()
                .await?;
        }
        for file in &files {
            self.cache
                .link(&listing.commit, &file.name, &file.object.id)?;
        }
        Ok(())
    }

    fn listed(&self, listing: &Listing, name: &str) -> Result<Wanted, Error> {
        match listing.files.get(name) {
            Some(Some(object)) if is_inner(name) => Ok(Wanted {
                name: name.to_owned(),
                object: object.clone(),
            }),
            Some(Some(_)) => Err(self.fault(format!("{name} leads outside the model's folder"))),
            Some(None) => Err(self.fault(format!(
                "the hub lists {name} without its size and hash, so it cannot be checked; download the model yourself and name its folder"
            ))),
            None => Err(self.fault(format!(
                "{INDEX} names {name}, which the hub does not have; the upload is incomplete"
            ))),
        }
    }

    fn fault(&self, reason: String) -> Error {
        Error::Hub {
            repo: self.repo.to_owned(),
            reason: ModelText::new(reason).clipped(500),
        }
    }
}

/// Files other than weights that are read where they exist.
fn sidecars() -> impl Iterator<Item = &'static str> {
    [CONFIG, TOKENIZER].into_iter().chain(EXTRAS)
}
