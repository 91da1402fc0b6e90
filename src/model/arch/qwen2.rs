//! Qwen1.5, Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.

use super::{ConfigError, DecoderSpec, Family, Format, RawConfig};
use super::{gguf, llama, parts};

pub(super) static QWEN2: Family = Family {
    id: "qwen2",
    model_types: &["qwen2"],
    gguf: &["qwen2"],
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
