//! The most probable tokens, and what their logits sum to.

/// The `count` tokens of highest logit, best first; of equal ones the lower id first.
pub(super) fn top(logits: &[f32], count: usize) -> Vec<u32> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    for (token, &logit) in (0_u32..).zip(logits) {
        if best.len() == count && best.last().is_some_and(|(worst, _)| logit <= *worst) {
            continue;
        }
        let at = best.partition_point(|(other, _)| *other >= logit);
        best.insert(at, (logit, token));
        best.truncate(count);
    }
    best.into_iter().map(|(_, token)| token).collect()
}

pub(super) fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let highest = f64::from(highest);
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - highest).exp())
        .sum();
    highest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::log_sum_exp;
    use super::top;

    #[test]
    fn the_best_tokens_come_first_and_ties_by_id() {
        assert_eq!(top(&[1.0, 3.0, 2.0, 3.0, -1.0], 3), [1, 3, 2]);
        assert_eq!(top(&[0.5, 0.5, 0.5], 2), [0, 1]);
        assert_eq!(top(&[0.0], 8), [0]);
    }

    #[test]
    fn probabilities_sum_to_one_far_from_zero() {
        let total = log_sum_exp(&[1000.0, 1000.0 + std::f32::consts::LN_2]);
        assert!((total - (1000.0 + 3.0_f64.ln())).abs() < 1e-4);
    }
}
