//! Reference string -> pinned files.
//!
//! A [`ModelRef`] is what a user types; [`open`] turns it into [`Artefacts`]: the files on disk, each
//! with its size and sha256, and the revision where there is one. Nothing here knows what a tensor is.

mod address;
#[cfg(feature = "endpoint")]
pub mod endpoint;
mod error;
mod folder;
#[cfg(feature = "hub")]
mod hub;
mod index;
mod layout;
mod local;
mod options;
mod parts;
mod pin;
mod progress;
mod reference;
mod root;
mod zoo;

pub use address::Address;
pub use address::without_secrets;
#[cfg(feature = "endpoint")]
pub use endpoint::Endpoint;
pub use error::Error;
pub use options::EndpointOptions;
pub use options::HubOptions;
pub use options::OpenOptions;
pub use options::Secret;
pub use parts::Parts;
pub use progress::Progress;
pub use progress::ProgressTask;
pub use progress::Silent;
pub use reference::Locator;
pub use reference::ModelRef;
pub(crate) use reference::split_label;
pub use root::data_root;
pub use zoo::Collection;
pub use zoo::ZooMember;
pub use zoo::ZooStart;
pub use zoo::zoo_members;

use std::path::PathBuf;
use std::sync::Arc;

use sha2::Digest;
use sha2::Sha256;

/// Finds a model's files and pins each by size and sha256.
///
/// # Errors
/// One line that names the file or reference, the reason and the way out; see [`Error`].
pub fn open(reference: &ModelRef, options: &OpenOptions) -> Result<Artefacts, Error> {
    let spelling = reference.locator.to_string();
    let progress = options.progress();
    match &reference.locator {
        Locator::Local(path) => local::open(path, spelling, options.sample, progress),
        Locator::Gguf(path) => local::open_gguf(path, spelling, options.sample, progress),
        Locator::Zoo(name) => zoo::open(name, options.data_root.as_deref(), spelling, progress),
        Locator::Hub { repo, revision } => open_hub(repo, revision.as_deref(), spelling, options),
        Locator::Endpoint { model, base } => open_endpoint(model, base, spelling, options),
    }
}

/// Asks the server what it is, where answers alone are enough.
fn open_endpoint(
    model: &str,
    base: &Address,
    reference: String,
    options: &OpenOptions,
) -> Result<Artefacts, Error> {
    let refuse = |reason: &str| Error::Endpoint {
        reference: format!("{model}@{base}"),
        reason: reason.to_owned(),
    };
    let Some(asking) = &options.endpoint else {
        return Err(refuse(
            "an endpoint shows answers alone and this needs the model's files: name a folder, `hf:`, `gguf:` or \
             `zoo:`; `run`, `compare`, `accept`, `check` and `review` take an endpoint",
        ));
    };
    if options.offline {
        return Err(refuse(
            "offline no request is sent, and an endpoint has nothing else",
        ));
    }
    Ok(Artefacts {
        reference,
        revision: None,
        format: Format::Safetensors,
        weights: Vec::new(),
        config: None,
        tokenizer: None,
        others: Vec::new(),
        run: None,
        parts: None,
        endpoint: Some(Endpoint::open(model, base, asking)?),
    })
}

/// A served model; there is none in a build without the `endpoint` feature.
#[cfg(not(feature = "endpoint"))]
#[derive(Debug)]
pub enum Endpoint {}

#[cfg(not(feature = "endpoint"))]
impl Endpoint {
    fn open(model: &str, base: &Address, _: &EndpointOptions) -> Result<Arc<Self>, Error> {
        Err(Error::Endpoint {
            reference: format!("{model}@{base}"),
            reason: "this kinprobe was built without its `endpoint` feature; build it with that"
                .to_owned(),
        })
    }

    /// `endpoint:…` over what the server says of itself.
    pub fn identity(&self) -> &str {
        match *self {}
    }
}

#[cfg(feature = "hub")]
use hub::open as open_hub;

#[cfg(not(feature = "hub"))]
fn open_hub(
    repo: &str,
    _revision: Option<&str>,
    _reference: String,
    _options: &OpenOptions,
) -> Result<Artefacts, Error> {
    Err(Error::Hub {
        repo: repo.to_owned(),
        reason: "this kinprobe was built without its `hub` feature; download the model and name its folder"
            .to_owned(),
    })
}

/// One file that was read, pinned.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Artefact {
    /// Path relative to the model's root, with `/`.
    pub name: String,
    /// Where it lies on this machine (never reported).
    #[serde(skip)]
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex; empty for a file that was not read and whose digest nobody told.
    pub sha256: String,
    /// What `sha256` stands on.
    #[serde(skip)]
    pub digest: Digested,
}

/// What a file's digest stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Digested {
    /// The whole file was read.
    #[default]
    Read,
    /// The hub lists it; the file was not read as a whole.
    Listed,
    /// Nothing: the file was not read as a whole.
    Unknown,
}

/// How the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One or more safetensors files.
    Safetensors,
    /// A single GGUF file; config and tokenizer are inside.
    Gguf,
}

/// The files of one model.
#[derive(Debug, Clone)]
pub struct Artefacts {
    /// Canonical spelling of the reference, without the label.
    pub reference: String,
    /// Commit of a hub model.
    pub revision: Option<String>,
    /// Storage of the weights.
    pub format: Format,
    /// Weight files, in name order.
    pub weights: Vec<Artefact>,
    /// `config.json`; absent for GGUF.
    pub config: Option<Artefact>,
    /// `tokenizer.json`; absent for GGUF and where the folder has none.
    pub tokenizer: Option<Artefact>,
    /// Everything else that was read (shard index, `tokenizer_config.json`, `generation_config.json`).
    pub others: Vec<Artefact>,
    /// Pre-training run, where the source knows it (`zoo:` members); models of one run are kin.
    pub run: Option<String>,
    /// The weight files, where only parts of them are read.
    pub parts: Option<Arc<Parts>>,
    /// The server, where the model is behind one: then there are no files.
    pub endpoint: Option<Arc<Endpoint>>,
}

impl Artefacts {
    /// Every file that was read: weights, config, tokenizer, others.
    pub fn files(&self) -> impl Iterator<Item = &Artefact> {
        self.weights
            .iter()
            .chain(&self.config)
            .chain(&self.tokenizer)
            .chain(&self.others)
    }

    /// `sha256:…` over kind, size and sha256 of weights, config and tokenizer.
    ///
    /// Names, places and the other files do not enter, so that the same model has the same digest
    /// as a folder, from the hub and under other file names. Where files were not read as a whole and
    /// nobody told their digests, it is `unread:…` and stands for the reference alone; of a server, which shows
    /// no files, it is `endpoint:…` over what the server says of itself.
    pub fn digest(&self) -> String {
        if let Some(endpoint) = &self.endpoint {
            return endpoint.identity().to_owned();
        }
        let kinds = [
            ("weights", self.weights.as_slice()),
            ("config", self.config.as_slice()),
            ("tokenizer", self.tokenizer.as_slice()),
        ];
        let mut lines: Vec<String> = kinds
            .iter()
            .flat_map(|(kind, files)| {
                files
                    .iter()
                    .map(move |file| format!("{kind} {} {}\n", file.size, file.sha256))
            })
            .collect();
        lines.sort();
        if self.files().any(|file| file.digest == Digested::Unknown) {
            lines.push(self.reference.clone());
            return format!("unread:{}", pin::hex(&Sha256::digest(lines.concat())));
        }
        format!("sha256:{}", pin::hex(&Sha256::digest(lines.concat())))
    }
}
