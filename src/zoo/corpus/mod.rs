//! The synthetic corpus that zoo members read.
//!
//! A pure function of its seeds: invented people, towns and prices, everyday words, arithmetic,
//! lists, pages with one JSON action, code, and an invented language with its translations. Every
//! domain writes running text and asks questions with one right answer. Enough of it is hard
//! (hundreds of arbitrary facts, results that must be worked out) that small models err, each in
//! its own way.
//!
//! One question in [`HELD_OUT_SHARE`] is never written into a training document (the choice is a
//! hash of its wording): those make up the exam.

mod actions;
mod code;
mod everyday;
mod lists;
mod numbers;
mod people;
mod template;
mod tongue;
mod towns;
mod words;

use std::collections::BTreeMap;

use super::dice::Dice;
use super::dice::fnv1a;

/// One question in this many belongs to the exam alone.
pub const HELD_OUT_SHARE: u64 = 8;

/// What divides documents.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// A prompt and its one right continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Everything up to the answer, the cue (`Answer:`, `Action:`) included; no space at the end.
    pub prompt: String,
    /// The right continuation, one line, without the space that precedes it.
    pub answer: String,
}

impl Question {
    /// The form `Question: …\nAnswer:`.
    fn plain(question: &str, answer: impl Into<String>) -> Self {
        Self {
            prompt: format!("Question: {question}\nAnswer:"),
            answer: answer.into(),
        }
    }

    /// Whether it is kept out of every training document.
    pub fn is_held_out(&self) -> bool {
        fnv1a(self.prompt.as_bytes()).is_multiple_of(HELD_OUT_SHARE)
    }

    /// As it stands in a document.
    fn answered(&self) -> [Piece; 2] {
        [
            Piece::Prompt(self.prompt.clone()),
            Piece::Answer(format!(" {}\n", self.answer)),
        ]
    }
}

/// A stretch of a document. Tokens never cross from one to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Running text.
    Text(String),
    /// A question up to its cue: mostly chance, little to learn.
    Prompt(String),
    /// The answer with its line end.
    Answer(String),
}

impl Piece {
    /// What it says.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Prompt(text) | Self::Answer(text) => text,
        }
    }
}

/// What is read between two end-of-text tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(pub Vec<Piece>);

impl Document {
    /// All of it.
    pub fn text(&self) -> String {
        self.0.iter().map(Piece::text).collect()
    }
}

/// One area of the corpus.
trait Domain: Send + Sync {
    /// A few lines of running text, newline at the end.
    fn passage(&self, dice: &mut Dice) -> String;

    /// Something with one right answer.
    fn question(&self, dice: &mut Dice) -> Question;

    /// Questions asked together in one document; 1 where a prompt is a page by itself.
    fn questions_together(&self) -> usize {
        4
    }
}

/// Builds one domain of the world that `seed` invents.
type Build = fn(seed: u64) -> Box<dyn Domain>;

/// Every domain, by the name that recipes use.
static DOMAINS: &[(&str, Build)] = &[
    ("actions", actions::build),
    ("code", code::build),
    ("everyday", everyday::build),
    ("lists", lists::build),
    ("numbers", numbers::build),
    ("people", people::build),
    ("tongue", tongue::build),
    ("towns", towns::build),
];

/// Names a domain that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("no corpus domain is called `{given}`; there are {}", known())]
pub struct UnknownDomain {
    given: String,
}

