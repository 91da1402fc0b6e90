//! A member in memory, and the folder it becomes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::Path;

use half::bf16;
use safetensors::Dtype;
use safetensors::View;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::model::Model;
use crate::model::Role;

use super::error::Error;
use super::naming::Naming;

/// Weights by role with the files that go with them.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// `config.json`.
    pub config: Map<String, Value>,
    /// `tokenizer.json`, byte for byte.
    pub tokenizer: Vec<u8>,
    /// Values in f32.
    pub weights: BTreeMap<Role, Matrix>,
    /// What the tensors are called.
    pub naming: Naming,
    /// How they are stored.
    pub storage: Storage,
}

/// One weight: `[rows, cols]`, or a vector `[rows]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// One or two dimensions.
    pub shape: Vec<usize>,
    /// Row by row.
    pub values: Vec<f32>,
}

/// How weights lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Of every tensor.
    pub dtype: StoredType,
    /// Files; more than one has an index.
    pub shards: usize,
}

/// Number formats that members are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredType {
    /// Brain float.
    Bf16,
    /// Single precision.
    F32,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            dtype: StoredType::Bf16,
            shards: 1,
        }
    }
}

impl Checkpoint {
    /// All of an opened model's weights; the folder's `tokenizer.json` as it stands.
    ///
    /// # Errors
    /// When a weight or the tokenizer cannot be read.
    pub fn of(model: &Model) -> Result<Self, Error> {
        let tokenizer = match &model.artefacts.tokenizer {
            Some(file) => std::fs::read(&file.path).map_err(Error::io(&file.path))?,
            None => return Err(Error::tokenizer("the parent has no tokenizer.json")),
        };
        let mut weights = BTreeMap::new();
        for role in model.weights.roles() {
            let Some((rows, cols)) = model.weights.shape(role) else {
                continue;
            };
            let shape = if role.is_vector() {
                vec![rows]
            } else {
                vec![rows, cols]
            };
            let values = model.weights.all(role).map_err(crate::model::Error::from)?;
            weights.insert(*role, Matrix { shape, values });
        }
        Ok(Self {
            config: model.config.clone(),
            tokenizer,
            weights,
            naming: match model.family {
                Some("yi") => Naming::Yi,
                _ => Naming::Llama,
            },
            storage: Storage::default(),
        })
    }

    /// `model_type` of the config; empty without one.
    pub fn model_type(&self) -> &str {
        let word = self.config.get("model_type").and_then(Value::as_str);
        word.unwrap_or_default()
    }

    /// A size in the config, by Llama's word for it.
    ///
    /// # Errors
    /// When the config does not say it.
    pub fn size(&self, word: &str) -> Result<usize, Error> {
        let key = self.key(word);
        let value = self.config.get(key).and_then(Value::as_u64);
        value.map(|n| n as usize).ok_or_else(|| Error::Config {
            reason: format!("no {key}"),
        })
    }

    /// What this model's config calls Llama's `word`.
    pub(super) fn key<'a>(&self, word: &'a str) -> &'a str {
        match (self.model_type(), word) {
            ("gpt2", "hidden_size") => "n_embd",
            ("gpt2", "intermediate_size") => "n_inner",
            ("gpt2", "num_hidden_layers") => "n_layer",
            _ => word,
        }
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.weights.values().map(|w| w.values.len() as u64).sum()
    }

    /// Writes the folder: `config.json`, `tokenizer.json` and the weights.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(Error::io(&path))
        };
        put("config.json", &pretty(&Value::Object(self.config.clone())))?;
        put("tokenizer.json", &self.tokenizer)?;
        let named: BTreeMap<String, &Matrix> = self
            .weights
            .iter()
            .map(|(role, weight)| (self.naming.name(role), weight))
            .collect();
        let shards = shards(&named, self.storage.shards);
        let count = shards.len();
        let mut index = Map::new();
        for (place, names) in shards.iter().enumerate() {
            let file = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", place + 1),
            };
            let tensors: Vec<(&str, Stored)> = names
                .iter()
                .map(|&name| (name, Stored::new(named[name], self.storage.dtype)))
                .collect();
            let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            let path = folder.join(&file);
            let bytes = safetensors::serialize(tensors, Some(metadata))
                .map_err(|e| Error::io(&path)(std::io::Error::other(e)))?;
            put(&file, &bytes)?;
            for &name in names {
                index.insert(name.to_owned(), Value::String(file.clone()));
            }
        }
        if count > 1 {
            let width = self.storage.dtype.dtype().bitsize() as u64 / 8;
            let total = self.parameters() * width;
            let index = json!({"metadata": {"total_size": total}, "weight_map": index});
            put("model.safetensors.index.json", &pretty(&index))?;
        }
        Ok(())
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Names in order, cut into `count` runs of about the same size.
fn shards<'a>(named: &'a BTreeMap<String, &Matrix>, count: usize) -> Vec<Vec<&'a str>> {
    let total: usize = named.values().map(|weight| weight.values.len()).sum();
    let count = count.clamp(1, named.len().max(1));
    let mut shards = vec![Vec::new(); count];
    let mut before = 0;
    for (name, weight) in named {
        let shard = (before * count / total.max(1)).min(count - 1);
        shards[shard].push(name.as_str());
        before += weight.values.len();
    }
    shards.retain(|names| !names.is_empty());
    shards
}

