//! Facts with several ways to tell them and to ask for them.

use super::super::dice::Dice;
use super::Question;

/// How facts of one kind are worded; `{who}` is what they are about, `{it}` what is so.
pub(super) struct Wording {
    /// Statements.
    pub(super) tell: &'static [&'static str],
    /// Questions for `{it}`.
    pub(super) ask: &'static [&'static str],
}

impl Wording {
    /// One of the statements.
    pub(super) fn told(&self, dice: &mut Dice, who: &str, it: &str) -> String {
        dice.word(self.tell)
            .replace("{who}", who)
            .replace("{it}", it)
    }

    /// One of the questions.
    pub(super) fn asked(&self, dice: &mut Dice, who: &str, it: &str) -> Question {
        Question::plain(&dice.word(self.ask).replace("{who}", who), it)
    }
}
