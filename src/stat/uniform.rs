//! Whether numbers look uniform on the unit interval.

use super::tails;

/// Kolmogorov and Smirnov's distance to the uniform distribution and its asymptotic p-value
/// (Stephens' correction for small samples).
pub fn kolmogorov_smirnov(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let distance = sorted
        .iter()
        .enumerate()
        .map(|(i, &x)| ((i as f64 + 1.0) / n - x).max(x - i as f64 / n))
        .fold(0.0, f64::max);
    let scaled = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance;
    // The series alternates and converges slowly only where p is 1 to all digits.
    if scaled < 0.2 {
        return (distance, 1.0);
    }
    let term = |k: i32| (-2.0 * f64::from(k * k) * scaled * scaled).exp();
    let p: f64 = (1..=100)
        .map(|k| if k % 2 == 1 { term(k) } else { -term(k) })
        .sum();
    (distance, (2.0 * p).clamp(0.0, 1.0))
}

/// Smirnov's one-sided distance above the uniform distribution, `max(i/n - x_i)`, with its exact
/// p-value: whether the numbers (p-values, say) are too small.
///
/// P-values of a discrete exact test are larger than uniform; that is no fault, and this test, unlike
/// the two-sided one, does not see it. The tail is that of Birnbaum and Tingey (1951),
/// `d sum_j C(n,j) (d + j/n)^(j-1) (1 - d - j/n)^(n-j)`. No numbers give `(0, 1)`.
pub fn too_small(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let distance = sorted
        .iter()
        .enumerate()
        .map(|(i, &x)| (i as f64 + 1.0) / n - x)
        .fold(0.0, f64::max);
    if distance <= 0.0 {
        return (0.0, 1.0);
    }
    let terms = (0..sorted.len() as u64).filter_map(|j| {
        let share = j as f64 / n;
        let left = 1.0 - distance - share;
        (left > 0.0).then(|| {
            tails::ln_choose(sorted.len() as u64, j)
                + (j as f64 - 1.0) * (distance + share).ln()
                + (n - j as f64) * left.ln()
        })
    });
    let ln_p = distance.ln() + tails::log_sum_exp(terms);
    (distance, ln_p.exp().clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::kolmogorov_smirnov;
    use super::too_small;
    use crate::stat::random;

    #[test]
    fn known_tail() {
        // Kolmogorov's 5 % point is 1.358.
        let n = 1_000_000;
        let shift = 1.358 / f64::from(n).sqrt();
        let values: Vec<f64> = (0..n)
            .map(|i| (f64::from(i) + 0.5) / f64::from(n))
            .collect();
        let moved: Vec<f64> = values.iter().map(|x| x * (1.0 - shift)).collect();
        let (_, p) = kolmogorov_smirnov(&moved);
        assert!((p - 0.05).abs() < 1e-3, "{p}");
    }

    #[test]
    fn accepts_uniform_and_rejects_squares() {
        let mut rng = random::stream(5, "ks");
        let values: Vec<f64> = (0..2000).map(|_| random::unit(&mut rng)).collect();
        assert!(kolmogorov_smirnov(&values).1 > 0.01);
        let squares: Vec<f64> = values.iter().map(|x| x * x).collect();
        assert!(kolmogorov_smirnov(&squares).1 < 1e-6);
    }

    /// One number: the distance is 1 - x and its tail x. Two: by hand, P(D >= 0.9) = 2 d^0 terms.
    #[test]
    fn one_sided_tail_is_exact() {
        for x in [0.01, 0.3, 0.9] {
            let (d, p) = too_small(&[x]);
            assert!(
                (d - (1.0 - x)).abs() < 1e-12 && (p - x).abs() < 1e-12,
                "{x}: {p}"
            );
        }
        assert_eq!(too_small(&[]), (0.0, 1.0));
        assert_eq!(too_small(&[1.0, 1.0]), (0.0, 1.0));
    }

    #[test]
    fn one_sided_test_is_level_under_the_null_and_blind_to_large_p() {
        let mut rng = random::stream(6, "one-sided");
        let trials = 2000;
        let mut called = 0;
        for _ in 0..trials {
            let values: Vec<f64> = (0..12).map(|_| random::unit(&mut rng)).collect();
            called += u32::from(too_small(&values).1 <= 0.05);
        }
        let share = f64::from(called) / f64::from(trials);
        assert!((0.03..0.07).contains(&share), "{share}");
        let large: Vec<f64> = (0..50).map(|_| random::unit(&mut rng).sqrt()).collect();
        assert!(too_small(&large).1 > 0.2);
        let small: Vec<f64> = (0..50).map(|_| random::unit(&mut rng).powi(3)).collect();
        assert!(too_small(&small).1 < 1e-4);
    }
}
