//! Tokenizers from GGUF metadata and from `tokenizer.json`, damaged ones among them.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value as Field;
use kinprobe::model::Model;
use kinprobe::model::Tokenizer;
use kinprobe::source;
use kinprobe::source::OpenOptions;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use crate::tensor_files::Plain;
use crate::tensor_files::put;
use crate::tensor_files::write_gguf;

fn text(text: &str) -> Field {
    Field::String(text.to_owned())
}

fn texts(texts: &[&str]) -> Field {
    Field::Array(texts.iter().map(|t| text(t)).collect())
}

fn integers(values: &[i32]) -> Field {
    Field::Array(values.iter().map(|v| Field::I32(*v)).collect())
}

/// Opens a GGUF file with this metadata and an embedding of `rows` rows.
fn open(metadata: &[(&str, Field)], rows: usize) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let embedding = Plain::new("token_embd.weight", &[rows, 32]);
    write_gguf(&path, metadata, &[(embedding, GgmlDType::F32)]);
    let reference = format!("gguf:{}", path.display()).parse().unwrap();
    let artefacts = source::open(&reference, &OpenOptions::default()).unwrap();
    Model::open(artefacts, "m").unwrap()
}

/// Byte-level vocabulary of what the texts below need: `Ġ` is a space, `Ċ` a line's end.
const TOKENS: &[&str] = &[
    "<eos>", "<bos>", "a", "b", "ab", "1", "2", "12", "Ġ", "Ġa", "Ċ", "Ã", "©", "Ã©", "cc", "c",
];
const MERGES: &[&str] = &["a b", "1 2", "Ġ a", "Ã ©"];

fn byte_level(pre: &str) -> Vec<(&'static str, Field)> {
    let mut types = vec![1; TOKENS.len()];
    types[0] = 3;
    types[1] = 3;
    vec![
        ("general.architecture", text("none")),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text(pre)),
        ("tokenizer.ggml.tokens", texts(TOKENS)),
        ("tokenizer.ggml.merges", texts(MERGES)),
        ("tokenizer.ggml.token_type", integers(&types)),
        ("tokenizer.ggml.bos_token_id", Field::U32(1)),
        ("tokenizer.ggml.eos_token_id", Field::U32(0)),
    ]
}

#[test]
fn the_way_text_is_split_follows_the_name_in_the_file() {
    let encode = |pre: &str, text: &str| {
        let tokenizer = open(&byte_level(pre), TOKENS.len()).tokenizer.unwrap();
        let ids = tokenizer.encode(text).unwrap();
        let back = tokenizer.decode(&ids).unwrap();
        assert_eq!(back, text.replace("<eos>", ""), "{pre}");
        ids
    };
    // Digits stay together, apart, or apart again; only Llama 3 begins with a BOS and takes `cc`,
    // which no merge makes, whole.
    assert_eq!(encode("gpt-2", "ab12 a"), [4, 7, 9]);
    assert_eq!(encode("smollm", "ab12 a"), [4, 5, 6, 9]);
    assert_eq!(encode("qwen2", "ab12 a"), [4, 5, 6, 9]);
    assert_eq!(encode("llama-bpe", "ab12 a"), [1, 4, 7, 9]);
    assert_eq!(encode("llama-bpe", "cc"), [1, 14]);
    assert_eq!(encode("gpt-2", "cc"), [15, 15]);
    assert_eq!(encode("gpt-2", "é<eos>\na"), [13, 0, 10, 2]);
}

#[test]
fn what_a_gguf_vocabulary_tells() {
    let tokenizer = open(&byte_level("gpt-2"), TOKENS.len()).tokenizer.unwrap();
    assert_eq!(tokenizer.kind(), "BPE");
    assert_eq!(tokenizer.eos(), [0]);
    assert_eq!(tokenizer.vocab().len(), TOKENS.len());
    assert_eq!(tokenizer.id("Ġa"), Some(9));
    assert_eq!(tokenizer.merges()[2], ("Ġ".to_owned(), "a".to_owned()));
    assert_eq!(
        tokenizer.added().keys().collect::<Vec<_>>(),
        ["<bos>", "<eos>"]
    );
    assert_eq!(tokenizer.token_text(9).unwrap(), " a");
    assert_eq!(tokenizer.token_text(13).unwrap(), "é");
    assert_eq!(
        tokenizer.token_text(11).unwrap(),
        "Ã",
        "half a character keeps its spelling"
    );
    assert_eq!(tokenizer.token_text(0).unwrap(), "<eos>");
    assert_eq!(tokenizer.token_text(99), None);
}

