//! Rows of several files -> one sheet: which rows are about the same item, and what must not differ.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use super::Error;
use super::sheet::Cell;
use super::sheet::Column;
use super::sheet::Item;
use super::sheet::Sheet;
use super::sheet::SuiteFacts;
use super::texts::TextId;
use super::texts::digest;
use crate::text::ModelText;

/// Characters of a prompt that are kept to be shown: its end, where the question stands.
const PROMPT: usize = 300;

/// One row of a log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row<'a> {
    /// Suite or task; empty where the log names none.
    pub suite: &'a str,
    /// Item.
    pub id: &'a str,
    /// Hash of the item's content, where the format has one; it then identifies the item.
    pub content: Option<&'a str>,
    /// What was asked.
    pub prompt: Option<&'a str>,
    /// Accepted answers; empty where none is known.
    pub targets: &'a [Cow<'a, str>],
    /// What was answered.
    pub answer: Option<&'a str>,
    /// Whether the log says that it is right; `None` leaves that to the targets.
    pub right: Option<bool>,
    /// Number of the repetition, where the format has one.
    pub repeat: Option<u32>,
    /// Number of options.
    pub options: Option<u32>,
    /// The right one of them.
    pub gold: Option<u32>,
    /// Their probabilities.
    pub probabilities: Option<&'a [f64]>,
    /// The question that the item is one of several renderings of.
    pub group: Option<&'a str>,
}

/// The sheet while files are read.
#[derive(Debug, Default)]
pub(super) struct Join {
    pub sheet: Sheet,
    items: HashMap<[u8; 16], u32>,
    suites: HashMap<String, u32>,
    /// By item.
    asked: Vec<Asked>,
    /// By suite: which column stated the version.
    versions: Vec<Option<String>>,
}

/// What identified an item's content when it was first seen.
#[derive(Debug)]
struct Asked {
    prompt: Option<[u8; 16]>,
    /// Label of the log that stated prompt and targets.
    by: String,
}

/// One model's rows on their way into the sheet.
#[derive(Debug)]
pub(super) struct Intake<'j> {
    join: &'j mut Join,
    column: Column,
    /// By content hash: names of the items of this log that have it.
    same_content: HashMap<[u8; 16], Vec<Box<str>>>,
}

impl Join {
    /// Begins a model.
    pub fn begin(&mut self, label: &str, source: &str, format: &'static str) -> Intake<'_> {
        Intake {
            join: self,
            column: Column {
                label: label.to_owned(),
                source: source.to_owned(),
                format,
                ..Column::default()
            },
            same_content: HashMap::new(),
        }
    }

    fn suite(&mut self, id: &str) -> u32 {
        if let Some(&known) = self.suites.get(id) {
            return known;
        }
        let next = self.sheet.suites.len() as u32;
        self.suites.insert(id.to_owned(), next);
        self.sheet.suites.push(SuiteFacts {
            id: id.to_owned(),
            version: None,
        });
        self.versions.push(None);
        next
    }
}

impl Intake<'_> {
    /// States the version of a suite.
    ///
    /// # Errors
    /// When another log, or this one, stated another version.
    pub fn version(&mut self, path: &Path, suite: &str, version: &str) -> Result<(), Error> {
        let at = self.join.suite(suite) as usize;
        let facts = &mut self.join.sheet.suites[at];
        match &facts.version {
            Some(known) if known != version => {
                let by = self.join.versions[at].as_deref().unwrap_or_default();
                Err(Error::file(
                    path,
                    format!(
                        "{} has version {} here and {} in {}: answers to different versions cannot be compared; leave \
                         one of the logs out",
                        named(suite),
                        ModelText::new(version).clipped(80),
                        ModelText::new(known.as_str()).clipped(80),
                        ModelText::new(by).clipped(80),
                    ),
                ))
            }
            Some(_) => Ok(()),
            None => {
                facts.version = Some(version.to_owned());
                self.join.versions[at] = Some(self.column.label.clone());
                Ok(())
            }
        }
    }

    /// Says something that a reader of the numbers must know.
    pub fn note(&mut self, words: &str) {
        let label = ModelText::new(self.column.label.as_str()).clipped(60);
        self.join.sheet.notes.push(format!("{label}: {words}"));
    }

    /// Rows without an answer.
    pub fn failed(&mut self) {
        self.column.failed += 1;
    }

    /// Takes a row in.
    ///
    /// # Errors
    /// When the item was answered before in this log (without a number of the repetition), or when
    /// another log has another prompt, other targets or other options for it.
    pub fn row(&mut self, path: &Path, line: usize, row: Row<'_>) -> Result<(), Error> {
        let refuse = |reason: String| Error::line(path, line, reason);
        let item = self.item(&row).map_err(refuse)?;
        self.agree(item, &row).map_err(refuse)?;
        let answer = row.answer.map(|text| self.join.sheet.texts.add(text));
        let cell = Cell {
            answer,
            right: row.right.or_else(|| self.judge(item, row.answer, answer)),
            repeat: row.repeat.unwrap_or(0),
        };
        if cell.answer.is_none() && cell.right.is_none() {
            self.failed();
            return Ok(());
        }
        let again = self.place(item, cell, row.repeat.is_some());
        again.map_err(|reason| refuse(format!("item `{}` {reason}", clipped(row.id))))?;
        if let Some(probabilities) = row.probabilities {
            let kept = &mut self.column.probabilities;
            kept.resize(kept.len().max(item + 1), None);
            kept[item].get_or_insert_with(|| probabilities.into());
        }
        Ok(())
    }

