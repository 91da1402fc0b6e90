//! How hard each item is, from who got it right.

use std::collections::BTreeMap;

use super::answers::Answers;

/// Difficulties that an item can have, in units of the logistic function: from trivial to hopeless
/// for any model whose score is neither.
const REACH: f64 = 8.0;
/// Steps between them; a panel of dozens tells no finer ones apart.
const NODES: usize = 33;
/// Rounds of estimation: the score of every model is met to a thousandth of an item long before.
const ROUNDS: usize = 40;

/// Rasch's law: `P(right) = 1 / (1 + e^(difficulty - ability))`, the difficulties drawn from a law of
/// free form that is estimated along with the abilities (marginal maximum likelihood: Bock and Aitkin,
/// Psychometrika 46, 1981).
///
/// An item's difficulty is known from a few answers only, so it is nowhere replaced by one number:
/// probabilities are means over what it may be, given those answers.
#[derive(Debug, Clone)]
pub(super) struct Difficulty {
    /// Per model, members or not.
    abilities: Vec<f64>,
    prior: Vec<f64>,
    classes: Vec<Class>,
    /// Of each item; `None` without truth.
    class_of: Vec<Option<usize>>,
}

/// Items that the same members answered and equally many got right: under Rasch's law nothing else
/// about the answers speaks of the difficulty.
#[derive(Debug, Clone)]
struct Class {
    answered: Vec<usize>,
    right: usize,
    items: f64,
}

/// Probabilities on one item about two models whose own answers were left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chances {
    pub(super) first_right: f64,
    pub(super) second_right: f64,
    pub(super) both_right: f64,
}

/// [`Chances`] by class of items and by how many of the two (those who are members) were right.
pub(super) struct Table<'d> {
    difficulty: &'d Difficulty,
    pair: (usize, usize),
    rows: Vec<[Chances; 3]>,
}

impl Difficulty {
    /// From the answers of `members`; every other model only gets an ability.
    pub(super) fn fit(answers: &Answers, members: &[usize]) -> Self {
        let (classes, class_of) = classify(answers, members);
        let mut fitted = Self {
            abilities: vec![0.0; answers.models()],
            prior: (0..NODES)
                .map(|node| (-node_at(node).powi(2) / 8.0).exp())
                .collect(),
            classes,
            class_of,
        };
        let total: f64 = fitted.prior.iter().sum();
        fitted.prior.iter_mut().for_each(|weight| *weight /= total);
        for _ in 0..ROUNDS {
            let posteriors = fitted.posteriors();
            for member in members {
                fitted.abilities[*member] = fitted.ability(answers, *member, &posteriors);
            }
            fitted.reweigh(&posteriors);
        }
        let posteriors = fitted.posteriors();
        for model in (0..answers.models()).filter(|model| !members.contains(model)) {
            fitted.abilities[model] = fitted.ability(answers, model, &posteriors);
        }
        fitted
    }