#[test]
fn the_file_may_ask_for_bos_and_eos() {
    let mut metadata = byte_level("gpt-2");
    metadata.push(("tokenizer.ggml.add_bos_token", Field::Bool(true)));
    metadata.push(("tokenizer.ggml.add_eos_token", Field::Bool(true)));
    let tokenizer = open(&metadata, TOKENS.len()).tokenizer.unwrap();
    assert_eq!(tokenizer.encode("ab").unwrap(), [1, 4, 0]);
    assert_eq!(tokenizer.decode(&[1, 4, 0]).unwrap(), "ab");
    let mut metadata = byte_level("llama-bpe");
    metadata.push(("tokenizer.ggml.add_bos_token", Field::Bool(false)));
    let tokenizer = open(&metadata, TOKENS.len()).tokenizer.unwrap();
    assert_eq!(tokenizer.encode("ab").unwrap(), [4]);
}

fn sentencepiece() -> Vec<(&'static str, Field)> {
    let tokens = [
        "<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "▁a", "ab", "▁ab",
    ];
    let scores = [0.0, 0.0, 0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -2.0, -1.0, -3.0];
    let scores = scores.map(Field::F32).to_vec();
    vec![
        ("general.architecture", text("none")),
        ("tokenizer.ggml.model", text("llama")),
        ("tokenizer.ggml.tokens", texts(&tokens)),
        ("tokenizer.ggml.scores", Field::Array(scores)),
        (
            "tokenizer.ggml.token_type",
            integers(&[2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1]),
        ),
        ("tokenizer.ggml.bos_token_id", Field::U32(1)),
        ("tokenizer.ggml.eos_token_id", Field::U32(2)),
    ]
}

#[test]
fn sentencepiece_scores_become_merges() {
    let tokenizer = open(&sentencepiece(), 11).tokenizer.unwrap();
    // `ab` (-1) before `▁a` (-2): ▁ + ab, then ▁ab; é by its bytes.
    assert_eq!(tokenizer.encode("ab aé").unwrap(), [1, 10, 8, 3, 4]);
    assert_eq!(tokenizer.decode(&[1, 10, 8, 3, 4]).unwrap(), "ab aé");
    assert_eq!(tokenizer.token_text(8).unwrap(), " a");
    let mut metadata = sentencepiece();
    metadata.push(("tokenizer.ggml.add_space_prefix", Field::Bool(false)));
    let tokenizer = open(&metadata, 11).tokenizer.unwrap();
    assert_eq!(tokenizer.encode("ab a").unwrap(), [1, 9, 8]);
}

/// BERT's vocabulary as llama.cpp keeps it: marks at the start of words, not within them.
fn word_pieces() -> Vec<(&'static str, Field)> {
    let tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "\u{2581}play",
        "ing",
        "\u{2581}e",
        "\u{2581}!",
    ];
    vec![
        ("general.architecture", text("none")),
        ("tokenizer.ggml.model", text("bert")),
        ("tokenizer.ggml.tokens", texts(&tokens)),
        (
            "tokenizer.ggml.token_type",
            integers(&[3, 3, 3, 3, 1, 1, 1, 1]),
        ),
        ("tokenizer.ggml.bos_token_id", Field::U32(2)),
        ("tokenizer.ggml.eos_token_id", Field::U32(3)),
        ("tokenizer.ggml.unknown_token_id", Field::U32(1)),
    ]
}

