//! Answers of several models to the same items.

use std::collections::BTreeMap;

use super::texts::TextId;
use super::texts::Texts;

/// Answers, item by item and model by model.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// One per model, in the order in which they were named.
    pub columns: Vec<Column>,
    /// Suites (tasks), in the order of their first answer.
    pub suites: Vec<SuiteFacts>,
    /// Items, in the order of their first answer.
    pub items: Vec<Item>,
    /// Every answer and target.
    pub texts: Texts,
    /// What a reader of the numbers must know.
    pub notes: Vec<String>,
}

/// A suite or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteFacts {
    /// Its name; empty where the log names none.
    pub id: String,
    /// Its version, where a log states one.
    pub version: Option<String>,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    /// Index into [`Sheet::suites`].
    pub suite: u32,
    /// Its name in the first log that has it.
    pub id: Box<str>,
    /// End of the prompt, where a log holds it.
    pub prompt: Option<Box<str>>,
    /// Accepted answers; empty where none is known.
    pub targets: Box<[TextId]>,
    /// How many answers can be chosen from; `None` for free answers.
    pub options: Option<u32>,
    /// Which of the options is right, from 0.
    pub gold: Option<u32>,
    /// Renderings of one question have the same number, and no other item of the suite has it.
    pub group: Option<u32>,
}

/// One model's answers.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// What the model is called.
    pub label: String,
    /// What was read, as it was named.
    pub source: String,
    /// Name of the format.
    pub format: &'static str,
    /// By item; `None` where there is no row.
    pub cells: Vec<Option<Cell>>,
    /// Further answers to the same item, by item.
    pub repeats: BTreeMap<u32, Vec<Cell>>,
    /// Probabilities of the options, by item, where the log has them.
    pub probabilities: Vec<Option<Box<[f64]>>>,
    /// Rows without an answer, because asking failed.
    pub failed: usize,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// What was answered; `None` where the log only says whether it was right.
    pub answer: Option<TextId>,
    /// Whether it was right; `None` where there is no truth.
    pub right: Option<bool>,
    /// Number of the repetition.
    pub repeat: u32,
}

impl Sheet {
    /// A model's answer to an item.
    pub fn cell(&self, column: usize, item: usize) -> Option<Cell> {
        self.columns.get(column)?.cells.get(item).copied().flatten()
    }

    /// Whether two answers are the same; `None` where one of them is not known.
    pub fn alike(&self, a: Cell, b: Cell) -> Option<bool> {
        Some(self.texts.code(a.answer?) == self.texts.code(b.answer?))
    }

    /// Accepted answers as one text.
    pub fn target(&self, item: &Item) -> Option<String> {
        let texts: Vec<&str> = item
            .targets
            .iter()
            .map(|&id| self.texts.shown(id))
            .collect();
        (!texts.is_empty()).then(|| texts.join(" | "))
    }
}

impl Column {
    /// Probabilities of the options of an item.
    pub fn options(&self, item: usize) -> Option<&[f64]> {
        self.probabilities.get(item)?.as_deref()
    }
}
