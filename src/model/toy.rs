//! Small models for tests: seeded, with known relations, opened from a file as any model is.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use super::tensors::TensorStore;
use super::{Binding, DecoderSpec, Expert, Model, Param, Part, RawConfig, Role, Weights, arch};
use crate::source::{Artefacts, Format};
use crate::stat::moments::Running;
use crate::stat::{random, spectral};

/// Dimensions of a toy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dims {
    pub layers: usize,
    pub width: usize,
    pub units: usize,
    pub vocab: usize,
}

impl Default for Dims {
    fn default() -> Self {
        Self {
            layers: 4,
            width: 16,
            units: 48,
            vocab: 40,
        }
    }
}

/// A model as plain vectors: `(rows, columns, values)` by role.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    pub label: String,
    pub tensors: BTreeMap<Role, (usize, usize, Vec<f32>)>,
    /// Stored names differ from the roles'.
    pub renamed: bool,
}

impl Toy {
    /// Gaussian weights from `seed`, with a spread that depends on layer and seed.
    pub fn new(seed: u64, dims: Dims) -> Self {
        let mut rng = random::stream(seed, "toy");
        let mut tensors = BTreeMap::new();
        let mut put = |role: Role, rows: usize, columns: usize, rng: &mut ChaCha8Rng| {
            let std = 0.05 * (1.0 + random::unit(rng));
            let centre = if role.part.is_norm() { 1.0 } else { 0.0 };
            let values = (0..rows * columns).map(|_| (centre + std * random::normal(rng)) as f32);
            tensors.insert(role, (rows, columns, values.collect()));
        };
        let (d, h) = (dims.width, dims.units);
        put(Role::model(Part::Embed), dims.vocab, d, &mut rng);
        put(Role::model(Part::FinalNorm), d, 1, &mut rng);
        for layer in 0..dims.layers {
            for part in [Part::Query, Part::Key, Part::Value, Part::Output] {
                put(Role::layer(layer, part), d, d, &mut rng);
            }
            for part in [Part::Query, Part::Key, Part::Value] {
                put(Role::layer(layer, part).bias(), d, 1, &mut rng);
            }
            put(Role::layer(layer, Part::AttentionNorm), d, 1, &mut rng);
            put(Role::layer(layer, Part::MlpNorm), d, 1, &mut rng);
            put(Role::layer(layer, Part::Gate), h, d, &mut rng);
            put(Role::layer(layer, Part::Up), h, d, &mut rng);
            put(Role::layer(layer, Part::Down), d, h, &mut rng);
        }
        Self {
            label: format!("toy-{seed}"),
            tensors,
            renamed: false,
        }
    }

    /// A child: every number plus noise of `level` times the spread of its tensor.
    pub fn noised(&self, level: f64, seed: u64) -> Self {
        let mut rng = random::stream(seed, "toy noise");
        let mut child = self.clone();
        child.label = format!("{}+noise", self.label);
        for (_, _, values) in child.tensors.values_mut() {
            let mut running = Running::default();
            running.extend(values);
            let scale = level * running.std();
            for value in values {
                *value += (scale * random::normal(&mut rng)) as f32;
            }
        }
        child
    }

    /// The same function with the hidden units of every MLP in another order.
    pub fn permuted(&self, seed: u64) -> Self {
        let mut rng = random::stream(seed, "toy order");
        let mut child = self.clone();
        child.label = format!("{}+permuted", self.label);
        let layers: Vec<u32> = self.tensors.keys().filter_map(|role| role.layer).collect();
        let last = layers.into_iter().max().unwrap_or(0);
        for layer in 0..=last as usize {
            let units = self.tensors[&Role::layer(layer, Part::Up)].0;
            let mut order: Vec<usize> = (0..units).collect();
            for i in (1..units).rev() {
                order.swap(i, random::below(&mut rng, i + 1));
            }
            for part in [Part::Gate, Part::Up] {
                child.keep_rows(Role::layer(layer, part), &order);
            }
            child.keep_columns(Role::layer(layer, Part::Down), &order);
        }
        child
    }

    /// Only some hidden units of every MLP.
    pub fn pruned(&self, keep: &[usize]) -> Self {
        let mut child = self.clone();
        child.label = format!("{}+pruned", self.label);
        let ups: Vec<Role> = self.tensors.keys().copied().collect();
        for role in ups {
            match role.part {
                Part::Gate | Part::Up => child.keep_rows(role, keep),
                Part::Down => child.keep_columns(role, keep),
                _ => {}
            }
        }
        child
    }

    fn keep_rows(&mut self, role: Role, order: &[usize]) {
        let (_, columns, values) = self.tensors[&role].clone();
        let rows = order
            .iter()
            .flat_map(|&i| values[i * columns..(i + 1) * columns].to_vec());
        self.tensors
            .insert(role, (order.len(), columns, rows.collect()));
    }