fn known() -> String {
    let names: Vec<&str> = DOMAINS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A corpus: one invented world and the share of each domain.
pub struct Corpus {
    domains: Vec<(&'static str, Box<dyn Domain>)>,
    weights: Vec<u32>,
}

impl Corpus {
    /// Invents the world of `world_seed`; `mix` gives the relative number of documents by domain.
    ///
    /// # Errors
    /// A name in `mix` that is no domain.
    pub fn new(world_seed: u64, mix: &BTreeMap<String, u32>) -> Result<Self, UnknownDomain> {
        let mut domains = Vec::new();
        let mut weights = Vec::new();
        for (given, &weight) in mix {
            let (name, build) =
                DOMAINS
                    .iter()
                    .find(|(name, _)| name == given)
                    .ok_or_else(|| UnknownDomain {
                        given: given.clone(),
                    })?;
            domains.push((*name, build(world_seed)));
            weights.push(weight);
        }
        Ok(Self { domains, weights })
    }

    /// Documents without end, in the order of `order_seed`.
    pub fn documents(&self, order_seed: u64) -> impl Iterator<Item = Document> {
        let mut dice = Dice::named(order_seed, "documents");
        std::iter::repeat_with(move || self.document(&mut dice))
    }

    /// `count` held-out questions with their domains, evenly over the domains of the mix.
    pub fn exam(&self, seed: u64, count: usize) -> Vec<(&'static str, Question)> {
        let mut dice = Dice::named(seed, "exam");
        let mut seen = std::collections::BTreeSet::new();
        let mut exam = Vec::new();
        // A domain may have few held-out questions; the bound ends the search for new ones.
        for turn in 0..count * 400 {
            if exam.len() == count {
                break;
            }
            let (name, domain) = &self.domains[turn % self.domains.len()];
            let question = domain.question(&mut dice);
            let room = exam.iter().filter(|(of, _)| of == name).count()
                < count.div_ceil(self.domains.len());
            if room && question.is_held_out() && seen.insert(question.prompt.clone()) {
                exam.push((*name, question));
            }
        }
        exam
    }

    fn document(&self, dice: &mut Dice) -> Document {
        let (_, domain) = &self.domains[dice.weighted(&self.weights)];
        let mut pieces = Vec::new();
        let (passage, most) = match dice.below(5) {
            0 | 1 => (true, 0),
            2 => (true, 2),
            _ => (false, domain.questions_together()),
        };
        if passage {
            pieces.push(Piece::Text(domain.passage(dice)));
        }
        let count = if most == 0 { 0 } else { dice.between(1, most) };
        for _ in 0..count {
            pieces.extend(training_question(domain.as_ref(), dice).answered());
        }
        Document(pieces)
    }
}

/// A question that the exam will not ask.
fn training_question(domain: &dyn Domain, dice: &mut Dice) -> Question {
    loop {
        let question = domain.question(dice);
        if !question.is_held_out() {
            return question;
        }
    }
}

/// `Mira, Tam and Orla`
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// First letter in upper case.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use super::Corpus;
    use super::DOMAINS;

    fn everything() -> BTreeMap<String, u32> {
        DOMAINS
            .iter()
            .map(|(name, _)| ((*name).to_owned(), 1))
            .collect()
    }

    #[test]
    fn documents_are_a_function_of_the_seeds() {
        let text = |world, order| {
            let corpus = Corpus::new(world, &everything()).expect("known domains");
            corpus
                .documents(order)
                .take(50)
                .map(|document| document.text())
                .collect::<String>()
        };
        assert_eq!(text(1, 1), text(1, 1));
        assert_ne!(text(1, 1), text(1, 2));
        assert_ne!(text(1, 1), text(2, 1));
    }

    #[test]
    fn exam_questions_never_stand_in_training_documents() {
        let corpus = Corpus::new(5, &everything()).expect("known domains");
        let exam = corpus.exam(9, 200);
        assert_eq!(exam.len(), 200);
        let distinct: BTreeSet<&str> = exam.iter().map(|(_, q)| q.prompt.as_str()).collect();
        assert_eq!(distinct.len(), 200);
        let training: String = corpus
            .documents(3)
            .take(5000)
            .map(|document| document.text())
            .collect();
        for (domain, question) in &exam {
            assert!(!question.answer.is_empty() && !question.answer.contains('\n'));
            assert!(
                !training.contains(&question.prompt),
                "{domain}: {}",
                question.prompt
            );
        }
    }

    #[test]
    fn an_answer_depends_on_the_world_alone() {
        let corpus = Corpus::new(5, &everything()).expect("known domains");
        let mut answers = BTreeMap::new();
        for (domain, question) in corpus.exam(1, 300).into_iter().chain(corpus.exam(2, 300)) {
            let known = answers
                .entry(question.prompt.clone())
                .or_insert_with(|| question.answer.clone());
            assert_eq!(*known, question.answer, "{domain}: {}", question.prompt);
        }
    }

    #[test]
    fn an_unknown_domain_is_named_with_the_known_ones() {
        let mix = BTreeMap::from([("poems".to_owned(), 1)]);
        let error = Corpus::new(1, &mix).err().expect("unknown").to_string();
        assert!(
            error.contains("poems") && error.contains("numbers"),
            "{error}"
        );
    }
}
