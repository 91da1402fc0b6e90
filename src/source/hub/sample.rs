//! Models from a hub of whose weights only parts are read.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Hub;
use super::HubModel;
use super::INDEX;
use super::Weights;
use super::cache::is_commit;
use super::fetch::Wanted;
use super::layout;
use super::listing::Listing;
use super::object::ObjectId;
use super::ranges::Ranges;
use super::shard_names;
use super::sidecars;
use crate::source::Artefact;
use crate::source::Artefacts;
use crate::source::Digested;
use crate::source::Error;
use crate::source::Format;
use crate::source::Parts;
use crate::source::local;
use crate::source::parts::PartFile;

impl HubModel<'_> {
    /// The small files as a whole, of the weights nothing but the headers; `None` where the weights have
    /// no more than `most` bytes and may as well be read as a whole.
    pub(super) async fn sampled(&self, most: u64) -> Result<Option<Sampled>, Error> {
        let hub = Hub::new(self.repo, &self.options.hub)?;
        let listing = hub.listing(self.revision).await?;
        if is_commit(self.revision) && listing.commit != self.revision {
            return Err(self.fault(format!(
                "the hub answered with commit {} for the one asked for; check HF_ENDPOINT",
                listing.commit
            )));
        }
        let tops = listing.files.keys().filter(|name| !name.contains('/'));
        let tops: Vec<String> = tops.cloned().collect();
        let chosen = layout::choose(&tops).map_err(|reason| self.fault(reason))?;
        let mut small = BTreeSet::new();
        let (format, names) = match chosen {
            Weights::Gguf(name) => (Format::Gguf, BTreeSet::from([name])),
            Weights::File(name) => (Format::Safetensors, BTreeSet::from([name])),
            Weights::Sharded => {
                small.insert(INDEX.to_owned());
                self.bring(&hub, &listing, &small).await?;
                let shards = shard_names(&self.cache.snapshot(&listing.commit).join(INDEX))?;
                layout::not_both(&tops, shards.iter().map(String::as_str))
                    .map_err(|reason| self.fault(reason))?;
                (Format::Safetensors, shards)
            }
        };
        let files = names
            .iter()
            .map(|name| self.listed(&listing, name))
            .collect::<Result<Vec<Wanted>, Error>>()?;
        if files.iter().map(|file| file.object.size).sum::<u64>() <= most {
            return Ok(None);
        }
        if format == Format::Safetensors {
            let has = |name: &&str| listing.files.contains_key(*name);
            small.extend(sidecars().filter(has).map(str::to_owned));
            self.bring(&hub, &listing, &small).await?;
        }
        Ok(Some(Sampled {
            listing,
            format,
            files,
            small,
        }))
    }

    /// The model as far as [`HubModel::sampled`] found it, its weights to be read in parts.
    pub(super) fn in_parts(&self, sampled: Sampled) -> Result<Artefacts, Error> {
        let Sampled {
            listing,
            format,
            files,
            small,
        } = sampled;
        let commit = listing.commit;
        let part = |file: &Wanted| -> Result<PartFile, Error> {
            let whole = self.cache.has_blob(&file.object, 0)?;
            let whole = whole.then(|| self.cache.blob(&file.object.id));
            Ok(PartFile::new(file.object.size, whole))
        };
        let parts: Vec<PartFile> = files.iter().map(part).collect::<Result<_, Error>>()?;
        let weights = files
            .iter()
            .map(|file| weights(file, &self.repo_path(&commit, file)));
        let weights = weights.collect();
        let remote = Ranges {
            repo: self.repo.to_owned(),
            commit: commit.clone(),
            options: self.options.hub.clone(),
            files,
        };
        let parts = Parts::new(parts, Some(Box::new(remote)));
        parts.bring_heads(format, self.options.progress())?;
        let rest = local::sidecars(
            &self.cache.snapshot(&commit),
            &small,
            &self.reference,
            self.options.progress(),
        )?;
        for file in rest.files() {
            if self.cache.keeps_promise(&commit, &file.name, &file.sha256) == Some(false) {
                self.cache.discard(&commit, &file.name);
                return Err(Error::CacheMismatch {
                    repo: self.repo.to_owned(),
                    name: file.name.clone(),
                });
            }
        }
        Ok(Artefacts {
            revision: Some(commit),
            format,
            weights,
            parts: Some(Arc::new(parts)),
            ..rest
        })
    }

    /// Where the file would lie if it had been fetched as a whole; shown in errors.
    fn repo_path(&self, commit: &str, file: &Wanted) -> std::path::PathBuf {
        self.cache.snapshot(commit).join(&file.name)
    }
}

/// A model of whose weights only parts will be read.
pub(super) struct Sampled {
    listing: Listing,
    format: Format,
    files: Vec<Wanted>,
    /// Names of the files that were fetched as a whole.
    small: BTreeSet<String>,
}

/// A weight file with the digest that the hub lists.
fn weights(file: &Wanted, path: &std::path::Path) -> Artefact {
    let (sha256, digest) = match &file.object.id {
        ObjectId::Sha256(listed) => (listed.clone(), Digested::Listed),
        // Git's name of a small file is no sha256.
        ObjectId::GitBlob(_) => (String::new(), Digested::Unknown),
    };
    Artefact {
        name: file.name.clone(),
        path: path.to_owned(),
        size: file.object.size,
        sha256,
        digest,
    }
}
