//! Models that are run layer by layer: the same numbers, one layer in memory.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use candle_core::Device;
use candle_core::Tensor;
use kinprobe::model::Decoder;
use kinprobe::model::KvCache;
use kinprobe::model::Model;
use kinprobe::model::Site;
use kinprobe::model::Tap;
use kinprobe::model::decoder::Pass;
use kinprobe::probe;
use kinprobe::probe::Readout;
use kinprobe::record::Answer;
use kinprobe::record::LocalRunner;
use kinprobe::record::Question;
use kinprobe::record::Runner;
use kinprobe::source::OpenOptions;

use crate::common::program::error;
use crate::common::program::json;
use crate::common::program::kinprobe;
use crate::common::tiny;

const PROMPTS: [&str; 5] = [
    "the quick brown fox and the",
    "fn main() {\n    let x =",
    "日本の首都は",
    "a",
    "1, 2, 3, 4, 5, 6, 7,",
];

fn tiny_model() -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 3);
    let model = tiny::opened(folder.path());
    (folder, model)
}

fn sees() -> Model {
    let reference = "tests/fixtures/vision".parse().unwrap();
    let artefacts = kinprobe::source::open(&reference, &OpenOptions::from_env());
    Model::open(artefacts.unwrap(), "vision").unwrap()
}

/// A limit under which a model's weights do not fit and one layer does.
fn tight(model: &Model) -> u64 {
    let footprint = LocalRunner::footprint(model).unwrap();
    assert!(footprint.streamed < footprint.held);
    footprint.held - 1
}

fn tokens(ids: &[u32]) -> Tensor {
    Tensor::new(ids, &Device::Cpu)
        .unwrap()
        .unsqueeze(0)
        .unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// Everything that it is shown, bit by bit.
#[derive(Default)]
struct All(Vec<(Site, Vec<u32>)>);

impl Tap for All {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        self.0.push((site, bits(value)));
        Ok(())
    }
}

/// Bits of logits, and of what a tap saw at each site.
type Bits = (Vec<Vec<u32>>, Vec<(Site, Vec<u32>)>);

/// Logits and every site, of a prompt and of two further steps behind it, all with one cache.
fn run(decoder: &Decoder, ids: &[u32]) -> Bits {
    let mut tap = All::default();
    let mut cache = KvCache::default();
    let whole = decoder.forward(&tokens(ids), None, &mut tap).unwrap();
    let mut logits = vec![bits(&whole)];
    for part in [ids, &ids[..1], &ids[1..3]] {
        let next = decoder.forward(&tokens(part), Some(&mut cache), &mut tap);
        logits.push(bits(&next.unwrap()));
    }
    (logits, tap.0)
}

#[test]
fn streamed_numbers_are_those_of_a_held_model_to_the_last_bit() {
    let (_folder, tied) = tiny_model();
    let untied = sees();
    for model in [&tied, &untied] {
        let spec = model.spec.as_ref().unwrap();
        let held = Decoder::load(&model.weights, spec, &Device::Cpu).unwrap();
        let streamed = Decoder::stream(&model.weights, spec, &Device::Cpu).unwrap();
        for ids in [&[5, 6, 7, 8, 9, 10, 11][..], &[3, 1, 3]] {
            let (logits, sites) = run(&held, ids);
            let (other, others) = run(&streamed, ids);
            assert_eq!(logits, other);
            assert_eq!(sites.len(), others.len());
            for ((site, one), (same, two)) in sites.iter().zip(&others) {
                assert!(site == same && one == two, "{site}");
            }
        }
        let passes = 8 * spec.num_hidden_layers;
        assert_eq!(streamed.block_counts(), (1, passes));
        assert_eq!(held.block_counts(), (spec.num_hidden_layers, 0));
    }
}

/// Notes which prompt it is of when a block is through.
struct Order<'a>(usize, &'a Mutex<Vec<(usize, usize)>>);

impl Tap for Order<'_> {
    fn wants(&self, site: Site) -> bool {
        matches!(site, Site::ResidPost(_))
    }

    fn visit(&mut self, site: Site, _: &Tensor) -> candle_core::Result<()> {
        if let Site::ResidPost(layer) = site {
            self.1.lock().unwrap().push((layer, self.0));
        }
        Ok(())
    }
}

#[test]
fn all_prompts_pass_a_layer_before_the_next_is_read() {
    let (_folder, model) = tiny_model();
    let spec = model.spec.as_ref().unwrap();
    let held = Decoder::load(&model.weights, spec, &Device::Cpu).unwrap();
    let streamed = Decoder::stream(&model.weights, spec, &Device::Cpu).unwrap();
    let prompts: Vec<Tensor> = (1..8)
        .map(|length: u32| tokens(&(0..length).map(|at| at * 7 % 31).collect::<Vec<_>>()))
        .collect();
    let seen = Mutex::new(Vec::new());
    let mut taps: Vec<Order<'_>> = (0..prompts.len()).map(|at| Order(at, &seen)).collect();
    let mut passes: Vec<Pass<'_>> = prompts
        .iter()
        .zip(&mut taps)
        .map(|(tokens, tap)| Pass {
            tokens,
            splice: None,
            cache: None,
            tap,
        })
        .collect();
    let residuals = streamed.residuals(&mut passes).unwrap();
    drop(passes);
    let logits = streamed.logits(&residuals).unwrap();
    for (tokens, logits) in prompts.iter().zip(&logits) {
        let alone = held.forward(tokens, None, &mut ()).unwrap();
        assert_eq!(bits(&alone), bits(logits));
    }
    let layers: Vec<usize> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|(layer, _)| *layer)
        .collect();
    assert_eq!(layers.len(), tiny::LAYERS * prompts.len());
    assert!(layers.is_sorted(), "{layers:?}");
    // Each block was read once, for all prompts.
    assert_eq!(streamed.block_counts(), (1, tiny::LAYERS));
}

