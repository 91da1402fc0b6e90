//! Recording a real (tiny, random) model: readouts, taps, threads, resumption.

use std::fs;
use std::path::Path;

use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;
use kinprobe::model::Decoder;
use kinprobe::model::Model;
use kinprobe::model::Site;
use kinprobe::model::Tap;
use kinprobe::probe::Item;
use kinprobe::probe::Readout;
use kinprobe::probe::Score;
use kinprobe::probe::Suite;
use kinprobe::record::LocalRunner;
use kinprobe::record::RecordingStore;
use kinprobe::record::Runner;
use kinprobe::record::run_suite;
use kinprobe::source::Silent;

use crate::common::tiny;

const PROMPTS: [&str; 6] = [
    "the quick brown fox and the",
    "fn main() {\n    let x =",
    "日本の首都は",
    "Größe: 12 µm, Höhe:",
    "a",
    "1, 2, 3, 4, 5, 6, 7,",
];

fn suite(readout: Readout, prompts: &[&str]) -> Suite {
    let items = prompts.iter().enumerate().map(|(n, prompt)| Item {
        id: format!("p{n}"),
        prompt: (*prompt).to_owned(),
        targets: Vec::new(),
        tags: Vec::new(),
        picture: None,
        group: None,
    });
    Suite {
        id: "tiny".to_owned(),
        version: 1,
        description: String::new(),
        license: "CC0-1.0".to_owned(),
        readout,
        score: Score::Prefix,
        items: items.collect(),
        sha256: "cd".repeat(32),
    }
}

fn generate(max_tokens: usize, stop: &[&str]) -> Readout {
    Readout::Generate {
        max_tokens,
        stop: stop.iter().map(|end| (*end).to_owned()).collect(),
    }
}

fn model(seed: u64) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), seed);
    let model = tiny::opened(folder.path());
    (folder, model)
}

/// Keys, values, hidden units and the residual stream of every block at the last position.
#[derive(Default)]
struct Last(Vec<f32>);

impl Tap for Last {
    fn wants(&self, site: Site) -> bool {
        matches!(
            site,
            Site::Key(_)
                | Site::Value(_)
                | Site::MlpPre(_)
                | Site::MlpPreLinear(_)
                | Site::ResidPost(_)
        )
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        let last = value.dim(1)? - 1;
        let row = value.i((0, last))?.flatten_all()?;
        self.0.extend(row.to_vec1::<f32>()?);
        Ok(())
    }
}

/// Logits after `ids` and what is inside there, by one forward pass without a cache.
fn straight(model: &Model, ids: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let spec = model.spec.as_ref().unwrap();
    let decoder = Decoder::load(&model.weights, spec, &Device::Cpu).unwrap();
    let tokens = Tensor::new(ids, &Device::Cpu)
        .unwrap()
        .unsqueeze(0)
        .unwrap();
    let mut tap = Last::default();
    let logits = decoder.forward(&tokens, None, &mut tap).unwrap();
    (
        logits.i((0, ids.len() - 1)).unwrap().to_vec1().unwrap(),
        tap.0,
    )
}

fn argmax(values: &[f32]) -> u32 {
    let best = (0..values.len())
        .rev()
        .max_by(|a, b| values[*a].total_cmp(&values[*b]));
    best.unwrap() as u32
}

#[test]
fn the_next_token_and_what_is_inside_are_those_of_one_forward_pass() {
    let (_folder, model) = model(1);
    let runner = LocalRunner::load(&model).unwrap();
    let layers = (0..tiny::LAYERS).flat_map(|layer| {
        [
            (Site::Key(layer), tiny::HIDDEN / 2),
            (Site::Value(layer), tiny::HIDDEN / 2),
            (Site::MlpPre(layer), 48),
            (Site::MlpPreLinear(layer), 48),
            (Site::ResidPost(layer), tiny::HIDDEN),
        ]
    });
    let lens = (0..tiny::LAYERS).map(|layer| (Site::Lens(layer), 2));
    assert_eq!(runner.sites(), layers.chain(lens).collect::<Vec<_>>());
    let tokenizer = model.tokenizer.as_ref().unwrap();
    for prompt in PROMPTS {
        let answer = runner.answer(prompt, &Readout::NextToken).unwrap();
        let ids = tokenizer.encode(prompt).unwrap();
        assert_eq!(answer.prompt_tokens, Some(ids.len()));
        let (logits, inside) = straight(&model, &ids);
        assert_eq!(answer.top[0].token, Some(argmax(&logits)), "{prompt}");
        assert_eq!(answer.top.len(), 8);
        let probabilities: f64 = answer.top.iter().map(|c| c.logprob.exp()).sum();
        assert!(probabilities < 1.0 && answer.top.windows(2).all(|w| w[0].logprob >= w[1].logprob));
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let expected = f64::from(logits[answer.top[0].token.unwrap() as usize]) - total.ln();
        assert!((answer.top[0].logprob - expected).abs() < 1e-4);
        let seen = answer.inside.unwrap();
        assert_eq!(seen.len(), inside.len() + 2 * tiny::LAYERS);
        for (a, b) in seen.iter().zip(&inside) {
            assert!((a - b).abs() < 1e-4, "{prompt}: {a} {b}");
        }
        // Behind the last block the lens is the model itself; behind the first it sees another law.
        let [early, divergence, own, none] = seen[inside.len()..] else {
            panic!("{} numbers of the lens", seen.len() - inside.len());
        };
        assert!((f64::from(own) - expected).abs() < 1e-4, "{own}");
        assert_eq!(none, 0.0);
        assert!(early < 0.0 && early != own && divergence > 0.0);
    }
}

