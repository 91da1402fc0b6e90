//! Whether the panel's own pairs are as alike as the panel's law says, and what to take off if not.

use super::count::Tail;
use super::law::{PairLaw, PanelLaw};

/// What pairs of independent models show against a law that left both of them out: the law's errors
/// (models that are good at the same things, answers that tempt some kinds of models) move and widen
/// their `z`, and those of any other pair likewise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Pairs.
    pub pairs: usize,
    /// Mean of their `z`: 0 if the law is right.
    pub mean: f64,
    /// Standard deviation of their `z`: about 1 if the law is right.
    pub sd: f64,
}

/// A count beside its law under independence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tested {
    /// Items that could count.
    pub items: usize,
    /// Items that do.
    pub observed: usize,
    /// Mean under the law.
    pub expected: f64,
    /// Standard deviations above the mean; `None` where the count cannot vary.
    pub z: Option<f64>,
    /// `ln P(count >= observed)` under the law.
    pub ln_p: f64,
    /// The same after what panel pairs show is taken off; never below `ln_p`. `None` without panel pairs.
    pub calibrated_ln_p: Option<f64>,
}

impl Calibration {
    /// From `z` of pairs of panel members; `None` for fewer than two.
    pub fn of(z: impl IntoIterator<Item = f64>) -> Option<Self> {
        let z: Vec<f64> = z.into_iter().filter(|z| z.is_finite()).collect();
        let n = z.len() as f64;
        if z.len() < 2 {
            return None;
        }
        let mean = z.iter().sum::<f64>() / n;
        let squares = z.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>();
        Some(Self {
            pairs: z.len(),
            mean,
            sd: (squares / (n - 1.0)).sqrt(),
        })
    }

    /// Every pair of panel members but those `without`, each against the law that left both out, through
    /// `z`.
    pub fn leave_one_out(
        law: &PanelLaw<'_>,
        without: &[usize],
        z: impl Fn(&PairLaw) -> Option<f64>,
    ) -> Option<Self> {
        let pairs = Self::pairs(law, without).into_iter();
        Self::of(pairs.filter_map(|(first, second)| z(&law.pair(first, second))))
    }

    /// Every pair of panel members but those `without`.
    pub fn pairs(law: &PanelLaw<'_>, without: &[usize]) -> Vec<(usize, usize)> {
        let members = law.members().iter().copied();
        let members: Vec<usize> = members.filter(|member| !without.contains(member)).collect();
        let pairs = members.iter().enumerate().flat_map(|(at, first)| {
            members[at + 1..]
                .iter()
                .map(move |second| (*first, *second))
        });
        pairs.collect()
    }

    /// The count that is left when the panel's excess over the law is taken off and the rest divided by
    /// the panel's excess spread. A panel that is less alike than the law says earns nothing.
    pub fn reduced(&self, count: &impl Tail, observed: usize) -> usize {
        let (mean, sd) = (count.mean(), count.variance().sqrt());
        let excess = observed as f64 - mean - self.mean.max(0.0) * sd;
        let left = mean + excess / self.sd.max(1.0);
        // A rounding error is not to cost a whole count.
        let left = (left + 1e-9).floor().max(0.0) as usize;
        left.min(observed)
    }
}

impl Tested {
    /// `observed` beside its law.
    pub fn new(count: &impl Tail, observed: usize, calibration: Option<&Calibration>) -> Self {
        let ln_p = count.ln_tail(observed);
        let calibrated = calibration.map(|calibration| {
            let left = calibration.reduced(count, observed);
            if left == observed {
                ln_p
            } else {
                count.ln_tail(left)
            }
        });
        Self {
            items: count.len(),
            observed,
            expected: count.mean(),
            z: count.z(observed as f64),
            ln_p,
            calibrated_ln_p: calibrated,
        }
    }
}
