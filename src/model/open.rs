//! Files -> model.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::arch::{self, Readings};
use super::config::RawConfig;
use super::reader::{self, Blueprint};
use super::role::{Part, Role};
use super::tensors::TensorStore;
use super::tokenizer::Tokenizer;
use super::weights::Weights;
use super::{Error, Model, SERVED};
use crate::source::{Artefact, Artefacts, Format};
use crate::text::ModelText;

/// Largest `config.json` that is read; real ones have some kB.
const MAX_CONFIG: u64 = 16 << 20;

impl Model {
    /// Opens a model: checks the headers of its weight files, reads its config, finds its family,
    /// binds roles and loads its tokenizer.
    ///
    /// An unknown architecture is not an error, nor is a missing or unusable tokenizer: the model is
    /// then compared without roles, or not run, and says why.
    ///
    /// # Errors
    /// Weight files or a config that are not what they should be.
    pub fn open(artefacts: Artefacts, label: &str) -> Result<Self, Error> {
        if artefacts.endpoint.is_some() {
            return Self::served(artefacts, label);
        }
        let store = TensorStore::open(&artefacts)?;
        let mut caveats = storage_caveats(&store);
        let config = match (&artefacts.config, artefacts.format) {
            (Some(file), _) => RawConfig::new(read_object(&file.path)?),
            // Without an architecture there is nothing to read: the tensors are still compared.
            (None, Format::Gguf) => {
                RawConfig::from_gguf(&store).unwrap_or_else(|_| RawConfig::new(Map::new()))
            }
            (None, Format::Safetensors) => RawConfig::new(Map::new()),
        };
        let reading = Reading::new(&config, store);
        caveats.extend(reading.caveats);
        let (config, weights) = (reading.config, reading.weights);
        let mut tokenizer = open_tokenizer(&artefacts, weights.store(), &config);
        if let (Ok(found), Some(rows)) = (&mut tokenizer, embedding_rows(&weights, &config)) {
            match found.fit(rows) {
                Ok(caveat) => caveats.extend(caveat),
                Err(reason) => tokenizer = Err(format!("{}: {reason}", tokenizer_file(&artefacts))),
            }
        }
        let reader = open_reader(&artefacts, weights.store(), &config);
        if let Some(Ok(reader)) = &reader {
            caveats.push(reader.family.caveat.to_owned());
        }
        Ok(Self {
            label: label.to_owned(),
            parameters: parameters(weights.store()),
            config,
            family: reading.family,
            spec: reading.readings.spec,
            plan: reading.readings.plan,
            weights,
            tokenizer,
            caveats,
            artefacts,
            mapped: None,
            sight: None,
            reader,
        })
    }

    /// What there is of a model behind a server: nothing but where it is.
    fn served(artefacts: Artefacts, label: &str) -> Result<Self, Error> {
        let (weights, _) = Weights::new(TensorStore::open(&artefacts)?, &BTreeMap::new());
        Ok(Self {
            label: label.to_owned(),
            artefacts,
            config: Map::new(),
            family: None,
            spec: Err(SERVED.to_owned()),
            plan: Err(SERVED.to_owned()),
            weights,
            tokenizer: Err(SERVED.to_owned()),
            parameters: 0,
            caveats: vec![
                "nothing is known of it but its answers; its digest is of what the server says of itself".to_owned(),
            ],
            mapped: None,
            sight: None,
            reader: None,
        })
    }

    /// `sha256:…` of the model's files; see [`Artefacts::digest`].
    pub fn digest(&self) -> String {
        self.artefacts.digest()
    }

    /// What recordings of it are filed under: its digest, with the assignment of its tensors to roles
    /// where that is not in its files.
    pub fn identity(&self) -> String {
        match &self.mapped {
            None => self.digest(),
            Some(mapped) => format!("{} roles {mapped}", self.digest()),
        }
    }
}

/// A config as its family reads it, and the weights bound to its roles.
struct Reading {
    config: Map<String, Value>,
    family: Option<&'static str>,
    readings: Readings,
    weights: Weights,
    caveats: Vec<String>,
}

impl Reading {
    fn new(config: &RawConfig, store: TensorStore) -> Self {
        let family = arch::family(config).map(|family| family.id);
        let described = match arch::describe(config, &store) {
            Ok(Some(described)) => Ok(described),
            Ok(None) => Err(unknown_architecture(config)),
            Err(error) => Err(error.to_string()),
        };
        let none = BTreeMap::new();
        let bindings = described
            .as_ref()
            .map_or(&none, |described| &described.bindings);
        let (weights, unbound) = Weights::new(store, bindings);
        let mut caveats = Vec::new();
        let readings = match described {
            Ok(described) => {
                caveats.clone_from(&described.spec.caveats);
                described.readings(&weights, &unbound)
            }
            Err(why) => Readings {
                spec: Err(why.clone()),
                plan: Err(why),
            },
        };
        Self {
            config: config.map().clone(),
            family,
            readings,
            weights,
            caveats,
        }
    }
}

fn unknown_architecture(config: &RawConfig) -> String {
    match config.model_type() {
        "" => "the files do not say of which architecture the model is".to_owned(),
        named => {
            let named = ModelText::new(named).clipped(60);
            format!("the architecture `{named}` is not known")
        }
    }
}

/// Stored numbers that training moves: integer buffers (position ids, masks) are left out.
fn parameters(store: &TensorStore) -> u64 {
    store
        .iter()
        .filter(|(_, info)| info.dtype.is_float())
        .map(|(_, info)| info.elements as u64)
        .sum()
}

