//! Answers of several models to the same items.

/// The code of an answer that is not there.
pub const MISSING: u32 = u32::MAX;

/// Models by items: one small integer per answer, the right one and the number of options per item.
///
/// What a code means is the caller's: equal answers to an item have equal codes, different ones
/// different. Twenty models on 20,000 items are 1.6 MB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    right: Vec<u32>,
    options: Vec<u32>,
    /// `[model][item]`.
    codes: Vec<Vec<u32>>,
}

/// What cannot be put beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} answers for {items} items; give one per item, missing ones as missing")]
pub struct WrongLength {
    /// Numbers given.
    pub found: usize,
    /// Numbers due.
    pub items: usize,
}

impl Answers {
    /// Items without models yet: the code of the right answer of each ([`MISSING`] where there is no
    /// truth: every answer then counts as one of the wrong ones), and how many options it has (0 where
    /// the answer is open or the options are not known).
    ///
    /// # Errors
    /// [`WrongLength`] when the two lists differ in length.
    pub fn new(right: Vec<u32>, options: Vec<u32>) -> Result<Self, WrongLength> {
        if right.len() != options.len() {
            return Err(WrongLength {
                found: options.len(),
                items: right.len(),
            });
        }
        Ok(Self {
            right,
            options,
            codes: Vec::new(),
        })
    }

    /// Items without models yet, from pairs of right answer and number of options.
    pub fn of_items(items: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let (right, options) = items.into_iter().unzip();
        Self {
            right,
            options,
            codes: Vec::new(),
        }
    }

    /// Adds a model, answers in the order of the items; its number.
    ///
    /// # Errors
    /// [`WrongLength`] when there is not one answer per item.
    pub fn push(&mut self, codes: Vec<u32>) -> Result<usize, WrongLength> {
        if codes.len() != self.items() {
            return Err(WrongLength {
                found: codes.len(),
                items: self.items(),
            });
        }
        self.codes.push(codes);
        Ok(self.codes.len() - 1)
    }

    /// Number of models.
    pub fn models(&self) -> usize {
        self.codes.len()
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.right.len()
    }

    /// A model's answer; `None` where it is missing.
    pub fn get(&self, model: usize, item: usize) -> Option<u32> {
        let code = *self.codes.get(model)?.get(item)?;
        (code != MISSING).then_some(code)
    }

    /// Whether an item has a right answer.
    pub fn has_truth(&self, item: usize) -> bool {
        self.right.get(item).is_some_and(|code| *code != MISSING)
    }

    /// Whether `code` is the right answer of an item.
    pub fn is_right(&self, item: usize, code: u32) -> bool {
        self.right.get(item) == Some(&code) && code != MISSING
    }

    /// Number of wrong options of an item; `None` where it is not known.
    pub fn wrong_options(&self, item: usize) -> Option<u32> {
        let options = *self.options.get(item)?;
        let right = u32::from(self.has_truth(item));
        (options > right).then(|| options - right)
    }

    /// A model's right answers and its answers, both on items with a truth.
    pub fn score(&self, model: usize) -> (usize, usize) {
        let (mut right, mut answered) = (0, 0);
        for item in (0..self.items()).filter(|item| self.has_truth(*item)) {
            if let Some(code) = self.get(model, item) {
                answered += 1;
                right += usize::from(self.is_right(item, code));
            }
        }
        (right, answered)
    }

    /// The items that both models answered, with both answers.
    pub fn shared(&self, a: usize, b: usize) -> impl Iterator<Item = (usize, u32, u32)> {
        (0..self.items())
            .filter_map(move |item| Some((item, self.get(a, item)?, self.get(b, item)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_looked_up_by_model_and_item() {
        let mut answers = Answers::new(vec![1, MISSING, 0], vec![4, 0, 2]).unwrap();
        assert_eq!(answers.push(vec![1, 7, MISSING]), Ok(0));
        assert_eq!(answers.push(vec![3, 7, 0]), Ok(1));
        assert!(answers.push(vec![1]).is_err());
        assert!(Answers::new(vec![1], vec![]).is_err());
        assert_eq!((answers.models(), answers.items()), (2, 3));
        assert_eq!(answers.get(0, 2), None);
        assert_eq!(answers.get(5, 0), None);
        assert!(answers.is_right(0, 1) && !answers.is_right(1, MISSING));
        let options: Vec<_> = (0..3).map(|item| answers.wrong_options(item)).collect();
        assert_eq!(options, [Some(3), None, Some(1)]);
        assert_eq!((answers.score(0), answers.score(1)), ((1, 1), (1, 2)));
        let shared: Vec<_> = answers.shared(0, 1).collect();
        assert_eq!(shared, [(0, 1, 3), (1, 7, 7)]);
    }
}
