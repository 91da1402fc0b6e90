//! Do two models draw their texts from one law? Model equality testing.
//!
//! The null is that nothing distinguishes the two, which every change of a model breaks, fine-tuning
//! too: a rejection says "not the same", never "not related".

use super::random;

/// What the p-value is the probability of.
pub const NULL: &str = "texts as far apart when, prompt by prompt, it is chance which model a text came from: both models \
                        answer each prompt by the same law";

/// Texts of two models to one prompt: characters or tokens as numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Texts of the first model.
    pub first: Vec<Vec<u32>>,
    /// Texts of the second model.
    pub second: Vec<Vec<u32>>,
}

/// Whether two models answer alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equality {
    /// Maximum mean discrepancy, squared, without bias: about 0 for equal laws, and then as often below.
    pub mmd_squared: f64,
    /// Texts of both models.
    pub texts: usize,
    /// Orders drawn.
    pub draws: usize,
    /// `ln` of `(1 + draws at least as far apart) / (1 + draws)`.
    pub ln_p: f64,
}

/// Maximum mean discrepancy with a Hamming kernel (Gao, Liang and Guestrin: Model Equality Testing, ICLR
/// 2025), its p-value from permuting models within each prompt.
///
/// `k(x, y)` is the share of `length` positions at which both texts are equal, shorter texts padded by a
/// symbol that equals itself, longer ones cut; 0 between prompts. The statistic is
/// `mean k(x, x') - 2 mean k(x, y) + mean k(y, y')` over different texts. `None` when a model has fewer
/// than two texts or `length` is 0.
pub fn equality(prompts: &[Prompt], length: usize, draws: usize, seed: u64) -> Option<Equality> {
    let sizes = |of: fn(&Prompt) -> usize| prompts.iter().map(of).sum::<usize>();
    let (n, m) = (
        sizes(|prompt| prompt.first.len()),
        sizes(|prompt| prompt.second.len()),
    );
    if n < 2 || m < 2 || length == 0 {
        return None;
    }
    let kernels: Vec<Kernel> = prompts
        .iter()
        .map(|prompt| Kernel::new(prompt, length))
        .collect();
    let discrepancy = |orders: &mut dyn FnMut(usize) -> Vec<usize>| -> f64 {
        let mut sums = [0.0; 3];
        for kernel in &kernels {
            let order = orders(kernel.texts);
            for (sum, part) in sums.iter_mut().zip(kernel.sums(&order)) {
                *sum += part;
            }
        }
        let pairs = |k: usize| (k * (k - 1)) as f64;
        sums[0] / pairs(n) - 2.0 * sums[1] / (n * m) as f64 + sums[2] / pairs(m)
    };
    let observed = discrepancy(&mut |texts| (0..texts).collect());
    let mut rng = random::stream(seed, "model equality");
    // Sums in another order differ in the last digits.
    let bar = observed - 1e-12;
    let as_far = (0..draws).filter(|_| {
        discrepancy(&mut |texts| random::subset_in_any_order(&mut rng, texts, texts)) >= bar
    });
    Some(Equality {
        mmd_squared: observed,
        texts: n + m,
        draws,
        ln_p: ((1 + as_far.count()) as f64 / (1 + draws) as f64).ln(),
    })
}

/// How alike any two texts to one prompt are.
struct Kernel {
    texts: usize,
    of_first: usize,
    alike: Vec<f64>,
}

impl Kernel {
    fn new(prompt: &Prompt, length: usize) -> Self {
        let texts: Vec<&Vec<u32>> = prompt.first.iter().chain(&prompt.second).collect();
        let alike = texts
            .iter()
            .flat_map(|x| texts.iter().map(|y| hamming(x, y, length)));
        Self {
            texts: texts.len(),
            of_first: prompt.first.len(),
            alike: alike.collect(),
        }
    }

    /// Sums over ordered pairs of different texts of the first model, over pairs of both, and over those
    /// of the second, when the first texts of `order` are the first model's.
    fn sums(&self, order: &[usize]) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for (at, x) in order.iter().enumerate() {
            for (before, y) in order[..at].iter().enumerate() {
                let alike = self.alike[x * self.texts + y];
                match (before < self.of_first, at < self.of_first) {
                    (true, true) => sums[0] += 2.0 * alike,
                    (false, false) => sums[2] += 2.0 * alike,
                    _ => sums[1] += alike,
                }
            }
        }
        sums
    }
}