fn answers(runner: &LocalRunner<'_>, questions: &[Question<'_>], readout: &Readout) -> Vec<Answer> {
    let count = Mutex::new(vec![0; questions.len()]);
    let done = |at: usize| count.lock().unwrap()[at] += 1;
    let answers = runner.answers(questions, readout, &done);
    assert_eq!(*count.lock().unwrap(), vec![1; questions.len()]);
    answers.into_iter().map(Result::unwrap).collect()
}

#[test]
fn answers_in_step_are_those_of_prompts_on_their_own() {
    let (_folder, model) = tiny_model();
    let held = LocalRunner::load(&model).unwrap();
    let streamed = LocalRunner::load_within(&model, Some(tight(&model) + (1 << 20))).unwrap();
    let streamed = match streamed.is_streamed() {
        true => streamed,
        false => LocalRunner::load_within(&model, Some(tight(&model))).unwrap(),
    };
    assert!(streamed.is_streamed() && !held.is_streamed());
    assert_eq!(streamed.engine(), held.engine());
    let questions: Vec<Question<'_>> = PROMPTS
        .iter()
        .map(|prompt| Question {
            prompt,
            picture: None,
        })
        .collect();
    let words = |max_tokens, stop: &[&str]| Readout::Generate {
        max_tokens,
        stop: stop.iter().map(|end| (*end).to_owned()).collect(),
    };
    for readout in [
        Readout::NextToken,
        words(12, &[]),
        words(9, &["the", "a"]),
        words(200, &[]),
    ] {
        let alone = answers(&held, &questions, &readout);
        assert_eq!(alone, answers(&streamed, &questions, &readout));
    }
    // A question that cannot be answered leaves the others alone.
    let mut mixed = questions.clone();
    let long = "word ".repeat(200);
    mixed.insert(
        1,
        Question {
            prompt: &long,
            picture: None,
        },
    );
    let both = [&held, &streamed].map(|runner| {
        let answers = runner.answers(&mixed, &Readout::NextToken, &|_| ());
        let words = |answer: Result<Answer, kinprobe::record::Failure>| match answer {
            Ok(answer) => answer.text,
            Err(failure) => failure.to_string(),
        };
        answers.into_iter().map(words).collect::<Vec<_>>()
    });
    assert_eq!(both[0], both[1]);
    assert!(both[1][1].contains("the model takes 96"), "{:?}", both[1]);
}

fn recorded(folder: &Path) -> String {
    let inner = fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let file = fs::read_dir(inner)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "jsonl"));
    fs::read_to_string(file.expect("a recording")).unwrap()
}

#[test]
fn pictures_are_recorded_layer_by_layer_as_they_are_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rendered = json(&[
        "suite",
        "render",
        "script",
        "--seed",
        "7",
        "--items",
        "6",
        "-o",
        &at("suite"),
        "--json",
    ]);
    let suite = rendered["file"].as_str().unwrap().to_owned();
    assert_eq!(probe::load(Path::new(&suite)).unwrap().items.len(), 6);
    let memory = tight(&sees()).to_string();
    let ask = |out: &str, memory: &[&str]| {
        let out = at(out);
        let mut args = vec![
            "run",
            &suite,
            "--model",
            "tests/fixtures/vision",
            "-o",
            &out,
        ];
        args.extend(memory);
        kinprobe(&args)
    };
    let held = ask("held", &["--memory", "1GB"]);
    let streamed = ask("streamed", &["--memory", &memory]);
    assert!(held.status.success() && streamed.status.success());
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said(&held).contains("layer by layer"));
    assert!(
        said(&streamed).contains("runs layer by layer"),
        "{}",
        said(&streamed)
    );
    let paths = [at("held"), at("streamed")];
    let [held, streamed] = paths.each_ref().map(|path| recorded(Path::new(path)));
    assert!(
        held.lines().count() == 7 && held == streamed,
        "{held}\n{streamed}"
    );
}

#[test]
fn too_little_memory_for_a_layer_is_said() {
    let args = [
        "run",
        "short-answer",
        "--model",
        "zoo:base-a",
        "--memory",
        "10kB",
    ];
    let line = error(&args, 7);
    assert!(
        line.contains("layer by layer it takes") && line.contains("--memory"),
        "{line}"
    );
    let line = error(
        &[
            "run",
            "short-answer",
            "--model",
            "zoo:base-a",
            "--memory",
            "lots",
        ],
        2,
    );
    assert!(line.contains("as in 4GB"), "{line}");
}

#[test]
fn a_pass_is_looked_at_layer_by_layer() {
    let pass = |memory: &str| {
        let args = [
            "probe",
            "zoo:base-a",
            "--tokens",
            "1,2,3",
            "--tap",
            "*",
            "--memory",
            memory,
        ];
        json(&[&args[..], &["--json"]].concat())
    };
    assert_eq!(pass("1GB"), pass("100kB"));
}
