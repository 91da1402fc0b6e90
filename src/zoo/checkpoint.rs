//! A member in memory, and the folder it becomes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::model;
use crate::model::DecoderSpec;
use crate::model::Family;
use crate::model::Model;
use crate::model::RawConfig;
use crate::model::Role;
use crate::model::arch;
use crate::model::store;
use crate::model::store::Files;
use crate::model::store::NumberFormat;
use crate::model::store::StoredTensor;
use crate::model::vision;
use crate::model::vision::VisionSpec;
use crate::source::Format;

use super::error::Error;

/// Weights by role with the files that go with them.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// `config.json`.
    pub config: Map<String, Value>,
    /// `tokenizer.json`, byte for byte.
    pub tokenizer: Vec<u8>,
    /// Values in f32.
    pub weights: BTreeMap<Role, Matrix>,
    /// The vision part by its family's names; empty for a model that reads text alone.
    pub sight: BTreeMap<String, Matrix>,
    /// What it is written as, where no family reads that.
    pub mask: Option<Mask>,
    /// How they are stored.
    pub storage: Storage,
}

/// Names and config that no family has.
#[derive(Debug, Clone)]
pub struct Mask {
    /// `config.json`.
    pub config: Map<String, Value>,
    /// In every tensor's name, each of the first becomes the second, in this order.
    pub renames: Vec<(String, String)>,
}

/// One weight: `[rows, cols]`, or a vector `[rows]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// One or two dimensions; a tensor of the vision part may have more.
    pub shape: Vec<usize>,
    /// Row by row.
    pub values: Vec<f32>,
}

/// How weights lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Of every tensor.
    pub dtype: NumberFormat,
    /// Files; more than one has an index.
    pub shards: usize,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            dtype: NumberFormat::Bf16,
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
            let values = model.weights.all(role).map_err(model::Error::from)?;
            weights.insert(*role, Matrix { shape, values });
        }
        Ok(Self {
            config: model.config.clone(),
            tokenizer,
            weights,
            sight: sight(model)?,
            mask: None,
            storage: Storage::default(),
        })
    }

    /// A config and a tokenizer, without weights yet.
    pub(super) fn empty(config: Map<String, Value>, tokenizer: Vec<u8>) -> Self {
        Self {
            config,
            tokenizer,
            weights: BTreeMap::new(),
            sight: BTreeMap::new(),
            mask: None,
            storage: Storage::default(),
        }
    }

    /// Another size in the config, by Llama's word for it.
    pub(super) fn set(&mut self, word: &str, value: Value) {
        let key = self.key(word).to_owned();
        self.config.insert(key, value);
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
        let all = self.weights.values().chain(self.sight.values());
        all.map(|weight| weight.values.len() as u64).sum()
    }

    /// How the model sees, where it does.
    ///
    /// # Errors
    /// [`Error::Config`] for a vision part that makes no sense.
    pub(super) fn vision(&self) -> Result<Option<VisionSpec>, Error> {
        match VisionSpec::new(&RawConfig::new(self.config.clone())) {
            Ok(spec) => Ok(Some(spec)),
            Err(vision::Error::Blind(_)) => Ok(None),
            Err(error) => Err(Error::Config {
                reason: error.to_string(),
            }),
        }
    }

    /// How its family reads its config.
    ///
    /// # Errors
    /// [`Error::Config`] for one that no family reads.
    pub(super) fn described(&self) -> Result<(&'static Family, DecoderSpec), Error> {
        let config = RawConfig::new(self.config.clone());
        let family = arch::family(&config).ok_or_else(|| Error::Config {
            reason: format!("no family reads model_type {}", config.model_type()),
        })?;
        let spec = (family.spec)(&config).map_err(|error| Error::Config {
            reason: error.to_string(),
        })?;
        Ok((family, spec))
    }

    /// Writes the folder: `config.json`, `tokenizer.json` and the weights as its family stores them.
    ///
    /// # Errors
    /// A config that no family reads, weights that do not fit it, what the file system answers.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let (family, spec) = self.described()?;
        let names = arch::names_of(family, &spec, Format::Safetensors);
        let names = names.map_err(model::Error::from)?;
        let mut tensors = store::plan(&spec.roles(), &names)?;
        tensors.extend(self.sight.iter().map(|(name, weight)| {
            StoredTensor::plain(name.clone(), weight.shape.clone(), weight.values.clone())
        }));
        let mask = self.mask.as_ref();
        for (from, to) in mask.into_iter().flat_map(|mask| &mask.renames) {
            for tensor in &mut tensors {
                tensor.name = tensor.name.replace(from, to);
            }
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(Error::io(&path))
        };
        let config = mask.map_or(&self.config, |mask| &mask.config);
        let config = Value::Object(config.clone());
        put("config.json", format!("{config:#}\n").as_bytes())?;
        put("tokenizer.json", &self.tokenizer)?;
        let files = Files {
            format: self.storage.dtype,
            shards: self.storage.shards,
        };
        files.write(folder, &tensors, &mut |role| self.values(role))
    }

    fn values(&self, role: &Role) -> Result<Vec<f32>, Error> {
        let weight = self
            .weights
            .get(role)
            .ok_or_else(|| store::Error::Unstorable {
                what: role.to_string(),
                reason: "the config asks for it and it is not there".to_owned(),
            })?;
        Ok(weight.values.clone())
    }
}

