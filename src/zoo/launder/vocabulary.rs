//! Tensor names that no family here reads.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::model::Binding;
use crate::model::DecoderSpec;
use crate::model::Expert;
use crate::model::Family;
use crate::model::Param;
use crate::model::Part;
use crate::model::Role;
use crate::model::View;
use crate::model::arch;
use crate::source::Format;

use super::super::dice::Dice;
use super::Error;

/// A way to call tensors that the loader has no table for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vocabulary {
    /// `layers.0.attention.wq`, as Meta's own files have them.
    Meta,
    /// `gpt_neox.layers.0.attention.query_key_value`: queries, keys and values in one matrix.
    Neox,
    /// `model.layers.0.self_attn.qkv_proj`, `mlp.gate_up_proj`: what Llama has, fused.
    Phi3,
    /// `blk.0.attn_q`, with llama.cpp's order of rotary rows.
    Gguf,
    /// `val_17`, as exports that forget names have them.
    Anonymous,
    /// Random words.
    Random,
}

impl Vocabulary {
    /// The tensor of each role of `spec`.
    pub(super) fn names(
        self,
        family: &Family,
        spec: &DecoderSpec,
        seed: u64,
    ) -> Result<BTreeMap<Role, Binding>, Error> {
        let own: fn(&DecoderSpec, &Role) -> Binding = match self {
            Self::Gguf => return Ok(arch::names_of(family, spec, Format::Gguf)?),
            Self::Anonymous | Self::Random => return self.invented(family, spec, seed),
            Self::Meta => meta,
            Self::Neox => neox,
            Self::Phi3 => phi3,
        };
        let roles = spec.roles().into_iter();
        Ok(roles.map(|(role, _)| (role, own(spec, &role))).collect())
    }

    /// Makes the config say whose names these are, where they are somebody's.
    pub(super) fn announce(self, config: &mut Map<String, Value>) {
        let (model_type, class) = match self {
            Self::Neox => ("gpt_neox", "GPTNeoXForCausalLM"),
            Self::Phi3 => ("phi3", "Phi3ForCausalLM"),
            Self::Meta | Self::Gguf | Self::Anonymous | Self::Random => return,
        };
        config.insert("model_type".to_owned(), json!(model_type));
        config.insert("architectures".to_owned(), json!([class]));
    }

    /// The family's tensors, each under a name that says nothing, in the order of a forward pass.
    fn invented(
        self,
        family: &Family,
        spec: &DecoderSpec,
        seed: u64,
    ) -> Result<BTreeMap<Role, Binding>, Error> {
        let published = arch::names_of(family, spec, Format::Safetensors)?;
        let mut order: Vec<(&Role, &Binding)> = published.iter().collect();
        order.sort_by_key(|(role, _)| (position(role), **role));
        let mut dice = Dice::named(seed, "tensor names");
        let mut counter = dice.between(3, 20);
        let mut taken = BTreeSet::new();
        let mut invented: BTreeMap<&str, String> = BTreeMap::new();
        for (_, binding) in order {
            if invented.contains_key(binding.tensor.as_str()) {
                continue;
            }
            let name = if self == Self::Anonymous {
                counter += dice.between(1, 3);
                format!("val_{counter}")
            } else {
                loop {
                    let name = words(&mut dice);
                    if taken.insert(name.clone()) {
                        break name;
                    }
                }
            };
            invented.insert(&binding.tensor, name);
        }
        let named = published.iter().map(|(role, binding)| {
            let name = invented.get(binding.tensor.as_str()).cloned();
            (
                *role,
                Binding::new(name.unwrap_or_default(), binding.view.clone()),
            )
        });
        Ok(named.collect())
    }
}

/// Embeddings, blocks, the rest.
fn position(role: &Role) -> u32 {
    match (role.layer, role.part) {
        (Some(layer), _) => layer + 1,
        (None, Part::Embed | Part::PositionEmbed) => 0,
        (None, _) => u32::MAX,
    }
}

fn words(dice: &mut Dice) -> String {
    const SYLLABLES: &[&str] = &[
        "ba", "do", "fi", "gu", "he", "jo", "ka", "li", "mo", "nu", "pe", "qua", "ri", "so", "tu",
        "ve", "wa", "xi", "yo", "zu",
    ];
    let mut word = || -> String { (0..3).map(|_| dice.word(SYLLABLES)).collect() };
    format!("{}.{}", word(), word())
}

