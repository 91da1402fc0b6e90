//! What a comparison will read and run, before it does.

mod shared_errors;

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use candle_core::Device;
use candle_core::Tensor;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::memory;
use crate::cli::pipeline::Bench;
use crate::cli::pipeline::Depth;
use crate::evidence;
use crate::evidence::Evidence;
use crate::evidence::Needs;
use crate::model::Model;
use crate::model::SERVED;
use crate::model::sample::Sample;
use crate::probe::Readout;
use crate::probe::Suite;
use crate::record::LocalRunner;
use crate::text::ModelText;
use crate::verdict::Calibration;
use shared_errors::SharedErrors;

/// What will be read and run, and what does not apply.
#[derive(Debug, Serialize)]
pub struct Plan {
    depth: &'static str,
    models: Vec<PlannedModel>,
    suites: Vec<PlannedSuite>,
    /// What the answers can show, where both models are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_errors: Option<SharedErrors>,
    methods: Vec<PlannedMethod>,
    /// Seconds on this machine, from a quick measurement of its matrix product and memory.
    estimated_seconds: f64,
}

/// What the answers of any two models to these suites can show, in a line; `None` where nothing can be
/// said of it.
pub fn shared_errors(root: &Path, suites: &[Suite]) -> Option<String> {
    let calibration = Calibration::load(root).ok()?;
    Some(SharedErrors::of(&calibration, suites)?.text())
}

#[derive(Debug, Serialize)]
struct PlannedModel {
    label: String,
    source: String,
    /// Absent where a server does not show them.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    weight_bytes: u64,
    /// At depth quick.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<PlannedSample>,
    /// Absent where a server has the tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<usize>,
    answer_tokens: usize,
    questions: usize,
    not_run: Option<String>,
    /// Where it is run and its weights do not fit into memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_by_layer: Option<PlannedLayers>,
}

#[derive(Debug, Serialize)]
struct PlannedLayers {
    /// In memory, prompts left out.
    memory_bytes: u64,
    /// From its files, for every token of the answers.
    read_bytes: u64,
    #[serde(skip)]
    words: String,
}

#[derive(Debug, Serialize)]
struct PlannedSample {
    /// At most so many bytes of either model.
    budget_bytes: u64,
    /// Bytes of weights that will be read.
    bytes: u64,
    /// Of tensors, some of them in part.
    tensors: usize,
    of_tensors: usize,
    #[serde(skip)]
    words: String,
}

#[derive(Debug, Serialize)]
struct PlannedSuite {
    id: String,
    items: usize,
}

#[derive(Debug, Serialize)]
struct PlannedMethod {
    id: &'static str,
    skipped: Option<String>,
}

impl Plan {
    /// Plans the comparison of two opened models.
    pub fn of(bench: &Bench<'_>, pair: [&Model; 2]) -> Self {
        let samples = bench.samples(pair);
        let samples = samples.map_or([None, None], |samples| samples.map(Some));
        let models: Vec<PlannedModel> = pair
            .iter()
            .zip(samples)
            .map(|(model, sample)| planned(bench, model, sample, pair))
            .collect();
        let speed = Speed::measure();
        let estimated_seconds = models.iter().map(|model| speed.seconds(model)).sum();
        Self {
            depth: bench.depth.name(),
            suites: bench
                .suites
                .iter()
                .map(|suite| PlannedSuite {
                    id: suite.id.clone(),
                    items: suite.items.len(),
                })
                .collect(),
            shared_errors: models
                .iter()
                .all(|model| model.not_run.is_none())
                .then(|| SharedErrors::of(&bench.calibration, &bench.suites))
                .flatten(),
            methods: evidence::asked(bench.published)
                .map(|method| PlannedMethod {
                    id: method.card().id,
                    skipped: skipped(bench, &models, method, pair),
                })
                .collect(),
            models,
            estimated_seconds,
        }
    }

    /// The plan as the result of a dry run.
    pub fn print(&self, global: &Global) -> Result<()> {
        if global.json {
            return global.json_result(self);
        }
        global.result(&self.text())
    }