    fn keep_columns(&mut self, role: Role, order: &[usize]) {
        let (rows, columns, values) = self.tensors[&role].clone();
        let kept = (0..rows).flat_map(|r| order.iter().map(move |&i| (r, i)));
        let kept = kept.map(|(r, i)| values[r * columns + i]).collect();
        self.tensors.insert(role, (rows, order.len(), kept));
    }

    /// Gains folded into the matrices behind, then everything in a randomly rotated basis.
    pub fn rotated(&self, seed: u64) -> Self {
        let width = self.tensors[&Role::model(Part::Embed)].1;
        let mut rng = random::stream(seed, "toy rotation");
        let random: Vec<f64> = (0..width * width)
            .map(|_| random::normal(&mut rng))
            .collect();
        let rotation = spectral::polar(&random, width, width).unwrap();
        let mut turned = self.clone();
        let matrices = turned.tensors.iter_mut();
        for (role, (rows, columns, values)) in
            matrices.filter(|(role, _)| role.param != Param::Bias)
        {
            let gain = match role.part {
                Part::Query | Part::Key | Part::Value => Some(Part::AttentionNorm),
                Part::Gate | Part::Up => Some(Part::MlpNorm),
                _ => None,
            };
            let gain =
                gain.map(|part| &self.tensors[&Role::layer(role.layer.unwrap() as usize, part)].2);
            let at = |row: usize, column: usize| {
                let factor = gain.map_or(1.0, |gain| f64::from(gain[column]));
                f64::from(values[row * *columns + column]) * factor
            };
            let cells = (0..*rows).flat_map(|row| (0..*columns).map(move |column| (row, column)));
            *values = match role.part {
                part if part.is_norm() => vec![1.0; values.len()],
                // What is written: rotation^T W.
                Part::Output | Part::Down => cells
                    .map(|(row, column)| {
                        (0..width)
                            .map(|k| rotation[k * width + row] * at(k, column))
                            .sum::<f64>() as f32
                    })
                    .collect(),
                // What is read: W rotation.
                _ => cells
                    .map(|(row, column)| {
                        (0..width)
                            .map(|k| at(row, k) * rotation[k * width + column])
                            .sum::<f64>() as f32
                    })
                    .collect(),
            };
        }
        // The final gain belongs to the head, which is tied; it is left out here.
        turned
    }

    /// Every number plus normal noise of one size.
    pub fn shaken(&self, sigma: f64, seed: u64) -> Self {
        let mut rng = random::stream(seed, "toy shaken");
        let mut child = self.clone();
        for (_, _, values) in child.tensors.values_mut() {
            for value in values {
                *value += (sigma * random::normal(&mut rng)) as f32;
            }
        }
        child
    }

    /// The same without block `layer`.
    pub fn without_layer(&self, layer: u32) -> Self {
        let mut left = self.clone();
        left.tensors = self
            .tensors
            .iter()
            .filter(|(role, _)| role.layer != Some(layer))
            .map(|(role, tensor)| {
                let shifted = role.layer.map(|at| if at > layer { at - 1 } else { at });
                (
                    Role {
                        layer: shifted,
                        ..*role
                    },
                    tensor.clone(),
                )
            })
            .collect();
        left
    }

    /// Every hidden unit that is not among `keep` drawn anew.
    pub fn redrawn(&self, keep: &[usize], seed: u64) -> Self {
        let (_, width, _) = self.tensors[&Role::model(Part::Embed)];
        let (units, ..) = self.tensors[&Role::layer(0, Part::Up)];
        let dims = Dims {
            layers: 4,
            width,
            units,
            vocab: 4,
        };
        let other = Self::new(seed, dims);
        let mut mixed = self.clone();
        for (role, (_, columns, values)) in &mut mixed.tensors {
            let fresh = match role.part {
                Part::Gate | Part::Up | Part::Down => &other.tensors[role].2,
                _ => continue,
            };
            for (at, value) in values.iter_mut().enumerate() {
                let unit = if role.part == Part::Down {
                    at % *columns
                } else {
                    at / *columns
                };
                if !keep.contains(&unit) {
                    *value = fresh[at];
                }
            }
        }
        mixed
    }

    /// Only the first `groups` key-value groups: query heads of eight dimensions then share them.
    pub fn grouped(&self, groups: usize) -> Self {
        let mut child = self.clone();
        let keep: Vec<usize> = (0..8 * groups).collect();
        for role in self.tensors.keys() {
            if matches!(role.part, Part::Key | Part::Value) {
                child.keep_rows(*role, &keep);
            }
        }
        child
    }

