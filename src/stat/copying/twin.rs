//! Twin items: several renderings of each item, permuted within the item.

use std::collections::BTreeMap;

use super::answers::Answers;
use super::calibration::{Calibration, Tested};
use super::count::Count;
use crate::stat::random;

/// What the test's p-value is the probability of.
pub const NULL: &str = "as many renderings with the same wrong answer when, within each item, it is chance which of \
                        the second model's answers meets which of the first's: given the item, however hard it is \
                        and whatever it tempts to, the renderings tell the answers nothing that both models share";

/// Renderings of an item up to so many have their law counted out in whole numbers of 128 bits.
const LARGEST: usize = 24;

/// Same wrong answers on the same rendering, against every order of the second model's answers within
/// each group of renderings: exact whatever the difficulty of the items and the attraction of wrong
/// answers.
///
/// `group_of` names each item's group (`None`: not a rendering); answers within a group must be coded
/// alike. Both answers must be there. `calibration` comes from panel pairs on the same renderings: models
/// that all see the same blur are alike within items too. `None` when a group has more than 24
/// renderings: [`permuted_ln_p`] then draws orders.
pub fn twin(
    answers: &Answers,
    (first, second): (usize, usize),
    group_of: &[Option<usize>],
    calibration: Option<&Calibration>,
) -> Option<Tested> {
    let groups = groups(answers, (first, second), group_of);
    let observed = groups.iter().map(Group::observed).sum();
    let laws: Option<Vec<Vec<f64>>> = groups.iter().map(Group::law).collect();
    let mut tested = Tested::new(&Count::of_laws(laws?), observed, calibration);
    tested.items = groups.iter().map(|group| group.pairs.len()).sum();
    Some(tested)
}

/// `ln` of the permutation p-value `(1 + draws at least as alike) / (1 + draws)`, for groups of any size.
pub fn permuted_ln_p(
    answers: &Answers,
    (first, second): (usize, usize),
    group_of: &[Option<usize>],
    draws: usize,
    seed: u64,
) -> f64 {
    let groups = groups(answers, (first, second), group_of);
    let observed: usize = groups.iter().map(Group::observed).sum();
    let mut rng = random::stream(seed, "twin items");
    let as_alike = (0..draws).filter(|_| {
        let alike = groups.iter().map(|group| {
            let order = random::subset_in_any_order(&mut rng, group.pairs.len(), group.pairs.len());
            let pairs = group.pairs.iter().zip(order);
            pairs
                .filter(|((a, _), at)| a.is_some() && *a == Some(group.pairs[*at].1))
                .count()
        });
        alike.sum::<usize>() >= observed
    });
    ((1 + as_alike.count()) as f64 / (1 + draws) as f64).ln()
}

/// The renderings of one item: the first model's answer where it is wrong, the second's answer.
struct Group {
    pairs: Vec<(Option<u32>, u32)>,
}

fn groups(
    answers: &Answers,
    (first, second): (usize, usize),
    group_of: &[Option<usize>],
) -> Vec<Group> {
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for (item, a, b) in answers.shared(first, second) {
        if let Some(Some(group)) = group_of.get(item) {
            let wrong = (!answers.is_right(item, a)).then_some(a);
            let group = groups.entry(*group).or_insert(Group { pairs: Vec::new() });
            group.pairs.push((wrong, b));
        }
    }
    groups.into_values().collect()
}

impl Group {
    fn observed(&self) -> usize {
        self.pairs.iter().filter(|(a, b)| *a == Some(*b)).count()
    }

    /// The law of the number of matches over all orders of the second answers.
    ///
    /// With `n` renderings that the first answers `o` wrongly and `m` that the second answers `o`,
    /// `j` of them can be matched in `C(n, j) C(m, j) j!` ways; the product over `o` has `r_k` ways to
    /// match `k` at least, each left open to `(R - k)!` orders, and by inclusion and exclusion exactly
    /// `sum_k>=j (-1)^(k-j) C(k, j) r_k (R - k)!` orders match `j`.
    fn law(&self) -> Option<Vec<f64>> {
        let renderings = self.pairs.len();
        if renderings > LARGEST {
            return None;
        }
        let ways = self.ways();
        let factorial = |n: usize| (1..=n as i128).product::<i128>();
        let law = (0..ways.len()).map(|j| {
            let orders: i128 = (j..ways.len())
                .map(|k| {
                    let sign = if (k - j).is_multiple_of(2) { 1 } else { -1 };
                    sign * choose(k, j) * ways[k] * factorial(renderings - k)
                })
                .sum();
            orders as f64 / factorial(renderings) as f64
        });
        Some(law.collect())
    }

    /// `r_k` of every `k` that is possible.
    fn ways(&self) -> Vec<i128> {
        let mut counts: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (a, b) in &self.pairs {
            if let Some(a) = a {
                counts.entry(*a).or_default().0 += 1;
            }
            counts.entry(*b).or_default().1 += 1;
        }
        let mut ways = vec![1i128];
        for (n, m) in counts.into_values() {
            let most = n.min(m);
            let mut more = vec![0; ways.len() + most];
            for (k, before) in ways.iter().enumerate() {
                for j in 0..=most {
                    let orders = (1..=j as i128).product::<i128>();
                    more[k + j] += before * choose(n, j) * choose(m, j) * orders;
                }
            }
            ways = more;
        }
        ways
    }
}

