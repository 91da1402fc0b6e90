//! Members of the shipped zoo, by name.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::Artefacts;
use super::Error;
use super::Progress;
use super::index::read_capped;
use super::local;
use super::reference::is_plain_name;
use super::root::data_root;
use crate::text::ModelText;

const SCHEMA: &str = "kinprobe/zoo/v1";

/// Members are of one of two collections, which stand in for one another in no null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collection {
    /// Models that read text.
    #[default]
    Text,
    /// Models that read pictures of signs as well.
    Script,
}

impl Collection {
    /// All.
    pub const ALL: [Self; 2] = [Self::Text, Self::Script];

    /// Its folder under a data root.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Text => "datasets/zoo",
            Self::Script => "datasets/script-zoo",
        }
    }
}

const MAX_BYTES: u64 = 16 << 20;

/// What the zoo's list says about one member, as far as opening it goes.
///
/// The list may say more; what is not named here is left to whoever reads it for that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ZooMember {
    /// Name after `zoo:`, and of its folder.
    pub name: String,
    /// Pre-training run; members of one run are kin.
    pub run: Option<String>,
    /// The member it was made from.
    pub parent: Option<String>,
    /// How it was made from its parent.
    pub relation: Option<String>,
    /// Where a base started.
    pub initial: Option<ZooStart>,
    /// The member whose outputs it learnt.
    pub teacher: Option<String>,
}

/// Initial weights: bases with equal ones are not independent of each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct ZooStart {
    /// Name of the architecture.
    pub architecture: String,
    /// Of the random weights.
    pub seed: u64,
}

#[derive(Deserialize)]
struct ZooList {
    schema: String,
    members: Vec<ZooMember>,
}

/// The members of a collection under a data root, in the order of its list.
///
/// # Errors
/// [`Error::Io`] and [`Error::ZooList`] for a list that is absent, malformed or ambiguous.
pub fn zoo_members(data_root: &Path, collection: Collection) -> Result<Vec<ZooMember>, Error> {
    let path = data_root.join(collection.folder()).join("zoo.json");
    let refuse = |reason: String| Error::ZooList {
        path: path.clone(),
        reason,
    };
    let list: ZooList = serde_json::from_slice(&read_capped(&path, MAX_BYTES)?)
        .map_err(|e| refuse(format!("not a list of zoo members ({e}); restore it")))?;
    if list.schema != SCHEMA {
        return Err(refuse(format!(
            "schema {} is not {SCHEMA}; use the data that came with this program",
            ModelText::new(&list.schema).clipped(60)
        )));
    }
    let mut seen = BTreeSet::new();
    for member in &list.members {
        if !is_plain_name(&member.name) || !seen.insert(&member.name) {
            return Err(refuse(format!(
                "member name {} is malformed or occurs twice; restore the list",
                ModelText::new(&member.name).clipped(60)
            )));
        }
    }
    Ok(list.members)
}

pub(super) fn open(
    name: &str,
    explicit_root: Option<&Path>,
    reference: String,
    progress: &dyn Progress,
) -> Result<Artefacts, Error> {
    let root = data_root(explicit_root)?;
    let mut known = Vec::new();
    for collection in Collection::ALL {
        let folder = root.join(collection.folder());
        if collection == Collection::Script && !folder.exists() {
            continue;
        }
        let members = zoo_members(&root, collection)?;
        let Some(member) = members.iter().find(|member| member.name == name) else {
            known.extend(members.into_iter().map(|member| member.name));
            continue;
        };
        let artefacts = local::open(&folder.join(name), reference, None, progress)?;
        return Ok(Artefacts {
            run: member.run.clone(),
            ..artefacts
        });
    }
    Err(Error::UnknownMember {
        name: name.to_owned(),
        known: known.join(", "),
    })
}
