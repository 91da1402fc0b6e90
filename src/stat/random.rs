//! Seeded draws. One stream per purpose, so that adding a draw in one place moves none elsewhere.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator for `purpose` under `seed`.
pub fn stream(seed: u64, purpose: &str) -> ChaCha8Rng {
    // FNV-1a: spreads names over seeds; no secrecy is asked of it.
    let tag = purpose
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    ChaCha8Rng::seed_from_u64(seed ^ tag)
}

/// A uniform index below `n`; 0 when `n` is 0.
pub fn below(rng: &mut impl Rng, n: usize) -> usize {
    // The high half of a 128-bit product: its bias is below n / 2^64.
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// A uniform number in `[0, 1)`.
pub fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A standard normal number (Box and Muller).
pub fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(rng)).cos()
}

/// `m` different indices below `n`, every subset equally likely, in increasing order; all of them
/// when `m >= n`.
pub fn subset(rng: &mut impl Rng, n: usize, m: usize) -> Vec<usize> {
    let mut chosen = subset_in_any_order(rng, n, m);
    chosen.sort_unstable();
    chosen
}

/// `m` different indices below `n`, every sequence equally likely; a random order of all when
/// `m >= n`.
pub fn subset_in_any_order(rng: &mut impl Rng, n: usize, m: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let m = m.min(n);
    for i in 0..m {
        let j = i + below(rng, n - i);
        order.swap(i, j);
    }
    order.truncate(m);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_purpose_and_repeat_by_seed() {
        let draw = |seed, purpose| stream(seed, purpose).next_u64();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn subsets_are_uniform() {
        let mut rng = stream(7, "subset");
        let mut counts = std::collections::BTreeMap::new();
        let draws = 20_000;
        for _ in 0..draws {
            *counts.entry(subset(&mut rng, 5, 2)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 10);
        for (chosen, count) in counts {
            let expected = f64::from(draws) / 10.0;
            assert!(
                (f64::from(count) - expected).abs() < 5.0 * expected.sqrt(),
                "{chosen:?}"
            );
        }
        assert_eq!(subset(&mut rng, 3, 9), vec![0, 1, 2]);
    }

    #[test]
    fn orders_are_uniform() {
        let mut rng = stream(8, "orders");
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..12_000 {
            *counts
                .entry(subset_in_any_order(&mut rng, 3, 3))
                .or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (count - 2000).abs() < 220));
    }

    #[test]
    fn normals_have_the_moments() {
        let mut rng = stream(7, "normal");
        let draws: Vec<f64> = (0..40_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / 4e4;
        let square = draws.iter().map(|x| x * x).sum::<f64>() / 4e4;
        let fourth = draws.iter().map(|x| x.powi(4)).sum::<f64>() / 4e4;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.04 && (fourth - 3.0).abs() < 0.3);
    }
}