fn choose(n: usize, k: usize) -> i128 {
    (0..k as i128).fold(1, |c, i| c * (n as i128 - i) / (i + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::every::all_orders;
    use crate::stat::random::{below, stream};

    /// Counted over every order of every group.
    fn listed(groups: &[Vec<(Option<u32>, u32)>]) -> Vec<f64> {
        let mut sums = vec![1.0];
        for group in groups {
            let all = all_orders(group.len());
            let mut next = vec![0.0; sums.len() + group.len()];
            for order in &all {
                let pairs = group.iter().zip(order);
                let alike = pairs
                    .filter(|((a, _), at)| *a == Some(group[**at].1))
                    .count();
                for (k, p) in sums.iter().enumerate() {
                    next[k + alike] += p / all.len() as f64;
                }
            }
            sums = next;
        }
        sums
    }

    #[test]
    fn the_law_is_a_count_over_all_orders() {
        let mut rng = stream(1, "twin test");
        for _ in 0..40 {
            let sizes = [1 + below(&mut rng, 6), 1 + below(&mut rng, 5)];
            let mut answers = Answers::of_items((0..sizes[0] + sizes[1]).map(|_| (0, 0)));
            for _ in 0..2 {
                let codes = (0..answers.items()).map(|_| below(&mut rng, 4) as u32);
                answers.push(codes.collect()).unwrap();
            }
            let group_of: Vec<Option<usize>> = (0..answers.items())
                .map(|item| Some(usize::from(item >= sizes[0])))
                .collect();
            let tested = twin(&answers, (0, 1), &group_of, None).unwrap();
            let groups = groups(&answers, (0, 1), &group_of);
            let sums = listed(
                &groups
                    .iter()
                    .map(|group| group.pairs.clone())
                    .collect::<Vec<_>>(),
            );
            let truth: f64 = sums[tested.observed..].iter().sum();
            assert!(
                (tested.ln_p - truth.ln()).abs() < 1e-10,
                "{} {}",
                tested.ln_p,
                truth.ln()
            );
            let drawn = permuted_ln_p(&answers, (0, 1), &group_of, 2000, 5).exp();
            assert!((drawn - truth).abs() < 0.06, "{drawn} {truth}");
        }
    }

    /// All 24 renderings different, all matched: one order of 24!.
    #[test]
    fn the_largest_group_is_exact() {
        let mut answers = Answers::of_items((0..24).map(|_| (99, 0)));
        for _ in 0..2 {
            answers.push((0..24).collect()).unwrap();
        }
        let tested = twin(&answers, (0, 1), &[Some(7); 24], None).unwrap();
        assert!((tested.ln_p + crate::stat::tails::ln_factorial(24)).abs() < 1e-9);
        assert_eq!((tested.observed, tested.items), (24, 24));
        let mut more = Answers::of_items((0..25).map(|_| (99, 0)));
        more.push((0..25).collect()).unwrap();
        more.push((0..25).collect()).unwrap();
        assert_eq!(twin(&more, (0, 1), &[Some(0); 25], None), None);
        assert!((permuted_ln_p(&more, (0, 1), &[Some(0); 25], 99, 1) - 0.01f64.ln()).abs() < 1e-9);
        // Items that are nobody's renderings are not looked at.
        assert_eq!(twin(&more, (0, 1), &[None; 25], None).unwrap().ln_p, 0.0);
    }

    /// Attractors and hard items alone are no evidence; a fifth of the answers taken over is.
    #[test]
    fn difficulty_and_attractors_are_no_evidence() {
        let mut rng = stream(2, "twin world");
        let (renderings, items) = (8, 40);
        let group_of: Vec<Option<usize>> = (0..items * renderings)
            .map(|at| Some(at / renderings))
            .collect();
        let (mut low, mut seen) = (0, 0);
        for _ in 0..200 {
            let attractors: Vec<u32> = (0..items).map(|_| 1 + below(&mut rng, 3) as u32).collect();
            let tempted: Vec<f64> = (0..items).map(|_| random::unit(&mut rng)).collect();
            let mut model = || -> Vec<u32> {
                let answer = |at: usize| match random::unit(&mut rng) {
                    u if u < tempted[at / renderings] => attractors[at / renderings],
                    u if u < 0.9 => 4 + below(&mut rng, 5) as u32,
                    _ => 0,
                };
                (0..items * renderings).map(answer).collect()
            };
            let (one, other) = (model(), model());
            let copy = super::super::world::copy(&one, &other, 0.2, &mut rng);
            let mut answers = Answers::of_items((0..items * renderings).map(|_| (0, 0)));
            for codes in [one, other, copy] {
                answers.push(codes).unwrap();
            }
            let ln_p = |second: usize| twin(&answers, (0, second), &group_of, None).unwrap().ln_p;
            low += usize::from(ln_p(1) < 0.05f64.ln());
            seen += usize::from(ln_p(2) < 0.001f64.ln());
        }
        // 5 % of 200 are 10; 20 or more would be rarer than 0.3 %.
        assert!(low < 20 && seen > 150, "{low} {seen}");
    }
}