    /// For the reader.
    pub fn text(&self) -> String {
        let mut text = format!(
            "plan: depth {}, about {}\n",
            self.depth,
            duration(self.estimated_seconds)
        );
        for model in &self.models {
            let run = match (&model.not_run, model.prompt_tokens) {
                (Some(reason), _) => format!("not run: {reason}"),
                (None, Some(prompt)) => format!(
                    "{prompt} prompt and at most {} answer tokens",
                    model.answer_tokens
                ),
                (None, None) => format!(
                    "{} questions and at most {} answer tokens",
                    model.questions, model.answer_tokens
                ),
            };
            let Some(parameters) = model.parameters else {
                let label = ModelText::new(model.label.as_str());
                let run = ModelText::new(run).clipped(160);
                let _ = writeln!(text, "  {label}: {SERVED}; {run}");
                continue;
            };
            let _ = writeln!(
                text,
                "  {}: {:.1} M parameters, {:.1} MB of weights; {}",
                ModelText::new(model.label.as_str()),
                parameters as f64 / 1e6,
                model.weight_bytes as f64 / 1e6,
                ModelText::new(run).clipped(160),
            );
        }
        for model in &self.models {
            if let Some(sample) = &model.sample {
                let _ = writeln!(
                    text,
                    "  {}: a sample is read: {}; budget {:.1} MB",
                    ModelText::new(model.label.as_str()),
                    sample.words,
                    sample.budget_bytes as f64 / 1e6,
                );
            }
        }
        for model in &self.models {
            if let Some(layers) = &model.layer_by_layer {
                let label = ModelText::new(model.label.as_str());
                let _ = writeln!(text, "  {label}: {}", layers.words);
            }
        }
        for suite in &self.suites {
            let _ = writeln!(text, "  suite {}: {} items", suite.id, suite.items);
        }
        if let Some(shared) = &self.shared_errors {
            let _ = writeln!(text, "  {}", shared.text());
        }
        for method in &self.methods {
            if let Some(reason) = &method.skipped {
                let _ = writeln!(
                    text,
                    "  {} does not apply: {}",
                    method.id,
                    ModelText::new(reason.as_str())
                );
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn planned(
    bench: &Bench<'_>,
    model: &Model,
    sample: Option<Sample>,
    pair: [&Model; 2],
) -> PlannedModel {
    let not_run = bench.not_run(model, pair);
    let served = model.is_served();
    let mut prompt_tokens = 0;
    let mut answer_tokens = 0;
    let mut questions = 0;
    if not_run.is_none() {
        let legible = |suite: &&Suite| suite.shows_pictures() || model.reads_text();
        for suite in bench.suites.iter().filter(legible) {
            for item in &suite.items {
                questions += 1;
                if let Ok(tokenizer) = &model.tokenizer {
                    prompt_tokens += tokenizer.encode(&item.prompt).map_or(0, |ids| ids.len());
                }
                if let Readout::Generate { max_tokens, .. } = suite.readout {
                    answer_tokens += max_tokens;
                }
            }
        }
    }
    PlannedModel {
        layer_by_layer: match not_run {
            None => layer_by_layer(model, bench.memory),
            Some(_) => None,
        },
        label: model.label.clone(),
        source: model.artefacts.reference.clone(),
        parameters: (!served).then_some(model.parameters),
        weight_bytes: model.artefacts.weights.iter().map(|file| file.size).sum(),
        sample: sample.map(|sample| PlannedSample {
            budget_bytes: bench.options.sample.unwrap_or(0),
            words: sample.words(),
            bytes: sample.bytes,
            tensors: sample.touched,
            of_tensors: sample.of_tensors,
        }),
        prompt_tokens: (!served).then_some(prompt_tokens),
        answer_tokens,
        questions,
        not_run,
    }
}

fn layer_by_layer(model: &Model, memory: Option<u64>) -> Option<PlannedLayers> {
    let limit = memory?;
    let footprint = LocalRunner::footprint(model).ok()?;
    (!footprint.is_held_in(memory)).then(|| PlannedLayers {
        memory_bytes: footprint.streamed,
        read_bytes: footprint.read,
        words: memory::words(&footprint, limit),
    })
}

fn skipped(
    bench: &Bench<'_>,
    models: &[PlannedModel],
    method: &dyn Evidence,
    pair: [&Model; 2],
) -> Option<String> {
    if pair.iter().any(|model| model.is_served()) && !method.card().reads_answers() {
        return Some(SERVED.to_owned());
    }
    match method.card().needs {
        Needs::Config => None,
        Needs::Tokenizer => pair
            .iter()
            .find_map(|model| model.tokenizer.as_ref().err().cloned()),
        Needs::Weights if bench.depth == Depth::Quick && !method.reads_samples() => {
            Some("it needs all weights, depth quick reads a sample".to_owned())
        }
        Needs::Weights => None,
        Needs::Activations | Needs::Answers | Needs::Panel => models.iter().find_map(|model| {
            let reason = model.not_run.as_ref()?;
            Some(format!("{}: {reason}", model.label))
        }),
    }
}

/// What this machine does per second.
struct Speed {
    flops: f64,
    bytes: f64,
}

impl Speed {
    /// A matrix product and a pass over memory, a few hundredths of a second together.
    fn measure() -> Self {
        let flops = matrix_product().unwrap_or(1e9);
        // Integers, because a sum of floats is bound by the order of its additions.
        let buffer = vec![1_u64; 8 << 20];
        let start = Instant::now();
        black_box(
            buffer
                .iter()
                .fold(0_u64, |sum, value| sum.wrapping_add(*value)),
        );
        let bytes = (buffer.len() * 8) as f64 / start.elapsed().as_secs_f64().max(1e-6);
        Self { flops, bytes }
    }

    /// Prompts are bound by arithmetic, answers (one token at a time) by reading the weights.
    fn seconds(&self, model: &PlannedModel) -> f64 {
        // How fast a server is, nobody knows before it is asked.
        let Some(parameters) = model.parameters else {
            return 0.0;
        };
        let parameters = parameters as f64;
        let read = model
            .sample
            .as_ref()
            .map_or(model.weight_bytes, |sample| sample.bytes);
        let read = read as f64 / self.bytes;
        let prompts = 2.0 * parameters * model.prompt_tokens.unwrap_or(0) as f64 / self.flops;
        let answers = 4.0 * parameters * model.answer_tokens as f64 / self.bytes;
        read + prompts + answers
    }
}

fn matrix_product() -> Option<f64> {
    let side = 512;
    let left = Tensor::ones((side, side), candle_core::DType::F32, &Device::Cpu).ok()?;
    black_box(left.matmul(&left).ok()?);
    let start = Instant::now();
    for _ in 0..4 {
        black_box(left.matmul(&left).ok()?);
    }
    let work = 4.0 * 2.0 * (side as f64).powi(3);
    Some(work / start.elapsed().as_secs_f64().max(1e-6))
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "a second".to_owned(),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
