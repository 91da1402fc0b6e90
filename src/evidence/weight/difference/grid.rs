//! Whether a model's numbers stand on a grid, as integer formats leave them.

use crate::evidence::Error;
use crate::model::{Role, Weights};

/// Numbers that share a scale in common formats.
const BLOCK: usize = 32;

/// Rows per matrix that are looked at.
const ROWS: usize = 16;

/// Bits that are tried.
const BITS: std::ops::RangeInclusive<u32> = 2..=8;

/// Bits that are tried where a whole row shares a scale, as in formats with one per output channel. With
/// fewer, one outlier in a long row leaves all other numbers near the step at zero, and any row would
/// seem to stand on a grid.
const ROW_BITS: u32 = 8;

/// How well the numbers fit a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// Bits of the symmetric grid that fits best.
    pub bits: f64,
    /// Mean distance from it in steps: 0.25 for numbers that know no grid, near 0 on one.
    pub error: f64,
    /// Mean number of distinct values among 32 neighbours.
    pub distinct: f64,
    /// Share of zeros.
    pub zeros: f64,
}

impl Grid {
    /// Of matrices of blocks, a few rows of each.
    pub fn of(weights: &Weights, matrices: impl Iterator<Item = Role>) -> Result<Self, Error> {
        let mut errors = [0.0f64; 9];
        let (mut blocks, mut distinct) = (0.0f64, 0.0f64);
        let (mut rows_seen, mut row_error) = (0.0f64, 0.0f64);
        let (mut numbers, mut zeros) = (0, 0);
        for role in matrices.filter(|role| role.layer.is_some()) {
            let Some((rows, columns)) = weights.shape(&role).filter(|(_, n)| *n >= BLOCK) else {
                continue;
            };
            let values = weights.rows(&role, 0..rows.min(ROWS))?;
            numbers += values.len();
            zeros += values.iter().filter(|value| **value == 0.0).count();
            for row in values.chunks_exact(columns) {
                if let Some(largest) = largest(row) {
                    rows_seen += 1.0;
                    row_error += distance(row, largest, ROW_BITS);
                }
                for block in row.chunks_exact(BLOCK) {
                    let Some(largest) = largest(block) else {
                        continue;
                    };
                    blocks += 1.0;
                    distinct += count(block);
                    for bits in BITS {
                        errors[bits as usize] += distance(block, largest, bits);
                    }
                }
            }
        }
        let mut best = Self {
            bits: 0.0,
            error: 0.25,
            distinct: distinct / blocks.max(1.0),
            zeros: zeros as f64 / f64::max(numbers as f64, 1.0),
        };
        let of_blocks = BITS.map(|bits| (bits, errors[bits as usize], blocks));
        for (bits, sum, count) in of_blocks.chain([(ROW_BITS, row_error, rows_seen)]) {
            let error = sum / count.max(1.0);
            if count > 0.0 && error < best.error {
                best.bits = f64::from(bits);
                best.error = error;
            }
        }
        Ok(best)
    }
}

/// The largest size; `None` where all are zero or one is no number.
fn largest(values: &[f32]) -> Option<f32> {
    let largest = values.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    (largest > 0.0 && largest.is_finite()).then_some(largest)
}

/// Mean distance of the numbers that are not zero from the nearest step, in steps.
fn distance(block: &[f32], largest: f32, bits: u32) -> f64 {
    let levels = f64::from((1u32 << (bits - 1)) - 1);
    let step = f64::from(largest) / levels;
    let off = |x: &f32| {
        let at = f64::from(*x) / step;
        (at - at.round()).abs()
    };
    // A zero stands on every grid: of a pruned block the others are asked.
    let kept = || block.iter().filter(|x| **x != 0.0);
    kept().map(off).sum::<f64>() / kept().count().max(1) as f64
}

fn count(block: &[f32]) -> f64 {
    let mut bits: Vec<u32> = block.iter().map(|x| x.to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    bits.len() as f64
}
