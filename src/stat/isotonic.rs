//! Likelihood ratios from the scores of two groups, made monotone in the score.

/// One score of known truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: f64,
    /// How much it counts; the scores of one unit of independence share a weight of 1.
    pub weight: f64,
    /// Whether it belongs to the first group (related).
    pub related: bool,
}

/// A step function from scores to log10 likelihood ratios that never falls.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratios {
    /// Lowest score of each step with the step's value, in rising order; the first is minus infinity.
    steps: Vec<(f64, f64)>,
}

/// Units of each group, pseudo-observations left out: what bounds the ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// Of the first group (related).
    pub related: f64,
    /// Of the second group (independent).
    pub independent: f64,
}

impl Ratios {
    /// Pools adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002) over the class-balanced
    /// scores, with one pseudo-observation of each group below all scores and one above.
    ///
    /// The pseudo-observations keep the ratio finite and conservative in both directions: no score
    /// can say more than that one further unit of the other group was seen beyond it, so that the
    /// ratio lies between `1 / (related + 1)` and `independent + 1` whatever the scores are. Equal
    /// scores share a step. `None` when either group has no weight.
    pub fn fit(scores: &[Scored]) -> Option<Self> {
        let units = units(scores);
        if units.related <= 0.0 || units.independent <= 0.0 {
            return None;
        }
        let mut sorted: Vec<Scored> = scores.to_vec();
        for related in [true, false] {
            for score in [f64::NEG_INFINITY, f64::INFINITY] {
                sorted.push(Scored {
                    score,
                    weight: 1.0,
                    related,
                });
            }
        }
        sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
        let mut blocks: Vec<Block> = Vec::new();
        for one in &sorted {
            let mut block = Block::of(one);
            while let Some(last) = blocks.last() {
                // Equal scores always pool; so does a step that would fall.
                if last.high < block.low && last.share() < block.share() {
                    break;
                }
                block = last.with(&block);
                blocks.pop();
            }
            blocks.push(block);
        }
        let related = units.related + 2.0;
        let independent = units.independent + 2.0;
        let last = blocks.len() - 1;
        let steps = blocks.iter().enumerate().map(|(at, block)| {
            // The upper pseudo-observations lie beyond every score: the top step begins where its
            // own scores do, and where it has none it is never reached.
            let value = (block.related / related / (block.independent / independent)).log10();
            let low = if at == 0 {
                f64::NEG_INFINITY
            } else {
                block.low
            };
            debug_assert!(at == 0 || at == last || block.low.is_finite());
            (low, value)
        });
        Some(Self {
            steps: steps.collect(),
        })
    }

    /// The log10 likelihood ratio of a score: of the step whose scores begin at or below it.
    pub fn at(&self, score: f64) -> f64 {
        let place = self
            .steps
            .partition_point(|(low, _)| low.total_cmp(&score).is_le());
        self.steps[place.saturating_sub(1)].1
    }
}

/// The weight of each group.
pub fn units(scores: &[Scored]) -> Units {
    let sum = |related: bool| {
        scores
            .iter()
            .filter(|one| one.related == related)
            .map(|one| one.weight)
            .sum()
    };
    Units {
        related: sum(true),
        independent: sum(false),
    }
}

/// Log-likelihood-ratio cost (Brümmer and du Preez 2006) of log10 likelihood ratios: 0 for perfect
/// ones, 1 for a method that always says 1, more for one that misleads. `None` when a group is empty.
pub fn cost(ratios: &[Scored]) -> Option<f64> {
    let units = units(ratios);
    if units.related <= 0.0 || units.independent <= 0.0 {
        return None;
    }
    let sum: f64 = ratios
        .iter()
        .map(|one| {
            let lr = libm::exp10(one.score);
            let (surprise, all) = if one.related {
                (1.0 / lr, units.related)
            } else {
                (lr, units.independent)
            };
            one.weight / all * (1.0 + surprise).log2()
        })
        .sum();
    Some(sum / 2.0)
}

/// Neighbouring scores with one value.
#[derive(Debug, Clone, Copy)]
struct Block {
    low: f64,
    high: f64,
    related: f64,
    independent: f64,
}

impl Block {
    fn of(one: &Scored) -> Self {
        let weight = |related: bool| {
            if one.related == related {
                one.weight
            } else {
                0.0
            }
        };
        Self {
            low: one.score,
            high: one.score,
            related: weight(true),
            independent: weight(false),
        }
    }

