//! Whether numbers look uniform on the unit interval.

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

#[cfg(test)]
mod tests {
    use super::kolmogorov_smirnov;
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
}
