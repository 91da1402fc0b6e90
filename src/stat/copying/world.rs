//! A world of models that share nothing but the items: what a law is tried on before it meets real ones.

use rand::Rng;

use super::answers::{Answers, MISSING};
use crate::stat::random::{self, normal, unit};

/// Items of different difficulty whose wrong options tempt differently, and models of different ability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct World {
    /// Items.
    pub items: usize,
    /// Options of each, the right one among them; at least 2.
    pub options: u32,
    /// Standard deviation of the difficulty, in units of the logistic function.
    pub difficulty_sd: f64,
    /// Standard deviation of the logarithm of a wrong option's weight: 0 for all alike.
    pub distractor_sd: f64,
    /// Mean ability; 0 is half right on items of mean difficulty.
    pub ability: f64,
    /// Standard deviation of the ability over models.
    pub ability_sd: f64,
    /// Subjects that items belong to in turn.
    pub subjects: usize,
    /// Standard deviation of a model's extra ability in a subject: what the panel's law knows nothing of.
    pub skill_sd: f64,
    /// Share of wrong answers that are a model's own, of no other model, at mean ability: 0 for none.
    pub own: f64,
    /// How much better models keep to what tempts: log odds of a tempting wrong answer against one of its own,
    /// per standard deviation of the ability.
    pub leaning: f64,
    /// Whether the number of options is told to the law.
    pub options_known: bool,
}

/// Codes of answers that are one model's own.
const OWN: usize = 1_000_000;

/// The items of a world.
pub struct Items {
    world: World,
    difficulty: Vec<f64>,
    /// Running sums of the wrong options' shares.
    distractors: Vec<Vec<f64>>,
}

impl World {
    /// Its items.
    pub fn items(&self, rng: &mut impl Rng) -> Items {
        let wrong = self.options.max(2) - 1;
        let distractors = |rng: &mut _| {
            let weights = (0..wrong).map(|_| (self.distractor_sd * normal(rng)).exp());
            let weights: Vec<f64> = weights.collect();
            let total: f64 = weights.iter().sum();
            let mut sum = 0.0;
            let shares = weights.iter().map(|weight| {
                sum += weight / total;
                sum
            });
            shares.collect()
        };
        Items {
            world: *self,
            difficulty: (0..self.items)
                .map(|_| self.difficulty_sd * normal(rng))
                .collect(),
            distractors: (0..self.items).map(|_| distractors(rng)).collect(),
        }
    }

    /// Answers of `models` independent models to fresh items; the right answer has code 0.
    pub fn draw(&self, models: usize, seed: u64, purpose: &str) -> Answers {
        let mut rng = random::stream(seed, purpose);
        let items = self.items(&mut rng);
        items.answered((0..models).map(|_| items.model(&mut rng)))
    }
}

impl Items {
    /// The answers of models to these items side by side.
    pub fn answered(&self, models: impl IntoIterator<Item = Vec<u32>>) -> Answers {
        let options = if self.world.options_known {
            self.world.options
        } else {
            0
        };
        let mut answers = Answers::of_items((0..self.world.items).map(|_| (0, options)));
        for codes in models {
            // A model of other items has no place here.
            let _ = answers.push(codes);
        }
        answers
    }

    /// The answers of a fresh model.
    pub fn model(&self, rng: &mut impl Rng) -> Vec<u32> {
        let world = &self.world;
        let above = normal(rng);
        let ability = world.ability + world.ability_sd * above;
        let tempted = (1.0 / world.own - 1.0) * (world.leaning * above).exp();
        let skills = (0..world.subjects.max(1)).map(|_| ability + world.skill_sd * normal(rng));
        let skills: Vec<f64> = skills.collect();
        let answer = |(item, difficulty): (usize, &f64)| {
            let right = 1.0 / (1.0 + (difficulty - skills[item % skills.len()]).exp());
            if unit(rng) < right {
                return 0;
            }
            if world.own > 0.0 && unit(rng) * (1.0 + tempted) >= tempted {
                let own = world.options as usize + random::below(rng, OWN);
                return u32::try_from(own).unwrap_or(MISSING - 1);
            }
            let shares = &self.distractors[item];
            let at = unit(rng);
            let option = shares
                .partition_point(|sum| *sum < at)
                .min(shares.len() - 1);
            1 + u32::try_from(option).unwrap_or(MISSING - 1)
        };
        self.difficulty.iter().enumerate().map(answer).collect()
    }
}

/// A model that gives `source`'s answer on a random share of the items and its own on the others.
pub fn copy(source: &[u32], own: &[u32], share: f64, rng: &mut impl Rng) -> Vec<u32> {
    let pairs = source.iter().zip(own);
    pairs
        .map(|(theirs, own)| if unit(rng) < share { *theirs } else { *own })
        .collect()
}
