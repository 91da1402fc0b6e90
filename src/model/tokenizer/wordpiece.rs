//! BERT's vocabulary in GGUF metadata as a `tokenizer.json`.
//!
//! The converter marks the start of a word where BERT marks its continuation: `\u{2581}play`, `ing` for
//! `play`, `##ing`. Whether text is lowercased first is a late addition to files; where one does not say,
//! a vocabulary without capitals can only be meant for lowercased text.

use serde_json::{Map, Value, json};

use super::gguf::{Vocabulary, WAY_OUT, around};
use crate::model::tensors::Metadata;

const WORD_START: char = '\u{2581}';

/// What `BertTokenizer` takes for longer words is the unknown token.
const MAX_CHARS: usize = 100;

/// The `tokenizer.json` that `metadata` amounts to.
///
/// # Errors
/// In words, when tokens for unknown words or around a text are missing, or case is not told.
pub(super) fn tokenizer_json(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
) -> Result<Value, String> {
    let id = |name: &str| metadata.u64(&format!("tokenizer.ggml.{name}_token_id"));
    let named = |names: &[&str]| {
        let id = names.iter().find_map(|name| id(name))?;
        Some((id, vocabulary.token(Some(id))?))
    };
    let missing = |what: &str| format!("its vocabulary of word pieces has no {what}; {WAY_OUT}");
    let (unknown_id, unknown) =
        named(&["unknown"]).ok_or_else(|| missing("token for unknown words"))?;
    let unknown_id = usize::try_from(unknown_id).unwrap_or(usize::MAX);
    // Older files speak of `cls` where newer ones say `bos`.
    let asked =
        |name: &str| metadata.bool(&format!("tokenizer.ggml.add_{name}_token")) != Some(false);
    let before = named(&["cls", "bos"]).filter(|_| asked("bos"));
    // As GGUF spells it.
    let after = named(&["seperator", "eos"]).filter(|_| asked("eos"));
    if before.is_none() && asked("bos") || after.is_none() && asked("eos") {
        return Err(missing("tokens before and behind a text"));
    }
    if !vocabulary.is_control(unknown_id) {
        return Err(missing("kinds of tokens (`tokenizer.ggml.token_type`)"));
    }
    let lowercase = lowercase(metadata, vocabulary)?;
    let strip = metadata.bool("tokenizer.ggml.normalizer.strip_accents");
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": strip, "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": around(before, after),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "vocab": pieces(vocabulary)?, "unk_token": unknown,
            "continuing_subword_prefix": "##", "max_input_chars_per_word": MAX_CHARS,
        },
    }))
}

/// Tokens as BERT writes them, with their ids.
fn pieces(vocabulary: &Vocabulary<'_>) -> Result<Map<String, Value>, String> {
    let mut pieces = Map::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        let piece = match token.strip_prefix(WORD_START) {
            Some(start) => start.to_owned(),
            None if vocabulary.is_control(id) => token.clone(),
            None => format!("##{token}"),
        };
        if pieces.insert(piece, json!(id)).is_some() {
            return Err(format!(
                "its word pieces {id} and an earlier one are the same; {WAY_OUT}"
            ));
        }
    }
    Ok(pieces)
}

fn lowercase(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<bool, String> {
    if let Some(lowercase) = metadata.bool("tokenizer.ggml.normalizer.lowercase") {
        return Ok(lowercase);
    }
    let mut pieces = vocabulary.tokens.iter().enumerate();
    let capital = |(id, token): (usize, &String)| {
        !vocabulary.is_control(id) && token.contains(char::is_uppercase)
    };
    match pieces.any(capital) {
        false => Ok(true),
        true => Err(format!(
            "its word pieces have capitals, and the file does not say whether text is lowercased \
             (`tokenizer.ggml.normalizer.lowercase`); {WAY_OUT}"
        )),
    }
}
