//! Model files that lie, are cut short or were made to do harm: each is one line that names the file,
//! never a panic.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use kinprobe::model::Model;
use kinprobe::model::TensorStore;
use kinprobe::source;
use kinprobe::source::Format;
use kinprobe::source::OpenOptions;
use proptest::prelude::*;

use crate::tensor_files::Plain;
use crate::tensor_files::put;
use crate::tensor_files::write_gguf;
use crate::tensor_files::write_safetensors;

/// What opening `content` as `name` says.
fn complaint(name: &str, format: Format, content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), name, content);
    let error = TensorStore::open_files([path.as_path()], format).unwrap_err();
    let error = error.to_string();
    assert!(error.contains(name), "the file is not named: {error}");
    assert!(
        !error.contains('\n') && !error.contains('\u{1b}'),
        "{error:?}"
    );
    error
}

/// Opens `content` and reads everything in it: an error or numbers, nothing else.
fn survive(format: Format, content: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), "mutated", content);
    let Ok(store) = TensorStore::open_files([path.as_path()], format) else {
        return;
    };
    for (name, info) in store.iter() {
        let values = store.rows(name, 0..info.rows());
        assert!(values.is_err() || values.unwrap().len() == info.elements);
    }
}

/// A safetensors file from its parts.
fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

#[test]
fn safetensors_headers_that_lie_are_refused() {
    let one = |entry: &str| format!(r#"{{"w":{entry}}}"#);
    let cases: &[(&str, String, usize, &str)] = &[
        ("shape and bytes differ", one(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#), 8, "take 12"),
        ("product overflows", one(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}"#), 0, "larger than any file"),
        ("product overflows but for a zero", one(r#"{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}"#), 0, "larger than any file"),
        ("ends before it starts", one(r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#), 8, "before its start"),
        ("beyond the file", one(r#"{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}"#), 8, "after the file does"),
        ("beyond all numbers", one(r#"{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}"#), 8, "larger than any file"),
        ("unknown type", one(r#"{"dtype":"F31","shape":[1],"data_offsets":[0,4]}"#), 4, "`F31`"),
        ("half a byte", one(r#"{"dtype":"F4","shape":[3],"data_offsets":[0,2]}"#), 2, "packs 2 at a time"),
        ("twice the same name", r#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#.to_owned(), 2, "twice"),
        ("overlap", r#"{"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#.to_owned(), 6, "overlaps"),
        ("gap", r#"{"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"w":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}"#.to_owned(), 6, "belong to none"),
        ("bytes left over", one(r#"{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#), 6, "belong to no tensor"),
        ("negative axis", one(r#"{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}"#), 2, "not a safetensors header"),
        ("not an object", "[]".to_owned(), 0, "not a safetensors header"),
        ("nested past all reason", "[".repeat(20_000), 0, "not a safetensors header"),
        ("escape in a name", r#"{"\u001b[2J":{"dtype":"Q","shape":[2],"data_offsets":[0,2]}}"#.to_owned(), 2, r"\u{1b}[2J"),
    ];
    for (what, header, data, expected) in cases {
        let content = safetensors(header, &vec![0; *data]);
        let error = complaint("model.safetensors", Format::Safetensors, &content);
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn safetensors_files_cut_anywhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path, &[Plain::new("a", &[4, 4]), Plain::new("b", &[8])]);
    let whole = std::fs::read(path).unwrap();
    for length in 0..whole.len() {
        complaint("cut.safetensors", Format::Safetensors, &whole[..length]);
    }
    let mut longer = whole;
    longer.push(0);
    complaint("long.safetensors", Format::Safetensors, &longer);
}

#[test]
fn header_lengths_beyond_the_file_reserve_nothing() {
    for length in [u64::MAX, 1 << 62, 1 << 40, 17] {
        let mut content = length.to_le_bytes().to_vec();
        content.extend(b"{}");
        let error = complaint("model.safetensors", Format::Safetensors, &content);
        assert!(error.contains(&length.to_string()), "{error}");
    }
}

/// A GGUF file piece by piece.
#[derive(Clone, Default)]
struct Gguf(Vec<u8>);

impl Gguf {
    fn new(tensors: u64, pairs: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(pairs)
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self = self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    fn tensor(self, name: &str, axes: &[u64], kind: u32, offset: u64) -> Self {
        let mut file = self.text(name).u32(axes.len() as u32);
        for axis in axes {
            file = file.u64(*axis);
        }
        file.u32(kind).u64(offset)
    }

    fn data(mut self, bytes: usize) -> Vec<u8> {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + bytes, 0);
        self.0
    }
}

#[test]
fn gguf_headers_that_lie_are_refused() {
    let array = |kind: u32, len: u64| Gguf::new(0, 1).text("k").u32(9).u32(kind).u64(len);
    let nested = (0..12).fold(Gguf::new(0, 1).text("k").u32(9), |file, _| {
        file.u32(9).u64(1)
    });
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("not GGUF", b"GGML\x03\0\0\0".to_vec(), "does not begin"),
        (
            "version 1",
            Gguf(b"GGUF".to_vec()).u32(1).data(64),
            "version 1",
        ),
        (
            "version 9",
            Gguf(b"GGUF".to_vec()).u32(9).data(64),
            "version 9",
        ),
        (
            "big-endian",
            Gguf(b"GGUF".to_vec()).u32(3 << 24).data(64),
            "big-endian",
        ),
        (
            "absurd tensors",
            Gguf::new(u64::MAX, 0).data(64),
            "18446744073709551615 tensors",
        ),
        (
            "absurd pairs",
            Gguf::new(0, 1 << 60).data(64),
            "metadata entries",
        ),
        (
            "absurd key",
            Gguf::new(0, 1).u64(1 << 50).data(64),
            "bytes of text",
        ),
        (
            "absurd array",
            array(8, 1 << 40).data(64),
            "elements of `k`",
        ),
        (
            "absurd array of bytes",
            array(0, u64::MAX).data(64),
            "elements of `k`",
        ),
        ("nested arrays", nested.data(4096), "deep"),
        (
            "unknown value type",
            Gguf::new(0, 1).text("k").u32(77).data(64),
            "type 77",
        ),
        (
            "truth value of 7",
            {
                let mut f = Gguf::new(0, 1).text("k").u32(7);
                f.0.push(7);
                f.data(64)
            },
            "truth value 7",
        ),
        (
            "key twice",
            Gguf::new(0, 2)
                .text("k")
                .u32(4)
                .u32(1)
                .text("k")
                .u32(4)
                .u32(1)
                .data(64),
            "`k` occurs twice",
        ),
        (
            "alignment of zero",
            Gguf::new(0, 1)
                .text("general.alignment")
                .u32(4)
                .u32(0)
                .data(64),
            "power of two",
        ),
        (
            "tensor twice",
            Gguf::new(2, 0)
                .tensor("w", &[4], 0, 0)
                .tensor("w", &[4], 0, 32)
                .data(64),
            "`w` occurs twice",
        ),
        (
            "nine axes",
            Gguf::new(1, 0).tensor("w", &[1; 9], 0, 0).data(64),
            "9 axes",
        ),
        (
            "absurd axes",
            Gguf::new(1, 0).text("w").u32(u32::MAX).data(64),
            "axes",
        ),
        (
            "overflow",
            Gguf::new(1, 0)
                .tensor("w", &[1 << 40, 1 << 40], 0, 0)
                .data(64),
            "larger than any file",
        ),
        (
            "beyond the file",
            Gguf::new(1, 0).tensor("w", &[1 << 30], 0, 0).data(64),
            "beyond the end",
        ),
        (
            "offset beyond all",
            Gguf::new(1, 0).tensor("w", &[4], 0, u64::MAX - 31).data(64),
            "beyond the end",
        ),
        (
            "crooked offset",
            Gguf::new(1, 0).tensor("w", &[4], 0, 3).data(64),
            "multiple of 32",
        ),
        (
            "overlap",
            Gguf::new(2, 0)
                .tensor("v", &[16], 0, 0)
                .tensor("w", &[4], 0, 32)
                .data(64),
            "overlap",
        ),
        (
            "broken blocks",
            Gguf::new(1, 0).tensor("w", &[33], 8, 0).data(64),
            "33 numbers",
        ),
        (
            "undecodable type",
            Gguf::new(1, 0)
                .tensor("w\u{1b}[2J", &[256], 23, 0)
                .data(256),
            "IQ4_XS",
        ),
        (
            "unknown tensor type",
            Gguf::new(1, 0).tensor("w", &[256], 999, 0).data(256),
            "ggml type 999",
        ),
    ];
    for (what, content, expected) in cases {
        let error = complaint("model.gguf", Format::Gguf, &content);
        assert!(error.contains(expected), "{what}: {error}");
    }
}

fn small_gguf() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let text = |text: &str| Value::String(text.to_owned());
    let metadata = [
        ("general.architecture", text("llama")),
        ("llama.block_count", Value::U32(1)),
        ("tokenizer.ggml.model", text("gpt2")),
        (
            "tokenizer.ggml.tokens",
            Value::Array(vec![text("a"), text("b"), text("ab")]),
        ),
        (
            "tokenizer.ggml.scores",
            Value::Array(vec![Value::F32(0.5); 3]),
        ),
    ];
    let tensors = [
        (Plain::new("token_embd.weight", &[3, 64]), GgmlDType::Q8_0),
        (Plain::new("output_norm.weight", &[64]), GgmlDType::F32),
    ];
    write_gguf(&path, &metadata, &tensors);
    std::fs::read(path).unwrap()
}

#[test]
fn gguf_files_cut_anywhere_are_refused() {
    let whole = small_gguf();
    // The writer pads the last tensor to 32 bytes; what is cut there is not missed.
    let needed = whole.len() - 32;
    for length in 0..needed {
        complaint("cut.gguf", Format::Gguf, &whole[..length]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_headers_never_panic(
        changes in prop::collection::vec((0usize..600, any::<u8>()), 1..6),
        gguf in any::<bool>(),
    ) {
        let (format, mut content) = if gguf {
            (Format::Gguf, small_gguf())
        } else {
            let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[4,2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[3],"data_offsets":[16,28]}}"#;
            (Format::Safetensors, safetensors(header, &[1; 28]))
        };
        for (at, byte) in changes {
            let at = at % content.len();
            content[at] = byte;
        }
        survive(format, &content);
    }

    #[test]
    fn noise_is_never_a_model(content in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(Format::Safetensors, &content);
        let gguf = [b"GGUF\x03\0\0\0".as_slice(), &content].concat();
        survive(Format::Gguf, &gguf);
    }
}

fn open(folder: &Path) -> Result<Model, String> {
    let reference = folder.display().to_string().parse().unwrap();
    let artefacts = source::open(&reference, &OpenOptions::default()).map_err(|e| e.to_string())?;
    Model::open(artefacts, "suspect").map_err(|error| error.to_string())
}

const LLAMA: &str = r#"{"model_type":"llama","hidden_size":8,"num_hidden_layers":1,
"num_attention_heads":2,"intermediate_size":16,"vocab_size":5,"rms_norm_eps":1e-5,
"max_position_embeddings":32,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":true}"#;

fn llama_tensors() -> Vec<Plain> {
    let layer =
        |name: &str, shape: &[usize]| Plain::new(&format!("model.layers.0.{name}.weight"), shape);
    vec![
        Plain::new("model.embed_tokens.weight", &[5, 8]),
        Plain::new("model.norm.weight", &[8]),
        layer("input_layernorm", &[8]),
        layer("post_attention_layernorm", &[8]),
        layer("self_attn.q_proj", &[8, 8]),
        layer("self_attn.k_proj", &[8, 8]),
        layer("self_attn.v_proj", &[8, 8]),
        layer("self_attn.o_proj", &[8, 8]),
        layer("mlp.gate_proj", &[16, 8]),
        layer("mlp.up_proj", &[16, 8]),
        layer("mlp.down_proj", &[8, 16]),
    ]
}

fn llama(tensors: &[Plain]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_safetensors(&folder.path().join("model.safetensors"), tensors);
    put(folder.path(), "config.json", LLAMA);
    folder
}

#[test]
fn configs_that_are_none_are_errors_that_name_them() {
    let folder = llama(&llama_tensors());
    for (content, expected) in [
        ("[1]", "not a JSON object"),
        ("{\"a\":", "not JSON"),
        ("\u{1b}[2J", "not JSON"),
    ] {
        put(folder.path(), "config.json", content);
        let error = open(folder.path()).unwrap_err();
        assert!(
            error.contains("config.json") && error.contains(expected),
            "{error}"
        );
        assert!(!error.contains('\n') && !error.contains('\u{1b}'));
    }
}

#[test]
fn configs_that_make_no_sense_leave_weights_to_compare() {
    let folder = llama(&llama_tensors());
    let long = format!("\"model_type\":\"{}\"", "x".repeat(100_000));
    for (from, to) in [
        (
            "\"num_hidden_layers\":1",
            "\"num_hidden_layers\":2147483647",
        ),
        ("\"num_hidden_layers\":1", "\"num_hidden_layers\":-1"),
        ("\"num_attention_heads\":2", "\"num_attention_heads\":0"),
        ("\"hidden_size\":8", "\"hidden_size\":1e300"),
        ("\"vocab_size\":5", "\"vocab_size\":\"many\""),
        ("\"rms_norm_eps\":1e-5", "\"num_key_value_heads\":3"),
        ("\"model_type\":\"llama\"", long.as_str()),
    ] {
        assert!(LLAMA.contains(from));
        put(folder.path(), "config.json", LLAMA.replace(from, to));
        let model = open(folder.path()).unwrap();
        let reason = model.spec.unwrap_err();
        assert!(
            reason.len() < 1000 && !reason.contains('\n'),
            "{to}: {reason}"
        );
        assert_eq!(model.weights.store().names().count(), 11);
    }
}

#[test]
fn a_missing_or_misshapen_tensor_is_named_and_the_others_are_bound() {
    let mut tensors = llama_tensors();
    tensors.retain(|tensor| !tensor.name.contains("up_proj"));
    let model = open(llama(&tensors).path()).unwrap();
    assert_eq!(model.family, Some("llama"));
    let reason = model.spec.unwrap_err();
    assert!(
        reason.contains("model.layers.0.mlp.up_proj.weight"),
        "{reason}"
    );
    assert_eq!(model.weights.roles().count(), 10);

    let mut tensors = llama_tensors();
    tensors[4] = Plain::new("model.layers.0.self_attn.q_proj.weight", &[8, 4]);
    let model = open(llama(&tensors).path()).unwrap();
    let reason = model.spec.unwrap_err();
    assert!(reason.contains("layers.0.q"), "{reason}");
}

fn word_level(tokens: usize) -> String {
    let vocab: Vec<String> = (0..tokens).map(|id| format!("\"t{id}\":{id}")).collect();
    let vocab = vocab.join(",");
    format!(
        r#"{{"version":"1.0","added_tokens":[],"model":{{"type":"WordLevel","vocab":{{{vocab}}},"unk_token":"t0"}},
        "pre_tokenizer":{{"type":"WhitespaceSplit"}},"truncation":{{"max_length":1,"strategy":"LongestFirst","stride":0,"direction":"Right"}}}}"#
    )
}

#[test]
fn a_tokenizer_that_does_not_fit_the_embedding_is_a_reason_that_names_it() {
    let folder = llama(&llama_tensors());
    put(folder.path(), "tokenizer.json", word_level(5));
    let model = open(folder.path()).unwrap();
    model.spec.unwrap();
    // Truncation is switched off.
    assert_eq!(
        model.tokenizer.unwrap().encode("t3 t1 t2").unwrap(),
        [3, 1, 2]
    );

    put(folder.path(), "tokenizer.json", word_level(6));
    let reason = open(folder.path()).unwrap().tokenizer.unwrap_err();
    assert!(
        reason.contains("tokenizer.json") && reason.contains("token 5"),
        "{reason}"
    );
    assert!(
        reason.contains("use the tokenizer that belongs to these weights"),
        "{reason}"
    );
}

#[test]
fn added_tokens_beyond_the_embedding_are_a_caveat() {
    let folder = llama(&llama_tensors());
    let added = r#""added_tokens":[{"id":5,"content":"<image>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}]"#;
    let json = word_level(5).replace(r#""added_tokens":[]"#, added);
    put(folder.path(), "tokenizer.json", json);
    let model = open(folder.path()).unwrap();
    assert!(
        model
            .caveats
            .iter()
            .any(|caveat| caveat.contains("added tokens")),
        "{:?}",
        model.caveats
    );
    let tokenizer = model.tokenizer.unwrap();
    assert_eq!(tokenizer.encode("t1").unwrap(), [1]);
    assert!(tokenizer.encode("t1 <image>").is_err());
}

#[test]
fn broken_tokenizers_are_reasons_and_the_weights_stay() {
    let folder = llama(&llama_tensors());
    for content in [
        "",
        "{}",
        "[]",
        "{\"model\":7}",
        "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[[\"a\",\"b\"]]}}",
    ] {
        put(folder.path(), "tokenizer.json", content);
        let reason = open(folder.path()).unwrap().tokenizer.unwrap_err();
        assert!(
            reason.contains("tokenizer.json") && !reason.contains('\n'),
            "{reason}"
        );
    }
}

#[test]
fn an_index_that_names_tensors_which_no_shard_holds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shard = "model-00001-of-00001.safetensors";
    write_safetensors(&folder.path().join(shard), &[Plain::new("a", &[2])]);
    let index = format!(r#"{{"metadata":{{}},"weight_map":{{"a":"{shard}","b":"{shard}"}}}}"#);
    put(folder.path(), "model.safetensors.index.json", index);
    put(folder.path(), "config.json", LLAMA);
    let error = open(folder.path()).unwrap_err();
    assert!(
        error.contains("index.json") && error.contains("tensor `b`"),
        "{error}"
    );
}
