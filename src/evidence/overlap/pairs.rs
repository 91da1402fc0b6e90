//! Every pair of models on the items that both answered.

use rayon::prelude::*;

use super::Settings;
use super::consensus::deviation;
use super::data::Counts;
use super::data::Difference;
use super::data::Estimate;
use super::data::Naive;
use super::data::NaiveRow;
use super::data::PairRow;
use super::data::SelfAgreement;
use super::data::Stated;
use super::free_text::FreeTexts;
use super::habits::Habits;
use super::tally::MEASURES;
use super::tally::Tally;
use super::tally::Totals;
use super::view::View;
use crate::stat::consistency::Consistency;
use crate::stat::interval;
use crate::stat::tails;

/// Resamples shared out over the pairs, and the fewest and most that one pair gets.
const DRAWS: usize = 1_000_000;
const FEWEST: usize = 2_000;

/// Level of every interval.
pub(super) const LEVEL: f64 = 0.95;

/// What is measured once for all pairs.
pub(super) struct Extras {
    pub texts: FreeTexts,
    pub habits: Vec<Stated<Habits>>,
    pub without_truth: Vec<usize>,
}

/// One row per pair, and its naive numbers.
pub(super) fn pairs(
    view: &View<'_>,
    settings: &Settings,
    extras: &Extras,
) -> Vec<(PairRow, NaiveRow)> {
    let count = view.columns.len();
    let pairs: Vec<(usize, usize)> = (0..count)
        .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
        .collect();
    let draws = (DRAWS / pairs.len().max(1)).max(FEWEST);
    pairs
        .into_par_iter()
        .map(|(a, b)| Pair::new(view, a, b).rows(view, draws, settings, extras))
        .collect()
}

/// Positions and counts of a pair.
struct Pair {
    first: usize,
    second: usize,
    tally: Tally,
    totals: Totals,
    /// Items with both answers known, and those of them with the same.
    compared: u64,
    same: u64,
}

impl Pair {
    fn new(view: &View<'_>, first: usize, second: usize) -> Self {
        let mut tally = Tally::new(&view.options);
        for (at, x, y) in view.judged(first, second) {
            tally.add(view.kind[at], x, y, view.alike(first, second, at));
        }
        let items = 0..view.counted.len();
        let known = items.filter_map(|at| view.alike(first, second, at));
        let (compared, same) =
            known.fold((0, 0), |(n, same), alike| (n + 1, same + u64::from(alike)));
        Self {
            first,
            second,
            totals: tally.totals(),
            tally,
            compared,
            same,
        }
    }

    fn rows(
        &self,
        view: &View<'_>,
        draws: usize,
        settings: &Settings,
        extras: &Extras,
    ) -> (PairRow, NaiveRow) {
        let label = |at: usize| view.sheet.columns[at].label.clone();
        let (first, second) = (label(self.first), label(self.second));
        let verdicts = &self.totals.verdicts;
        let n = verdicts.n();
        let purpose = format!("overlap of {first} and {second}");
        let intervals = match n {
            0 => [None; MEASURES],
            _ => self.tally.intervals(draws, LEVEL, settings.seed, &purpose),
        };
        let [kappa, copied, overlap, capa] = self.totals.measures();
        let known = self.totals.known();
        let within = [(kappa, n), (copied, n), (overlap, n), (capa, known)];
        let mut estimates = within.into_iter().zip(intervals).map(|((value, n), ends)| {
            Stated::from_option(value.map(|value| estimate(value, ends, n)), || self.why())
        });
        let mut next = || estimates.next().unwrap_or_else(|| Stated::missing(""));
        let (error_consistency, copy_probability, error_overlap, capa) =
            (next(), next(), next(), next());
        let row = PairRow {
            counts: self.counts(),
            exact_match: share(self.same, self.compared, "no item has both answers"),
            error_overlap,
            same_wrong: share(
                self.totals.both_wrong_alike,
                self.totals.both_wrong_known,
                "no item has two wrong answers",
            ),
            error_consistency,
            largest_error_consistency: verdicts.kappa().map(|_| verdicts.most()),
            error_consistency_within_suites: within_suites(view, self.first, self.second),
            odds_ratio: Stated::from_option(verdicts.odds_ratio(LEVEL), || self.why())
                .map(|ratio| estimate(ratio.value, Some((ratio.low, ratio.high)), n)),
            copy_probability,
            capa,
            capa_probabilistic: Stated::missing(
                "the logs do not both hold probabilities of the options",
            ),
            shared_slips: extras.texts.shared_slips(self.first, self.second),
            deviation_from_consensus: deviation(
                view,
                (self.first, self.second),
                &extras.without_truth,
            ),
            accuracy_difference: Stated::from_option(difference(verdicts), || self.why()),
            draws,
            first: first.clone(),
            second: second.clone(),
        };
        let naive = NaiveRow {
            first,
            second,
            error_overlap: Stated::from_option(verdicts.against_independence(), || self.why())
                .map(naive),
            same_wrong: self.same_wrong_by_chance(view),
        };
        (row, naive)
    }

    fn counts(&self) -> Counts {
        let verdicts = &self.totals.verdicts;
        let (first_wrong, second_wrong) = verdicts.errors();
        Counts {
            items: verdicts.n(),
            both_right: verdicts.both_right,
            first_wrong,
            second_wrong,
            both_wrong: verdicts.both_wrong,
            both_wrong_known: self.totals.both_wrong_known,
            both_wrong_alike: self.totals.both_wrong_alike,
        }
    }

