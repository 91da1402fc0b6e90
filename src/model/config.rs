//! A model's config as it was written, read key by key so that what nobody read can be told.

pub(super) mod rope;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::spec::Activation;
use crate::text::ModelText;

/// A config in Hugging Face's words, as written by `transformers` 4 or 5 or translated from GGUF
/// metadata.
#[derive(Debug, Clone)]
pub struct RawConfig {
    map: Map<String, Value>,
    from_gguf: bool,
    /// Keys that were asked for.
    read: RefCell<BTreeSet<String>>,
    /// Keys among the [`UNHONOURED`] that the family honours.
    honoured: RefCell<BTreeSet<String>>,
    /// What was found and cannot be honoured.
    unsupported: RefCell<Vec<String>>,
    /// What was missing and filled in.
    caveats: RefCell<Vec<String>>,
}

/// A config that does not describe a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key without which nothing can be said.
    #[error("the config has no `{0}`")]
    Missing(&'static str),
    /// A value of the wrong kind.
    #[error("the config's `{key}` is {found}, not {expected}")]
    Kind {
        /// Whose value.
        key: String,
        /// As written, shortened.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Values that contradict each other or are out of all proportion.
    #[error("the config makes no sense: {0}")]
    Nonsense(String),
}

/// Largest dimension that is believed: more means a damaged or hostile file.
const MAX_DIMENSION: usize = 1 << 31;

/// Keys that change the forward pass in ways the decoder does not know, each with the values that
/// switch it off (besides null, false and an empty list).
const UNHONOURED: &[(&str, &[f64])] = &[
    ("add_cross_attention", &[]),
    ("attention_multiplier", &[]),
    ("attn_logit_softcapping", &[]),
    ("clip_qkv", &[]),
    ("embedding_multiplier", &[1.0]),
    ("final_logit_softcapping", &[]),
    ("is_encoder_decoder", &[]),
    ("logit_scale", &[1.0]),
    ("logits_scaling", &[1.0]),
    ("no_rope_layers", &[]),
    ("parallel_attn", &[]),
    ("partial_rotary_factor", &[1.0]),
    ("quantization_config", &[]),
    ("residual_multiplier", &[1.0]),
    ("rotary_pct", &[1.0]),
    ("scale_attn_by_inverse_layer_idx", &[]),
    ("use_bidirectional_attention", &[]),
];

/// Keys without effect on a forward pass.
const HARMLESS: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attn_pdrop",
    "auto_map",
    "cache_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "embd_pdrop",
    "finetuning_task",
    "gguf_architecture",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "label2id",
    "max_length",
    "mlp_dropout",
    "model_max_length",
    "model_type",
    "n_ctx",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pretraining_tp",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "return_dict",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];

impl RawConfig {
    /// A `config.json`.
    pub fn new(map: Map<String, Value>) -> Self {
        Self::with_origin(map, false)
    }

    pub(super) fn with_origin(map: Map<String, Value>, from_gguf: bool) -> Self {
        Self {
            map,
            from_gguf,
            read: RefCell::default(),
            honoured: RefCell::default(),
            unsupported: RefCell::default(),
            caveats: RefCell::default(),
        }
    }

    /// Every entry.
    pub fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// Whether it was translated from GGUF metadata.
    pub fn is_gguf(&self) -> bool {
        self.from_gguf
    }

    /// `model_type`, or an empty text.
    pub fn model_type(&self) -> &str {
        self.map
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The config nested under `key`, if there is one.
    pub fn nested(&self, key: &str) -> Option<Self> {
        let map = self.map.get(key)?.as_object()?.clone();
        Some(Self::with_origin(map, self.from_gguf))
    }

    /// The value of `key`; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A dimension: a positive integer that must be there.
    pub fn size(&self, key: &'static str) -> Result<usize, ConfigError> {
        self.optional_size(key)?.ok_or(ConfigError::Missing(key))
    }

    /// A dimension that may be absent.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|n| usize::try_from(n).ok());
        match size {
            Some(size) if (1..MAX_DIMENSION).contains(&size) => Ok(Some(size)),
            _ => Err(kind(key, value, "a positive integer")),
        }
    }

    /// A dimension that `transformers` fills in when it is absent; that it was filled in is stated.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.optional_size(key)?.unwrap_or_else(|| {
            self.caveat(format!(
                "the config has no `{key}`: {default} is taken, as transformers does"
            ));
            default
        }))
    }

    /// A non-negative integer, zero included.
    pub fn count_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok());
        count.ok_or_else(|| kind(key, value, "a non-negative integer"))
    }

    /// A finite number that may be absent.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.get(key).map(|value| number(key, value)).transpose()
    }

    /// A finite number that must be there.
    pub fn number(&self, key: &'static str) -> Result<f64, ConfigError> {
        self.optional_number(key)?.ok_or(ConfigError::Missing(key))
    }

    /// A switch; absent is `default`, the meaning that its absence has in `transformers`.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| kind(key, value, "true or false")),
        }
    }

    /// A list of texts that may be absent.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let texts = value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let texts = texts.ok_or_else(|| kind(key, value, "a list of texts"))?;
        Ok(Some(texts))
    }

    /// A list of block indices that may be absent.
    pub fn indices(&self, key: &str) -> Result<Vec<usize>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let indices = value.as_array().and_then(|list| {
            let index = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
            list.iter().map(index).collect::<Option<Vec<_>>>()
        });
        indices.ok_or_else(|| kind(key, value, "a list of block indices"))
    }

    /// The activation function under `key`; one that is not known is unsupported.
    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let name = value.as_str().ok_or_else(|| kind(key, value, "a text"))?;
        Ok(match name {
            "silu" | "swish" => Activation::Silu,
            "gelu" | "gelu_python" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast"
            | "gelu_accurate" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => {
                let other = ModelText::new(other).clipped(40);
                self.refuse(format!("`{key}` is `{other}`, an unknown activation"));
                default
            }
        })
    }

    /// Notes that the family knows what `key` does, which most do not.
    pub fn honour(&self, key: &str) {
        self.honoured.borrow_mut().insert(key.to_owned());
    }

    /// Notes what cannot be honoured: the model's weights may be compared but it is not run.
    pub fn refuse(&self, reason: impl Into<String>) {
        self.unsupported.borrow_mut().push(reason.into());
    }

    /// Notes what was assumed.
    pub fn caveat(&self, note: impl Into<String>) {
        self.caveats.borrow_mut().push(note.into());
    }

    /// What was found that cannot be honoured and what was assumed, given that the whole spec has
    /// been read: entries that change the forward pass in unknown ways are in the first list, entries
    /// that nobody asked for in the second.
    pub fn remarks(&self) -> (Vec<String>, Vec<String>) {
        for (key, off) in UNHONOURED {
            if self.honoured.borrow().contains(*key) {
                continue;
            }
            if let Some(value) = self.get(key) {
                let neutral = match value {
                    Value::Bool(on) => !on,
                    Value::Array(list) => list.is_empty(),
                    Value::Number(n) => n.as_f64().is_some_and(|n| off.contains(&n)),
                    _ => false,
                };
                if !neutral {
                    self.refuse(format!("`{key}` is {}", shown(value)));
                }
            }
        }
        let unread: Vec<String> = {
            let read = self.read.borrow();
            let unread = |key: &&String| {
                let key = key.as_str();
                let harmless =
                    HARMLESS.contains(&key) || key.starts_with('_') || key.ends_with("_token_id");
                !harmless && !read.contains(key)
            };
            let keys = self.map.keys().filter(unread);
            keys.map(|key| ModelText::new(key).clipped(60)).collect()
        };
        if !unread.is_empty() {
            let keys = unread.join("`, `");
            if self.from_gguf {
                self.refuse(format!("unknown GGUF metadata `{keys}`"));
            } else {
                self.caveat(format!("config entries that no one read: `{keys}`"));
            }
        }
        (
            self.unsupported.borrow().clone(),
            self.caveats.borrow().clone(),
        )
    }
}

fn number(key: &str, value: &Value) -> Result<f64, ConfigError> {
    let number = value.as_f64().filter(|number| number.is_finite());
    number.ok_or_else(|| kind(key, value, "a finite number"))
}

fn kind(key: &str, value: &Value, expected: &'static str) -> ConfigError {
    ConfigError::Kind {
        key: ModelText::new(key).clipped(60),
        found: shown(value),
        expected,
    }
}

/// A value as written, made safe and short.
fn shown(value: &Value) -> String {
    ModelText::new(value.to_string()).clipped(60)
}
