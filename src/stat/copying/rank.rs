//! Where a pair stands among pairs that have nothing in common.

/// `ln` of the panel rank p-value: `(1 + those at least as large) / (1 + those)`. Exact when the pair is
/// exchangeable with the others, and never below `1 / (1 + number of others)`.
pub fn rank_ln_p(observed: f64, others: &[f64]) -> f64 {
    let as_large = others.iter().filter(|other| **other >= observed).count();
    ((1 + as_large) as f64 / (1 + others.len()) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::rank_ln_p;

    #[test]
    fn ranks_count_ties_against_the_pair() {
        let others = [0.1, 0.4, 0.4, 0.9];
        for (observed, p) in [(1.0, 0.2f64), (0.9, 0.4), (0.4, 0.8), (0.0, 1.0)] {
            assert!((rank_ln_p(observed, &others) - p.ln()).abs() < 1e-12);
        }
        assert_eq!(rank_ln_p(3.0, &[]), 0.0);
    }
}
