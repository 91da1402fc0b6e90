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
    /// Per model, `ln (1 + e^(ability - difficulty))`: what a wrong answer is short of.
    losses: Vec<Nodes>,
    /// Logarithms of how common each difficulty is.
    ln_prior: Nodes,
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
    /// Sum of the losses of those who answered.
    losses: Nodes,
}

/// A number per difficulty.
type Nodes = [f64; NODES];

/// Probabilities on one item about two models whose own answers were left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chances {
    pub(super) first_right: f64,
    pub(super) second_right: f64,
    pub(super) both_right: f64,
}

impl Chances {
    pub(super) fn both_wrong(&self) -> f64 {
        (1.0 - self.first_right - self.second_right + self.both_right).max(0.0)
    }
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
        let prior = nodes().map(|node| (-node * node / 8.0).exp());
        let total: f64 = prior.iter().sum();
        let mut fitted = Self {
            abilities: vec![0.0; answers.models()],
            losses: vec![[0.0; NODES]; answers.models()],
            ln_prior: prior.map(|weight| (weight / total).ln()),
            classes,
            class_of,
        };
        fitted.tabulate();
        for _ in 0..ROUNDS {
            let posteriors = fitted.posteriors();
            for member in members {
                fitted.abilities[*member] = fitted.ability(answers, *member, &posteriors);
            }
            fitted.reweigh(&posteriors);
            fitted.tabulate();
        }
        let posteriors = fitted.posteriors();
        for model in (0..answers.models()).filter(|model| !members.contains(model)) {
            fitted.abilities[model] = fitted.ability(answers, model, &posteriors);
        }
        fitted
    }

    /// What is known about two models on every item once their own answers are left out.
    pub(super) fn table(&self, first: usize, second: usize) -> Table<'_> {
        let [one, other] = [first, second].map(|model| self.rights(model));
        let rows = self.classes.iter().map(|class| {
            let mut others = class.losses;
            let mut gone = 0;
            for model in [first, second]
                .iter()
                .take(if first == second { 1 } else { 2 })
            {
                if class.answered.contains(model) {
                    gone += 1;
                    for (sum, loss) in others.iter_mut().zip(&self.losses[*model]) {
                        *sum -= loss;
                    }
                }
            }
            let row = |right: usize| {
                let posterior = self.posterior(&others, class.right.saturating_sub(right));
                Self::chances(&posterior, &one, &other)
            };
            // `gone` members were answered for; of their right answers there are 0 to 2.
            let none = row(0);
            let single = if gone > 0 { row(1) } else { none };
            [none, single, if gone > 1 { row(2) } else { single }]
        });
        Table {
            difficulty: self,
            pair: (first, second),
            rows: rows.collect(),
        }
    }

    /// Probability that a model is right, by difficulty.
    fn rights(&self, model: usize) -> Nodes {
        nodes().map(|node| logistic(self.abilities[model] - node))
    }

    /// Losses from abilities.
    fn tabulate(&mut self) {
        for (losses, ability) in self.losses.iter_mut().zip(&self.abilities) {
            *losses = nodes().map(|node| (ability - node).exp().ln_1p());
        }
        for class in &mut self.classes {
            class.losses = [0.0; NODES];
            for model in &class.answered {
                for (sum, loss) in class.losses.iter_mut().zip(&self.losses[*model]) {
                    *sum += loss;
                }
            }
        }
    }

    fn chances(posterior: &Nodes, first: &Nodes, second: &Nodes) -> Chances {
        let (mut a, mut b, mut both) = (0.0, 0.0, 0.0);
        for ((weight, one), other) in posterior.iter().zip(first).zip(second) {
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

    /// The law of the difficulty given that of models with these losses so many were right.
    fn posterior(&self, losses: &Nodes, right: usize) -> Nodes {
        let mut weights = nodes();
        for ((weight, prior), loss) in weights.iter_mut().zip(&self.ln_prior).zip(losses) {
            *weight = prior - right as f64 * *weight - loss;
        }
        let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        weights = weights.map(|ln| (ln - top).exp());
        let total: f64 = weights.iter().sum();
        weights.map(|weight| weight / total)
    }

    fn posteriors(&self) -> Vec<Nodes> {
        let of = |class: &Class| self.posterior(&class.losses, class.right);
        self.classes.iter().map(of).collect()
    }

    fn reweigh(&mut self, posteriors: &[Nodes]) {
        // A hundredth of an item on every node keeps all of them possible.
        let mut sums = [0.01; NODES];
        for (class, posterior) in self.classes.iter().zip(posteriors) {
            for (sum, weight) in sums.iter_mut().zip(posterior) {
                *sum += class.items * weight;
            }
        }
        let total: f64 = sums.iter().sum();
        self.ln_prior = sums.map(|sum| (sum / total).ln());
    }

    /// The ability at which a model is expected to get as many right as it did; half an item from none
    /// and from all at the nearest.
    fn ability(&self, answers: &Answers, model: usize, posteriors: &[Nodes]) -> f64 {
        let mut expected_items = [0.0; NODES];
        for (item, class) in self.class_of.iter().enumerate() {
            if let Some(class) = class.filter(|_| answers.get(model, item).is_some()) {
                for (sum, weight) in expected_items.iter_mut().zip(&posteriors[class]) {
                    *sum += weight;
                }
            }
        }
        let (right, answered) = answers.score(model);
        let wanted = (right as f64).clamp(0.5, (answered as f64 - 0.5).max(0.5));
        let expected = |ability: f64| -> f64 {
            let terms = nodes().into_iter().zip(&expected_items);
            terms
                .map(|(node, items)| items * logistic(ability - node))
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
                losses: [0.0; NODES],
            });
        }
        classes[at].items += 1.0;
        Some(at)
    });
    let class_of = class_of.collect();
    (classes, class_of)
}

