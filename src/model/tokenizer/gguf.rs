//! GGUF metadata as a `tokenizer.json`.
//!
//! A GGUF file holds the vocabulary but only the name of the way text is split before it; the splits
//! of the names below are those of the models they were given to.

use serde_json::{Map, Value, json};

use super::{sentencepiece, wordpiece};
use crate::model::tensors::{Metadata, Value as Field};
use crate::text::ModelText;

/// Contractions, then letters, digits, other signs and white space as tiktoken splits them; they
/// differ in how many digits stay together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How text is split before byte-level BPE.
struct Splitting {
    /// Values of `tokenizer.ggml.pre` that mean it.
    names: &'static [&'static str],
    how: How,
    /// Unicode normalisation form C first.
    nfc: bool,
    /// A piece that is a token is taken whole, whatever the merges say.
    ignore_merges: bool,
    /// Whether a BOS is added where the file does not say.
    add_bos: bool,
}

enum How {
    /// GPT-2's own pattern, after cutting out single digits or not.
    Gpt2 { single_digits: bool },
    /// Another pattern.
    Pattern(&'static str),
}

const SPLITTINGS: &[Splitting] = &[
    Splitting {
        names: &["gpt-2", "gpt2", "mpt", "olmo", "phi-2", "jais"],
        how: How::Gpt2 {
            single_digits: false,
        },
        nfc: false,
        ignore_merges: false,
        add_bos: false,
    },
    Splitting {
        names: &["smollm", "starcoder", "refact", "codeshell", "command-r"],
        how: How::Gpt2 {
            single_digits: true,
        },
        nfc: false,
        ignore_merges: false,
        add_bos: false,
    },
    Splitting {
        names: &["llama-bpe", "llama3", "llama-v3"],
        how: How::Pattern(LLAMA3),
        nfc: false,
        ignore_merges: true,
        add_bos: true,
    },
    Splitting {
        names: &["chatglm-bpe", "dbrx"],
        how: How::Pattern(LLAMA3),
        nfc: false,
        ignore_merges: false,
        add_bos: false,
    },
    Splitting {
        names: &["glm4"],
        how: How::Pattern(LLAMA3),
        nfc: false,
        ignore_merges: true,
        add_bos: false,
    },
    Splitting {
        names: &["qwen2", "deepseek-r1-qwen"],
        how: How::Pattern(QWEN2),
        nfc: true,
        ignore_merges: false,
        add_bos: false,
    },
];

/// `llama_token_type` in `llama.h`.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

pub(super) const WAY_OUT: &str = "give the model as its original folder to run probes on it";

/// The `tokenizer.json` that `metadata` amounts to.
///
/// # Errors
/// In words, when there is no tokenizer or one whose splitting is not known.
pub(super) fn tokenizer_json(metadata: &Metadata) -> Result<Value, String> {
    let model = metadata
        .text("tokenizer.ggml.model")
        .ok_or_else(|| format!("the file holds no tokenizer; {WAY_OUT}"))?;
    let vocabulary = Vocabulary::read(metadata)?;
    match model {
        "gpt2" => byte_level(metadata, &vocabulary),
        "llama" => sentencepiece_bpe(metadata, &vocabulary),
        "bert" => wordpiece::tokenizer_json(metadata, &vocabulary),
        other => {
            let other = ModelText::new(other).clipped(40);
            Err(format!(
                "its tokenizer is of the kind `{other}`, which is not read from GGUF; {WAY_OUT}"
            ))
        }
    }
}

/// Ids that end a text or a turn.
pub(super) fn eos(metadata: &Metadata) -> Vec<u32> {
    ["eos", "eot", "eom"]
        .iter()
        .filter_map(|name| metadata.u64(&format!("tokenizer.ggml.{name}_token_id")))
        .filter_map(|id| u32::try_from(id).ok())
        .collect()
}

/// Tokens by id, with their kinds.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: &'a [String],
    /// Empty where the file does not say.
    types: &'a [i64],
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, String> {
        let tokens = metadata
            .texts("tokenizer.ggml.tokens")
            .filter(|tokens| !tokens.is_empty())
            .ok_or_else(|| format!("its tokenizer has no `tokenizer.ggml.tokens`; {WAY_OUT}"))?;
        let types = match metadata.get("tokenizer.ggml.token_type") {
            None => &[][..],
            Some(Field::Integers(types)) if types.len() == tokens.len() => types,
            Some(_) => {
                return Err(
                    "its `tokenizer.ggml.token_type` does not fit its tokens; fetch it again"
                        .to_owned(),
                );
            }
        };
        Ok(Self { tokens, types })
    }

    fn to_json(&self) -> Value {
        let entries = self.tokens.iter().enumerate();
        Value::Object(
            entries
                .map(|(id, token)| (token.clone(), json!(id)))
                .collect(),
        )
    }