    /// Why a measure of errors has no value.
    fn why(&self) -> String {
        let verdicts = &self.totals.verdicts;
        let (a, b) = verdicts.errors();
        match verdicts.n() {
            0 => "no item was judged in both, outside of suites where right and wrong say nothing"
                .to_owned(),
            n => format!(
                "of {n} items the first gets {a} wrong, the second {b}: too few or too many to compare"
            ),
        }
    }

    /// Same wrong answers against wrong answers that are spread evenly over the wrong options.
    fn same_wrong_by_chance(&self, view: &View<'_>) -> Stated<Naive> {
        let wrong = view
            .judged(self.first, self.second)
            .filter(|(at, x, y)| !x && !y && view.alike(self.first, self.second, *at).is_some());
        let options: Vec<u32> = wrong
            .map(|(at, _, _)| view.options[usize::from(view.kind[at])])
            .collect();
        let n = options.len() as u64;
        if n == 0 {
            return Stated::missing("no item has two wrong answers");
        }
        if options.contains(&0) {
            return Stated::missing("the number of options is not known; --options states it");
        }
        let chance = options
            .iter()
            .map(|&k| crate::stat::capa::spread(k as usize))
            .sum::<f64>()
            / n as f64;
        let sd = (n as f64 * chance * (1.0 - chance)).sqrt();
        if sd == 0.0 {
            return Stated::missing("with two options every wrong answer is the same");
        }
        let alike = self.totals.both_wrong_alike;
        let z = (alike as f64 - n as f64 * chance) / sd;
        Stated::Value(naive((z, tails::binomial_ln_tail(alike, n, chance))))
    }
}

impl<T> Stated<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Stated<U> {
        match self {
            Self::Value(value) => Stated::Value(to(value)),
            Self::Missing { missing } => Stated::Missing { missing },
        }
    }
}

fn naive((z, ln_p): (f64, f64)) -> Naive {
    Naive {
        z,
        log10_p: tails::log10(ln_p),
    }
}

pub(super) fn estimate(value: f64, ends: Option<(f64, f64)>, n: u64) -> Estimate {
    Estimate {
        value,
        low: ends.map(|(low, _)| low),
        high: ends.map(|(_, high)| high),
        n,
    }
}

/// A share with Wilson's interval.
pub(super) fn share(hits: u64, n: u64, otherwise: &str) -> Stated<Estimate> {
    let value = (n > 0).then(|| {
        estimate(
            hits as f64 / n as f64,
            Some(interval::wilson(hits, n, LEVEL)),
            n,
        )
    });
    Stated::from_option(value, || otherwise.to_owned())
}

fn difference(verdicts: &Consistency) -> Option<Difference> {
    let (first, second) = verdicts.accuracies();
    (verdicts.n() > 0).then(|| Difference {
        value: first - second,
        log10_p: tails::log10(verdicts.mcnemar_ln()),
    })
}

/// Mean kappa of the suites that have one, weighted by items; `None` with a single suite. Suites of
/// different difficulty make the kappa of all items together larger than that of each.
fn within_suites(view: &View<'_>, first: usize, second: usize) -> Option<f64> {
    let mut suites = vec![Consistency::default(); view.sheet.suites.len()];
    for (at, x, y) in view.judged(first, second) {
        *suites[view.sheet.items[at].suite as usize].cell(x, y) += 1;
    }
    let kappas: Vec<(f64, f64)> = suites
        .iter()
        .filter_map(|suite| Some((suite.kappa()?, suite.n() as f64)))
        .collect();
    let weight: f64 = kappas.iter().map(|(_, n)| n).sum();
    let several = suites.iter().filter(|suite| suite.n() > 0).count() > 1;
    (several && weight > 0.0)
        .then(|| kappas.iter().map(|(kappa, n)| kappa * n).sum::<f64>() / weight)
}

/// Every pair of repetitions of an item, for a model that answered some items more than once.
pub(super) fn with_itself(view: &View<'_>, column: usize) -> Stated<SelfAgreement> {
    let answers = &view.sheet.columns[column];
    if answers.repeats.is_empty() {
        return Stated::missing(
            "every item was answered once; repeated answers show what the model reaches with itself",
        );
    }
    let mut tally = Tally::new(&view.options);
    let (mut compared, mut same) = (0, 0);
    for (&item, others) in &answers.repeats {
        let at = item as usize;
        let cells: Vec<_> = answers.cells[at].iter().chain(others).copied().collect();
        for (i, &a) in cells.iter().enumerate() {
            for &b in &cells[i + 1..] {
                let alike = view.sheet.alike(a, b);
                compared += u64::from(alike.is_some());
                same += u64::from(alike == Some(true));
                if let (Some(x), Some(y), true) = (a.right, b.right, view.counted[at]) {
                    tally.add(view.kind[at], x, y, alike);
                }
            }
        }
    }
    let totals = tally.totals();
    let n = totals.verdicts.n();
    let plain = |value: Option<f64>| {
        let value = value.map(|value| estimate(value, None, n));
        Stated::from_option(value, || {
            "right and wrong do not vary over the repetitions".to_owned()
        })
    };
    Stated::Value(SelfAgreement {
        items: answers.repeats.len() as u64,
        exact_match: share(same, compared, "no item has two answers"),
        error_overlap: plain(totals.verdicts.jaccard()),
        same_wrong: share(
            totals.both_wrong_alike,
            totals.both_wrong_known,
            "no item is wrong twice",
        ),
        error_consistency: plain(totals.verdicts.kappa()),
    })
}