#[test]
fn word_pieces_are_those_of_bert() {
    let encode = |metadata: &[(&str, Field)], text: &str| {
        open(metadata, 8).tokenizer.unwrap().encode(text).unwrap()
    };
    let mut metadata = word_pieces();
    // Without a word about case, a vocabulary without capitals is for lowercased text.
    assert_eq!(
        encode(&metadata, "Playing ing \u{e9}!"),
        [2, 4, 5, 1, 6, 7, 3]
    );
    metadata.push(("tokenizer.ggml.normalizer.lowercase", Field::Bool(false)));
    assert_eq!(encode(&metadata, "play Play"), [2, 4, 1, 3]);
    metadata.push(("tokenizer.ggml.add_bos_token", Field::Bool(false)));
    assert_eq!(encode(&metadata, "play"), [4, 3]);
}

#[test]
fn a_gguf_tokenizer_that_cannot_be_used_says_why_and_how_to_go_on() {
    let swap = |mut metadata: Vec<(&'static str, Field)>, key: &str, value: Option<Field>| {
        metadata.retain(|(known, _)| *known != key);
        if let (Some(value), Some(key)) = (
            value,
            byte_level("x").iter().map(|(k, _)| *k).find(|k| *k == key),
        ) {
            metadata.push((key, value));
        }
        metadata
    };
    let with = |mut metadata: Vec<(&'static str, Field)>, key: &str, first: &[&str]| {
        for (known, value) in &mut metadata {
            if let (true, Field::Array(values)) = (*known == key, value) {
                values.splice(0..first.len(), first.iter().map(|token| text(token)));
            }
        }
        metadata
    };
    let cases = [
        (
            swap(byte_level("gpt-2"), "tokenizer.ggml.model", None),
            "holds no tokenizer",
        ),
        (
            swap(
                byte_level("gpt-2"),
                "tokenizer.ggml.model",
                Some(text("t5")),
            ),
            "`t5`",
        ),
        (byte_level("x\u{1b}[2J"), r"`x\u{1b}[2J`"),
        (
            swap(byte_level("gpt-2"), "tokenizer.ggml.tokens", None),
            "tokenizer.ggml.tokens",
        ),
        (
            swap(byte_level("gpt-2"), "tokenizer.ggml.merges", None),
            "tokenizer.ggml.merges",
        ),
        (
            swap(
                byte_level("gpt-2"),
                "tokenizer.ggml.token_type",
                Some(integers(&[1])),
            ),
            "token_type",
        ),
        (
            swap(
                byte_level("gpt-2"),
                "tokenizer.ggml.merges",
                Some(texts(&["a zzz"])),
            ),
            "out of vocabulary",
        ),
        (
            swap(sentencepiece(), "tokenizer.ggml.scores", None),
            "scores",
        ),
        (
            swap(word_pieces(), "tokenizer.ggml.bos_token_id", None),
            "before and behind",
        ),
        (
            swap(word_pieces(), "tokenizer.ggml.token_type", None),
            "kinds of tokens",
        ),
        (
            swap(word_pieces(), "tokenizer.ggml.tokens", Some(texts(TOKENS))),
            "token_type",
        ),
        (
            with(
                word_pieces(),
                "tokenizer.ggml.tokens",
                &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u{2581}Play"],
            ),
            "capitals",
        ),
        (
            with(
                word_pieces(),
                "tokenizer.ggml.tokens",
                &[
                    "[PAD]",
                    "[UNK]",
                    "[CLS]",
                    "[SEP]",
                    "\u{2581}a",
                    "b",
                    "\u{2581}a",
                ],
            ),
            "the same",
        ),
    ];
    for (metadata, expected) in cases {
        let reason = open(&metadata, 32).tokenizer.unwrap_err();
        assert!(
            reason.contains("model.gguf") && reason.contains(expected),
            "{reason}"
        );
        assert!(
            !reason.contains('\n') && !reason.contains('\u{1b}'),
            "{reason:?}"
        );
    }
    let reason = open(&byte_level("gpt-2"), 7).tokenizer.unwrap_err();
    assert!(reason.contains("no row in an embedding of 7"), "{reason}");
}

fn write_model(folder: &Path, tokenizer: &Value) {
    let embedding = Plain::new("embed", &[64, 4]);
    crate::tensor_files::write_safetensors(&folder.join("model.safetensors"), &[embedding]);
    put(
        folder,
        "config.json",
        r#"{"model_type":"none","vocab_size":64,"eos_token_id":[3,4]}"#,
    );
    put(folder, "tokenizer.json", tokenizer.to_string());
}

