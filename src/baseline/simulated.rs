//! Models that do not exist, for tests: logits of a few candidates per item, noise on them, skills lost.

use rand_chacha::ChaCha8Rng;

use super::Accepted;
use super::Baseline;
use super::Bound;
use super::SELF_RUN_ITEMS;
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

/// Candidates of a token.
const TOKENS: usize = 12;
/// Tokens behind the first, the text's end the last of them.
const LATER: usize = 40;
/// Standard deviation of the logits of the first token and of later ones, which are surer.
const SPREAD: [f64; 2] = [2.0, 12.0];
/// Of a repetition of the same model, on every logit.
pub(super) const REPETITION: f64 = 1e-3;

/// One item's logits, and which candidate is right.
///
/// Those of later tokens are the same whatever the earlier ones are: an answer that parts from another is another
/// anyway.
#[derive(Debug, Clone)]
pub(super) struct Question {
    logits: Vec<f64>,
    later: Vec<Vec<f64>>,
    truth: usize,
}

/// `items` items, about two thirds of which are answered rightly.
pub(super) fn world(items: usize, seed: u64) -> Vec<Question> {
    let mut rng = stream(seed, "world");
    let one = |rng: &mut ChaCha8Rng| {
        let mut logits =
            |spread: f64| -> Vec<f64> { (0..TOKENS).map(|_| spread * normal(rng)).collect() };
        let later = (0..LATER).map(|_| logits(SPREAD[1])).collect();
        let logits = logits(SPREAD[0]);
        let truth = match unit(rng) < 2.0 / 3.0 {
            true => best(&logits),
            false => below(rng, TOKENS),
        };
        Question {
            logits,
            later,
            truth,
        }
    };
    (0..items).map(|_| one(&mut rng)).collect()
}

/// Normal noise of `std` nats on every logit.
pub(super) fn jitter(world: &mut [Question], std: f64, seed: u64) {
    let mut rng = stream(seed, "jitter");
    for question in world {
        let later = question.later.iter_mut().flatten();
        for logit in question.logits.iter_mut().chain(later) {
            *logit += std * normal(&mut rng);
        }
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
        let later = question.later.iter().map(|logits| best(logits));
        let mut tokens: Vec<usize> = [answer].into_iter().chain(later).collect();
        // The last is the end of the text, or goes on.
        tokens.truncate(LATER + tokens[LATER] % 2);
        let margins = [&question.logits].into_iter().chain(&question.later);
        let margins = margins.map(|logits| margin(logits));
        let candidate = |(token, logit): (usize, f64)| Candidate {
            token: Some(token as u32),
            text: format!("t{token}"),
            logprob: logit - total,
        };
        Record {
            item: format!("item-{at:04}"),
            prompt_sha256: String::new(),
            prompt_tokens: Some(4),
            answer: format!(" the answer is number {answer}, said as {tokens:?}"),
            tokens: tokens.iter().map(|id| 100_000 + *id as u32).collect(),
            top: top.into_iter().map(candidate).collect(),
            margins: margins.collect(),
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
    repeated(world, REPETITION)
}

/// Accepted, with a floor from some items of another run of so much noise.
pub(super) fn repeated(world: &[Question], std: f64) -> Baseline {
    let first = records(world);
    let mut again = world[..world.len().min(SELF_RUN_ITEMS)].to_vec();
    jitter(&mut again, std, 99);
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

/// Of the best against the second, as the runner rounds it.
fn margin(logits: &[f64]) -> f64 {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    ((sorted[0] - sorted[1]) * 1e4).round() / 1e4
}

fn best(logits: &[f64]) -> usize {
    let order = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
    order.unwrap_or(0)
}
