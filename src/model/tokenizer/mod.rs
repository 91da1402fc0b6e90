//! Text to token ids and back, from `tokenizer.json` or from GGUF metadata.

mod contain;
mod digest;
mod gguf;
mod json;
mod sentencepiece;
mod wordpiece;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use contain::contained;
use serde_json::Value;

use super::tensors::Metadata;
use crate::text::ModelText;

/// A model's tokenizer.
///
/// Truncation, padding and BPE dropout that the file may ask for are switched off: the same text
/// always gives the same ids, all of them.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocab: BTreeMap<String, u32>,
    merges: Vec<(String, String)>,
    added: BTreeMap<String, u32>,
    kind: &'static str,
    eos: BTreeSet<u32>,
    eos_list: Vec<u32>,
    /// Rows of the embedding, once it is known.
    rows: Option<usize>,
}

/// What can go wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is there but is not a tokenizer that can be used.
    #[error("{file}: {reason}")]
    Unusable {
        /// The file.
        file: String,
        /// Why, and the way out.
        reason: String,
    },
    /// A text could not be turned into ids, or ids into text.
    #[error("the tokenizer failed on {what}: {reason}")]
    Failed {
        /// `a text of 12 bytes`, `token 7`.
        what: String,
        /// The library's answer.
        reason: String,
    },
}