/// A little of everything: prefix, template, byte fallback, added tokens, padding.
fn everything() -> Value {
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},
        "added_tokens": [{"id": 1, "content": "<s>", "single_word": false, "lstrip": false,
            "rstrip": true, "normalized": false, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|\\s+(?!\\S)"},
            "behavior": "Isolated", "invert": false},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": 0.5, "unk_token": "<unk>", "fuse_unk": true,
            "byte_fallback": true, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "vocab": {"<unk>": 0, "<s>": 1, "a": 2, "b": 3, "ab": 4, "▁": 5, "▁ab": 6},
            "merges": [["a", "b"], "▁ ab"]},
    })
}

#[test]
fn dropout_padding_and_truncation_are_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut everything = everything();
    // Merges are all pairs or all lines; this one is in the older form.
    everything["model"]["merges"] = json!(["a b", "▁ ab"]);
    write_model(folder.path(), &everything);
    put(
        folder.path(),
        "generation_config.json",
        r#"{"eos_token_id":5}"#,
    );
    put(
        folder.path(),
        "tokenizer_config.json",
        r#"{"eos_token":{"content":"<s>"}}"#,
    );
    let reference = folder.path().display().to_string().parse().unwrap();
    let artefacts = source::open(&reference, &OpenOptions::default()).unwrap();
    let tokenizer = Model::open(artefacts, "m").unwrap().tokenizer.unwrap();
    for _ in 0..20 {
        assert_eq!(tokenizer.encode("ab ab ab").unwrap(), [1, 6, 6, 6]);
    }
    assert_eq!(tokenizer.decode(&[1, 6, 6]).unwrap(), "ab ab");
    assert_eq!(tokenizer.merges()[1], ("▁".to_owned(), "ab".to_owned()));
    assert_eq!(tokenizer.eos(), [1, 3, 4, 5]);
}

/// Every place in a JSON value, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                places(inner, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(u32::MAX)),
        Just(json!(1e300)),
        Just(json!("")),
        Just(json!("a")),
        Just(json!("▁")),
        Just(json!("(")),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"Regex": ""})),
        Just(json!([["a", "b"]])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_tokenizers_fail_in_words(changes in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 1..4)) {
        let mut damaged = everything();
        damaged["model"]["merges"] = json!([["a", "b"], ["▁", "ab"]]);
        let mut all = Vec::new();
        places(&damaged, "", &mut all);
        for (place, value) in changes {
            if let Some(target) = damaged.pointer_mut(place.get::<String>(&all)) {
                *target = value;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = put(folder.path(), "tokenizer.json", damaged.to_string());
        match Tokenizer::from_file(&path) {
            Err(error) => {
                let error = error.to_string();
                prop_assert!(error.contains("tokenizer.json") && !error.contains('\n'), "{}", error);
            }
            Ok(tokenizer) => {
                for text in ["", "ab ab", "héllo  12\n<s>", "aaaabbbb"] {
                    if let Ok(ids) = tokenizer.encode(text) {
                        let _ = tokenizer.decode(&ids);
                    }
                }
                for id in [0, 1, 6, 7, u32::MAX] {
                    let _ = tokenizer.token_text(id);
                }
            }
        }
    }
}

/// Two files with which the library panics: while it encodes, and while it is loaded.
#[test]
fn panics_of_the_library_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut undefined = everything();
    undefined["model"]["merges"] = json!([["a", "b"]]);
    undefined["post_processor"]["single"][0]["SpecialToken"]["id"] = json!("a");
    let path = put(folder.path(), "tokenizer.json", undefined.to_string());
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    let error = tokenizer.encode("ab").unwrap_err().to_string();
    assert!(error.contains("a text of 2 bytes"), "{error}");

    let mut longer = everything();
    longer["model"]["merges"] = json!([["a", "b"]]);
    longer["model"]["continuing_subword_prefix"] = json!("▁▁");
    let path = put(folder.path(), "tokenizer.json", longer.to_string());
    let error = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}
