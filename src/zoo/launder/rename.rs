//! Other tensor names.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::model::Binding;
use crate::model::DecoderSpec;
use crate::model::weights::Step as ViewStep;

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;
use super::vocabulary::Vocabulary;

/// The same numbers under other names.
pub(super) static RENAME: Laundering = Laundering {
    name: "rename",
    does: "gives tensors the names of another vocabulary; yi and llama with the config that reads \
           them, the others with the map in launder.json",
    strength: Strength::Word {
        meaning: "the vocabulary",
        words: &[
            "anonymous",
            "random",
            "yi",
            "llama",
            "meta",
            "gpt-neox",
            "phi3",
            "gguf",
        ],
    },
    kind: Kind::Exact,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let vocabulary = match work.word() {
        "yi" => return disguise(draft, "yi", yi),
        "llama" => return disguise(draft, "llama", llama),
        "meta" => Vocabulary::Meta,
        "gpt-neox" => Vocabulary::Neox,
        "phi3" => Vocabulary::Phi3,
        "gguf" => Vocabulary::Gguf,
        "random" => Vocabulary::Random,
        _ => Vocabulary::Anonymous,
    };
    let family = draft.family();
    if vocabulary == Vocabulary::Gguf && family.gguf.is_empty() && family.id != "mixtral" {
        return Err(format!("llama.cpp has no names for {} models", family.id).into());
    }
    let own = draft.names()?;
    draft.naming = Some((vocabulary, work.seed));
    // Gemma's gains are stored less one, in llama.cpp's files in full: the same bits do not hold both.
    let less_one = |binding: &Binding| binding.view.steps().contains(&ViewStep::PlusOne);
    let theirs = draft.names()?;
    if own
        .iter()
        .any(|(role, own)| theirs.get(role).map(less_one) != Some(less_one(own)))
    {
        draft.computes();
    }
    Ok(())
}

/// Takes the names and the config of a family whose forward pass is the same.
fn disguise(
    draft: &mut Draft<'_>,
    family: &str,
    write: fn(Map<String, Value>) -> Map<String, Value>,
) -> Result<(), Refusal> {
    if draft.family().id == family {
        return Err("the model has these names already".into());
    }
    let spec = draft.spec.clone();
    let config = write(explicit(draft.config.clone(), &spec));
    draft.reconfigure(config, &spec)?;
    draft.naming = None;
    Ok(())
}

/// Writes out what the other family would take otherwise from its defaults.
fn explicit(mut config: Map<String, Value>, spec: &DecoderSpec) -> Map<String, Value> {
    let theta = spec.layers.first().and_then(|layer| layer.rope.as_ref());
    let words = [
        ("num_key_value_heads", Some(json!(spec.num_key_value_heads))),
        ("rms_norm_eps", Some(json!(spec.norm_eps))),
        (
            "max_position_embeddings",
            Some(json!(spec.max_position_embeddings)),
        ),
        ("tie_word_embeddings", Some(json!(spec.tie_word_embeddings))),
        ("rope_theta", theta.map(|rope| json!(rope.theta))),
    ];
    for (word, value) in words {
        if let (None, Some(value)) = (config.get(word), value) {
            config.insert(word.to_owned(), value);
        }
    }
    config
}

/// As the first Yi release (2023) wrote it.
fn yi(mut config: Map<String, Value>) -> Map<String, Value> {
    for word in ["attention_bias", "mlp_bias"] {
        if config.get(word) == Some(&Value::Bool(false)) {
            config.shift_remove(word);
        }
    }
    config.insert("architectures".to_owned(), json!(["YiForCausalLM"]));
    config.insert("model_type".to_owned(), json!("Yi"));
    config.insert(
        "auto_map".to_owned(),
        json!({
            "AutoConfig": "configuration_yi.YiConfig",
            "AutoModelForCausalLM": "modeling_yi.YiForCausalLM"
        }),
    );
    config
}

fn llama(mut config: Map<String, Value>) -> Map<String, Value> {
    config.shift_remove("auto_map");
    config.insert("architectures".to_owned(), json!(["LlamaForCausalLM"]));
    config.insert("model_type".to_owned(), json!("llama"));
    config
}
