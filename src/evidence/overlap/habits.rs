//! What models say where they do not know.
//!
//! Shown a script that they never saw, models say nothing, or fall into what they say anyway: one favourite
//! answer, letters of the scripts that they know. Two models that both do are not alike for it.

use std::collections::BTreeMap;

use serde::Serialize;
use unicode_script::{Script, UnicodeScript};

use super::data::Stated;
use super::view::View;
use crate::record::import::TextId;

/// Scripts that are listed.
const LISTED: usize = 3;

/// One model's free answers that are not right: all of them where there is no truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Habits {
    /// So many.
    pub answers: u64,
    /// Share without a letter or digit: nothing was said.
    pub silent: f64,
    /// The most frequent of the others.
    pub favourite: String,
    /// Its share.
    pub share: f64,
    /// Its mean share among those of the other models; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_others: Option<f64>,
    /// Scripts of Unicode that most letters are of, with their shares.
    pub scripts: Vec<(&'static str, f64)>,
}

/// Of every model.
pub(super) fn habits(view: &View<'_>) -> Vec<Stated<Habits>> {
    let counts: Vec<BTreeMap<TextId, u64>> = (0..view.columns.len())
        .map(|model| not_right(view, model))
        .collect();
    (0..counts.len())
        .map(|model| {
            Stated::from_option(of(view, &counts, model), || {
                "no free answer is wrong or without a truth".to_owned()
            })
        })
        .collect()
}

/// How often each answer was given that is not right.
fn not_right(view: &View<'_>, model: usize) -> BTreeMap<TextId, u64> {
    let mut counts = BTreeMap::new();
    let cells = view.sheet.columns[model].cells.iter().enumerate();
    for (item, cell) in cells {
        let free = view.options[usize::from(view.kind[item])] == 0;
        let answer = cell.as_ref().filter(|cell| cell.right != Some(true));
        if let (true, Some(answer)) = (free, answer.and_then(|cell| cell.answer)) {
            *counts.entry(answer).or_default() += 1;
        }
    }
    counts
}

fn of(view: &View<'_>, counts: &[BTreeMap<TextId, u64>], model: usize) -> Option<Habits> {
    let own = &counts[model];
    let text = |id: &TextId| view.sheet.texts.shown(*id);
    let says = |id: &TextId| text(id).chars().any(char::is_alphanumeric);
    let answers = total(own);
    let said = own.iter().filter(|(id, _)| says(id));
    // The first of equally frequent ones in the order of the texts, which no order of items changes.
    let favourite = said.max_by_key(|(id, count)| (**count, std::cmp::Reverse(text(id))));
    let share = |of: &BTreeMap<TextId, u64>, id: &TextId| {
        let all = total(of);
        (all > 0).then(|| of.get(id).copied().unwrap_or_default() as f64 / all as f64)
    };
    let silent: u64 = own
        .iter()
        .filter(|(id, _)| !says(id))
        .map(|(_, count)| count)
        .sum();
    let others = |id: &TextId| -> Option<f64> {
        let others = counts.iter().enumerate().filter(|(at, _)| *at != model);
        let shares: Vec<f64> = others.filter_map(|(_, of)| share(of, id)).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    };
    (answers > 0).then(|| Habits {
        answers,
        silent: silent as f64 / answers as f64,
        favourite: favourite.map_or_else(String::new, |(id, _)| text(id).to_owned()),
        share: favourite.and_then(|(id, _)| share(own, id)).unwrap_or(0.0),
        share_of_others: favourite.and_then(|(id, _)| others(id)),
        scripts: scripts(own.iter().map(|(id, count)| (text(id), *count))),
    })
}

fn total(counts: &BTreeMap<TextId, u64>) -> u64 {
    counts.values().sum()
}

/// Letters by script; what all scripts share (digits, punctuation, marks) is no letter of any.
fn scripts<'a>(texts: impl Iterator<Item = (&'a str, u64)>) -> Vec<(&'static str, f64)> {
    let mut letters: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (text, count) in texts {
        for letter in text.chars() {
            match letter.script() {
                Script::Common | Script::Inherited | Script::Unknown => {}
                script => *letters.entry(script.full_name()).or_default() += count,
            }
        }
    }
    let all: u64 = letters.values().sum();
    let mut shares: Vec<(&'static str, f64)> = letters
        .into_iter()
        .map(|(script, count)| (script, count as f64 / all as f64))
        .collect();
    // Stable: equal shares stay in the order of their names.
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares.truncate(LISTED);
    shares
}

#[cfg(test)]
mod tests {
    use super::scripts;

    #[test]
    fn letters_count_by_script_and_signs_of_all_scripts_do_not() {
        let found = scripts([("ab 12!", 3), ("\u{65e5}\u{672c}", 2), ("\u{3a9}", 2)].into_iter());
        assert_eq!(
            found,
            [("Latin", 0.5), ("Han", 4.0 / 12.0), ("Greek", 2.0 / 12.0)]
        );
        assert!(scripts([("1 2 3", 9), ("", 1)].into_iter()).is_empty());
        // Tangut is a script of its own.
        assert_eq!(scripts([("\u{17000}", 1)].into_iter()), [("Tangut", 1.0)]);
    }
}
