//! Free answers letter by letter: error rates against the right text, and slips that two models share.
//!
//! Texts are compared in Unicode normal form C, by grapheme clusters (what a reader takes for one letter); case,
//! punctuation and white space count.

use std::collections::BTreeMap;
use std::collections::HashMap;

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

use super::data::Estimate;
use super::data::Stated;
use super::pairs::share;
use super::view::View;
use crate::record::import::TextId;
use crate::stat::edit;
use crate::stat::edit::Edit;

/// Steps of all alignments together; beyond, nothing is aligned.
const BUDGET: usize = 2_000_000_000;

/// One model's free answers beside the right ones.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TextErrors {
    /// Answers that were read letter by letter.
    pub items: u64,
    /// Answers that are too long to be kept whole, left out.
    pub too_long: u64,
    /// Character error rate: edits over the letters of the right texts.
    pub character_error_rate: f64,
    /// Word error rate: the same on words.
    pub word_error_rate: f64,
    /// Mean of edits over the letters of the longer text.
    pub normalised_edit_distance: f64,
}

/// Every model's answers, aligned with the right ones.
pub(super) struct FreeTexts {
    errors: Vec<Stated<TextErrors>>,
    /// By model: the edits of wrong answers, by item.
    slips: Vec<BTreeMap<usize, Vec<Edit<u32>>>>,
    missing: Option<String>,
}

impl FreeTexts {
    pub fn new(view: &View<'_>) -> Self {
        let mut letters = Letters::new(view);
        let items = letters.items();
        let work = letters.work(&items);
        let models = 0..view.columns.len();
        let missing = match () {
            () if items.is_empty() => {
                Some("no free answer of more than one letter has one right text".to_owned())
            }
            () if work > BUDGET => Some(format!(
                "aligning the answers would take {work} steps, too many"
            )),
            () => None,
        };
        if let Some(reason) = missing {
            return Self {
                errors: models.map(|_| Stated::missing(reason.clone())).collect(),
                slips: Vec::new(),
                missing: Some(reason),
            };
        }
        let (errors, slips) = models.map(|model| letters.model(model, &items)).unzip();
        Self {
            errors,
            slips,
            missing: None,
        }
    }

    pub fn errors(&self, model: usize) -> Stated<TextErrors> {
        self.errors[model].clone()
    }

    /// Edits that both models make, of those that either makes, on items that both get wrong.
    pub fn shared_slips(&self, first: usize, second: usize) -> Stated<Estimate> {
        if let Some(reason) = &self.missing {
            return Stated::missing(reason.clone());
        }
        let (a, b) = (&self.slips[first], &self.slips[second]);
        let pairs = a
            .iter()
            .filter_map(|(item, slips)| Some(edit::shared(slips, b.get(item)?)));
        let (both, all) = pairs.fold((0, 0), |(both, all), (x, y)| {
            (both + x as u64, all + y as u64)
        });
        share(both, all, "no free answer is wrong in both").without_ends()
    }
}

impl Stated<Estimate> {
    /// Slips of one item are no independent draws: their share has no interval.
    fn without_ends(self) -> Self {
        match self {
            Self::Value(estimate) => Self::Value(Estimate {
                low: None,
                high: None,
                ..estimate
            }),
            missing => missing,
        }
    }
}

/// Texts as numbers, a number per letter or word.
struct Letters<'v, 's> {
    view: &'v View<'s>,
    numbers: HashMap<String, u32>,
    texts: HashMap<TextId, [Vec<u32>; 2]>,
}

impl<'v, 's> Letters<'v, 's> {
    fn new(view: &'v View<'s>) -> Self {
        Self {
            view,
            numbers: HashMap::new(),
            texts: HashMap::new(),
        }
    }

