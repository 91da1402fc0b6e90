//! Models that do not exist, for tests: logits of a few candidates per item, noise on them, skills lost.

use rand_chacha::ChaCha8Rng;

use super::Accepted;
use super::Baseline;
use super::Bound;
use super::check::Gate;
use super::make;
use super::noise_floor;
use crate::probe::Score;
use crate::record::Candidate;
use crate::record::Record;
use crate::stat::random::below;
use crate::stat::random::normal;
use crate::stat::random::stream;
use crate::stat::random::unit;

/// Candidates of an item.
const TOKENS: usize = 12;

/// One item's logits, and which candidate is right.
#[derive(Debug, Clone)]
pub(super) struct Question {
    logits: Vec<f64>,
    truth: usize,
}

/// `items` items, about two thirds of which are answered rightly.
pub(super) fn world(items: usize, seed: u64) -> Vec<Question> {
    let mut rng = stream(seed, "world");
    let one = |rng: &mut ChaCha8Rng| {
        let logits: Vec<f64> = (0..TOKENS).map(|_| 2.0 * normal(rng)).collect();
        let truth = match unit(rng) < 2.0 / 3.0 {
            true => best(&logits),
            false => below(rng, TOKENS),
        };
        Question { logits, truth }
    };
    (0..items).map(|_| one(&mut rng)).collect()
}

/// Normal noise of `std` nats on every logit.
pub(super) fn jitter(world: &mut [Question], std: f64, seed: u64) {
    let mut rng = stream(seed, "jitter");
    for logit in world.iter_mut().flat_map(|question| &mut question.logits) {
        *logit += std * normal(&mut rng);
    }
}

/// Each item is answered wrongly with a probability that takes `share` of all right answers and no other.
pub(super) fn lose(world: &mut [Question], share: f64, seed: u64) {
    let mut rng = stream(seed, "lose");
    let items = world.len() as f64;
    let right = world.iter().filter(|q| best(&q.logits) == q.truth).count();
    for question in world {
        let skilled = best(&question.logits) == question.truth;
        if skilled && unit(&mut rng) < share * items / right as f64 {
            question.logits[question.truth] -= 20.0;
        }
    }
}

/// What such a model answers.
pub(super) fn records(world: &[Question]) -> Vec<Record> {
    let record = |(at, question): (usize, &Question)| {
        let total = question.logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        let mut top: Vec<(usize, f64)> = question.logits.iter().copied().enumerate().collect();
        top.sort_by(|a, b| b.1.total_cmp(&a.1));
        let answer = top[0].0;
        let candidate = |(token, logit): (usize, f64)| Candidate {
            token: Some(token as u32),
            text: format!("t{token}"),
            logprob: logit - total,
        };
        Record {
            item: format!("item-{at:04}"),
            prompt_sha256: String::new(),
            prompt_tokens: Some(4),
            answer: format!(" the answer is number {answer}, said in a sentence"),
            tokens: (0..40)
                .map(|place| (100_000 + 7 * place + answer) as u32)
                .collect(),
            top: top.into_iter().map(candidate).collect(),
            correct: Some(answer == question.truth),
            fields: Default::default(),
            form: None,
            error: None,
            group: None,
            places: Vec::new(),
        }
    };
    world.iter().enumerate().map(record).collect()
}

/// Accepted, with a floor from another run of the same noise.
pub(super) fn of(world: &[Question]) -> Baseline {
    let first = records(world);
    let mut again = world.to_vec();
    jitter(&mut again, 1e-3, 99);
    let floor = noise_floor(&first, &records(&again));
    let text = |text: &str| text.to_owned();
    let bound = Bound {
        absent: Default::default(),
        chat_template: None,
        decoding: text("greedy"),
        device: Some(text("cpu")),
        dtype: Some(text("BF16")),
        engine: text("kinprobe, f32"),
        model: text("sha256:00"),
        suite: text("suite"),
        suite_sha256: text("00"),
        suite_version: 1,
        tokenizer: Some(text("sha256:00")),
        weights: Some(text("sha256:00")),
    };
    let accepted = Accepted {
        by: None,
        date: text("2031-12-31"),
        reason: text("a test"),
    };
    make(
        (&first, None),
        &Score::Exact,
        bound,
        accepted,
        (Gate::default(), floor),
    )
}

/// Of a fresh world.
pub(super) fn baseline(items: usize, seed: u64) -> Baseline {
    of(&world(items, seed))
}

fn best(logits: &[f64]) -> usize {
    let order = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
    order.unwrap_or(0)
}
