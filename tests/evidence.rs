//! From two folders to findings: small Llama checkpoints with known relations, opened, profiled,
//! assessed and judged as any model is.

use std::collections::BTreeMap;
use std::path::Path;

use half::bf16;
use kinprobe::evidence::{self, Assessment, Finding, Outcome, Pair, Subject};
use kinprobe::model::Model;
use kinprobe::record::{self, WeightProfile};
use kinprobe::source::{self, OpenOptions, Silent};
use kinprobe::stat::random;
use kinprobe::verdict::{self, Calibration, Findings, LineageConclusion};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const LAYERS: usize = 3;
const WIDTH: usize = 32;
const UNITS: usize = 96;
const VOCAB: usize = 64;

/// Tensors by Hugging Face's names for Llama.
#[derive(Clone)]
pub(crate) struct Checkpoint {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    model_type: &'static str,
    dtype: Dtype,
}

impl Checkpoint {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = random::stream(seed, "checkpoint");
        let mut tensors = BTreeMap::new();
        let mut put = |name: String, shape: &[usize], centre: f32| {
            let count = shape.iter().product();
            let values = (0..count).map(|_| centre + 0.1 * random::normal(&mut rng) as f32);
            tensors.insert(name, (shape.to_vec(), values.collect()));
        };
        put("model.embed_tokens.weight".to_owned(), &[VOCAB, WIDTH], 0.0);
        put("lm_head.weight".to_owned(), &[VOCAB, WIDTH], 0.0);
        put("model.norm.weight".to_owned(), &[WIDTH], 1.0);
        for layer in 0..LAYERS {
            let name = |rest: &str| format!("model.layers.{layer}.{rest}.weight");
            put(name("input_layernorm"), &[WIDTH], 1.0);
            put(name("post_attention_layernorm"), &[WIDTH], 1.0);
            put(name("self_attn.q_proj"), &[WIDTH, WIDTH], 0.0);
            put(name("self_attn.k_proj"), &[WIDTH / 2, WIDTH], 0.0);
            put(name("self_attn.v_proj"), &[WIDTH / 2, WIDTH], 0.0);
            put(name("self_attn.o_proj"), &[WIDTH, WIDTH], 0.0);
            put(name("mlp.gate_proj"), &[UNITS, WIDTH], 0.0);
            put(name("mlp.up_proj"), &[UNITS, WIDTH], 0.0);
            put(name("mlp.down_proj"), &[WIDTH, UNITS], 0.0);
        }
        Self {
            tensors,
            model_type: "llama",
            dtype: Dtype::F32,
        }
    }

    pub(crate) fn noised(mut self, seed: u64) -> Self {
        let mut rng = random::stream(seed, "checkpoint noise");
        for (_, values) in self.tensors.values_mut() {
            for value in values {
                *value += 0.05 * random::normal(&mut rng) as f32;
            }
        }
        self
    }

    /// Yi's first naming: the same plan with two tensors renamed.
    fn renamed(mut self) -> Self {
        let new = |name: &str| {
            name.replace("input_layernorm", "ln1")
                .replace("post_attention_layernorm", "ln2")
        };
        self.tensors = self
            .tensors
            .into_iter()
            .map(|(name, tensor)| (new(&name), tensor))
            .collect();
        self.model_type = "Yi";
        self
    }

    /// Numbers that bf16 holds exactly, stored as `dtype`.
    fn rounded(mut self, dtype: Dtype) -> Self {
        for (_, values) in self.tensors.values_mut() {
            values
                .iter_mut()
                .for_each(|value| *value = bf16::from_f32(*value).to_f32());
        }
        self.dtype = dtype;
        self
    }

    fn write(&self, folder: &Path) {
        let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (shape, values))| {
                let bytes = values.iter().flat_map(|value| match self.dtype {
                    Dtype::BF16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
                    _ => value.to_le_bytes().to_vec(),
                });
                (name.clone(), shape.clone(), bytes.collect())
            })
            .collect();
        let views: BTreeMap<&str, TensorView<'_>> = bytes
            .iter()
            .map(|(name, shape, bytes)| {
                let view = TensorView::new(self.dtype, shape.clone(), bytes).unwrap();
                (name.as_str(), view)
            })
            .collect();
        let file = folder.join("model.safetensors");
        safetensors::serialize_to_file(views, None, &file).unwrap();
        let config = serde_json::json!({
            "model_type": self.model_type, "vocab_size": VOCAB, "hidden_size": WIDTH,
            "intermediate_size": UNITS, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
            "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "max_position_embeddings": 128, "tie_word_embeddings": false,
        });
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    }
}

pub(crate) struct Opened {
    pub(crate) model: Model,
    profile: WeightProfile,
    _folder: tempfile::TempDir,
}

impl Opened {
    pub(crate) fn new(label: &str, checkpoint: &Checkpoint) -> Self {
        let folder = tempfile::tempdir().unwrap();
        checkpoint.write(folder.path());
        Self::of(label, folder)
    }

    /// The model in `folder`, which goes with it.
    pub(crate) fn of(label: &str, folder: tempfile::TempDir) -> Self {
        let reference = folder.path().to_str().unwrap().parse().unwrap();
        let artefacts = source::open(&reference, &OpenOptions::default()).unwrap();
        let model = Model::open(artefacts, label).unwrap();
        Self {
            profile: record::profile(&model, &Silent).unwrap(),
            model,
            _folder: folder,
        }
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            model: &self.model,
            profile: Some(&self.profile),
            recordings: &[],
            activations: None,
            patches: Err("it sees nothing"),
            missing: Some("no suite was asked"),
        }
    }
}