    /// Every MLP cut into `count` routed experts of equal width, with a router drawn from `seed`.
    pub fn with_experts(&self, count: usize, seed: u64) -> Self {
        let mut rng = random::stream(seed, "toy router");
        let mut child = self.clone();
        for (role, (rows, columns, values)) in &self.tensors {
            let turned = role.part == Part::Down;
            if !matches!(role.part, Part::Gate | Part::Up | Part::Down) {
                continue;
            }
            child.tensors.remove(role);
            let units = if turned { *columns } else { *rows } / count;
            for expert in 0..count {
                let own = expert * units..(expert + 1) * units;
                let mut part = Self {
                    label: String::new(),
                    tensors: BTreeMap::from([(*role, (*rows, *columns, values.clone()))]),
                    renamed: false,
                };
                let own: Vec<usize> = own.collect();
                if turned {
                    part.keep_columns(*role, &own);
                } else {
                    part.keep_rows(*role, &own);
                }
                let role_of = role.of_expert(Expert::Routed(expert as u32));
                child
                    .tensors
                    .extend(part.tensors.remove(role).map(|tensor| (role_of, tensor)));
            }
            if role.part == Part::Up {
                let router = Role {
                    part: Part::Router,
                    ..*role
                };
                let draws = (0..count * columns).map(|_| 0.1 * random::normal(&mut rng) as f32);
                child
                    .tensors
                    .insert(router, (count, *columns, draws.collect()));
            }
        }
        child
    }

    /// Attention heads of eight dimensions in another order, alike in every layer.
    pub fn with_heads(&self, order: &[usize]) -> Self {
        let lines: Vec<usize> = order
            .iter()
            .flat_map(|head| head * 8..(head + 1) * 8)
            .collect();
        let mut child = self.clone();
        for role in self.tensors.keys() {
            match role.part {
                Part::Query | Part::Key | Part::Value => child.keep_rows(*role, &lines),
                Part::Output => child.keep_columns(*role, &lines),
                _ => {}
            }
        }
        child
    }

    /// The Llama that the tensors are of, with heads of at most eight dimensions.
    fn spec(&self) -> DecoderSpec {
        let (vocab_size, hidden_size, _) = self.tensors[&Role::model(Part::Embed)];
        let blocks = self.tensors.keys().filter_map(|role| role.layer);
        let layers = blocks.max().map_or(0, |last| last as usize + 1);
        let units = self.tensors.get(&Role::layer(0, Part::Up));
        let head_dim = if hidden_size % 8 == 0 { 8 } else { hidden_size };
        let heads = |part: Part| {
            let stored = self.tensors.get(&Role::layer(0, part));
            (stored.map_or(hidden_size, |(rows, ..)| *rows) / head_dim).max(1)
        };
        let (heads, groups) = (heads(Part::Query), heads(Part::Key));
        let config = serde_json::json!({
            "model_type": "llama", "vocab_size": vocab_size, "hidden_size": hidden_size,
            "intermediate_size": units.map_or(1, |(rows, ..)| *rows), "num_hidden_layers": layers,
            "num_attention_heads": heads, "head_dim": head_dim,
            "num_key_value_heads": groups, "hidden_act": "silu",
            "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "tie_word_embeddings": true,
        });
        let Value::Object(config) = config else {
            unreachable!("an object was written")
        };
        let config = RawConfig::new(config);
        let family = arch::family(&config).unwrap();
        (family.spec)(&config).unwrap()
    }

    /// Written to a folder and opened as any model is. The folder goes with the second value.
    pub fn open(&self) -> (Model, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut views = BTreeMap::new();
        let mut bindings = BTreeMap::new();
        for (role, (rows, columns, values)) in &self.tensors {
            let name = if self.renamed {
                format!("net.{role}.tensor")
            } else {
                role.to_string()
            };
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let shape = if *columns == 1 {
                vec![*rows]
            } else {
                vec![*rows, *columns]
            };
            bindings.insert(*role, Binding::whole(name.clone()));
            views.insert(name, (shape, bytes));
        }
        std::fs::write(&path, serialise(&views)).unwrap();
        let store = TensorStore::open_files([path.as_path()], Format::Safetensors).unwrap();
        let (weights, unbound) = Weights::new(store, &bindings);
        assert!(unbound.is_empty(), "{unbound:?}");
        (
            Model {
                spec: Ok(self.spec()),
                plan: Ok(self.spec()),
                ..model(&self.label, weights)
            },
            folder,
        )
    }
}

/// A safetensors file.
fn serialise(tensors: &BTreeMap<String, (Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let mut header = Map::new();
    let mut at = 0;
    for (name, (shape, bytes)) in tensors {
        let entry = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [at, at + bytes.len()],
        });
        at += bytes.len();
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    for (_, bytes) in tensors.values() {
        file.extend(bytes);
    }
    file
}

fn model(label: &str, weights: Weights) -> Model {
    Model {
        label: label.to_owned(),
        artefacts: Artefacts {
            reference: label.to_owned(),
            revision: None,
            format: Format::Safetensors,
            weights: Vec::new(),
            config: None,
            tokenizer: None,
            others: Vec::new(),
            run: None,
            parts: None,
            endpoint: None,
        },
        config: Map::new(),
        family: None,
        spec: Err("a toy has none".to_owned()),
        plan: Err("a toy has none".to_owned()),
        weights,
        tokenizer: Err("a toy has none".to_owned()),
        parameters: 0,
        caveats: Vec::new(),
        mapped: None,
        sight: None,
        reader: None,
    }
}
