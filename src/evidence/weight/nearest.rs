//! Nearest neighbours whose ties no rule about indices may break.

use rand_chacha::ChaCha8Rng;

use crate::stat::random;

/// Similarities are compared on this grid, coarser than the rounding of a matrix product, so that
/// equal rows tie wherever they stand.
const TIE_GRID: f32 = (1 << 18) as f32;

/// The largest value so far and where it stood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Top {
    pub value: f32,
    pub unit: usize,
    /// Units tied at this value.
    ties: usize,
}

impl Default for Top {
    fn default() -> Self {
        Self {
            value: f32::NEG_INFINITY,
            unit: 0,
            ties: 0,
        }
    }
}

impl Top {
    /// Of units tied at the top each is kept with equal probability.
    pub fn see(&mut self, value: f32, unit: usize, rng: &mut ChaCha8Rng) {
        let value = (value * TIE_GRID).round() / TIE_GRID;
        if value > self.value {
            *self = Self {
                value,
                unit,
                ties: 1,
            };
        } else if value == self.value {
            self.ties += 1;
            if random::below(rng, self.ties) == 0 {
                self.unit = unit;
            }
        }
    }
}

/// Place of the largest number of each row of `[rows, columns]`.
pub(super) fn nearest(similarities: &[f32], columns: usize, rng: &mut ChaCha8Rng) -> Vec<Top> {
    let row = |row: &[f32]| {
        let mut top = Top::default();
        for (unit, value) in row.iter().enumerate() {
            top.see(*value, unit, rng);
        }
        top
    };
    similarities.chunks_exact(columns.max(1)).map(row).collect()
}
