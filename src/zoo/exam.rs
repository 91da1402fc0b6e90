//! How many held-out questions a model gets right.

use std::collections::BTreeMap;

use candle_core::Device;
use candle_core::Tensor;
use serde::Deserialize;
use serde::Serialize;
use tokenizers::Tokenizer;

use crate::model::Decoder;
use crate::model::decoder::KvCache;

use super::corpus::Corpus;
use super::corpus::END_OF_TEXT;
use super::error::Error;
use super::recipe::ExamRecipe;

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
/// A recipe that names an unknown domain, or what the tokenizer and decoder report.
pub fn examine(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    recipe: &ExamRecipe,
) -> Result<Vec<Answered>, Error> {
    let corpus = Corpus::new(recipe.world_seed, &recipe.mix)?;
    corpus
        .exam(recipe.seed, recipe.questions)
        .into_iter()
        .map(|(domain, question)| {
            let given = first_line(decoder, tokenizer, &question.prompt)?;
            Ok(Answered {
                domain,
                prompt: question.prompt,
                expected: question.answer,
                given,
            })
        })
        .collect()
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

/// What the model writes after `prompt`, up to the end of the line.
fn first_line(decoder: &Decoder, tokenizer: &Tokenizer, prompt: &str) -> Result<String, Error> {
    let encoded = tokenizer
        .encode_fast(prompt, true)
        .map_err(Error::tokenizer)?;
    let end = tokenizer.token_to_id(END_OF_TEXT);
    let mut cache = KvCache::default();
    let mut input = encoded.get_ids().to_vec();
    let mut written = Vec::new();
    let mut text = String::new();
    while written.len() < LONGEST {
        let tokens = Tensor::new(input.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
        let logits = decoder.next_logits(&tokens, &mut cache)?;
        let next = logits.squeeze(0)?.argmax(0)?.to_scalar::<u32>()?;
        if Some(next) == end {
            break;
        }
        written.push(next);
        text = tokenizer.decode(&written, true).map_err(Error::tokenizer)?;
        if text.contains('\n') {
            break;
        }
        input = vec![next];
    }
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
