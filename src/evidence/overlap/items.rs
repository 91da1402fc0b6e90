//! The items with shared wrong answers, and the table of all items.

use std::collections::BTreeMap;

use super::data::AnswerRow;
use super::data::ItemRow;
use super::data::Items;
use super::view::UNKNOWN;
use super::view::View;
use crate::record::import::Sheet;
use crate::record::import::TextId;
use crate::text::ModelText;

/// Items that are listed.
const LISTED: usize = 400;

/// The items with shared wrong answers: first those whose shared answer few models gave and few models got
/// wrong, since a slip that many make tells least.
pub(super) fn items(view: &View<'_>) -> Items {
    let mut ranked: Vec<(u64, u64, usize)> = Vec::new();
    for at in (0..view.counted.len()).filter(|&at| view.counted[at]) {
        let mut shared: BTreeMap<u32, u64> = BTreeMap::new();
        let mut wrong = 0;
        for column in &view.columns {
            if column.right[at] == Some(false) {
                wrong += 1;
                if column.codes[at] != UNKNOWN {
                    *shared.entry(column.codes[at]).or_default() += 1;
                }
            }
        }
        let least = shared.values().copied().filter(|&models| models > 1).min();
        ranked.extend(least.map(|models| (models, wrong, at)));
    }
    ranked.sort_unstable();
    Items {
        total: view.counted.len() as u64,
        with_shared_wrong: ranked.len() as u64,
        listed: ranked
            .iter()
            .take(LISTED)
            .map(|&(_, _, at)| row(view, at))
            .collect(),
    }
}

fn row(view: &View<'_>, at: usize) -> ItemRow {
    let sheet = view.sheet;
    let item = &sheet.items[at];
    let verdicts = view.columns.iter().filter_map(|column| column.right[at]);
    let (judged, wrong) = verdicts.fold((0, 0), |(n, wrong), right| {
        (n + 1, wrong + u64::from(!right))
    });
    let answers = answers(sheet, at);
    let shared = answers
        .iter()
        .filter(|answer| answer.right == Some(false))
        .map(AnswerRow::len);
    ItemRow {
        suite: sheet.suites[item.suite as usize].id.clone(),
        item: item.id.to_string(),
        prompt: item.prompt.as_deref().map(str::to_owned),
        target: sheet.target(item),
        wrong,
        judged,
        sharing: shared.max().unwrap_or(0) as u64,
        answers,
    }
}

/// Answers to one item, by sameness and spelling; wrong before right, the most frequent first.
fn answers(sheet: &Sheet, at: usize) -> Vec<AnswerRow> {
    /// Whether it is right, and who wrote it how.
    type Given = (Option<bool>, BTreeMap<TextId, Vec<usize>>);
    let mut by_code: BTreeMap<u32, Given> = BTreeMap::new();
    for column in 0..sheet.columns.len() {
        let Some(cell) = sheet.cell(column, at) else {
            continue;
        };
        let Some(answer) = cell.answer else { continue };
        let (right, spellings) = by_code.entry(sheet.texts.code(answer)).or_default();
        *right = right.or(cell.right);
        spellings.entry(answer).or_default().push(column);
    }
    let mut rows: Vec<AnswerRow> = by_code
        .into_values()
        .map(|(right, spellings)| AnswerRow {
            right,
            spellings: spellings
                .into_iter()
                .map(|(id, runs)| (sheet.texts.shown(id).to_owned(), runs))
                .collect(),
        })
        .collect();
    rows.sort_by_key(|row| (row.right == Some(true), std::cmp::Reverse(row.len())));
    rows
}

/// Every item with every model's answer: a head line, then one line per item, in the order of the logs.
pub fn table(sheet: &Sheet) -> impl Iterator<Item = Vec<String>> {
    let mut head: Vec<String> = ["suite", "item", "target", "wrong"]
        .map(str::to_owned)
        .to_vec();
    for column in &sheet.columns {
        head.push(format!("answer {}", column.label));
        head.push(format!("right {}", column.label));
    }
    let line = |(at, item): (usize, &crate::record::import::Item)| {
        let cells: Vec<_> = (0..sheet.columns.len())
            .map(|column| sheet.cell(column, at))
            .collect();
        let wrong = cells
            .iter()
            .flatten()
            .filter(|cell| cell.right == Some(false))
            .count();
        let safe = |text: &str| ModelText::new(text).to_string();
        let mut line = vec![
            safe(&sheet.suites[item.suite as usize].id),
            safe(&item.id),
            safe(&sheet.target(item).unwrap_or_default()),
            wrong.to_string(),
        ];
        for cell in cells {
            let answer = cell.and_then(|cell| cell.answer);
            line.push(answer.map_or_else(String::new, |id| safe(sheet.texts.shown(id))));
            let right = cell.and_then(|cell| cell.right);
            line.push(
                right
                    .map_or("", |right| if right { "yes" } else { "no" })
                    .to_owned(),
            );
        }
        line
    };
    std::iter::once(head).chain(sheet.items.iter().enumerate().map(line))
}