fn nodes() -> Nodes {
    std::array::from_fn(|node| REACH * (2.0 * node as f64 / (NODES - 1) as f64 - 1.0))
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::copying::answers::MISSING;
    use crate::stat::copying::tests::SMALL;
    use crate::stat::copying::world::World;

    /// Abilities are met: every member is expected to get as many right as it did.
    #[test]
    fn scores_are_met() {
        let answers = World {
            items: 500,
            ..SMALL
        }
        .draw(7, 11, "scores");
        let members: Vec<usize> = (0..6).collect();
        let fitted = Difficulty::fit(&answers, &members);
        let posteriors = fitted.posteriors();
        for model in 0..7 {
            let expected: f64 = (0..answers.items())
                .filter_map(|item| fitted.class_of[item])
                .map(|class| {
                    Difficulty::chances(
                        &posteriors[class],
                        &fitted.rights(model),
                        &fitted.rights(model),
                    )
                    .first_right
                })
                .sum();
            let (right, _) = answers.score(model);
            assert!(
                (expected - right as f64).abs() < 0.5,
                "{model}: {expected} {right}"
            );
        }
        assert!((fitted.ln_prior.iter().map(|ln| ln.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    /// By Bayes' rule over the nodes, answer by answer, with answers missing here and there.
    #[test]
    fn chances_follow_bayes_rule() {
        let drawn = World { items: 60, ..SMALL }.draw(6, 12, "bayes");
        let mut answers = Answers::of_items((0..60).map(|_| (0, 0)));
        for model in 0..6 {
            let codes = (0..60).map(|item| match (item + model) % 7 {
                0 => MISSING,
                _ => drawn.get(model, item).unwrap(),
            });
            answers.push(codes.collect()).unwrap();
        }
        let fitted = Difficulty::fit(&answers, &[0, 1, 2, 3, 4]);
        for (first, second) in [(0, 1), (2, 5)] {
            let table = fitted.table(first, second);
            for (item, a, b) in answers.shared(first, second) {
                let mut weights = fitted.ln_prior.map(f64::exp);
                for model in (0..5).filter(|model| ![first, second].contains(model)) {
                    let Some(code) = answers.get(model, item) else {
                        continue;
                    };
                    for (weight, node) in weights.iter_mut().zip(nodes()) {
                        let right = logistic(fitted.abilities[model] - node);
                        *weight *= if code == 0 { right } else { 1.0 - right };
                    }
                }
                let total: f64 = weights.iter().sum();
                let both: f64 = nodes()
                    .into_iter()
                    .zip(weights)
                    .map(|(node, weight)| {
                        let [one, other] =
                            [first, second].map(|model| logistic(fitted.abilities[model] - node));
                        weight / total * one * other
                    })
                    .sum();
                let found = table.at(item, a == 0, b == 0).unwrap();
                assert!(
                    (found.both_right - both).abs() < 1e-9,
                    "{item}: {found:?} {both}"
                );
            }
        }
    }
}
