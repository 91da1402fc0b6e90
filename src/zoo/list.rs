//! `zoo.json`: what was made, and the hashes of its files.

use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::source::Artefact;

use super::error::Error;
use super::exam::Score;
use super::exam::Scores;
use super::recipe::Initial;
use super::transform::Transformation;

const SCHEMA: &str = "kinprobe/zoo/v1";

/// Name of the list in a zoo's folder.
pub const FILE: &str = "zoo.json";

/// One member that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Name after `zoo:`, and of its folder.
    pub name: String,
    /// Pre-training run; members of one run are kin.
    pub run: String,
    /// The member it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it is to its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// Initial weights of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Initial>,
    /// The member whose outputs it learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// What was done to the weights before that training, with every parameter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preparation: Vec<Transformation>,
    /// Training it had after its parent, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// What was done to it last, with every parameter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transformations: Vec<Transformation>,
    /// Number of weights.
    pub parameters: u64,
    /// Over its files, as reports show it.
    pub digest: String,
    /// Right answers to held-out questions, after rounding to the stored format.
    pub exam: Score,
    /// The same by domain.
    pub exam_by_domain: Scores,
    /// Size and hash of every file.
    pub files: Vec<Artefact>,
}

/// One stretch of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Name of the course in the recipes.
    pub course: String,
    /// Tokens read.
    pub tokens: u64,
    /// Mean loss of the last twentieth of the steps, in nats per token.
    pub loss: f64,
    /// Likewise of the words that pictures show, for a model that sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_loss: Option<f64>,
    /// Entropy of the text's token frequencies, in nats: the loss of knowing nothing else.
    pub unigram_entropy: f64,
}

#[derive(Serialize, Deserialize)]
struct List {
    schema: String,
    members: Vec<Member>,
}

/// The members listed in a zoo's folder.
///
/// # Errors
/// [`Error::Io`] and [`Error::List`].
pub fn members(folder: &Path) -> Result<Vec<Member>, Error> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let refuse = |reason: String| Error::List {
        path: path.clone(),
        reason,
    };
    let list: List =
        serde_json::from_str(&text).map_err(|e| refuse(format!("not a list of members ({e})")))?;
    if list.schema != SCHEMA {
        return Err(refuse(format!("its schema is not {SCHEMA}")));
    }
    Ok(list.members)
}

/// Puts `member` into a folder's list, in place of one of the same name; members stand in the order
/// of `names`.
///
/// # Errors
/// A list that is there but cannot be read, or a folder that cannot be written.
pub fn record(folder: &Path, member: Member, names: &[&str]) -> Result<(), Error> {
    let path = folder.join(FILE);
    let mut all = if path.exists() {
        members(folder)?
    } else {
        Vec::new()
    };
    all.retain(|other| other.name != member.name);
    all.push(member);
    all.sort_by_key(|member| {
        let place = names.iter().position(|name| *name == member.name);
        (place.unwrap_or(names.len()), member.name.clone())
    });
    let list = List {
        schema: SCHEMA.to_owned(),
        members: all,
    };
    let text = serde_json::to_string_pretty(&list)
        .map_err(|e| Error::io(&path)(std::io::Error::other(e)))?;
    // Written beside and moved over, so that an interrupted run leaves the old list.
    let draft = folder.join("zoo.json.new");
    std::fs::write(&draft, text + "\n").map_err(Error::io(&draft))?;
    std::fs::rename(&draft, &path).map_err(Error::io(&path))
}
