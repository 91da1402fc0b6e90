//! M4: equal right answers and equal wrong answers, counted apart.

use super::calibration::Calibration;
use super::count::{Count, Tail};
use super::law::PairLaw;

/// What the test's p-value is the probability of.
pub const NULL: &str = "a pair of numbers of equal right and equal wrong answers that is as rare, by the probability \
                        of at least so many of both, between two models that answer each item independently, each \
                        as the panel's law has it for a model of its ability";

/// The two counts and their joint tail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct M4 {
    /// Items that both models answered.
    pub items: usize,
    /// Items with equal right answers.
    pub right: usize,
    /// Items with equal wrong answers.
    pub wrong: usize,
    /// Means of both under the law.
    pub expected: (f64, f64),
    /// `ln` of the tail under the law.
    pub ln_p: f64,
    /// The same with both counts reduced by what panel pairs show; `None` without panel pairs.
    pub calibrated_ln_p: Option<f64>,
}

/// Cells times items that [`m4`] may take; beyond, it leaves the pair out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(pub usize);

/// The joint law of equal right and equal wrong answers, one trinomial trial per item, by dynamic
/// programming (Maynes, in Kingston and Clark: Test Fraud, 2014).
///
/// With `q(r, w) = P(R >= r, W >= w)`, the tail is `P(q(R, W) <= q(r, w))`: the probability of a pair
/// of counts that `q` makes as rare, not `q` itself, which falls below 5 % more often than that.
/// `calibrations` are of the right and the wrong matches. `None` when the law needs more than `budget`.
pub fn m4(
    pair: &PairLaw,
    calibrations: Option<(&Calibration, &Calibration)>,
    budget: Budget,
) -> Option<M4> {
    let trials: Vec<(f64, f64)> = pair
        .items
        .iter()
        .map(|i| (i.both_right, i.wrong_alike))
        .collect();
    let right = pair
        .items
        .iter()
        .filter(|item| item.alike && item.first_right)
        .count();
    let wrong = pair
        .items
        .iter()
        .filter(|item| item.is_wrong_alike())
        .count();
    let [of_right, of_wrong] = [right_count(pair), wrong_count(pair)];
    let joint = Joint::new(&trials, (right, wrong), (&of_right, &of_wrong), budget)?;
    let calibrated = calibrations.map(|(on_right, on_wrong)| {
        joint.ln_tail(
            on_right.reduced(&of_right, right),
            on_wrong.reduced(&of_wrong, wrong),
        )
    });
    Some(M4 {
        items: trials.len(),
        right,
        wrong,
        expected: (of_right.mean(), of_wrong.mean()),
        ln_p: joint.ln_tail(right, wrong),
        calibrated_ln_p: calibrated,
    })
}

/// `z` of the equal right answers, for a calibration; that of the wrong ones is
/// [`super::shared_wrong::z`].
pub fn right_z(pair: &PairLaw) -> Option<f64> {
    let right = pair
        .items
        .iter()
        .filter(|item| item.alike && item.first_right)
        .count();
    right_count(pair).z(right as f64)
}

fn right_count(pair: &PairLaw) -> Count {
    Count::of_trials(pair.items.iter().map(|item| item.both_right))
}

fn wrong_count(pair: &PairLaw) -> Count {
    Count::of_trials(pair.items.iter().map(|item| item.wrong_alike))
}

/// The part of the joint law that matters, rows by wrong matches.
struct Joint {
    first_row: usize,
    first_column: usize,
    rows: Vec<Vec<f64>>,
    /// What was left out at the edges; counted to every tail, so that none is too small.
    left_out: f64,
}

