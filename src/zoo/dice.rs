//! Seeded randomness whose draws depend on nothing but the seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A ChaCha8 stream with the few draws the zoo needs.
///
/// The conversions from bits to numbers are written out here, so that a recipe means the same
/// corpus and the same initial weights whatever version of a random-number crate is in the lockfile.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Dice {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            spare: None,
        }
    }

    /// An independent stream for the part of `seed` that is called `name`.
    pub(crate) fn named(seed: u64, name: &str) -> Self {
        Self::new(seed ^ fnv1a(name.as_bytes()))
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias of the multiplication is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.rng.next_u64()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True once in `n` draws.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One item, uniformly.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One word, uniformly.
    pub(crate) fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// Two different items; there must be two.
    pub(crate) fn pair<'a, T>(&mut self, items: &'a [T]) -> (&'a T, &'a T) {
        let first = self.below(items.len());
        let second = (first + 1 + self.below(items.len() - 1)) % items.len();
        (&items[first], &items[second])
    }

    /// `n` different items in random order; all of them if there are fewer.
    pub(crate) fn some<T: Clone>(&mut self, items: &[T], n: usize) -> Vec<T> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        self.shuffle(&mut order);
        order
            .into_iter()
            .take(n)
            .map(|i| items[i].clone())
            .collect()
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// An index drawn in proportion to `weights`; 0 when all are 0.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: usize = weights.iter().map(|&w| w as usize).sum();
        let mut left = self.below(total);
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight as usize {
                return index;
            }
            left -= weight as usize;
        }
        0
    }

    /// Standard normal (Box and Muller 1958; `libm`, so that platforms agree).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let radius = libm::sqrt(-2.0 * libm::log(unit(self.rng.next_u64())));
        let angle = std::f64::consts::TAU * unit(self.rng.next_u64());
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{Dice, fnv1a};

    #[test]
    fn streams_repeat_and_differ_by_name() {
        let draw = |mut dice: Dice| (0..32).map(|_| dice.below(1000)).collect::<Vec<_>>();
        assert_eq!(draw(Dice::new(7)), draw(Dice::new(7)));
        assert_ne!(draw(Dice::new(7)), draw(Dice::new(8)));
        assert_ne!(draw(Dice::named(7, "a")), draw(Dice::named(7, "b")));
    }

    #[test]
    fn normal_has_unit_moments() {
        let mut dice = Dice::new(3);
        let draws: Vec<f64> = (0..40_000).map(|_| dice.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let mut dice = Dice::new(1);
        let mut seen = [0; 3];
        for _ in 0..4000 {
            seen[dice.weighted(&[1, 0, 3])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!((900..1100).contains(&seen[0]), "{seen:?}");
    }

    #[test]
    fn fnv_is_the_published_function() {
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
