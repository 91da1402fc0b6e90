//! What a test of shared wrong answers can show with the planned items.

use serde::Serialize;

use crate::probe::Suite;
use crate::stat::copying::plan;
use crate::stat::copying::plan::Outlook;
use crate::stat::order::median;
use crate::verdict::Calibration;
use crate::verdict::population;

/// The table that says what independent models and kin share.
const METHOD: &str = "behaviour.error_overlap";

/// Scores of suspects as they are.
const UNCHANGED: &str = "none";

/// How often both may be wrong when the power of the planned items is stated: nobody knows it before.
const RATE: f64 = 0.25;

/// Items needed, and the power that the planned ones have.
#[derive(Debug, Serialize)]
pub(super) struct SharedErrors {
    /// Median share of same wrong answers among shared errors, of independent models of the calibration.
    independent: f64,
    /// Pairs that it is the median of.
    pairs: usize,
    /// Largest p-value that counts.
    level: f64,
    /// The power of the numbers of items below.
    power_wanted: f64,
    /// Planned items that have a right answer.
    items: u64,
    /// Share of them that both are taken to get wrong.
    both_wrong_rate: f64,
    /// By the share that is to be seen.
    shares: [Outlook; plan::SHARES.len()],
}

impl SharedErrors {
    /// `None` where no items are planned or the calibration has no such table.
    pub fn of(calibration: &Calibration, suites: &[Suite]) -> Option<Self> {
        let judged = suites.iter().flat_map(|suite| &suite.items);
        let items = judged.filter(|item| !item.targets.is_empty()).count() as u64;
        let mut tables = calibration.populations.iter();
        let table = tables.find(|table| table.method == METHOD)?;
        let strangers = table.scores.get(UNCHANGED)?.get(population::INDEPENDENT)?;
        let independent = median(strangers.values().copied())?;
        let level = calibration.panel.beyond_panel_at_p;
        (items > 0).then(|| Self {
            independent,
            pairs: strangers.len(),
            level,
            power_wanted: plan::POWER,
            items,
            both_wrong_rate: RATE,
            shares: plan::outlooks(independent, level.ln(), items, RATE),
        })
    }

    /// One line for the reader.
    pub fn text(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let needed = self.shares.iter().map(|seen| match seen.both_wrong_needed {
            Some(needed) => format!("{needed} to see {}", percent(seen.share)),
            None => format!("no number shows {}", percent(seen.share)),
        });
        let power = self.shares.iter().map(|seen| percent(seen.power));
        format!(
            "shared errors: strangers give {} of them the same wrong answer (median of {} calibrated pairs); items that \
             both must get wrong (p at most {}, power {}): {}; the {} planned items have power {} if both are wrong on {}",
            percent(self.independent),
            self.pairs,
            self.level,
            percent(self.power_wanted),
            needed.collect::<Vec<_>>().join(", "),
            self.items,
            power.collect::<Vec<_>>().join(", "),
            percent(self.both_wrong_rate),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::SharedErrors;
    use crate::probe;
    use crate::verdict::Calibration;

    #[test]
    fn the_plan_says_what_the_shipped_suites_can_show() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let calibration = Calibration::load(root).unwrap();
        let suites = probe::shipped(root).unwrap();
        let of = |suites| SharedErrors::of(&calibration, suites).unwrap();
        let (all, one) = (of(&suites), of(&suites[..1]));
        assert_eq!((all.items, one.items), (700, 300));
        assert!(all.independent > 0.0 && all.independent < 0.35);
        for (all, one) in all.shares.iter().zip(&one.shares) {
            assert_eq!(all.both_wrong_needed, one.both_wrong_needed);
            assert!(all.power >= one.power && all.power <= 1.0);
        }
        // A larger share is seen in fewer items.
        let needed = all.shares.iter().map(|seen| seen.both_wrong_needed);
        let needed: Vec<u64> = needed.map(Option::unwrap).collect();
        assert!(
            needed.is_sorted_by(|more, fewer| more > fewer),
            "{needed:?}"
        );
        assert!(
            all.shares
                .is_sorted_by(|less, more| less.power <= more.power)
        );
        let text = all.text();
        assert!(
            text.contains("700 planned items") && !text.contains('\n'),
            "{text}"
        );
        assert!(SharedErrors::of(&calibration, &[]).is_none());
    }
}