/// What the way of storing does to the numbers.
fn storage_caveats(store: &TensorStore) -> Vec<String> {
    let mut quantised: BTreeMap<&str, usize> = BTreeMap::new();
    let mut caveats = Vec::new();
    for (_, info) in store.iter().filter(|(_, info)| info.dtype.is_quantised()) {
        *quantised.entry(info.dtype.name).or_default() += 1;
    }
    if !quantised.is_empty() {
        let counts: Vec<String> = quantised
            .iter()
            .map(|(name, count)| format!("{count} as {name}"))
            .collect();
        caveats.push(format!(
            "weights are rounded: tensors are stored {}",
            counts.join(", ")
        ));
    }
    let scaled = store
        .names()
        .filter(|name| name.ends_with("_scale_inv") || name.ends_with(".weight_scale"));
    match scaled.count() {
        0 => {}
        count => caveats.push(format!(
            "{count} tensors of scales belong to 8-bit weights, which are compared without them"
        )),
    }
    let packed = store
        .names()
        .filter(|name| name.ends_with(".qweight") || name.ends_with(".weight_packed"));
    match packed.count() {
        0 => {}
        count => caveats.push(format!(
            "{count} tensors are packed integers (GPTQ, AWQ or the like), which are compared only bit by bit"
        )),
    }
    caveats
}

fn embedding_rows(weights: &Weights, config: &Map<String, Value>) -> Option<usize> {
    let declared = || usize::try_from(config.get("vocab_size")?.as_u64()?).ok();
    weights
        .shape(&Role::model(Part::Embed))
        .map(|(rows, _)| rows)
        .or_else(declared)
}

fn open_tokenizer(
    artefacts: &Artefacts,
    store: &TensorStore,
    config: &Map<String, Value>,
) -> Result<Tokenizer, String> {
    let opened = match (&artefacts.tokenizer, artefacts.format) {
        (Some(file), _) => Tokenizer::from_file(&file.path),
        (None, Format::Gguf) => Tokenizer::from_gguf(store.metadata(), &tokenizer_file(artefacts)),
        (None, Format::Safetensors) => return Err("the model has no tokenizer.json".to_owned()),
    };
    let mut tokenizer = opened.map_err(|error| error.to_string())?;
    tokenizer.add_eos(ids(config.get("eos_token_id")));
    for file in &artefacts.others {
        add_eos_of(file, &mut tokenizer)?;
    }
    Ok(tokenizer)
}

/// Ends of text that `generation_config.json` and `tokenizer_config.json` name.
fn add_eos_of(file: &Artefact, tokenizer: &mut Tokenizer) -> Result<(), String> {
    let name = file.name.rsplit('/').next().unwrap_or_default();
    let reads_ids = name == "generation_config.json";
    if !reads_ids && name != "tokenizer_config.json" {
        return Ok(());
    }
    let fields = read_object(&file.path).map_err(|error| error.to_string())?;
    if reads_ids {
        tokenizer.add_eos(ids(fields.get("eos_token_id")));
    } else {
        let token = match fields.get("eos_token") {
            Some(Value::Object(token)) => token.get("content").and_then(Value::as_str),
            other => other.and_then(Value::as_str),
        };
        let id = token.and_then(|token| tokenizer.id(token));
        tokenizer.add_eos(id);
    }
    Ok(())
}

/// One id or a list of them.
fn ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// How the model reads pictures with parts of its own.
fn open_reader(
    artefacts: &Artefacts,
    store: &TensorStore,
    config: &Map<String, Value>,
) -> Option<Result<Arc<Blueprint>, String>> {
    let config = RawConfig::new(config.clone());
    reader::family(&config)?;
    let processor = match processor(artefacts) {
        Ok(processor) => processor,
        Err(error) => return Some(Err(error.to_string())),
    };
    let file = artefacts.config.as_ref().map(|file| file.path.display());
    let file = ModelText::new(file.map_or_else(String::new, |file| file.to_string()));
    let blueprint = Blueprint::new(&config, processor, store)?;
    Some(match blueprint {
        Ok(blueprint) => Ok(Arc::new(blueprint)),
        Err(error) => Err(format!("{file}: {error}")),
    })
}

/// `preprocessor_config.json`, or what stands for it in the `processor_config.json` of `transformers` 5.
fn processor(artefacts: &Artefacts) -> Result<Option<Map<String, Value>>, Error> {
    let named = |name: &str| {
        let mut others = artefacts.others.iter();
        others.find(|file| file.name.rsplit('/').next() == Some(name))
    };
    if let Some(file) = named("preprocessor_config.json") {
        return read_object(&file.path).map(Some);
    }
    let Some(file) = named("processor_config.json") else {
        return Ok(None);
    };
    let mut fields = read_object(&file.path)?;
    Ok(match fields.remove("image_processor") {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    })
}

fn tokenizer_file(artefacts: &Artefacts) -> String {
    let file = artefacts.tokenizer.as_ref().or(artefacts.weights.first());
    let path = file.map(|file| file.path.display().to_string());
    ModelText::new(path.unwrap_or_default()).to_string()
}

/// A JSON object of bounded size.
fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    let wrong = |reason: String| Error::Json {
        file: ModelText::new(path.display().to_string()).to_string(),
        reason,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX_CONFIG + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > MAX_CONFIG {
        return Err(wrong(format!(
            "a config of more than {MAX_CONFIG} bytes is not read"
        )));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong(
            "it is not a JSON object; fetch the file again".to_owned(),
        )),
        Err(error) => {
            let error = ModelText::new(error.to_string()).clipped(200);
            Err(wrong(format!(
                "it is not JSON ({error}); fetch the file again"
            )))
        }
    }
}
