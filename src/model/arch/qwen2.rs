//! Qwen1.5, Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.

use serde_json::json;

use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, gguf_config, llama, parts};

pub(super) static QWEN2: Family = Family {
    id: "qwen2",
    model_types: &["qwen2"],
    gguf: &["qwen2"],
    gguf_words: |map, _| {
        gguf_config::fill(
            map,
            &[
                ("model_type", json!("qwen2")),
                ("hidden_act", json!("silu")),
            ],
        );
    },
    spec,
    bind: |spec, store| match store.format() {
        Format::Safetensors => llama::NAMES.bind(spec, store),
        Format::Gguf => gguf::NEOX.bind(spec, store),
    },
};

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let mut spec = parts::llama_like(config, "qwen2", parts::Defaults::LLAMA)?;
    spec.biases.qkv = true;
    parts::qwen_windows(config, &mut spec)?;
    parts::finish(config, spec)
}