impl Tokenizer {
    /// From a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, or describes no tokenizer of a known kind.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let file = ModelText::new(path.display().to_string()).to_string();
        let unusable = |reason: String| Error::Unusable {
            file: file.clone(),
            reason,
        };
        let value = json::read(path).map_err(unusable)?;
        Self::from_json(value).map_err(unusable)
    }

    /// From the bytes of a `tokenizer.json`, which `file` names in errors.
    ///
    /// # Errors
    /// As [`Tokenizer::from_file`].
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self, Error> {
        let value = serde_json::from_slice(bytes).map_err(|error| error.to_string());
        let built = value.and_then(Self::from_json);
        built.map_err(|reason| Error::Unusable {
            file: file.to_owned(),
            reason,
        })
    }

    /// From the metadata of a GGUF file, which `file` names in errors.
    ///
    /// # Errors
    /// When there is none, or it is of a kind whose text splitting is not known here.
    pub fn from_gguf(metadata: &Metadata, file: &str) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Unusable {
            file: file.to_owned(),
            reason,
        };
        let value = gguf::tokenizer_json(metadata).map_err(unusable)?;
        let mut tokenizer = Self::from_json(value).map_err(unusable)?;
        tokenizer.add_eos(gguf::eos(metadata));
        Ok(tokenizer)
    }

    /// The `tokenizer.json` that says what a GGUF file's metadata say; `file` names it in errors.
    ///
    /// # Errors
    /// As [`Tokenizer::from_gguf`].
    pub fn json_of_gguf(metadata: &Metadata, file: &str) -> Result<String, Error> {
        let value = gguf::tokenizer_json(metadata).map_err(|reason| Error::Unusable {
            file: file.to_owned(),
            reason,
        })?;
        Ok(format!("{value:#}\n"))
    }

    fn from_json(value: Value) -> Result<Self, String> {
        let parts = json::build(value)?;
        let added: BTreeMap<String, u32> = parts
            .inner
            .get_added_tokens_decoder()
            .into_iter()
            .map(|(id, token)| (token.content, id))
            .collect();
        Ok(Self {
            vocab: parts.inner.get_vocab(true).into_iter().collect(),
            inner: parts.inner,
            merges: parts.merges,
            added,
            kind: parts.kind,
            eos: BTreeSet::new(),
            eos_list: Vec::new(),
            rows: None,
        })
    }

    /// Ids of `text` as the model is meant to be given plain text: with the special tokens that its
    /// post-processor adds (a BOS, for instance), special tokens in the text taken as such.
    ///
    /// # Errors
    /// When the tokenizer's own patterns fail, or an id has no row in the embedding.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encoded(text, true)
    }

    /// As [`Tokenizer::encode`], without what the post-processor adds: for a text that has its special tokens
    /// in it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_as_written(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encoded(text, false)
    }

    fn encoded(&self, text: &str, add_special: bool) -> Result<Vec<u32>, Error> {
        let what = || format!("a text of {} bytes", text.len());
        let encoding = contained(|| self.inner.encode_fast(text, add_special))
            .and_then(|encoding| encoding.map_err(|error| error.to_string()))
            .map_err(|reason| failed(what(), &reason))?;
        let ids = encoding.get_ids().to_vec();
        match ids
            .iter()
            .find(|id| self.rows.is_some_and(|rows| **id as usize >= rows))
        {
            Some(id) => Err(failed(
                what(),
                &format!("token {id} has no row in the embedding"),
            )),
            None => Ok(ids),
        }
    }

    /// As [`Tokenizer::encode`], each id with the bytes of `text` that it stands for: none for a token that
    /// the post-processor adds, all bytes of a character for a token that is a part of it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_places(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, Error> {
        let what = || format!("a text of {} bytes", text.len());
        let encoding = contained(|| self.inner.encode(text, true))
            .and_then(|encoding| encoding.map_err(|error| error.to_string()))
            .map_err(|reason| failed(what(), &reason))?;
        let ids = encoding.get_ids().iter().copied();
        let places = encoding.get_offsets().iter().map(|(from, to)| *from..*to);
        Ok(ids.zip(places).collect())
    }

    /// The text of `ids`, special tokens left out.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.decoded(ids, true)
            .map_err(|reason| failed(format!("{} tokens", ids.len()), &reason))
    }

    fn decoded(&self, ids: &[u32], skip_special: bool) -> Result<String, String> {
        contained(|| self.inner.decode(ids, skip_special))
            .and_then(|text| text.map_err(|error| error.to_string()))
    }

    /// One token as a reader would see it: with its leading space, special tokens by their name, and
    /// the vocabulary's own spelling where it is only part of a character. `None` for an unknown id.
    pub fn token_text(&self, id: u32) -> Option<String> {
        let entry = self.inner.id_to_token(id)?;
        if self.added.contains_key(&entry) {
            return Some(entry);
        }
        if entry.starts_with('\u{2581}') {
            return Some(entry.replace('\u{2581}', " "));
        }
        match self.decoded(&[id], false) {
            Ok(text) if !text.is_empty() && !text.contains('\u{fffd}') => Some(text),
            _ => Some(entry),
        }
    }

    /// Every token with its id, added ones included (GGUF files do not tell them apart).
    pub fn vocab(&self) -> &BTreeMap<String, u32> {
        &self.vocab
    }

    /// BPE merges, most important first; empty for other kinds. Those of a GGUF SentencePiece
    /// vocabulary are derived from its scores, as Hugging Face's converter derives them.
    pub fn merges(&self) -> &[(String, String)] {
        &self.merges
    }

    /// Tokens that are matched whole, before the text is split (special ones among them).
    pub fn added(&self) -> &BTreeMap<String, u32> {
        &self.added
    }

    /// `BPE`, `Unigram`, `WordPiece` or `WordLevel`.
    pub fn kind(&self) -> &str {
        self.kind
    }

    /// Ids that end a text, sorted.
    pub fn eos(&self) -> &[u32] {
        &self.eos_list
    }

    /// Adds ids that end a text (they are named in several files of a model).
    pub(super) fn add_eos(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.eos.extend(ids);
        self.eos_list = self.eos.iter().copied().collect();
    }

    /// The id of a token by its exact spelling.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocab.get(token).copied()
    }

    /// Holds the vocabulary against an embedding of `rows` rows.
    ///
    /// Added tokens beyond it are allowed (Gemma 3's text models lack the row of their image token)
    /// and reported as a caveat; [`Tokenizer::encode`] refuses texts that contain one.
    ///
    /// # Errors
    /// In words, when a token of the base vocabulary has no row.
    pub(super) fn fit(&mut self, rows: usize) -> Result<Option<String>, String> {
        self.rows = Some(rows);
        let beyond = |id: &u32| *id as usize >= rows;
        let outside: BTreeMap<&String, u32> = self
            .vocab
            .iter()
            .map(|(token, id)| (token, *id))
            .filter(|(_, id)| beyond(id))
            .collect();
        if let Some((_, id)) = outside
            .iter()
            .find(|(token, _)| !self.added.contains_key(**token))
        {
            return Err(format!(
                "token {id} has no row in an embedding of {rows}; use the tokenizer that belongs to these weights"
            ));
        }
        Ok((!outside.is_empty()).then(|| {
            format!(
                "{} added tokens have no row in the embedding ({rows} rows): texts that contain them are not run",
                outside.len()
            )
        }))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("kind", &self.kind)
            .field("vocab", &self.vocab.len())
            .field("merges", &self.merges.len())
            .field("added", &self.added.len())
            .field("eos", &self.eos_list)
            .finish_non_exhaustive()
    }
}

fn failed(what: String, reason: &str) -> Error {
    Error::Failed {
        what,
        reason: ModelText::new(reason).clipped(200),
    }
}
