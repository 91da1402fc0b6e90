//! What independent models answer, learnt from a panel.

use super::answers::Answers;
use super::difficulty::{Difficulty, Table};
use super::distractor::Distractor;
use super::leaning::{Cell, Leaning};
use super::scaled::Factor;

/// The response law of a panel: right answers by Rasch's law, wrong ones from an urn per item.
///
/// A model of ability `t` is right on item `i` with probability `1 / (1 + e^(b_i - t))`; a wrong model
/// repeats one of the wrong answers that others gave in proportion to how many gave it. Neither `b_i` nor
/// the urn's concentration is known from a panel of a few models: what a small panel leaves open is left
/// open, as the laws of both, given the answers of the members, over which every probability is a mean.
/// Where two models are looked at, their own answers are left out first (members or not), and what is
/// still open is the same for both: that makes them agree by more than the product of their laws. How
/// much likelier than others either is to give a wrong answer that others give is taken from what it shares with
/// the members, the other of the two not among them.
#[derive(Debug, Clone)]
pub struct PanelLaw<'a> {
    answers: &'a Answers,
    members: Vec<usize>,
    difficulty: Difficulty,
    distractor: Distractor,
    leaning: Leaning,
}

/// The law of a model's answers to one item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemLaw {
    /// Probability of the right answer; 0 without truth.
    pub right: f64,
    /// Probabilities of the wrong answers that panel members gave.
    pub wrong: Vec<(u32, f64)>,
    /// Of all other wrong answers together.
    pub other: f64,
}

/// Two models on the items that both answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PairLaw {
    /// In the order of the items.
    pub items: Vec<PairItem>,
    /// How much likelier than of an average pair the same wrong answers of these two are held to be, which is
    /// in the numbers of the items.
    pub leaning: Factor,
}

/// One item: what two models answered, and how likely that is if they are independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairItem {
    /// Number of the item.
    pub item: usize,
    /// Whether the first model is right.
    pub first_right: bool,
    /// Whether the second model is right.
    pub second_right: bool,
    /// Whether the answers are equal.
    pub alike: bool,
    /// Probability that both are right.
    pub both_right: f64,
    /// Probability that both are wrong with the same answer.
    pub wrong_alike: f64,
    /// Probability that both give the same wrong answer, given that both are wrong.
    pub alike_if_wrong: f64,
    /// Probability that the second gives the answer that the first gave, given that the first gave it.
    pub repeats: f64,
}

impl PairItem {
    /// Probability that both answers are equal.
    pub fn match_probability(&self) -> f64 {
        (self.both_right + self.wrong_alike).min(1.0)
    }

    /// Both wrong with the same answer.
    pub fn is_wrong_alike(&self) -> bool {
        self.alike && !self.first_right
    }
}

impl<'a> PanelLaw<'a> {
    /// From the answers of `members`, numbers of models. Members may be looked at later like any other
    /// model: their answers are then left out item by item.
    pub fn fit(answers: &'a Answers, members: &[usize]) -> Self {
        let mut members = members.to_vec();
        members.sort_unstable();
        members.dedup();
        members.retain(|member| *member < answers.models());
        let mut law = Self {
            difficulty: Difficulty::fit(answers, &members),
            distractor: Distractor::fit(answers, &members),
            leaning: Leaning::default(),
            answers,
            members,
        };
        law.leaning = Leaning::fit(answers.models(), &law.members, |model, member| {
            law.shared_wrong(model, member)
        });
        law
    }

    /// The answers that the law is about.
    pub fn answers(&self) -> &'a Answers {
        self.answers
    }

    /// The panel, in increasing order.
    pub fn members(&self) -> &[usize] {
        &self.members
    }

    /// Two models side by side; no items when a number is not that of a model.
    pub fn pair(&self, first: usize, second: usize) -> PairLaw {
        if first.max(second) >= self.answers.models() {
            return PairLaw::default();
        }
        let leaning = self.leaning.of_pair(first, second);
        let table = self.difficulty.table(first, second);
        let shared = self.answers.shared(first, second);
        let more = leaning.value();
        let items =
            shared.map(|(item, a, b)| self.item(&table, (first, second), (item, a, b), more));
        PairLaw {
            items: items.collect(),
            leaning,
        }
    }

    /// What a model may answer to an item, its own answer left out; `None` when it did not answer it.
    pub fn answer(&self, model: usize, item: usize) -> Option<ItemLaw> {
        let code = self.answers.get(model, item)?;
        let is_right = self.answers.is_right(item, code);
        let chances = self
            .difficulty
            .table(model, model)
            .at(item, is_right, false);
        let right = chances.map_or(0.0, |chances| chances.first_right);
        let gone = [self.wrong_of_member(model, code, item), None];
        let (wrong, other) = self.distractor.without(item, gone).law();
        Some(ItemLaw {
            right,
            wrong: wrong
                .into_iter()
                .map(|(code, p)| (code, p * (1.0 - right)))
                .collect(),
            other: other * (1.0 - right),
        })
    }

    /// Same wrong answers of two models, and what is expected of any two of their abilities.
    fn shared_wrong(&self, first: usize, second: usize) -> Cell {
        let table = self.difficulty.table(first, second);
        let mut cell = Cell::default();
        for (item, a, b) in self.answers.shared(first, second) {
            let [first_right, second_right] = [a, b].map(|code| self.answers.is_right(item, code));
            let gone = [(first, a), (second, b)]
                .map(|(model, code)| self.wrong_of_member(model, code, item));
            let chances = table.at(item, first_right, second_right);
            let both_wrong = chances.map_or(1.0, |chances| chances.both_wrong());
            cell.expected += both_wrong * self.distractor.two_alike(item, gone);
            cell.seen += f64::from(u8::from(a == b && !first_right));
        }
        cell
    }

    fn item(
        &self,
        table: &Table<'_>,
        (first, second): (usize, usize),
        (item, a, b): (usize, u32, u32),
        more: f64,
    ) -> PairItem {
        let [first_right, second_right] = [a, b].map(|code| self.answers.is_right(item, code));
        let gone =
            [(first, a), (second, b)].map(|(model, code)| self.wrong_of_member(model, code, item));
        let (right, both_right, both_wrong) = match table.at(item, first_right, second_right) {
            Some(chances) => (
                chances.first_right,
                chances.both_right,
                chances.both_wrong(),
            ),
            None => (0.0, 0.0, 1.0),
        };
        let repeats = if first_right {
            both_right / right
        } else {
            both_wrong / (1.0 - right)
                * (more * self.distractor.without(item, gone).repeats(a)).min(1.0)
        };
        let alike_if_wrong = (more * self.distractor.two_alike(item, gone)).min(1.0);
        PairItem {
            item,
            first_right,
            second_right,
            alike: a == b,
            both_right,
            wrong_alike: both_wrong * alike_if_wrong,
            alike_if_wrong,
            repeats: repeats.clamp(0.0, 1.0),
        }
    }

    /// The answer, where it is a wrong one of a member.
    fn wrong_of_member(&self, model: usize, code: u32, item: usize) -> Option<u32> {
        let counts =
            self.members.binary_search(&model).is_ok() && !self.answers.is_right(item, code);
        counts.then_some(code)
    }
}

#[cfg(test)]
mod tests;