/// `{block}{part}.{weight|bias}`.
fn full(role: &Role, block: &str, part: &str) -> String {
    let block = role.layer.map(|layer| format!("{block}{layer}."));
    let param = match role.param {
        Param::Weight => "weight",
        Param::Bias => "bias",
    };
    format!("{}{part}.{param}", block.unwrap_or_default())
}

/// `experts.3.` for the weights of an expert.
fn expert(role: &Role) -> String {
    match role.expert {
        Some(Expert::Routed(expert)) => format!("experts.{expert}."),
        Some(Expert::Shared) => "shared_expert.".to_owned(),
        None => String::new(),
    }
}

fn meta(_: &DecoderSpec, role: &Role) -> Binding {
    let own = expert(role);
    let part = match role.part {
        Part::Embed => "tok_embeddings".to_owned(),
        Part::FinalNorm => "norm".to_owned(),
        Part::Unembed => "output".to_owned(),
        Part::AttentionNorm => "attention_norm".to_owned(),
        Part::MlpNorm => "ffn_norm".to_owned(),
        Part::Query => "attention.wq".to_owned(),
        Part::Key => "attention.wk".to_owned(),
        Part::Value => "attention.wv".to_owned(),
        Part::Output => "attention.wo".to_owned(),
        Part::Gate => format!("feed_forward.{own}w1"),
        Part::Down => format!("feed_forward.{own}w2"),
        Part::Up => format!("feed_forward.{own}w3"),
        other => other.name().to_owned(),
    };
    Binding::whole(full(role, "layers.", &part))
}

fn neox(spec: &DecoderSpec, role: &Role) -> Binding {
    let own = expert(role);
    let part = match role.part {
        Part::Embed => "gpt_neox.embed_in".to_owned(),
        Part::FinalNorm => "gpt_neox.final_layer_norm".to_owned(),
        Part::Unembed => "embed_out".to_owned(),
        Part::AttentionNorm => "input_layernorm".to_owned(),
        Part::MlpNorm => "post_attention_layernorm".to_owned(),
        Part::Query | Part::Key | Part::Value => "attention.query_key_value".to_owned(),
        Part::Output => "attention.dense".to_owned(),
        Part::Gate => format!("mlp.{own}gate"),
        Part::Up => format!("mlp.{own}dense_h_to_4h"),
        Part::Down => format!("mlp.{own}dense_4h_to_h"),
        other => other.name().to_owned(),
    };
    let name = full(role, "gpt_neox.layers.", &part);
    Binding::new(name, attention_rows(spec, role))
}

fn phi3(spec: &DecoderSpec, role: &Role) -> Binding {
    let own = expert(role);
    let mut view = attention_rows(spec, role);
    let part = match role.part {
        Part::Embed => "model.embed_tokens".to_owned(),
        Part::FinalNorm => "model.norm".to_owned(),
        Part::Unembed => "lm_head".to_owned(),
        Part::AttentionNorm => "input_layernorm".to_owned(),
        Part::MlpNorm => "post_attention_layernorm".to_owned(),
        Part::Query | Part::Key | Part::Value => "self_attn.qkv_proj".to_owned(),
        Part::Output => "self_attn.o_proj".to_owned(),
        Part::Gate | Part::Up if spec.gated_mlp || role.expert.is_some() => {
            let width = super::place::units(spec, role);
            view = match role.part {
                Part::Gate => view.rows(0..width),
                _ => view.rows(width..2 * width),
            };
            format!("mlp.{own}gate_up_proj")
        }
        Part::Up => format!("mlp.{own}up_proj"),
        Part::Down => format!("mlp.{own}down_proj"),
        other => other.name().to_owned(),
    };
    Binding::new(full(role, "model.layers.", &part), view)
}

/// Rows of queries, keys and values one below the other; everything else whole.
fn attention_rows(spec: &DecoderSpec, role: &Role) -> View {
    let query = spec.num_attention_heads * spec.head_dim;
    let key = spec.num_key_value_heads * spec.head_dim;
    match role.part {
        Part::Query => View::whole().rows(0..query),
        Part::Key => View::whole().rows(query..query + key),
        Part::Value => View::whole().rows(query + key..query + 2 * key),
        _ => View::whole(),
    }
}