    /// Ends the model.
    ///
    /// # Errors
    /// When it answered nothing.
    pub fn end(self, path: &Path) -> Result<(), Error> {
        if self.column.cells.iter().flatten().next().is_none() {
            return Err(Error::file(
                path,
                "there is no answer in it; check that this is the log that was meant",
            ));
        }
        self.join.sheet.columns.push(self.column);
        Ok(())
    }

    /// The number of the row's item.
    fn item(&mut self, row: &Row<'_>) -> Result<usize, String> {
        let suite = self.join.suite(row.suite);
        let key = match row.content {
            None => digest(&["id", row.suite, row.id]),
            Some(content) => {
                let hash = digest(&[row.suite, content]);
                let names = self.same_content.entry(hash).or_default();
                // Data sets hold some questions twice: the second of them is an item of its own.
                let known = names.iter().position(|name| **name == *row.id);
                let at = known.unwrap_or_else(|| {
                    names.push(row.id.into());
                    names.len() - 1
                });
                digest(&["content", row.suite, content, &at.to_string()])
            }
        };
        if let Some(&known) = self.join.items.get(&key) {
            return Ok(known as usize);
        }
        let next = self.join.sheet.items.len();
        let number = u32::try_from(next).map_err(|_| "there are too many items".to_owned())?;
        self.join.items.insert(key, number);
        self.join.sheet.items.push(Item {
            suite,
            id: row.id.into(),
            prompt: row.prompt.map(end_of),
            targets: Box::new([]),
            options: None,
            gold: None,
            group: None,
        });
        self.join.asked.push(Asked {
            prompt: None,
            by: self.column.label.clone(),
        });
        Ok(next)
    }

    /// Holds what the row says of its item against what is known of it.
    fn agree(&mut self, at: usize, row: &Row<'_>) -> Result<(), String> {
        let texts = &mut self.join.sheet.texts;
        let group = row.group.map(|text| {
            let id = texts.add(text);
            texts.code(id)
        });
        let targets: Vec<TextId> = row.targets.iter().map(|text| texts.add(text)).collect();
        let sheet = &mut self.join.sheet;
        let (item, asked) = (&mut sheet.items[at], &mut self.join.asked[at]);
        let conflict = |what: &str, here: &str, there: &str| {
            format!(
                "item `{}` has {what} {} here and {} in {}: these are not the same item; give them different ids, or \
                 leave one of the logs out",
                clipped(row.id),
                clipped(here),
                clipped(there),
                clipped(&asked.by),
            )
        };
        if !targets.is_empty() {
            let codes = |ids: &[TextId]| {
                let mut codes: Vec<u32> = ids.iter().map(|&id| sheet.texts.code(id)).collect();
                codes.sort_unstable();
                codes
            };
            if item.targets.is_empty() {
                item.targets = targets.into();
            } else if codes(&item.targets) != codes(&targets) {
                let shown = |ids: &[TextId]| format!("`{}`", sheet.texts.shown(ids[0]));
                return Err(conflict("target", &shown(&targets), &shown(&item.targets)));
            }
        }
        for (what, known, given) in [
            ("options", &mut item.options, row.options),
            ("right option", &mut item.gold, row.gold),
            ("group number", &mut item.group, group),
        ] {
            match (*known, given) {
                (Some(there), Some(here)) if there != here => {
                    return Err(conflict(what, &here.to_string(), &there.to_string()));
                }
                (None, given) => *known = given,
                _ => {}
            }
        }
        if row.content.is_none()
            && let Some(prompt) = row.prompt
        {
            let hash = digest(&[prompt]);
            match asked.prompt {
                Some(known) if known != hash => {
                    let there = item.prompt.as_deref().unwrap_or_default();
                    return Err(conflict("prompt", &end_of(prompt), there));
                }
                _ => asked.prompt = Some(hash),
            }
        }
        Ok(())
    }

    /// Right or wrong by the targets; an answer of nothing is wrong.
    fn judge(&self, item: usize, text: Option<&str>, answer: Option<TextId>) -> Option<bool> {
        let sheet = &self.join.sheet;
        let targets = &sheet.items[item].targets;
        let (text, answer) = (text?, answer?);
        let code = sheet.texts.code(answer);
        let among = || targets.iter().any(|&id| sheet.texts.code(id) == code);
        (!targets.is_empty()).then(|| !text.trim().is_empty() && among())
    }

    /// Keeps an answer; the repetition with the lowest number is the answer, the others its repeats.
    fn place(&mut self, item: usize, cell: Cell, numbered: bool) -> Result<(), String> {
        let cells = &mut self.column.cells;
        cells.resize(cells.len().max(item + 1), None);
        let Some(first) = &mut cells[item] else {
            cells[item] = Some(cell);
            return Ok(());
        };
        if !numbered {
            return Err(
                "is answered twice; number the repetitions in a column `repeat`, or remove one"
                    .to_owned(),
            );
        }
        let others = self.column.repeats.entry(item as u32).or_default();
        if first.repeat == cell.repeat || others.iter().any(|other| other.repeat == cell.repeat) {
            return Err(format!("has repetition {} twice; remove one", cell.repeat));
        }
        let later = if cell.repeat < first.repeat {
            std::mem::replace(first, cell)
        } else {
            cell
        };
        others.push(later);
        Ok(())
    }
}

fn clipped(text: &str) -> String {
    ModelText::new(text).clipped(60)
}

fn named(suite: &str) -> String {
    match suite {
        "" => "the suite".to_owned(),
        suite => format!("suite {}", clipped(suite)),
    }
}

fn end_of(prompt: &str) -> Box<str> {
    match prompt.char_indices().rev().nth(PROMPT) {
        Some((at, c)) => format!("…{}", &prompt[at + c.len_utf8()..]).into(),
        None => prompt.into(),
    }
}
