//! Every pair of several models, each against a law that left it out.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::calibration::{Calibration, Tested};
use super::law::{PairLaw, PanelLaw};
use super::rank::rank_ln_p;
use super::{gbt, omega, shared_wrong};

/// A pair of models beside the panel.
#[derive(Debug, Clone, PartialEq)]
pub struct PairTest {
    /// Number of the first model.
    pub first: usize,
    /// Number of the second model.
    pub second: usize,
    /// Same wrong answers: the panel's p-value is its calibrated tail.
    pub shared_wrong: Tested,
    /// Equal answers.
    pub gbt: Tested,
    /// Answers of the first that the second repeats.
    pub omega: Tested,
    /// What the panel's pairs show about same wrong answers; `None` for fewer than two pairs.
    pub calibration: Option<Calibration>,
    /// `ln` of the rank p-value: the larger of two, of this pair's `z` among the first model's with panel
    /// members, and among the second's.
    pub rank_ln_p: f64,
    /// Panel members that the smaller of both ranks is among.
    pub rank_among: usize,
    /// Panel pairs that were calibrated on.
    pub panel_pairs: usize,
}

/// Tests `pairs`, the panel being the members of `law`.
///
/// A pair's calibration takes all pairs of members without either of the two, of those that
/// `strangers` calls independent; known relatives within the panel would widen it. Every pair's law is
/// made once: 20 models are 190 laws, however many of them are tested.
pub fn test_pairs(
    law: &PanelLaw<'_>,
    pairs: &[(usize, usize)],
    strangers: impl Fn(usize, usize) -> bool,
) -> Vec<PairTest> {
    let members = law.members();
    let mut wanted: Vec<(usize, usize)> = Calibration::pairs(law, &[]);
    for (first, second) in pairs {
        for member in members {
            wanted.push(ordered(*first, *member));
            wanted.push(ordered(*second, *member));
        }
    }
    wanted.retain(|(a, b)| a != b);
    wanted.sort_unstable();
    wanted.dedup();
    let scored = wanted
        .par_iter()
        .map(|(a, b)| ((*a, *b), Scores::of(&law.pair(*a, *b))));
    let scores: BTreeMap<(usize, usize), Scores> = scored.collect();
    let panel: Vec<(usize, usize)> = Calibration::pairs(law, &[])
        .into_iter()
        .filter(|(a, b)| strangers(*a, *b))
        .collect();
    let table = Table { law, scores, panel };
    pairs
        .par_iter()
        .map(|(first, second)| table.test(*first, *second))
        .collect()
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// The `z` of one pair.
struct Scores {
    shared_wrong: Option<f64>,
    gbt: Option<f64>,
    omega: Option<f64>,
}

impl Scores {
    fn of(pair: &PairLaw) -> Self {
        Self {
            shared_wrong: shared_wrong::z(pair),
            gbt: gbt::z(pair),
            omega: omega::z(pair),
        }
    }
}

struct Table<'l, 'a> {
    law: &'l PanelLaw<'a>,
    scores: BTreeMap<(usize, usize), Scores>,
    /// Pairs that are calibrated on.
    panel: Vec<(usize, usize)>,
}

impl Table<'_, '_> {
    fn test(&self, first: usize, second: usize) -> PairTest {
        let others = |(a, b): &&(usize, usize)| ![first, second].iter().any(|x| x == a || x == b);
        let panel: Vec<&Scores> = self
            .panel
            .iter()
            .filter(others)
            .filter_map(|pair| self.scores.get(pair))
            .collect();
        let calibration =
            |z: fn(&Scores) -> Option<f64>| Calibration::of(panel.iter().filter_map(|s| z(s)));
        let on_wrong = calibration(|scores| scores.shared_wrong);
        let pair = self.law.pair(first, second);
        let tested = shared_wrong::shared_wrong(&pair, on_wrong.as_ref());
        let ranks = [(first, second), (second, first)].map(|(one, other)| {
            let members = self.law.members().iter();
            let beside = members.filter(|member| **member != one && **member != other);
            let beside = beside.filter_map(|member| self.scores.get(&ordered(one, *member)));
            let z: Vec<f64> = beside.filter_map(|scores| scores.shared_wrong).collect();
            (
                rank_ln_p(tested.z.unwrap_or(f64::NEG_INFINITY), &z),
                z.len(),
            )
        });
        let omega = omega::omega(&pair, calibration(|scores| scores.omega).as_ref());
        PairTest {
            first,
            second,
            shared_wrong: tested,
            gbt: gbt::gbt(&pair, calibration(|scores| scores.gbt).as_ref()),
            omega: omega.repeated,
            calibration: on_wrong,
            rank_ln_p: ranks[0].0.max(ranks[1].0),
            rank_among: ranks[0].1.min(ranks[1].1),
            panel_pairs: panel.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::copying::tests::SMALL;
    use crate::stat::copying::world::{World, copy};
    use crate::stat::random::stream;

    /// Nine strangers and a copy of one: each pair against all the others.
    #[test]
    fn the_copy_stands_out_of_all_pairs() {
        let mut rng = stream(3, "matrix");
        let items = World {
            items: 800,
            ..SMALL
        }
        .items(&mut rng);
        let mut models: Vec<Vec<u32>> = (0..9).map(|_| items.model(&mut rng)).collect();
        models.push(copy(&models[4], &models[8], 0.3, &mut rng));
        models.remove(8);
        let answers = items.answered(models);
        let all: Vec<usize> = (0..9).collect();
        let law = PanelLaw::fit(&answers, &all);
        let pairs = Calibration::pairs(&law, &[]);
        let tests = test_pairs(&law, &pairs, |a, b| (a, b) != (4, 8));
        assert_eq!(tests.len(), 36);
        for test in &tests {
            let ln_p = test.shared_wrong.calibrated_ln_p.unwrap();
            let copied = (test.first, test.second) == (4, 8);
            assert_eq!(ln_p < 1e-4f64.ln(), copied, "{test:?}");
            assert!(test.rank_ln_p >= (1.0f64 / 8.0).ln() - 1e-12 && test.rank_among == 7);
            if copied {
                assert!((test.rank_ln_p - (1.0f64 / 8.0).ln()).abs() < 1e-12);
                assert_eq!(test.panel_pairs, 21);
            }
        }
        // One by one it is the same.
        let one = test_pairs(&law, &[(2, 5)], |a, b| (a, b) != (4, 8)).remove(0);
        let same = tests
            .iter()
            .find(|test| (test.first, test.second) == (2, 5));
        assert_eq!(same, Some(&one));
        let calibration = Calibration::leave_one_out(&law, &[2, 5], shared_wrong::z).unwrap();
        assert!(
            calibration.pairs == one.panel_pairs + 1
                && calibration.mean > one.calibration.unwrap().mean
        );
    }
}
