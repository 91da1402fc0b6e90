//! Seeded choices.

use rand_chacha::ChaCha8Rng;

use crate::stat::random;

/// The draws of one item.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self(random::stream(seed, purpose))
    }

    /// Uniform below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        random::below(&mut self.0, n)
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high + 1 - low)
    }

    /// True once in `n` draws.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// `count` of them in random order; all when there are fewer.
    pub fn some<T: Copy>(&mut self, things: &[T], count: usize) -> Vec<T> {
        random::subset_in_any_order(&mut self.0, things.len(), count)
            .into_iter()
            .map(|at| things[at])
            .collect()
    }

    /// Different numbers in `low..=high`, of which there must be as many.
    pub fn numbers(&mut self, low: usize, high: usize, count: usize) -> Vec<usize> {
        random::subset_in_any_order(&mut self.0, high + 1 - low, count)
            .into_iter()
            .map(|at| low + at)
            .collect()
    }
}
