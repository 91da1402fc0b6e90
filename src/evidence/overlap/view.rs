//! The sheet as flat columns of small numbers, for passes over all pairs.

use crate::record::import::Sheet;

/// No answer is known.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// Answers by number.
pub(super) struct View<'s> {
    pub sheet: &'s Sheet,
    pub columns: Vec<Column>,
    /// By item: whether right and wrong count there.
    pub counted: Vec<bool>,
    /// By item: position of its number of options in `options`.
    pub kind: Vec<u8>,
    /// Numbers of options that occur; 0 for free answers.
    pub options: Vec<u32>,
}

/// One model's answers.
pub(super) struct Column {
    /// By item; [`UNKNOWN`] without an answer.
    pub codes: Vec<u32>,
    /// By item; `None` without a verdict.
    pub right: Vec<Option<bool>>,
}

impl<'s> View<'s> {
    /// `stated` is the number of options of items whose log does not say it.
    pub fn new(sheet: &'s Sheet, vacuous: &[bool], stated: Option<u32>) -> Self {
        let columns = sheet.columns.iter().map(|column| Column {
            codes: column
                .cells
                .iter()
                .map(|cell| {
                    let answer = cell.and_then(|cell| cell.answer);
                    answer.map_or(UNKNOWN, |id| sheet.texts.code(id))
                })
                .collect(),
            right: column
                .cells
                .iter()
                .map(|cell| cell.and_then(|cell| cell.right))
                .collect(),
        });
        let mut options: Vec<u32> = Vec::new();
        let kind = sheet.items.iter().map(|item| {
            let count = item.options.or(stated).unwrap_or(0);
            let known = options.iter().position(|&other| other == count);
            // Beyond 255 different lengths the rest are free answers, whose chance agreement is none.
            let at = known.unwrap_or_else(|| {
                if options.len() < 255 {
                    options.push(count);
                }
                options.len() - 1
            });
            at as u8
        });
        let kind = kind.collect();
        Self {
            columns: columns.collect(),
            counted: sheet
                .items
                .iter()
                .map(|item| !vacuous[item.suite as usize])
                .collect(),
            sheet,
            kind,
            options,
        }
    }

    /// Items that both models have a verdict on, with both verdicts; vacuous suites left out.
    pub fn judged(&self, first: usize, second: usize) -> impl Iterator<Item = (usize, bool, bool)> {
        let (a, b) = (&self.columns[first], &self.columns[second]);
        let items = self.counted.iter().zip(&a.right).zip(&b.right).enumerate();
        items.filter_map(|(at, ((counted, x), y))| {
            counted.then_some(())?;
            Some((at, (*x)?, (*y)?))
        })
    }

    /// Whether two models gave the same answer; `None` where one answer is not known.
    pub fn alike(&self, first: usize, second: usize, item: usize) -> Option<bool> {
        let (x, y) = (
            self.columns[first].codes[item],
            self.columns[second].codes[item],
        );
        (x != UNKNOWN && y != UNKNOWN).then_some(x == y)
    }
}