    /// Items of free answers with one right text, kept whole, of more than one letter in at least one item.
    fn items(&mut self) -> Vec<usize> {
        let sheet = self.view.sheet;
        let mut longest = 0;
        let items: Vec<usize> = (0..sheet.items.len())
            .filter(|&at| {
                self.view.counted[at] && self.view.options[usize::from(self.view.kind[at])] == 0
            })
            .filter(|&at| match sheet.items[at].targets[..] {
                [target] => {
                    let length = self.read(target).map_or(0, |[letters, _]| letters.len());
                    longest = longest.max(length);
                    length > 0
                }
                _ => false,
            })
            .collect();
        if longest > 1 { items } else { Vec::new() }
    }

    /// Letters of a right text times letters of an answer, over all answers.
    fn work(&self, items: &[usize]) -> usize {
        let sheet = self.view.sheet;
        let length = |id: TextId| sheet.texts.whole(id).map_or(0, |text| text.chars().count());
        let of_item = |&at: &usize| {
            let answers =
                (0..sheet.columns.len()).filter_map(|model| sheet.cell(model, at)?.answer);
            length(sheet.items[at].targets[0]) * answers.map(length).sum::<usize>()
        };
        items.iter().map(of_item).sum()
    }

    /// Letters and words of a text in normal form C; `None` of a text that was not kept whole.
    fn read(&mut self, id: TextId) -> Option<&[Vec<u32>; 2]> {
        if !self.texts.contains_key(&id) {
            let text = self.view.sheet.texts.composed(id)?;
            let letters = text.graphemes(true).map(|part| self.number(part)).collect();
            let words = text
                .split_whitespace()
                .map(|part| self.number(part))
                .collect();
            self.texts.insert(id, [letters, words]);
        }
        self.texts.get(&id)
    }

    fn number(&mut self, part: &str) -> u32 {
        let next = self.numbers.len() as u32;
        match self.numbers.get(part) {
            Some(&known) => known,
            None => {
                self.numbers.insert(part.to_owned(), next);
                next
            }
        }
    }

    fn model(
        &mut self,
        model: usize,
        items: &[usize],
    ) -> (Stated<TextErrors>, BTreeMap<usize, Vec<Edit<u32>>>) {
        let mut sums = Sums::default();
        let mut slips = BTreeMap::new();
        for &at in items {
            let Some(cell) = self.view.sheet.cell(model, at) else {
                continue;
            };
            let Some(answer) = cell.answer else { continue };
            let target = self.view.sheet.items[at].targets[0];
            let Some(wanted) = self.read(target).cloned() else {
                continue;
            };
            let Some(given) = self.read(answer) else {
                sums.too_long += 1;
                continue;
            };
            let mut edits = edit::edits(&wanted[0], &given[0]);
            sums.add(&wanted, given, edits.len());
            if cell.right == Some(false) {
                edits.sort_unstable();
                slips.insert(at, edits);
            }
        }
        (sums.errors(), slips)
    }
}

#[derive(Default)]
struct Sums {
    items: u64,
    too_long: u64,
    letters: usize,
    letter_edits: usize,
    words: usize,
    word_edits: usize,
    normalised: f64,
}

impl Sums {
    fn add(&mut self, wanted: &[Vec<u32>; 2], given: &[Vec<u32>; 2], edits: usize) {
        self.items += 1;
        self.letters += wanted[0].len();
        self.letter_edits += edits;
        self.words += wanted[1].len();
        self.word_edits += edit::distance(&wanted[1], &given[1]);
        self.normalised += edits as f64 / wanted[0].len().max(given[0].len()).max(1) as f64;
    }

    fn errors(&self) -> Stated<TextErrors> {
        let value = (self.items > 0).then(|| TextErrors {
            items: self.items,
            too_long: self.too_long,
            character_error_rate: self.letter_edits as f64 / self.letters.max(1) as f64,
            word_error_rate: self.word_edits as f64 / self.words.max(1) as f64,
            normalised_edit_distance: self.normalised / self.items as f64,
        });
        Stated::from_option(value, || {
            "every free answer is too long to be kept whole".to_owned()
        })
    }
}