    /// Whether the token is matched before the text is split, and stands for no text.
    pub(super) fn is_control(&self, id: usize) -> bool {
        self.types.get(id) == Some(&CONTROL)
    }

    /// Tokens that are matched before the text is split.
    pub(super) fn added(&self) -> Value {
        let entries = self.tokens.iter().zip(self.types).enumerate();
        entries
            .filter(|(_, (token, kind))| {
                matches!(**kind, CONTROL | USER_DEFINED) && !token.is_empty()
            })
            .map(|(id, (token, kind))| {
                json!({
                    "id": id, "content": token, "special": *kind == CONTROL,
                    "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                })
            })
            .collect()
    }

    pub(super) fn token(&self, id: Option<u64>) -> Option<&'a str> {
        let id = usize::try_from(id?).ok()?;
        self.tokens.get(id).map(String::as_str)
    }
}

fn byte_level(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, String> {
    let name = metadata.text("tokenizer.ggml.pre").unwrap_or("");
    let splitting = SPLITTINGS
        .iter()
        .find(|splitting| splitting.names.contains(&name))
        .ok_or_else(|| {
            let name = ModelText::new(name).clipped(40);
            format!("it splits text by the rule `{name}` (`tokenizer.ggml.pre`), which is not known here; {WAY_OUT}")
        })?;
    let merges = metadata
        .texts("tokenizer.ggml.merges")
        .ok_or_else(|| format!("its tokenizer has no `tokenizer.ggml.merges`; {WAY_OUT}"))?;
    let byte_level = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let steps = match splitting.how {
        How::Gpt2 {
            single_digits: false,
        } => vec![byte_level(true)],
        How::Gpt2 {
            single_digits: true,
        } => {
            vec![
                json!({"type": "Digits", "individual_digits": true}),
                byte_level(true),
            ]
        }
        How::Pattern(pattern) => vec![split(pattern), byte_level(false)],
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": splitting.nfc.then(|| json!({"type": "NFC"})),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": template(metadata, vocabulary, splitting.add_bos),
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "vocab": vocabulary.to_json(), "merges": merges,
            "ignore_merges": splitting.ignore_merges,
        },
    }))
}

fn sentencepiece_bpe(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, String> {
    let scores = match metadata.get("tokenizer.ggml.scores") {
        Some(Field::Floats(scores)) if scores.len() == vocabulary.tokens.len() => scores,
        _ => {
            return Err(
                "its `tokenizer.ggml.scores` do not fit its tokens; fetch it again".to_owned(),
            );
        }
    };
    let merges = sentencepiece::merges(vocabulary.tokens, scores)?;
    let space = "\u{2581}";
    let prefix = metadata
        .bool("tokenizer.ggml.add_space_prefix")
        .unwrap_or(true);
    let mut normalizers =
        vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": space})];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": space}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": space}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = vocabulary.types.iter().position(|kind| *kind == UNKNOWN);
    let unknown = metadata
        .u64("tokenizer.ggml.unknown_token_id")
        .or_else(|| unknown.map(|id| id as u64));
    Ok(json!({
        "version": "1.0",
        "added_tokens": vocabulary.added(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": template(metadata, vocabulary, true),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "vocab": vocabulary.to_json(), "merges": merges,
            "unk_token": vocabulary.token(unknown), "fuse_unk": true, "byte_fallback": true,
        },
    }))
}

/// Adds BOS and EOS where the file asks for them.
fn template(metadata: &Metadata, vocabulary: &Vocabulary<'_>, bos_by_default: bool) -> Value {
    let asked = |name: &str, default: bool| {
        metadata
            .bool(&format!("tokenizer.ggml.add_{name}_token"))
            .unwrap_or(default)
            .then(|| metadata.u64(&format!("tokenizer.ggml.{name}_token_id")))
            .and_then(|id| Some((id?, vocabulary.token(id)?)))
    };
    around(asked("bos", bos_by_default), asked("eos", false))
}

/// Puts one token before and one behind each text.
pub(super) fn around(bos: Option<(u64, &str)>, eos: Option<(u64, &str)>) -> Value {
    if bos.is_none() && eos.is_none() {
        return Value::Null;
    }
    let piece = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let pieces = |texts: &[&str]| -> Vec<Value> {
        let before = bos.iter().map(|(_, token)| piece(token));
        let after = eos.iter().map(|(_, token)| piece(token));
        before
            .chain(texts.iter().map(|id| text(id)))
            .chain(after)
            .collect()
    };
    let specials: Map<String, Value> = bos
        .iter()
        .chain(&eos)
        .map(|(id, token)| {
            (
                (*token).to_owned(),
                json!({"id": token, "ids": [id], "tokens": [token]}),
            )
        })
        .collect();
    json!({
        "type": "TemplateProcessing",
        "single": pieces(&["A"]), "pair": pieces(&["A", "B"]), "special_tokens": specials,
    })
}
