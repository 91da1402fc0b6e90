//! Several renderings of each question, permuted within the question.

use std::collections::BTreeMap;

use super::indices::{IndexResult, tested_row};
use super::view::View;
use crate::stat::copying::calibration::Calibration;
use crate::stat::copying::law::PanelLaw;
use crate::stat::copying::twin;
use crate::stat::tails;

/// Items that are renderings of one question, by item of the law.
pub(super) struct Twins {
    groups: Vec<Option<usize>>,
    seed: u64,
}

/// Orders that are drawn.
const DRAWS: usize = 9_999;

impl Twins {
    /// `None` where no two items are renderings of one question.
    pub fn of(view: &View<'_>, items: &[usize], seed: u64) -> Option<Self> {
        let mut numbers: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        let groups: Vec<Option<usize>> = items
            .iter()
            .map(|&at| {
                let item = &view.sheet.items[at];
                let next = numbers.len();
                let group = item.group?;
                Some(*numbers.entry((item.suite, group)).or_insert(next))
            })
            .collect();
        let some = groups.iter().flatten().count() > numbers.len();
        some.then_some(Self { groups, seed })
    }

    pub fn z(&self, law: &PanelLaw<'_>, pair: (usize, usize)) -> Option<f64> {
        twin::twin(law.answers(), pair, &self.groups, None)?.z
    }

    /// Same wrong answers on the same rendering.
    pub fn row(
        &self,
        law: &PanelLaw<'_>,
        pair: (usize, usize),
        calibration: Option<&Calibration>,
    ) -> IndexResult {
        match twin::twin(law.answers(), pair, &self.groups, calibration) {
            Some(tested) => tested_row(&tested),
            None => self.drawn(law, pair),
        }
    }

    /// By drawn orders, where a group has too many renderings to count them all.
    fn drawn(&self, law: &PanelLaw<'_>, pair: (usize, usize)) -> IndexResult {
        let of_pair = law.pair(pair.0, pair.1);
        let grouped = of_pair
            .items
            .iter()
            .filter(|one| self.groups[one.item].is_some());
        let alike = grouped.clone().filter(|one| one.is_wrong_alike());
        let ln_p = twin::permuted_ln_p(law.answers(), pair, &self.groups, DRAWS, self.seed);
        IndexResult {
            items: grouped.count() as u64,
            observed: alike.count() as u64,
            expected: None,
            z: None,
            log10_p: tails::log10(ln_p),
            log10_p_calibrated: None,
        }
    }
}