fn hamming(x: &[u32], y: &[u32], length: usize) -> f64 {
    let both = x.len().min(y.len()).min(length);
    let equal = x[..both]
        .iter()
        .zip(&y[..both])
        .filter(|(a, b)| a == b)
        .count();
    let padded = length - x.len().max(y.len()).min(length);
    (equal + padded) as f64 / length as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::{below, stream};

    fn prompt(first: &[&str], second: &[&str]) -> Prompt {
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.chars().map(u32::from).collect())
                .collect()
        };
        Prompt {
            first: texts(first),
            second: texts(second),
        }
    }

    /// `ab`, `abc` and `xb` at length 4: by hand.
    #[test]
    fn the_kernel_counts_equal_positions() {
        let texts = prompt(&["ab", "abc"], &["xb"]);
        let [ab, abc, xb] = [&texts.first[0], &texts.first[1], &texts.second[0]];
        assert_eq!(hamming(ab, ab, 4), 1.0);
        assert_eq!(hamming(ab, abc, 4), 0.75);
        assert_eq!(hamming(ab, xb, 4), 0.75);
        assert_eq!(hamming(abc, xb, 4), 0.5);
        assert_eq!(hamming(abc, xb, 1), 0.0);
        assert_eq!(hamming(&[], &[], 3), 1.0);
    }

    /// The statistic by its definition over all texts, and the p-value over all 6 x 3 assignments.
    #[test]
    fn a_small_case_is_listed() {
        let prompts = [
            prompt(&["aa", "ab"], &["bb", "ba"]),
            prompt(&["xy"], &["zz", "zy"]),
        ];
        let texts: Vec<(usize, bool, Vec<u32>)> = prompts
            .iter()
            .enumerate()
            .flat_map(|(at, prompt)| {
                let first = prompt
                    .first
                    .iter()
                    .map(move |text| (at, true, text.clone()));
                first.chain(
                    prompt
                        .second
                        .iter()
                        .map(move |text| (at, false, text.clone())),
                )
            })
            .collect();
        let direct = |labels: &[bool]| {
            let (mut sums, mut counts) = ([0.0; 3], [0.0; 3]);
            for (i, x) in texts.iter().enumerate() {
                for (j, y) in texts.iter().enumerate().filter(|(j, _)| *j != i) {
                    let at = usize::from(!labels[i]) + usize::from(!labels[j]);
                    counts[at] += 1.0;
                    sums[at] += if x.0 == y.0 {
                        hamming(&x.2, &y.2, 2)
                    } else {
                        0.0
                    };
                }
            }
            sums[0] / counts[0] - 2.0 * sums[1] / counts[1] + sums[2] / counts[2]
        };
        let given: Vec<bool> = texts.iter().map(|text| text.1).collect();
        let found = equality(&prompts, 2, 20_000, 1).unwrap();
        assert!((found.mmd_squared - direct(&given)).abs() < 1e-12);
        let (mut all, mut as_far) = (0, 0);
        for labels in 0u32..1 << texts.len() {
            let labels: Vec<bool> = (0..texts.len()).map(|at| labels >> at & 1 == 1).collect();
            let sizes = |from: usize, to: usize| labels[from..to].iter().filter(|x| **x).count();
            if sizes(0, 4) == 2 && sizes(4, 7) == 1 {
                all += 1;
                as_far += i32::from(direct(&labels) >= direct(&given) - 1e-12);
            }
        }
        assert_eq!(all, 18);
        let share = f64::from(as_far) / 18.0;
        assert!(
            (found.ln_p.exp() - share).abs() < 0.02,
            "{} {share}",
            found.ln_p.exp()
        );
    }

    /// Models whose prompts differ from each other but not from model to model are rarely told apart;
    /// one that draws other letters is.
    #[test]
    fn equal_laws_are_rarely_told_apart() {
        let mut rng = stream(6, "equality");
        let (mut equal, mut other) = (0, 0);
        for round in 0..150 {
            let mut prompts = |shift: usize| -> Vec<Prompt> {
                (0..4)
                    .map(|at| {
                        let mut text = |shift: usize| -> Vec<u32> {
                            (0..12)
                                .map(|_| (at * 3 + shift + below(&mut rng, 4)) as u32)
                                .collect()
                        };
                        Prompt {
                            first: (0..6).map(|_| text(0)).collect(),
                            second: (0..6).map(|_| text(shift)).collect(),
                        }
                    })
                    .collect()
            };
            let of = |prompts: &[Prompt]| equality(prompts, 12, 99, round).unwrap().ln_p;
            equal += i32::from(of(&prompts(0)) <= 0.05f64.ln());
            other += i32::from(of(&prompts(2)) <= 0.05f64.ln());
        }
        // 5 % of 150 are 7.5, with a standard deviation of 2.7.
        assert!(equal <= 16 && other >= 140, "{equal} {other}");
    }

    #[test]
    fn too_few_texts_have_no_test_and_no_p_is_zero() {
        assert_eq!(equality(&[prompt(&["a"], &["b", "c"])], 3, 9, 0), None);
        assert_eq!(equality(&[prompt(&["a", "b"], &["b", "c"])], 0, 9, 0), None);
        let apart = [prompt(&["aaaa"; 8], &["bbbb"; 8])];
        let found = equality(&apart, 4, 999, 0).unwrap();
        assert!(
            (found.ln_p - (1.0f64 / 1000.0).ln()).abs() < 1.2,
            "{}",
            found.ln_p
        );
    }
}