    /// What is known about two models on every item once their own answers are left out.
    pub(super) fn table(&self, first: usize, second: usize) -> Table<'_> {
        let rows = self.classes.iter().map(|class| {
            let left_out = |model: &&usize| **model == first || **model == second;
            let gone = class.answered.iter().filter(left_out).count();
            let others: Vec<f64> = class
                .answered
                .iter()
                .filter(|model| !left_out(model))
                .map(|model| self.abilities[*model])
                .collect();
            // `gone` members were answered for; of their right answers there are 0 to 2.
            [0, 1, 2].map(|right| {
                let right = if right <= gone { right } else { gone };
                let posterior = self.posterior(&others, class.right.saturating_sub(right));
                self.chances(&posterior, first, second)
            })
        });
        Table {
            difficulty: self,
            pair: (first, second),
            rows: rows.collect(),
        }
    }

    fn chances(&self, posterior: &[f64], first: usize, second: usize) -> Chances {
        let (mut a, mut b, mut both) = (0.0, 0.0, 0.0);
        for (node, weight) in posterior.iter().enumerate() {
            let one = logistic(self.abilities[first] - node_at(node));
            let other = logistic(self.abilities[second] - node_at(node));
            a += weight * one;
            b += weight * other;
            both += weight * one * other;
        }
        Chances {
            first_right: a,
            second_right: b,
            both_right: both,
        }
    }

    /// The law of the difficulty given that of models of these abilities so many were right.
    fn posterior(&self, abilities: &[f64], right: usize) -> Vec<f64> {
        let logs: Vec<f64> = self
            .prior
            .iter()
            .enumerate()
            .map(|(node, prior)| {
                let at = node_at(node);
                let wrong = abilities.iter().map(|ability| (ability - at).exp().ln_1p());
                prior.ln() - right as f64 * at - wrong.sum::<f64>()
            })
            .collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logs.iter().map(|log| (log - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }

    fn posteriors(&self) -> Vec<Vec<f64>> {
        let of = |class: &Class| {
            let abilities: Vec<f64> = class.answered.iter().map(|m| self.abilities[*m]).collect();
            self.posterior(&abilities, class.right)
        };
        self.classes.iter().map(of).collect()
    }

    fn reweigh(&mut self, posteriors: &[Vec<f64>]) {
        // A hundredth of an item on every node keeps all of them possible.
        let mut sums = vec![0.01; NODES];
        for (class, posterior) in self.classes.iter().zip(posteriors) {
            for (sum, weight) in sums.iter_mut().zip(posterior) {
                *sum += class.items * weight;
            }
        }
        let total: f64 = sums.iter().sum();
        self.prior = sums.into_iter().map(|sum| sum / total).collect();
    }

    /// The ability at which a model is expected to get as many right as it did; half an item from none
    /// and from all at the nearest.
    fn ability(&self, answers: &Answers, model: usize, posteriors: &[Vec<f64>]) -> f64 {
        let mut nodes = vec![0.0; NODES];
        for (item, class) in self.class_of.iter().enumerate() {
            if let Some(class) = class.filter(|_| answers.get(model, item).is_some()) {
                for (sum, weight) in nodes.iter_mut().zip(&posteriors[class]) {
                    *sum += weight;
                }
            }
        }
        let (right, answered) = answers.score(model);
        let wanted = (right as f64).clamp(0.5, (answered as f64 - 0.5).max(0.5));
        let expected = |ability: f64| -> f64 {
            let terms = nodes.iter().enumerate();
            terms
                .map(|(node, n)| n * logistic(ability - node_at(node)))
                .sum()
        };
        let (mut low, mut high) = (-3.0 * REACH, 3.0 * REACH);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if expected(middle) < wanted {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low + high) / 2.0
    }
}

impl Table<'_> {
    /// The chances on an item that both models answered; `right` counts whose answer was. `None`
    /// where the item has no truth.
    pub(super) fn at(&self, item: usize, first_right: bool, second_right: bool) -> Option<Chances> {
        let class = self.difficulty.class_of[item]?;
        let answered = &self.difficulty.classes[class].answered;
        let right = usize::from(first_right && answered.contains(&self.pair.0))
            + usize::from(second_right && answered.contains(&self.pair.1));
        Some(self.rows[class][right])
    }
}

fn classify(answers: &Answers, members: &[usize]) -> (Vec<Class>, Vec<Option<usize>>) {
    let mut known: BTreeMap<(Vec<usize>, usize), usize> = BTreeMap::new();
    let mut classes: Vec<Class> = Vec::new();
    let class_of = (0..answers.items()).map(|item| {
        if !answers.has_truth(item) {
            return None;
        }
        let given = members
            .iter()
            .filter_map(|m| Some((*m, answers.get(*m, item)?)));
        let given: Vec<(usize, u32)> = given.collect();
        let answered: Vec<usize> = given.iter().map(|(model, _)| *model).collect();
        let right = given
            .iter()
            .filter(|(_, code)| answers.is_right(item, *code))
            .count();
        let next = known.len();
        let at = *known.entry((answered.clone(), right)).or_insert(next);
        if at == classes.len() {
            classes.push(Class {
                answered,
                right,
                items: 0.0,
            });
        }
        classes[at].items += 1.0;
        Some(at)
    });
    let class_of = class_of.collect();
    (classes, class_of)
}

fn node_at(node: usize) -> f64 {
    REACH * (2.0 * node as f64 / (NODES - 1) as f64 - 1.0)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