fn judged(reference: &Checkpoint, suspect: &Checkpoint) -> (Vec<Assessment>, Findings) {
    let (a, b) = (
        Opened::new("reference", reference),
        Opened::new("suspect", suspect),
    );
    let others =
        [91, 92, 93].map(|seed| Opened::new(&format!("base-{seed}"), &Checkpoint::random(seed)));
    let population: Vec<Subject<'_>> = others.iter().map(Opened::subject).collect();
    let pair = Pair {
        reference: a.subject(),
        suspect: b.subject(),
        population: &population,
        derived: None,
        references: &[],
        seed: 0,
        memo: evidence::Memo::default(),
    };
    let mut started = Vec::new();
    let assessments = evidence::assess_all(&pair, true, |card| started.push(card.id));
    assert_eq!(started.len(), evidence::methods().count());
    let calibration = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let findings = verdict::judge(&assessments, &calibration);
    (assessments, findings)
}

fn finding<'a>(assessments: &'a [Assessment], id: &str) -> &'a Finding {
    assessments
        .iter()
        .find(|one| one.card.id == id)
        .unwrap()
        .finding()
        .unwrap()
}

#[test]
fn a_noised_copy_is_related() {
    let base = Checkpoint::random(1);
    let (assessments, findings) = judged(&base, &base.clone().noised(5));
    let lineage = &findings.lineage;
    assert_eq!(lineage.conclusion, LineageConclusion::Related);
    assert_eq!(lineage.decided_by.as_deref(), Some("weight.row_matching"));
    assert!(lineage.log10_p.unwrap() < -100.0);
    assert_eq!(
        (lineage.relation.as_deref(), lineage.laundering.len()),
        (Some("noised"), 0)
    );
    assert_eq!(findings.architecture.conclusion, "same");
    let rows = finding(&assessments, "weight.row_matching");
    assert!(rows.null.contains("independent pairs"), "{}", rows.null);
}

#[test]
fn a_renamed_copy_is_related_and_named_so() {
    let base = Checkpoint::random(1);
    let (_, findings) = judged(&base, &base.clone().renamed());
    assert_eq!(findings.lineage.conclusion, LineageConclusion::Related);
    assert_eq!(findings.lineage.relation.as_deref(), Some("renamed"));
    assert_eq!(findings.lineage.laundering, vec!["renamed"]);
    assert_eq!(findings.architecture.conclusion, "renamed");
}

/// Renamed and of no family that is known: no role, no exact test, and still the same bits.
#[test]
fn a_copy_of_unknown_architecture_is_found_by_its_bits() {
    let base = Checkpoint::random(1);
    let mut copy = base.clone();
    copy.model_type = "brand-new";
    let all = copy.tensors.into_iter();
    copy.tensors = all
        .map(|(name, tensor)| (format!("net.{}", name.len()) + &name, tensor))
        .collect();
    let (assessments, findings) = judged(&base, &copy);
    assert!(
        assessments
            .iter()
            .any(|one| matches!(&one.outcome, Ok(Outcome::NotApplicable(_))))
    );
    assert_eq!(findings.lineage.conclusion, LineageConclusion::Related);
    assert_eq!(
        findings.lineage.decided_by.as_deref(),
        Some("weight.identical_tensors")
    );
    assert_eq!(findings.lineage.relation.as_deref(), Some("renamed"));
    assert_eq!(findings.architecture.conclusion, "renamed");
}

/// The same numbers in another storage type are the same numbers.
#[test]
fn another_storage_type_is_identical_after_decoding() {
    let base = Checkpoint::random(1).rounded(Dtype::BF16);
    let (assessments, findings) = judged(&base, &base.clone().rounded(Dtype::F32));
    assert_eq!(
        finding(&assessments, "weight.identical_tensors").statistic,
        1.0
    );
    assert_eq!(findings.lineage.relation.as_deref(), Some("identical"));
    assert!(findings.lineage.laundering.is_empty());
}

/// One plan, one kind of data, other weights: alike in everything but what counts.
#[test]
fn same_plan_with_independent_weights_is_not_related() {
    for seed in 2..6 {
        let (assessments, findings) = judged(&Checkpoint::random(1), &Checkpoint::random(seed));
        assert_ne!(findings.lineage.conclusion, LineageConclusion::Related);
        assert_eq!(findings.architecture.conclusion, "same");
        assert!(findings.lineage.because.contains("Not related by any test"));
        let bits = finding(&assessments, "weight.identical_tensors");
        assert_eq!(bits.statistic, 0.0);
        let calibration = Calibration::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        for one in &assessments {
            if let Some(finding) = one.finding() {
                let supports = verdict::supports(one.card, finding, &calibration);
                assert!(
                    matches!(supports, "neither" | "descriptive"),
                    "{}",
                    one.card.id
                );
            }
        }
    }
}

/// Missing is a word with a reason.
#[test]
fn what_was_not_recorded_is_said() {
    let (assessments, findings) = judged(&Checkpoint::random(1), &Checkpoint::random(2));
    let cka = assessments
        .iter()
        .find(|one| one.card.id == "activation.linear_cka")
        .unwrap();
    let Ok(Outcome::NotApplicable(reason)) = &cka.outcome else {
        panic!()
    };
    assert_eq!(reason, "reference: no suite was asked");
    assert_eq!(findings.behaviour.conclusion, "not_measured");
    assert_eq!(findings.tokenizer.conclusion, "undetermined");
}