/// The vision part of a model that has one under its family's names.
fn sight(model: &Model) -> Result<BTreeMap<String, Matrix>, Error> {
    let store = model.weights.store();
    let Ok(spec) = VisionSpec::new(&RawConfig::new(model.config.clone())) else {
        return Ok(BTreeMap::new());
    };
    let mut found = BTreeMap::new();
    for (name, shape) in spec.tensors() {
        let count = shape.iter().product::<usize>();
        let values = store
            .elements(&name, 0..count)
            .map_err(model::Error::from)?;
        found.insert(name, Matrix { shape, values });
    }
    Ok(found)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use safetensors::SafeTensors;
    use serde_json::Map;
    use serde_json::Value;

    use super::super::dice::Dice;
    use super::Checkpoint;
    use super::Matrix;
    use super::Model;
    use super::NumberFormat;
    use super::Storage;

    /// A llama of two blocks with normal values.
    pub(in crate::zoo) fn small() -> Checkpoint {
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 40,
            "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 512, "mlp_bias": false, "tie_word_embeddings": true
        });
        let Value::Object(config) = config else {
            unreachable!("an object")
        };
        let mut checkpoint = Checkpoint {
            config,
            tokenizer: b"{}".to_vec(),
            weights: BTreeMap::new(),
            sight: BTreeMap::new(),
            mask: None,
            storage: Storage::default(),
        };
        let (_, spec) = checkpoint.described().expect("a llama");
        let mut dice = Dice::new(1);
        for (role, (rows, columns)) in spec.roles() {
            let shape = if role.is_vector() {
                vec![rows]
            } else {
                vec![rows, columns]
            };
            let values = (0..rows * columns).map(|_| dice.normal() as f32).collect();
            checkpoint.weights.insert(role, Matrix { shape, values });
        }
        checkpoint
    }

    #[test]
    fn shards_hold_every_tensor_once_and_the_index_says_where() {
        let folder = tempfile::tempdir().expect("folder");
        let mut checkpoint = small();
        checkpoint.storage = Storage {
            dtype: NumberFormat::F32,
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

    /// As [`small`], with eyes.
    pub(in crate::zoo) fn seeing() -> Checkpoint {
        let mut checkpoint = small();
        let eyes = serde_json::json!({
            "model_type": "minicpmv", "version": "2.5", "query_num": 4, "resampler_num_heads": 2,
            "slice_config": {"max_slice_nums": 1, "patch_size": 8, "scale_resolution": 16},
            "drop_vision_last_layer": false,
            "vision_config": {"hidden_size": 16, "image_size": 32, "intermediate_size": 24,
                "num_attention_heads": 2, "num_hidden_layers": 2, "patch_size": 8}
        });
        let Value::Object(eyes) = eyes else {
            unreachable!("an object")
        };
        checkpoint.config.extend(eyes);
        let vision = checkpoint.vision().expect("a config").expect("eyes");
        let mut dice = Dice::new(2);
        for (name, shape) in vision.tensors() {
            let count = shape.iter().product();
            let values = (0..count).map(|_| dice.normal() as f32).collect();
            checkpoint.sight.insert(name, Matrix { shape, values });
        }
        checkpoint
    }

    fn reopened(folder: &std::path::Path) -> Model {
        let reference = crate::source::ModelRef {
            label: None,
            locator: crate::source::Locator::Local(folder.to_path_buf()),
        };
        let artefacts = crate::source::open(&reference, &crate::source::OpenOptions::default());
        Model::open(artefacts.expect("opens"), "it").expect("a model")
    }

    #[test]
    fn a_vision_part_is_written_and_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let mut checkpoint = seeing();
        checkpoint.storage.dtype = NumberFormat::F32;
        checkpoint.write(folder.path()).expect("writes");
        let again = Checkpoint::of(&reopened(folder.path())).expect("reads");
        assert_eq!(again.sight, checkpoint.sight);
        assert_eq!(again.weights, checkpoint.weights);
    }

    /// What no family reads is found beside the model that it was.
    #[test]
    fn a_mask_is_seen_through_beside_the_original() {
        let [plain, masked] = [(); 2].map(|()| tempfile::tempdir().expect("folder"));
        let mut checkpoint = seeing();
        checkpoint.write(plain.path()).expect("writes");
        let rename = serde_json::json!({"rename": {"family": "llama3v"}});
        let rename: crate::zoo::transform::Transformation =
            serde_json::from_value(rename).expect("a transformation");
        let no_tokenizer = |name: &str| panic!("no tokenizer {name} is asked for");
        let renamed = rename.apply(&mut checkpoint, &no_tokenizer);
        renamed.expect("renames");
        checkpoint.write(masked.path()).expect("writes");
        let (plain, masked) = (reopened(plain.path()), reopened(masked.path()));
        assert!(masked.plan.is_err() && masked.sight.is_none());
        let known = crate::model::mapping::with_roles_of(&masked, &plain);
        let known = known.expect("reads").expect("roles");
        let sight = known.sight.as_ref().expect("eyes");
        assert_eq!(sight.names.len(), checkpoint.sight.len());
        for (name, stored) in &sight.names {
            let own = name
                .replace("vpm.", "sight.")
                .replace("resampler.", "perceiver.");
            let own = own
                .replace("layers.", "blocks.")
                .replace(".self_attn.", ".attention.")
                .replace(".mlp.", ".feed_forward.")
                .replace(".in_proj_", ".packed_");
            assert_eq!(
                (stored.tensor.as_str(), stored.turned),
                (own.as_str(), false)
            );
        }
        assert!(crate::model::vision::Vision::open(&known, &candle_core::Device::Cpu).is_ok());
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
