//! How many held-out questions a model gets right.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use crate::probe::Picture;
use crate::probe::Readout;
use crate::probe::render::script::Inventory;
use crate::record::Failure;
use crate::record::Runner;

use super::corpus::Corpus;
use super::corpus::Question;
use super::error::Error;
use super::recipe::ExamRecipe;
use super::recipe::ScriptRecipe;

/// Longest answer, in tokens.
const LONGEST: usize = 48;

/// Right answers out of questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Answers equal to the right one, character for character.
    pub right: usize,
    /// Questions asked.
    pub asked: usize,
}

/// Scores by domain.
pub type Scores = BTreeMap<String, Score>;

/// One answered question.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Domain of the question.
    pub domain: &'static str,
    /// What was asked.
    pub prompt: String,
    /// The right answer.
    pub expected: String,
    /// The first line that the model wrote, trimmed.
    pub given: String,
}

/// Asks every question of the exam, greedily decoded.
///
/// # Errors
/// A recipe that names an unknown domain, or a question that the model cannot take.
pub fn examine(runner: &dyn Runner, recipe: &ExamRecipe) -> Result<Vec<Answered>, Error> {
    let one_line = Readout::Generate {
        max_tokens: LONGEST,
        stop: vec!["\n".to_owned()],
    };
    questions(recipe, recipe.seed, recipe.questions)?
        .into_iter()
        .map(|(domain, question)| {
            let answer = runner
                .answer(&question.prompt, &one_line)
                .map_err(|failure| failed(&question.prompt, failure))?;
            Ok(Answered {
                domain,
                prompt: question.prompt,
                expected: question.answer,
                given: answer.text.trim().to_owned(),
            })
        })
        .collect()
}

/// Shows every sign of the scripts so often by hands that no lesson has, and counts the words that are right,
/// by script.
///
/// # Errors
/// A script with too few signs, or a picture that the model cannot take.
pub fn signs(
    runner: &dyn Runner,
    scripts: &BTreeMap<String, ScriptRecipe>,
    recipe: &ExamRecipe,
) -> Result<Scores, Error> {
    let one_line = Readout::Generate {
        max_tokens: LONGEST,
        stop: vec!["\n".to_owned()],
    };
    let mut scores = Scores::new();
    for (name, script) in scripts {
        let signs = Inventory::invented(script.seed, script.signs)?;
        let mut score = Score::default();
        for at in 0..signs.len() * recipe.writings {
            let sign = at % signs.len();
            let rgb = signs.written(sign, recipe.seed, &format!("exam {at}"));
            let picture = Picture::of(&rgb);
            let answer = runner.look(Inventory::prompt(), &picture, &one_line);
            let answer = answer.map_err(|failure| failed(Inventory::prompt(), failure))?;
            score.asked += 1;
            score.right += usize::from(answer.text.trim() == signs.word(sign));
        }
        scores.insert(name.clone(), score);
    }
    Ok(scores)
}

fn failed(prompt: &str, failure: Failure) -> Error {
    match failure {
        Failure::Run(error) => Error::Record(error),
        Failure::Item(reason) => Error::Unanswered {
            prompt: prompt.to_owned(),
            reason,
        },
    }
}

/// `count` held-out questions of the exam's world with their domains, as `seed` chooses; fewer where a domain
/// has no more.
///
/// # Errors
/// A recipe that names an unknown domain.
pub fn questions(
    recipe: &ExamRecipe,
    seed: u64,
    count: usize,
) -> Result<Vec<(&'static str, Question)>, Error> {
    let corpus = Corpus::new(recipe.world_seed, &recipe.mix)?;
    Ok(corpus.exam(seed, count))
}

/// The beginnings of `count` documents of the exam's world, in an order that no course has: up to `longest`
/// characters of whole lines each, the first line whatever its length.
///
/// # Errors
/// A recipe that names an unknown domain.
pub fn passages(
    recipe: &ExamRecipe,
    seed: u64,
    count: usize,
    longest: usize,
) -> Result<Vec<String>, Error> {
    let corpus = Corpus::new(recipe.world_seed, &recipe.mix)?;
    let mut seen = BTreeSet::new();
    let beginning = |text: String| {
        let mut length = 0;
        let lines = text
            .split_inclusive('\n')
            .enumerate()
            .take_while(|(at, line)| {
                length += line.chars().count();
                *at == 0 || length <= longest
            });
        lines.map(|(_, line)| line).collect::<String>()
    };
    let passages = corpus
        .documents(seed)
        .take(count.saturating_mul(100))
        .map(|document| beginning(document.text()))
        .filter(|passage| seen.insert(passage.clone()));
    Ok(passages.take(count).collect())
}

/// Right answers by domain.
pub fn scores(answers: &[Answered]) -> Scores {
    let mut scores = Scores::new();
    for answer in answers {
        let score = scores.entry(answer.domain.to_owned()).or_default();
        score.asked += 1;
        score.right += usize::from(answer.given == answer.expected);
    }
    scores
}
