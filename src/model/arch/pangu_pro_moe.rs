//! Pangu Pro MoE: Qwen2's attention with a bias on its output as well, and a mixture whose experts stand
//! in groups: of each group a token gets the best, with the weight that a softmax over all experts gives
//! it times a learned factor. A shared expert stands beside them without a gate.
//!
//! Its code comes with its weights. What is done here is what the published inference code of vLLM for
//! Ascend does (`vllm_ascend/models/pangu_moe.py`, `pangu_group8_topk`), which has as many groups as a
//! token has experts.

use super::names::{Name, Names, name};
use super::{ConfigError, DecoderSpec, Family, RawConfig, llama, parts, qwen2_moe};
use crate::model::role::Part;
use crate::model::spec::{MoeSpec, Routing};

pub(super) static PANGU_PRO_MOE: Family = Family {
    id: "pangu_pro_moe",
    model_types: &["PanguProMoE", "pangu_pro_moe"],
    gguf: &[],
    gguf_words: |_, _| {},
    spec,
    bind: |spec, store| NAMES.bind(spec, store),
};

static NAMES: Names = Names {
    prefixes: llama::PREFIXES,
    anchor: llama::ANCHOR,
    tables: &[SCALE, qwen2_moe::EXPERTS, llama::TABLE],
};

const SCALE: &[Name] = &[name(Part::RouterScale, "{m}layers.{l}.mlp.router_scale")];

fn spec(config: &RawConfig) -> Result<DecoderSpec, ConfigError> {
    let defaults = parts::Defaults {
        max_position_embeddings: 8192,
        ..parts::Defaults::LLAMA
    };
    let mut spec = parts::llama_like(config, "pangu_pro_moe", defaults)?;
    // The code has them whatever a config says.
    config.get("attention_bias");
    spec.biases.qkv = true;
    spec.biases.output = true;
    let per_token = config.size("num_experts_per_tok")?;
    let shared = config.count_or("shared_expert_intermediate_size", 0)?;
    spec.moe = Some(MoeSpec {
        shared_expert_intermediate_size: (shared > 0).then_some(shared),
        routing: Routing::Each { n_group: per_token },
        norm_topk_prob: false,
        router_scale: true,
        ..MoeSpec::softmax(
            config.size("num_experts")?,
            per_token,
            config.size("moe_intermediate_size")?,
        )
    });
    let dense = config.indices("mlp_only_layers")?;
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        layer.sparse = !dense.contains(&index);
    }
    parts::finish(config, spec)
}