impl StoredType {
    /// What `config.json` calls it.
    pub(super) fn torch_name(self) -> &'static str {
        match self {
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::Bf16 => Dtype::BF16,
            Self::F32 => Dtype::F32,
        }
    }
}

/// A weight as bytes.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(weight: &Matrix, dtype: StoredType) -> Self {
        let values = weight.values.iter();
        Self {
            dtype: dtype.dtype(),
            shape: weight.shape.clone(),
            bytes: match dtype {
                StoredType::Bf16 => values
                    .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
                    .collect(),
                StoredType::F32 => values.flat_map(|value| value.to_le_bytes()).collect(),
            },
        }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use safetensors::SafeTensors;
    use serde_json::Map;
    use serde_json::Value;

    use super::super::dice::Dice;
    use super::super::naming::Naming;
    use super::Checkpoint;
    use super::Matrix;
    use super::Storage;
    use super::StoredType;
    use crate::model::Part;
    use crate::model::Role;

    /// Two blocks of a few tensors with normal values.
    pub(in crate::zoo) fn small() -> Checkpoint {
        let mut dice = Dice::new(1);
        let mut weights = BTreeMap::new();
        for layer in 0..2 {
            for (part, shape) in [
                (Part::AttentionNorm, vec![64]),
                (Part::MlpNorm, vec![64]),
                (Part::Up, vec![96, 64]),
                (Part::Down, vec![64, 96]),
            ] {
                let count = shape.iter().product();
                let values = (0..count).map(|_| dice.normal() as f32).collect();
                weights.insert(Role::layer(layer, part), Matrix { shape, values });
            }
        }
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
            "num_hidden_layers": 2, "intermediate_size": 96,
            "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "mlp_bias": false
        });
        let Value::Object(config) = config else {
            unreachable!("an object")
        };
        Checkpoint {
            config,
            tokenizer: b"{}".to_vec(),
            weights,
            naming: Naming::Llama,
            storage: Storage::default(),
        }
    }

    #[test]
    fn shards_hold_every_tensor_once_and_the_index_says_where() {
        let folder = tempfile::tempdir().expect("folder");
        let mut checkpoint = small();
        checkpoint.storage = Storage {
            dtype: StoredType::F32,
            shards: 2,
        };
        checkpoint.write(folder.path()).expect("writes");
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("file");
        let index: Map<String, Value> =
            serde_json::from_slice(&read("model.safetensors.index.json")).expect("json");
        let map = index["weight_map"].as_object().expect("map");
        assert_eq!(map.len(), checkpoint.weights.len());
        let mut seen = 0;
        for file in [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ] {
            let bytes = read(file);
            let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
            for name in tensors.names() {
                assert_eq!(map[name], file);
                seen += 1;
            }
        }
        assert_eq!(seen, map.len());
        assert_eq!(index["metadata"]["total_size"], checkpoint.parameters() * 4);
    }

    #[test]
    fn writing_twice_gives_the_same_bytes() {
        let write = || {
            let folder = tempfile::tempdir().expect("folder");
            small().write(folder.path()).expect("writes");
            std::fs::read(folder.path().join("model.safetensors")).expect("file")
        };
        assert_eq!(write(), write());
    }
}
