//! Chance-adjusted agreement on options: CAPA (Goel et al., ICML 2025, arXiv 2502.04313).
//!
//! Two models answer the same questions of `K` options each. Observed agreement is the mean over
//! questions of `sum over options of p1 p2`, which for single answers is the share of same answers. Chance
//! agreement is that of models which are as often right and spread the rest evenly:
//! `r1 r2 + mean(1 / (K - 1)) (1 - r1)(1 - r2)` with `r` the mean probability of the right option. CAPA is
//! `(observed - chance) / (1 - chance)`.

/// Means over questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Means {
    /// Agreement.
    pub observed: f64,
    /// Mean probability of the right option, of the first model.
    pub first: f64,
    /// Of the second.
    pub second: f64,
    /// Mean of `1 / (K - 1)`; 0 for answers out of no list.
    pub spread: f64,
}

impl Means {
    /// CAPA; `None` where chance alone agrees everywhere.
    pub fn capa(&self) -> Option<f64> {
        let chance =
            self.first * self.second + self.spread * (1.0 - self.first) * (1.0 - self.second);
        let value = (self.observed - chance) / (1.0 - chance);
        value.is_finite().then_some(value)
    }
}

/// `sum p1 p2` over the options of one question.
pub fn agreement(first: &[f64], second: &[f64]) -> f64 {
    first.iter().zip(second).map(|(p, q)| p * q).sum()
}

/// `1 / (K - 1)`: how often two wrong answers out of `K` options are the same if evenly spread.
pub fn spread(options: usize) -> f64 {
    1.0 / options.saturating_sub(1).max(1) as f64
}
