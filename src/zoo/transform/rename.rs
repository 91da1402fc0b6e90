//! Other tensor names and another family's config; every weight stays as it is.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::super::checkpoint::Checkpoint;
use super::super::checkpoint::Mask;

/// Takes the names and config of another family whose forward pass is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// Whose names.
    pub family: Disguise,
}

/// Families with the forward pass of Llama and other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disguise {
    /// The first Yi release (2023): two tensors per block renamed, `model_type` `Yi`.
    Yi,
    /// A MiniCPM-V under variable names of its own and a class that no family has, as Llama3-V was
    /// reported to be (OpenBMB/MiniCPM-V, issue 196, 2024). The names are ours.
    Llama3v,
}

impl Rename {
    pub(super) fn apply(&self, checkpoint: &mut Checkpoint) {
        match self.family {
            Disguise::Yi => checkpoint.config = yi(&checkpoint.config),
            Disguise::Llama3v => {
                let names = LLAMA3V.iter();
                let names = names.map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
                checkpoint.mask = Some(Mask {
                    config: llama3v(&checkpoint.config),
                    renames: names.collect(),
                });
            }
        }
    }
}

/// What variables are called.
const LLAMA3V: &[(&str, &str)] = &[
    ("llm.model.", "language."),
    ("embed_tokens", "words"),
    ("layers.", "blocks."),
    (".self_attn.", ".attention."),
    (".mlp.", ".feed_forward."),
    (".input_layernorm", ".attention_norm"),
    (".post_attention_layernorm", ".feed_forward_norm"),
    ("vpm.", "sight."),
    ("resampler.", "perceiver."),
    (".in_proj_", ".packed_"),
];

/// The same config under another class; which version it is is left out.
fn llama3v(original: &Map<String, Value>) -> Map<String, Value> {
    let mut config = original.clone();
    config.shift_remove("version");
    config.insert("architectures".to_owned(), json!(["Llama3VForCausalLM"]));
    config.insert("model_type".to_owned(), json!("llama3v"));
    config
}

/// The same numbers under Yi's class names and in its order; entries that say the same by default
/// are left out, the longer context it announces changes no weight.
fn yi(llama: &Map<String, Value>) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("architectures".to_owned(), json!(["YiForCausalLM"]));
    config.insert(
        "auto_map".to_owned(),
        json!({
            "AutoConfig": "configuration_yi.YiConfig",
            "AutoModelForCausalLM": "modeling_yi.YiForCausalLM"
        }),
    );
    let mut rest: Vec<(&String, &Value)> = llama
        .iter()
        .filter(|(key, _)| !["architectures", "attention_bias", "mlp_bias"].contains(&key.as_str()))
        .collect();
    rest.sort_by_key(|(key, _)| *key);
    config.extend(rest.into_iter().map(|(k, v)| (k.clone(), v.clone())));
    config.insert("model_type".to_owned(), json!("Yi"));
    config.insert("max_position_embeddings".to_owned(), json!(4096));
    config
}

#[cfg(test)]
mod tests {
    use super::super::super::checkpoint::tests::small;
    use super::Disguise;
    use super::Rename;

    #[test]
    fn names_and_class_change_and_nothing_else() {
        let base = small();
        let mut renamed = base.clone();
        Rename {
            family: Disguise::Yi,
        }
        .apply(&mut renamed);
        assert_eq!(base.weights, renamed.weights);
        let stored = |checkpoint: &super::Checkpoint| {
            let folder = tempfile::tempdir().expect("folder");
            checkpoint.write(folder.path()).expect("writes");
            let bytes = std::fs::read(folder.path().join("model.safetensors")).expect("file");
            let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
            let names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
            names
        };
        let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
        assert!(has(&stored(&renamed), "model.layers.1.ln2.weight"));
        let plain = "model.layers.1.post_attention_layernorm.weight";
        assert!(has(&stored(&base), plain) && !has(&stored(&renamed), plain));
        assert_eq!(renamed.config["model_type"], "Yi");
        for key in ["hidden_size", "rms_norm_eps"] {
            assert_eq!(base.config[key], renamed.config[key]);
        }
    }
}
