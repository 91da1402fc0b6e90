//! One pair of answer columns, counted by kind of item, and what follows from such counts.

use crate::stat::capa;
use crate::stat::consistency::Consistency;
use crate::stat::interval;
use crate::stat::random;

/// Verdicts (2 x 2), then same, different or not known.
const KINDS: usize = 12;

/// Items by verdicts, sameness and number of options.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// `[options][first right][second right][sameness]`.
    counts: Vec<u64>,
    /// `1 / (K - 1)` by number of options.
    spreads: Vec<f64>,
}

/// Sums over a tally.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub verdicts: Consistency,
    pub both_wrong_known: u64,
    pub both_wrong_alike: u64,
    /// Items with both answers known, how many of them alike, and right in each.
    known: [u64; 4],
    spread: f64,
}

/// The measures that follow from counts.
pub(super) const MEASURES: usize = 4;

impl Tally {
    /// Of nothing, for items of these numbers of options (0 for free answers).
    pub fn new(options: &[u32]) -> Self {
        let spread = |&options: &u32| match options {
            0 => 0.0,
            k => capa::spread(k as usize),
        };
        Self {
            counts: vec![0; KINDS * options.len().max(1)],
            spreads: options.iter().map(spread).collect(),
        }
    }

    /// Counts an item.
    pub fn add(&mut self, kind: u8, first: bool, second: bool, alike: Option<bool>) {
        let sameness = match alike {
            Some(true) => 0,
            Some(false) => 1,
            None => 2,
        };
        let at =
            (usize::from(kind) * 4 + usize::from(first) * 2 + usize::from(second)) * 3 + sameness;
        self.counts[at] += 1;
    }

    pub fn totals(&self) -> Totals {
        totals(&self.counts, &self.spreads)
    }

    /// 95 % percentile intervals of [`Totals::measures`] when items are drawn with replacement; `None`
    /// where a measure is lost in half of the resamples or more.
    ///
    /// The measures depend on nothing but the counts, and drawing items is drawing counts.
    pub fn intervals(
        &self,
        draws: usize,
        level: f64,
        seed: u64,
        purpose: &str,
    ) -> [Option<(f64, f64)>; MEASURES] {
        let mut rng = random::stream(seed, purpose);
        let used: Vec<usize> = (0..self.counts.len())
            .filter(|&at| self.counts[at] > 0)
            .collect();
        let frequencies: Vec<u64> = used.iter().map(|&at| self.counts[at]).collect();
        let total = frequencies.iter().sum();
        let mut values: [Vec<f64>; MEASURES] = Default::default();
        let mut drawn = Vec::new();
        let mut counts = vec![0; self.counts.len()];
        for _ in 0..draws {
            random::multinomial(&mut rng, total, &frequencies, &mut drawn);
            for (&at, &count) in used.iter().zip(&drawn) {
                counts[at] = count;
            }
            let measures = totals(&counts, &self.spreads).measures();
            for (values, value) in values.iter_mut().zip(measures) {
                values.extend(value);
            }
        }
        let tail = (1.0 - level) / 2.0;
        values.map(|mut values| {
            if values.is_empty() || values.len() * 2 <= draws {
                return None;
            }
            values.sort_unstable_by(f64::total_cmp);
            let end = |p| interval::quantile(&values, p);
            Some((end(tail), end(1.0 - tail)))
        })
    }
}

fn totals(counts: &[u64], spreads: &[f64]) -> Totals {
    let mut totals = Totals::default();
    for (of_options, spread) in counts.chunks_exact(KINDS).zip(spreads) {
        for (verdicts, of_verdicts) in of_options.chunks_exact(3).enumerate() {
            let (first, second) = (verdicts >= 2, verdicts % 2 == 1);
            let [alike, apart, unknown] = [of_verdicts[0], of_verdicts[1], of_verdicts[2]];
            *totals.verdicts.cell(first, second) += alike + apart + unknown;
            let known = alike + apart;
            totals.known[0] += known;
            totals.known[1] += alike;
            totals.known[2] += if first { known } else { 0 };
            totals.known[3] += if second { known } else { 0 };
            totals.spread += known as f64 * spread;
            if !first && !second {
                totals.both_wrong_known += known;
                totals.both_wrong_alike += alike;
            }
        }
    }
    totals
}

impl Totals {
    /// Error consistency, copy probability, overlap of errors, CAPA.
    pub fn measures(&self) -> [Option<f64>; MEASURES] {
        [
            self.verdicts.kappa(),
            self.verdicts.copy_probability(),
            self.verdicts.jaccard(),
            self.capa(),
        ]
    }

    /// Items that CAPA is measured on.
    pub fn known(&self) -> u64 {
        self.known[0]
    }

    fn capa(&self) -> Option<f64> {
        let n = self.known[0] as f64;
        if n == 0.0 {
            return None;
        }
        capa::Means {
            observed: self.known[1] as f64 / n,
            first: self.known[2] as f64 / n,
            second: self.known[3] as f64 / n,
            spread: self.spread / n,
        }
        .capa()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 182 shared of 236 and 194 errors in 1,000, 118 of them alike.
    fn rare_script(options: u32) -> Tally {
        let mut tally = Tally::new(&[options]);
        for (count, first, second, alike) in [
            (752, true, true, true),
            (54, false, true, false),
            (12, true, false, false),
            (118, false, false, true),
            (64, false, false, false),
        ] {
            for _ in 0..count {
                tally.add(0, first, second, Some(alike));
            }
        }
        tally
    }

    #[test]
    fn the_rare_script_case() {
        let totals = rare_script(0).totals();
        assert_eq!(
            (totals.both_wrong_known, totals.both_wrong_alike),
            (182, 118)
        );
        let [kappa, copied, overlap, capa] = totals.measures().map(Option::unwrap);
        assert!((kappa - 0.804_98).abs() < 5e-6 && (copied - 0.871_15).abs() < 5e-6);
        assert!((overlap - 0.734).abs() < 5e-4);
        // Answers out of no list: (0.87 - 0.764 * 0.806) / (1 - 0.764 * 0.806).
        let chance = 0.764 * 0.806;
        assert!((capa - (0.87 - chance) / (1.0 - chance)).abs() < 1e-12);
    }

    /// Counts drawn at once have the law of items drawn one by one.
    #[test]
    fn intervals_are_those_of_drawn_items() {
        let tally = rare_script(30);
        let [kappa, ..] = tally.intervals(20_000, 0.95, 0, "test");
        let (low, high) = kappa.unwrap();
        assert!(
            (low - 0.7583).abs() < 0.0015 && (high - 0.8484).abs() < 0.0015,
            "{low} {high}"
        );
        let items: Vec<(bool, bool)> = [
            (752, (true, true)),
            (54, (false, true)),
            (12, (true, false)),
            (182, (false, false)),
        ]
        .iter()
        .flat_map(|&(count, pair)| std::iter::repeat_n(pair, count))
        .collect();
        let one_by_one = interval::Bootstrap {
            draws: 4000,
            level: 0.95,
            seed: 1,
        };
        let jaccard = |drawn: &[Vec<usize>]| {
            let items = drawn[0].iter().map(|&at| items[at]);
            items.collect::<Consistency>().jaccard()
        };
        let wanted = one_by_one.interval(&[items.len()], jaccard).unwrap();
        let [_, _, overlap, _] = tally.intervals(20_000, 0.95, 0, "test");
        let (low, high) = overlap.unwrap();
        assert!((low - wanted.0).abs() < 0.005 && (high - wanted.1).abs() < 0.005);
    }
}