    /// Share of related weight.
    fn share(&self) -> f64 {
        self.related / (self.related + self.independent)
    }

    fn with(&self, next: &Self) -> Self {
        Self {
            low: self.low,
            high: next.high,
            related: self.related + next.related,
            independent: self.independent + next.independent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    fn scored(related: &[f64], independent: &[f64]) -> Vec<Scored> {
        let of = |scores: &[f64], related| {
            scores
                .iter()
                .map(move |score| Scored {
                    score: *score,
                    weight: 1.0,
                    related,
                })
                .collect::<Vec<_>>()
        };
        let mut all = of(related, true);
        all.extend(of(independent, false));
        all
    }

    #[test]
    fn separated_groups_reach_the_bounds_and_no_further() {
        let fit = Ratios::fit(&scored(&[5.0, 6.0, 7.0], &[1.0, 2.0])).unwrap();
        // Above: 3 + 1 of 5 related, 1 of 4 independent.
        let top = ((4.0_f64 / 5.0) / (1.0 / 4.0)).log10();
        assert!((fit.at(5.0) - top).abs() < 1e-12);
        assert!((fit.at(1e9) - top).abs() < 1e-12);
        assert!(fit.at(2.0) < 0.0 && (fit.at(-1e9) - fit.at(4.9)).abs() < 1e-12);
        assert!(top < (2.0 + 1.0_f64).log10() + 0.1);
    }

    #[test]
    fn the_ratio_never_falls_and_stays_bounded() {
        let mut rng = random::stream(3, "isotonic");
        for _ in 0..100 {
            let draw = |rng: &mut _, shift: f64, n| -> Vec<f64> {
                (0..n)
                    .map(|_| (4.0 * (random::normal(rng) + shift)).round())
                    .collect()
            };
            let (a, b) = (draw(&mut rng, 0.7, 12), draw(&mut rng, 0.0, 20));
            let fit = Ratios::fit(&scored(&a, &b)).unwrap();
            let values: Vec<f64> = (-40..40).map(|x| fit.at(f64::from(x))).collect();
            assert!(values.windows(2).all(|w| w[0] <= w[1] + 1e-12));
            let most = (f64::from(20 + 2)).log10();
            let least = -(f64::from(12 + 2)).log10();
            assert!(values.iter().all(|v| (least..=most).contains(v)));
        }
    }

    /// Under the null (both groups alike) a score rarely earns a high ratio: E[LR | independent] <= 1
    /// up to what the fit has to learn, and the cost of cross-fitted ratios stays near 1.
    #[test]
    fn chance_earns_little() {
        let mut rng = random::stream(4, "isotonic null");
        let mut sum = 0.0;
        let trials = 400;
        for _ in 0..trials {
            let mut draw = |n| -> Vec<f64> { (0..n).map(|_| random::normal(&mut rng)).collect() };
            let (a, b, new) = (draw(10), draw(30), draw(1));
            let fit = Ratios::fit(&scored(&a, &b)).unwrap();
            sum += libm::exp10(fit.at(new[0]));
        }
        assert!(sum / f64::from(trials) < 1.3, "{}", sum / f64::from(trials));
    }

    #[test]
    fn weights_are_units() {
        // Ten scores of one related run count as one unit.
        let mut all = scored(&[], &[0.0, 0.1, 0.2]);
        all.extend((0..10).map(|i| Scored {
            score: 5.0 + f64::from(i),
            weight: 0.1,
            related: true,
        }));
        assert!((units(&all).related - 1.0).abs() < 1e-12);
        let fit = Ratios::fit(&all).unwrap();
        let top = ((2.0_f64 / 3.0) / (1.0 / 5.0)).log10();
        assert!((fit.at(6.0) - top).abs() < 1e-12);
        assert!(Ratios::fit(&scored(&[], &[1.0])).is_none());
    }

    #[test]
    fn the_cost_knows_good_ratios_from_bad_ones() {
        let of = |r: f64, i: f64| cost(&scored(&[r; 4], &[i; 4])).unwrap();
        assert!((of(0.0, 0.0) - 1.0).abs() < 1e-12);
        assert!(of(2.0, -2.0) < 0.02);
        assert!(of(-2.0, 2.0) > 3.0);
        assert_eq!(cost(&scored(&[1.0], &[])), None);
    }
}