impl Joint {
    fn new(
        trials: &[(f64, f64)],
        (right, wrong): (usize, usize),
        (of_right, of_wrong): (&Count, &Count),
        budget: Budget,
    ) -> Option<Self> {
        // Nothing that could matter beside the tail is dropped, down to what plain numbers can hold.
        let tail = of_right.ln_tail(right) + of_wrong.ln_tail(wrong);
        let nothing = (tail - 50.0).exp().max(1e-290);
        let mut joint = Self {
            first_row: 0,
            first_column: 0,
            rows: vec![vec![1.0]],
            left_out: 0.0,
        };
        let mut spent = 0usize;
        for (both_right, wrong_alike) in trials {
            joint.add(*both_right, *wrong_alike);
            joint.trim(nothing);
            spent += joint.rows.len() * joint.rows[0].len();
            if spent > budget.0 {
                return None;
            }
        }
        Some(joint)
    }

    fn add(&mut self, both_right: f64, wrong_alike: f64) {
        let neither = (1.0 - both_right - wrong_alike).max(0.0);
        let columns = self.rows[0].len() + 1;
        let mut below: Vec<f64> = vec![0.0; columns - 1];
        self.rows.push(vec![0.0; columns - 1]);
        for row in &mut self.rows {
            let here = row.clone();
            row.push(0.0);
            let mut left = 0.0;
            for (at, cell) in row.iter_mut().enumerate() {
                let (old, under) = (here.get(at).unwrap_or(&0.0), below.get(at).unwrap_or(&0.0));
                *cell = old * neither + left * both_right + under * wrong_alike;
                left = *old;
            }
            below = here;
        }
    }

    /// Drops outer rows and columns that hold next to nothing.
    fn trim(&mut self, nothing: f64) {
        let sum_row = |row: &Vec<f64>| row.iter().sum::<f64>();
        while self.rows.len() > 1 && self.rows.last().map_or(0.0, sum_row) < nothing {
            self.left_out += self.rows.pop().as_ref().map_or(0.0, sum_row);
        }
        while self.rows.len() > 1 && sum_row(&self.rows[0]) < nothing {
            self.left_out += sum_row(&self.rows.remove(0));
            self.first_row += 1;
        }
        let columns = self.rows[0].len();
        let column = |rows: &[Vec<f64>], at: usize| rows.iter().map(|row| row[at]).sum::<f64>();
        let (mut from, mut to) = (0, columns);
        while to > 1 && column(&self.rows, to - 1) < nothing {
            to -= 1;
            self.left_out += column(&self.rows, to);
        }
        while from + 1 < to && column(&self.rows, from) < nothing {
            self.left_out += column(&self.rows, from);
            from += 1;
        }
        if (from, to) != (0, columns) {
            for row in &mut self.rows {
                row.truncate(to);
                row.drain(..from);
            }
            self.first_column += from;
        }
    }

    fn ln_tail(&self, right: usize, wrong: usize) -> f64 {
        let quadrants = self.quadrants();
        let (row, column) = (
            wrong.saturating_sub(self.first_row),
            right.saturating_sub(self.first_column),
        );
        let quadrant = quadrants.get(row).and_then(|row| row.get(column));
        let quadrant = quadrant.copied().unwrap_or(0.0);
        // Equal quadrants may differ by rounding; the tail must hold the observed cell itself.
        let bar = quadrant * (1.0 + 1e-9);
        let cells = self.rows.iter().zip(&quadrants);
        let as_rare = cells.flat_map(|(row, quadrants)| row.iter().zip(quadrants));
        let as_rare = as_rare.filter(|(_, q)| **q <= bar).map(|(mass, _)| *mass);
        let tail: f64 = as_rare.sum();
        // Plain numbers hold down to here; the true tail is smaller.
        (tail + self.left_out).max(1e-290).ln().min(0.0)
    }

