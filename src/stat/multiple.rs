//! Several tests at once.

/// Adjusted base-10 logarithms of p-values: a test rejected where its adjusted value is at most the
/// level keeps the chance of any false rejection at the level, whatever the tests have to do with each
/// other (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
/// Statistics 6, 1979).
pub fn holm(log10_p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..log10_p.len()).collect();
    order.sort_by(|a, b| log10_p[*a].total_cmp(&log10_p[*b]).then(a.cmp(b)));
    let mut adjusted = vec![0.0; log10_p.len()];
    let mut largest = f64::NEG_INFINITY;
    for (rank, at) in order.into_iter().enumerate() {
        let remaining = (log10_p.len() - rank) as f64;
        largest = (log10_p[at] + remaining.log10()).max(largest);
        adjusted[at] = largest.min(0.0);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::holm;
    use crate::stat::random;

    #[test]
    fn a_small_case_by_hand() {
        // 0.01, 0.04, 0.03 -> 0.03, 0.06, 0.06.
        let adjusted = holm(&[0.01f64.log10(), 0.04f64.log10(), 0.03f64.log10()]);
        for (found, truth) in adjusted.iter().zip([0.03, 0.06, 0.06]) {
            assert!((10f64.powf(*found) - truth).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[0.0, -0.1]), vec![0.0, 0.0]);
    }

    #[test]
    fn any_false_rejection_is_as_rare_as_the_level() {
        let mut rng = random::stream(3, "holm");
        let trials = 4000;
        let mut rejected = 0;
        for _ in 0..trials {
            let p: Vec<f64> = (0..5).map(|_| random::unit(&mut rng).log10()).collect();
            rejected += i32::from(holm(&p).iter().any(|p| *p <= 0.05f64.log10()));
        }
        // 1 - 0.99^5 = 0.049 of 4000 is 196; four standard deviations are 55.
        assert!((141..=251).contains(&rejected), "{rejected}");
    }
}
