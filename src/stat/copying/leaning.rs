//! How readily each model falls for the wrong answers that tempt others.

use rayon::prelude::*;

use super::scaled::Factor;

/// Same wrong answers that a model's leaning starts with, as many as were expected: leanings are taken to
/// differ by about half from each other, before any is seen.
const BEGUN: f64 = 4.0;
/// Rounds of estimation: leanings have settled to a thousandth long before.
const ROUNDS: usize = 30;
/// Standard deviations beyond which what a model shares with one member is that member's affair.
const REACH: f64 = 3.0;

/// Per model, how much more often than others it gives a wrong answer that others give too.
///
/// A wrong answer is one that the item tempts to, or one of the model's own. The share of the first kind
/// differs: what a good reader still gets wrong is mostly the nearest mistake, where a poor one errs in
/// ways of its own. Of two models with shares `s` and `t` both give a tempting wrong answer in `s t` of
/// the items that both get wrong, so that a pair's same wrong answers are what an average pair would have
/// times a number for each of the two: the two-way table of quasi-independence (Goodman, Journal of the
/// American Statistical Association 63, 1968) with Poisson counts, where the cell of the pair that is looked at is
/// left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaning {
    /// Per model, one cell for each member.
    rows: Vec<Vec<Cell>>,
    members: Vec<usize>,
    /// Per member.
    of_members: Vec<f64>,
}

/// Same wrong answers of two models.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) seen: f64,
    pub(super) expected: f64,
}

impl Leaning {
    /// From what each of `models` models shares with each of `members`, and what is expected of any two.
    pub(super) fn fit(
        models: usize,
        members: &[usize],
        cell: impl Fn(usize, usize) -> Cell + Sync,
    ) -> Self {
        let row = |model: usize| {
            let cells = members.iter().map(|&member| match member == model {
                true => Cell::default(),
                false => cell(model, member),
            });
            cells.collect()
        };
        let mut fitted = Self {
            rows: (0..models).into_par_iter().map(row).collect(),
            members: members.to_vec(),
            of_members: vec![1.0; members.len()],
        };
        for _ in 0..ROUNDS {
            let next = members.iter().zip(&fitted.of_members);
            // Half the way in logarithms: whole steps of all at once would go to and fro.
            fitted.of_members = next
                .map(|(&member, &now)| (now * fitted.step(member, None, now).0).sqrt())
                .collect();
        }
        fitted
    }

    /// By how much two models share more wrong answers than an average pair; poor readers, who share less,
    /// earn nothing by it. How exactly it is known follows from how many answers it rests on.
    pub(super) fn of_pair(&self, first: usize, second: usize) -> Factor {
        let (one, other) = (self.of(first, second), self.of(second, first));
        Factor {
            mean: one.0 * other.0,
            sd: (1.0 / one.1 + 1.0 / other.1).ln_1p().sqrt(),
        }
    }

    /// A model's leaning by what it shares with all members but `without`, and how many answers that is.
    fn of(&self, model: usize, without: usize) -> (f64, f64) {
        (0..ROUNDS).fold((1.0, BEGUN), |(now, _), _| {
            self.step(model, Some(without), now)
        })
    }

    /// A better estimate. A member that is kin to the model says nothing of how it leans: what both share
    /// counts up to what chance would explain.
    fn step(&self, model: usize, without: Option<usize>, now: f64) -> (f64, f64) {
        let (mut seen, mut expected) = (BEGUN, BEGUN);
        let cells = self.rows[model].iter().zip(&self.of_members);
        for ((cell, leaning), member) in cells.zip(&self.members) {
            if Some(*member) != without {
                let average = cell.expected * leaning;
                let mean = average * now;
                seen += cell.seen.min(mean + REACH * (mean.sqrt() + 1.0));
                expected += average;
            }
        }
        (seen / expected, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve models whose leanings multiply, eight of them members.
    fn cells(true_leaning: impl Fn(usize) -> f64) -> impl Fn(usize, usize) -> Cell {
        move |a, b| Cell {
            seen: 40.0 * true_leaning(a) * true_leaning(b),
            expected: 40.0,
        }
    }

    fn differing(model: usize) -> f64 {
        [0.6, 0.8, 1.0, 1.4][model % 4]
    }

    #[test]
    fn leanings_that_multiply_are_found() {
        let members: Vec<usize> = (0..8).collect();
        let fitted = Leaning::fit(12, &members, cells(differing));
        for (a, b) in [(11, 10), (11, 7), (3, 7), (3, 11)] {
            let truth = differing(a) * differing(b);
            let found = fitted.of_pair(a, b).mean;
            assert!(
                (found / truth - 1.0).abs() < 0.05,
                "{a} {b}: {found} {truth}"
            );
        }
        assert_eq!(fitted.of_pair(8, 9).value(), 1.0);
    }

    /// What a pair shares says nothing of its own leaning, and a copy in the panel hardly anything.
    #[test]
    fn a_copy_does_not_explain_itself() {
        let members: Vec<usize> = (0..8).collect();
        let of = |kin: [usize; 2]| {
            let plain = cells(|_| 1.0);
            Leaning::fit(12, &members, move |a, b| {
                match [a.min(b), a.max(b)] == kin {
                    true => Cell {
                        seen: 400.0,
                        expected: 40.0,
                    },
                    false => plain(a, b),
                }
            })
        };
        assert!((of([3, 11]).of_pair(3, 11).mean - 1.0).abs() < 0.01);
        assert!(of([3, 11]).of_pair(10, 11).mean < 1.2);
        assert!(of([3, 4]).of_pair(10, 11).mean < 1.05);
    }

    #[test]
    fn few_answers_move_little() {
        let members: Vec<usize> = (0..5).collect();
        let one = |a: usize, b: usize| Cell {
            seen: f64::from(u8::from((a, b) == (5, 0))),
            expected: 0.1,
        };
        let found = Leaning::fit(7, &members, one).of_pair(5, 6);
        assert!(found.mean < 1.5 && found.sd > 0.5, "{found:?}");
        assert_eq!(Leaning::fit(2, &[], one).of_pair(0, 1).mean, 1.0);
    }
}