    /// `P(R >= r, W >= w)` of every cell.
    fn quadrants(&self) -> Vec<Vec<f64>> {
        let mut sums = self.rows.clone();
        for row in &mut sums {
            for at in (0..row.len().saturating_sub(1)).rev() {
                row[at] += row[at + 1];
            }
        }
        for at in (0..sums.len().saturating_sub(1)).rev() {
            let above = sums[at + 1].clone();
            for (cell, more) in sums[at].iter_mut().zip(above) {
                *cell += more;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stat::copying::law::PairItem;

    const BUDGET: Budget = Budget(1_000_000_000);

    fn pair(trials: &[(f64, f64, u8)]) -> PairLaw {
        let item =
            |(item, (both_right, wrong_alike, outcome)): (usize, &(f64, f64, u8))| PairItem {
                item,
                first_right: *outcome == 1,
                second_right: *outcome == 1,
                alike: *outcome != 0,
                both_right: *both_right,
                wrong_alike: *wrong_alike,
                alike_if_wrong: 0.0,
                repeats: 0.0,
            };
        PairLaw {
            items: trials.iter().enumerate().map(item).collect(),
            ..PairLaw::default()
        }
    }

    /// The tail by listing every outcome.
    fn listed(trials: &[(f64, f64, u8)]) -> f64 {
        let mut all = vec![((0usize, 0usize), 1.0f64)];
        for (both_right, wrong_alike, _) in trials {
            let neither = 1.0 - both_right - wrong_alike;
            let more = all.iter().flat_map(|((r, w), p)| {
                [
                    ((*r, *w), p * neither),
                    ((r + 1, *w), p * both_right),
                    ((*r, w + 1), p * wrong_alike),
                ]
            });
            all = more.collect();
        }
        let quadrant = |r: usize, w: usize| -> f64 {
            let inside = all.iter().filter(|((x, y), _)| *x >= r && *y >= w);
            inside.map(|(_, p)| p).sum()
        };
        let right = trials
            .iter()
            .filter(|(_, _, outcome)| *outcome == 1)
            .count();
        let wrong = trials
            .iter()
            .filter(|(_, _, outcome)| *outcome == 2)
            .count();
        let bar = quadrant(right, wrong) * (1.0 + 1e-9);
        let as_rare = all.iter().filter(|((r, w), _)| quadrant(*r, *w) <= bar);
        as_rare.map(|(_, p)| p).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn tails_equal_a_list_of_all_outcomes(
            trials in prop::collection::vec((0.01f64..0.5, 0.001f64..0.5, 0u8..3), 1..6)
        ) {
            let found = m4(&pair(&trials), None, BUDGET).unwrap();
            prop_assert!((found.ln_p - listed(&trials).ln()).abs() < 1e-8);
        }
    }

    /// Over its own law the tail is at most 5 % at most 5 % of the time.
    #[test]
    fn the_tail_is_a_p_value() {
        let trials = vec![(0.4, 0.1, 0u8); 30];
        let law = pair(&trials);
        let counts = [right_count(&law), wrong_count(&law)];
        let joint =
            Joint::new(&[(0.4, 0.1); 30], (25, 9), (&counts[0], &counts[1]), BUDGET).unwrap();
        for level in [0.001f64, 0.05, 0.3] {
            let mut below = 0.0;
            for (w, row) in joint.rows.iter().enumerate() {
                for (r, mass) in row.iter().enumerate() {
                    if joint.ln_tail(r + joint.first_column, w + joint.first_row) <= level.ln() {
                        below += mass;
                    }
                }
            }
            assert!(
                below <= level * (1.0 + 1e-9) && below > 0.3 * level,
                "{level}: {below}"
            );
        }
    }

    #[test]
    fn no_tail_is_zero_and_large_laws_are_left_out() {
        let trials = vec![(0.2, 0.001, 2u8); 150];
        let found = m4(&pair(&trials), None, BUDGET).unwrap();
        assert!(
            found.ln_p.is_finite() && found.ln_p < -600.0,
            "{}",
            found.ln_p
        );
        assert_eq!((found.right, found.wrong, found.items), (0, 150, 150));
        assert_eq!(m4(&pair(&trials), None, Budget(1000)), None);
        let strict = Calibration {
            pairs: 9,
            mean: 1.0,
            sd: 2.0,
        };
        let found = m4(&pair(&trials), Some((&strict, &strict)), BUDGET).unwrap();
        assert!(found.calibrated_ln_p.unwrap() > found.ln_p);
    }
}
