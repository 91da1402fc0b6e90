//! Seeded draws. One stream per purpose, so that adding a draw in one place moves none elsewhere.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::tails;

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

/// A binomial number: successes of `n` trials of probability `p` (outside `[0, 1]` the nearer end).
///
/// Inverts the distribution function outward from the mode, so that the work grows with the standard
/// deviation only.
pub fn binomial(rng: &mut impl Rng, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    let odds = p / (1.0 - p);
    let mode = (((n + 1) as f64 * p) as u64).min(n);
    let at_mode =
        (tails::ln_choose(n, mode) + mode as f64 * p.ln() + (n - mode) as f64 * (-p).ln_1p()).exp();
    let mut left = unit(rng) - at_mode;
    let (mut below, mut above) = ((mode, at_mode), (mode, at_mode));
    while left >= 0.0 {
        let ends = (below.0 == 0, above.0 == n);
        if !ends.1 {
            above.1 *= (n - above.0) as f64 / (above.0 + 1) as f64 * odds;
            above.0 += 1;
            left -= above.1;
            if left < 0.0 {
                return above.0;
            }
        }
        if !ends.0 {
            below.1 *= below.0 as f64 / ((n - below.0 + 1) as f64 * odds);
            below.0 -= 1;
            left -= below.1;
            if left < 0.0 {
                return below.0;
            }
        }
        // Rounding left a remainder that belongs nowhere.
        if ends == (true, true) {
            break;
        }
    }
    mode
}

/// How `total` draws with replacement fall on kinds of these frequencies.
pub fn multinomial(rng: &mut impl Rng, total: u64, frequencies: &[u64], drawn: &mut Vec<u64>) {
    drawn.clear();
    let mut left = total;
    let mut weight: u64 = frequencies.iter().sum();
    for &frequency in frequencies {
        let share = if weight == 0 {
            0.0
        } else {
            frequency as f64 / weight as f64
        };
        let count = binomial(rng, left, share);
        drawn.push(count);
        left -= count;
        weight -= frequency;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binomials_have_the_law() {
        let mut rng = stream(3, "binomial");
        let draws = 60_000;
        for (n, p) in [(7_u64, 0.3), (7, 0.9), (1000, 0.004), (20_000, 0.5)] {
            let values: Vec<u64> = (0..draws).map(|_| binomial(&mut rng, n, p)).collect();
            let mean = values.iter().sum::<u64>() as f64 / draws as f64;
            let squares = values.iter().map(|&x| (x as f64 - mean).powi(2));
            let (wanted, variance) = (n as f64 * p, n as f64 * p * (1.0 - p));
            assert!(
                (mean - wanted).abs() < 5.0 * (variance / draws as f64).sqrt(),
                "{n} {p}"
            );
            assert!((squares.sum::<f64>() / draws as f64 / variance - 1.0).abs() < 0.04);
        }
        // Every value of a small one.
        let mut counts = [0_u32; 8];
        for _ in 0..draws {
            counts[binomial(&mut rng, 7, 0.4) as usize] += 1;
        }
        for (k, &count) in counts.iter().enumerate() {
            let k = k as u64;
            let law =
                tails::ln_choose(7, k).exp() * 0.4_f64.powi(k as i32) * 0.6_f64.powi(7 - k as i32);
            let expected = law * draws as f64;
            assert!(
                (f64::from(count) - expected).abs() < 5.0 * expected.sqrt(),
                "{k}"
            );
        }
        assert_eq!(binomial(&mut rng, 5, 0.0), 0);
        assert_eq!(binomial(&mut rng, 5, 1.0), 5);
    }

    #[test]
    fn multinomials_add_up_and_leave_out_what_is_not_there() {
        let mut rng = stream(3, "multinomial");
        let mut drawn = Vec::new();
        let mut sums = [0_u64; 3];
        for _ in 0..2000 {
            multinomial(&mut rng, 100, &[50, 0, 150], &mut drawn);
            assert_eq!(drawn.iter().sum::<u64>(), 100);
            sums.iter_mut().zip(&drawn).for_each(|(sum, x)| *sum += x);
        }
        assert_eq!(sums[1], 0);
        assert!((sums[0] as f64 / 2e5 - 0.25).abs() < 0.005);
    }

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
