//! Does a suspect agree with its alleged parent more than with models that are not its parent?

use super::multiple::holm;
use super::tails::{binomial_ln_tail, log10, normal_ln_tail};

/// What the p-values are the probability of.
pub const NULL: &str = "a surplus as large of prompts on which the suspect agrees with the candidate and not with the \
                        control, if it is as likely to agree with either";

/// The candidate against one control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    /// Number of the control, as given.
    pub control: usize,
    /// Prompts on which the suspect agrees with the candidate only.
    pub candidate_only: u64,
    /// Prompts on which the suspect agrees with the control only.
    pub control_only: u64,
    /// `ln` of the exact one-sided tail of `candidate_only` among both: McNemar's test of the same
    /// prompts.
    pub ln_p: f64,
    /// Base-10 logarithm of that tail after Holm's correction for the number of controls.
    pub holm_log10_p: f64,
    /// `ln` of the one-sided normal tail of two shares from different prompts, as the test was published:
    /// its variance is not that of the same prompts asked twice. `None` where both shares are 0 or 1.
    pub published_ln_p: Option<f64>,
}

/// A candidate parent against all controls.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// Prompts.
    pub prompts: usize,
    /// Share of them on which suspect and candidate agree.
    pub agreement: f64,
    /// In the order given.
    pub against: Vec<Against>,
    /// `ln` of the p-value that the candidate is ahead of every control: the largest of the tails, with
    /// no correction (Berger, Technometrics 24, 1982). 0 without controls.
    pub ln_p: f64,
}

/// The provenance test of Nikolić, Baluta and Saxena (NeurIPS 2025), one-sided and paired.
///
/// `candidate` and each of `controls` say prompt by prompt whether the suspect's next token is theirs.
/// Being ahead of models that are no closer than any stranger is not being derived: the controls must
/// be as near to the suspect as a model can be that is not its parent.
///
/// `None` when lengths differ or there is no prompt.
pub fn provenance(candidate: &[bool], controls: &[Vec<bool>]) -> Option<Provenance> {
    if candidate.is_empty()
        || controls
            .iter()
            .any(|control| control.len() != candidate.len())
    {
        return None;
    }
    let mut against: Vec<Against> = controls
        .iter()
        .enumerate()
        .map(|(at, control)| compare(candidate, control, at))
        .collect();
    let tails: Vec<f64> = against.iter().map(|one| log10(one.ln_p)).collect();
    for (one, adjusted) in against.iter_mut().zip(holm(&tails)) {
        one.holm_log10_p = adjusted;
    }
    let agreeing = candidate.iter().filter(|agrees| **agrees).count();
    let worst = against.iter().map(|one| one.ln_p).reduce(f64::max);
    Some(Provenance {
        prompts: candidate.len(),
        agreement: agreeing as f64 / candidate.len() as f64,
        against,
        ln_p: worst.unwrap_or(0.0),
    })
}

fn compare(candidate: &[bool], control: &[bool], at: usize) -> Against {
    let count = |first: bool, second: bool| {
        let pairs = candidate.iter().zip(control);
        pairs.filter(|(a, b)| **a == first && **b == second).count() as u64
    };
    let (candidate_only, control_only) = (count(true, false), count(false, true));
    let n = candidate.len() as f64;
    let shares =
        [candidate, control].map(|agrees| agrees.iter().filter(|x| **x).count() as f64 / n);
    let pooled = (shares[0] + shares[1]) / 2.0;
    let spread = (2.0 * pooled * (1.0 - pooled) / n).sqrt();
    Against {
        control: at,
        candidate_only,
        control_only,
        ln_p: binomial_ln_tail(candidate_only, candidate_only + control_only, 0.5),
        holm_log10_p: 0.0,
        published_ln_p: (spread > 0.0).then(|| normal_ln_tail((shares[0] - shares[1]) / spread)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random::{stream, unit};

    fn bits(text: &str) -> Vec<bool> {
        text.chars().map(|c| c == '1').collect()
    }

    /// Seven prompts, two controls, every flip of the prompts that tell them apart.
    #[test]
    fn a_small_case_is_listed() {
        let candidate = bits("1111100");
        let controls = [bits("1100010"), bits("0001100")];
        let found = provenance(&candidate, &controls).unwrap();
        for (one, control) in found.against.iter().zip(&controls) {
            let apart: Vec<bool> = candidate
                .iter()
                .zip(control)
                .filter(|(a, b)| a != b)
                .map(|(a, _)| *a)
                .collect();
            let ahead = apart.iter().filter(|x| **x).count() as u32;
            let flips = 0u32..1 << apart.len();
            let as_far = flips.filter(|flip| flip.count_ones() >= ahead).count();
            let truth = as_far as f64 / f64::from(1u32 << apart.len());
            assert!((one.ln_p.exp() - truth).abs() < 1e-12);
        }
        // 3 of 4 is 5/16, 3 of 3 is 1/8.
        assert!((found.ln_p.exp() - 5.0 / 16.0).abs() < 1e-12);
        assert!((10f64.powf(found.against[1].holm_log10_p) - 0.25).abs() < 1e-12);
        assert!((10f64.powf(found.against[0].holm_log10_p) - 5.0 / 16.0).abs() < 1e-12);
        assert!((found.agreement - 5.0 / 7.0).abs() < 1e-12);
        assert_eq!(provenance(&candidate, &[bits("11")]), None);
        assert_eq!(provenance(&[], &[]), None);
        assert_eq!(provenance(&candidate, &[]).unwrap().ln_p, 0.0);
    }

    /// 33 % against 30 % of 5,000 prompts, as published: z 3.2.
    #[test]
    fn the_published_tail_is_that_of_unpaired_shares() {
        let share = |percent: usize, shift: usize| -> Vec<bool> {
            (0..5000).map(|at| (at + shift) % 100 < percent).collect()
        };
        let found = provenance(&share(33, 0), &[share(30, 40)]).unwrap();
        let z = 0.03 / (2.0 * 0.315 * 0.685 / 5000.0f64).sqrt();
        assert!((z - 3.23).abs() < 0.01);
        assert!((found.against[0].published_ln_p.unwrap() - normal_ln_tail(z)).abs() < 1e-12);
        let same = provenance(&[true; 9], &[vec![true; 9]]).unwrap();
        assert_eq!((same.ln_p, same.against[0].published_ln_p), (0.0, None));
    }

    /// A candidate that is one of equals is rarely ahead of all of them; a parent is.
    #[test]
    fn equals_are_rarely_ahead() {
        let mut rng = stream(8, "provenance");
        let mut model = |agreement: f64| -> Vec<bool> {
            (0..400).map(|_| unit(&mut rng) < agreement).collect()
        };
        let (mut ahead, mut seen) = (0, 0);
        for _ in 0..300 {
            let controls: Vec<Vec<bool>> = (0..3).map(|_| model(0.4)).collect();
            let level = 0.05f64.ln();
            ahead += i32::from(provenance(&model(0.4), &controls).unwrap().ln_p <= level);
            seen += i32::from(provenance(&model(0.6), &controls).unwrap().ln_p <= level);
        }
        assert!(ahead <= 15 && seen >= 290, "{ahead} {seen}");
    }
}
