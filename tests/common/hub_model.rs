//! A model on the test hub, and opening it.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use kinprobe::source::Artefacts;
use kinprobe::source::HubOptions;
use kinprobe::source::OpenOptions;
use kinprobe::source::open;

use super::hub::COMMIT;
use super::hub::Hub;

pub const CONFIG: &[u8] = br#"{"model_type":"llama"}"#;
pub const TOKENIZER: &[u8] = br#"{"model":{}}"#;
pub const WEIGHTS: &str = "model.safetensors";

/// Big enough to arrive in several pieces.
pub fn weights(seed: u8) -> Vec<u8> {
    (0..300_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed)
        .collect()
}

pub fn single() -> Hub {
    Hub::start(
        &[
            ("config.json", CONFIG),
            ("tokenizer.json", TOKENIZER),
            (WEIGHTS, &weights(0)),
            ("pytorch_model.bin", b"never fetched"),
            ("README.md", b"never fetched"),
        ],
        &[WEIGHTS, "pytorch_model.bin"],
    )
}

/// Options for a fresh cache in `dir`.
pub fn options(hub: &Hub, dir: &Path) -> OpenOptions {
    OpenOptions {
        hub: HubOptions {
            endpoint: hub.endpoint.clone(),
            cache: Some(dir.join("hub")),
            read_timeout: Duration::from_secs(10),
            retries: 1,
            ..HubOptions::default()
        },
        ..OpenOptions::default()
    }
}

pub fn try_open(text: &str, options: &OpenOptions) -> Result<Artefacts, String> {
    let result = open(&text.parse().unwrap(), options).map_err(|e| e.to_string());
    if let Err(message) = &result {
        assert!(!message.contains('\n') && message.len() < 700, "{message}");
        assert!(
            message.starts_with("hf:owner/name: ") || !text.contains("owner/name"),
            "{message}"
        );
    }
    result
}

pub fn opened(options: &OpenOptions) -> Artefacts {
    try_open("hf:owner/name", options).unwrap()
}

/// Names of everything in the cache that holds content.
pub fn blobs(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.join("hub/models--owner--name/blobs"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub fn snapshot_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("hub/models--owner--name/snapshots")
        .join(COMMIT)
        .join(name)
}