/// Every place has the law of one forward pass, and together they are as surprised as the whole prompt.
#[test]
fn what_is_expected_along_a_prompt_is_that_of_one_forward_pass() {
    let (_folder, model) = model(1);
    let runner = LocalRunner::load(&model).unwrap();
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let spec = model.spec.as_ref().unwrap();
    let decoder = Decoder::load(&model.weights, spec, &Device::Cpu).unwrap();
    for prompt in PROMPTS {
        let answer = runner.answer(prompt, &Readout::NextToken).unwrap();
        let tokens = tokenizer.encode_with_places(prompt).unwrap();
        let ids: Vec<u32> = tokens.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, tokenizer.encode(prompt).unwrap());
        let input = Tensor::new(&ids[..], &Device::Cpu).unwrap();
        let logits = decoder
            .forward(&input.unsqueeze(0).unwrap(), None, &mut ())
            .unwrap();
        let rows: Vec<Vec<f32>> = logits.i(0).unwrap().to_vec2().unwrap();
        let logprob = |at: usize, token: u32| {
            let total: f64 = rows[at].iter().map(|l| f64::from(*l).exp()).sum();
            f64::from(rows[at][token as usize]) - total.ln()
        };
        let surprisal: f64 = (1..ids.len()).map(|at| -logprob(at - 1, ids[at])).sum();
        let seen: f64 = answer.places.iter().map(|p| f64::from(p.surprisal)).sum();
        assert!(
            (surprisal - seen).abs() < 1e-3,
            "{prompt}: {seen} {surprisal}"
        );
        assert!(
            answer
                .places
                .windows(2)
                .all(|two| two[0].offset < two[1].offset)
        );
        let last = answer.places.last().unwrap();
        assert_eq!(last.offset as usize, prompt.len());
        assert_eq!(Some(last.top[0].0), answer.top[0].token);
        for place in &answer.places {
            assert!(prompt.is_char_boundary(place.offset as usize));
            let at = tokens
                .iter()
                .rposition(|(_, bytes)| bytes.end == place.offset as usize);
            let at = at.unwrap();
            assert_eq!(place.top.len(), 8);
            assert_eq!(
                place.top[0].0,
                argmax(&rows[at]),
                "{prompt} at {}",
                place.offset
            );
            for (token, found) in &place.top {
                assert!((f64::from(*found) - logprob(at, *token)).abs() < 1e-3);
            }
        }
        // Three bytes a character, none of them alone.
        if prompt.starts_with('日') {
            let ends: Vec<u32> = answer.places.iter().map(|place| place.offset).collect();
            assert_eq!(ends, [3, 6, 9, 12, 15, 18]);
        }
    }
}

#[test]
fn greedy_answers_are_those_of_a_decoder_without_cache() {
    let (_folder, model) = model(2);
    let runner = LocalRunner::load(&model).unwrap();
    let tokenizer = model.tokenizer.as_ref().unwrap();
    for prompt in PROMPTS {
        let answer = runner.answer(prompt, &generate(10, &[])).unwrap();
        let mut ids = tokenizer.encode(prompt).unwrap();
        let start = ids.len();
        while ids.len() < start + 10 {
            let best = argmax(&straight(&model, &ids).0);
            if tokenizer.eos().contains(&best) {
                break;
            }
            ids.push(best);
        }
        assert_eq!(answer.tokens, ids[start..], "{prompt}");
        let whole = tokenizer.decode(&ids).unwrap();
        assert_eq!(whole, format!("{prompt}{}", answer.text));
        assert!(answer.inside.is_none());
    }
}

#[test]
fn an_answer_ends_before_its_first_stop_string() {
    let (_folder, model) = model(3);
    let runner = LocalRunner::load(&model).unwrap();
    let free = runner.answer(PROMPTS[0], &generate(12, &[])).unwrap();
    let text = free.text.trim_start();
    // A character in the middle of the answer, which a stop string then cuts off.
    let (at, stop) = text.char_indices().nth(text.chars().count() / 2).unwrap();
    let stop = stop.to_string();
    let first = text.find(&stop).unwrap();
    let cut = runner
        .answer(PROMPTS[0], &generate(12, &["never", &stop]))
        .unwrap();
    assert_eq!(cut.text.trim_start(), &text[..first]);
    assert!(first <= at && cut.tokens.len() < free.tokens.len());
    assert_eq!(cut.tokens, free.tokens[..cut.tokens.len()]);
}

#[test]
fn a_next_token_inside_a_character_is_continued_to_its_end() {
    // Random weights prefer single bytes of the upper half often enough for some seed to show one.
    let mut continued = 0;
    for seed in 0..12 {
        let (_folder, model) = model(seed);
        let runner = LocalRunner::load(&model).unwrap();
        let tokenizer = model.tokenizer.as_ref().unwrap();
        for prompt in PROMPTS {
            let answer = runner.answer(prompt, &Readout::NextToken).unwrap();
            let ids = tokenizer.encode(prompt).unwrap();
            let first = tokenizer
                .decode(&[&ids[..], &answer.tokens[..1]].concat())
                .unwrap();
            let inside = first.ends_with(char::REPLACEMENT_CHARACTER);
            assert_eq!(answer.tokens.len() > 1, inside, "{seed} {prompt}");
            assert!(answer.tokens.len() <= 4);
            continued += usize::from(inside);
        }
    }
    assert!(continued > 0);
}

fn record(model: &Model, suite: &Suite, folder: &Path, threads: usize) -> (Vec<u8>, Vec<u8>) {
    let runner = LocalRunner::load(model).unwrap();
    let store = RecordingStore::named(folder, "m");
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| run_suite(&runner, suite, &store, &Silent))
        .unwrap();
    let path = folder.join("m/tiny.jsonl");
    let tensors = fs::read(path.with_extension("safetensors")).unwrap_or_default();
    (fs::read(path).unwrap(), tensors)
}

#[test]
fn recordings_do_not_depend_on_threads_or_neighbours() {
    let (_folder, model) = model(4);
    for readout in [Readout::NextToken, generate(6, &["\n"])] {
        let prompts: Vec<String> = (0..40).map(|n| format!("{} {n}", PROMPTS[n % 6])).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let suite = suite(readout.clone(), &prompts);
        let folders = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
        let one = record(&model, &suite, folders[0].path(), 1);
        let four = record(&model, &suite, folders[1].path(), 4);
        assert_eq!(one, four);
        // One item alone answers as it does among others.
        let runner = LocalRunner::load(&model).unwrap();
        let alone = runner.answer(prompts[17], &readout).unwrap();
        let among = kinprobe::record::read(&folders[0].path().join("m/tiny.jsonl")).unwrap();
        assert_eq!(among.records[17].tokens, alone.tokens);
        // A run that was killed half-way, on another number of threads.
        fs::create_dir(folders[2].path().join("m")).unwrap();
        fs::write(
            folders[2].path().join("m/tiny.jsonl"),
            &one.0[..one.0.len() / 2],
        )
        .unwrap();
        assert_eq!(record(&model, &suite, folders[2].path(), 3), one);
    }
}

#[test]
fn prompts_beyond_the_model_are_recorded_as_errors() {
    let (_folder, model) = model(5);
    let long = "x".repeat(tiny::POSITIONS + 1);
    let edge = "x".repeat(tiny::POSITIONS);
    let suite = suite(generate(5, &[]), &["short", &long, &edge]);
    let folder = tempfile::tempdir().unwrap();
    record(&model, &suite, folder.path(), 2);
    let recording = kinprobe::record::read(&folder.path().join("m/tiny.jsonl")).unwrap();
    let errors: Vec<Option<&str>> = recording
        .records
        .iter()
        .map(|r| r.error.as_deref())
        .collect();
    assert_eq!(errors[0], None);
    assert!(
        errors[1].unwrap().contains("97 tokens, the model takes 96"),
        "{errors:?}"
    );
    assert_eq!(errors[2], None);
    assert!(recording.records[2].tokens.len() <= 1);
}

#[test]
fn the_same_model_elsewhere_needs_no_second_run_and_another_model_does() {
    let (_first, original) = model(6);
    let (_second, copy) = model(6);
    let (_third, other) = model(7);
    let folder = tempfile::tempdir().unwrap();
    let store = RecordingStore::keyed(folder.path());
    let suite = suite(Readout::NextToken, &PROMPTS);
    let run = |model: &Model| {
        let runner = LocalRunner::load(model).unwrap();
        run_suite(&runner, &suite, &store, &Silent).unwrap().0
    };
    let files = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(run(&original), run(&copy));
    assert_eq!(files(), 1);
    let different = run(&other);
    assert_eq!(files(), 2);
    assert_ne!(different.header.key, run(&original).header.key);
}

#[test]
fn a_model_that_cannot_be_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 8);
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let model = tiny::opened(folder.path());
    let error = LocalRunner::load(&model).unwrap_err();
    assert!(
        error.is_not_runnable() && error.to_string().contains("tokenizer"),
        "{error}"
    );
    let config = r#"{"model_type":"unheard-of","vocab_size":262}"#;
    tiny::write(folder.path(), 8);
    fs::write(folder.path().join("config.json"), config).unwrap();
    let model = tiny::opened(folder.path());
    let error = LocalRunner::load(&model).unwrap_err();
    assert!(
        error.is_not_runnable() && error.to_string().contains("unheard-of"),
        "{error}"
    );
}
