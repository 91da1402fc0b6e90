//! Which learned position a patch has: positions were learned on a square grid, and an image of any other
//! shape is laid over it (NaViT: Dehghani et al., 2023).
//!
//! A patch at a fraction of the way takes the position of the cell that the fraction falls into. Fractions
//! and the bounds of cells are formed in f32, and where they should be equal it is their rounding that
//! decides; so both are formed here as PyTorch's `arange` forms them on a CPU.

/// Numbers that PyTorch's `arange` makes at a time: two vectors of eight.
const BLOCK: usize = 16;
const LANES: usize = 8;

/// What is taken from the end of the way, so that it is not a fraction itself.
const SHORT_OF_ONE: f64 = 1.0 - 1e-6;

/// Of `count` patches in a line, the cell of each among `side` cells.
pub(super) fn cells(count: usize, side: usize) -> Vec<usize> {
    let bounds = arange(1.0 / side as f64, 1.0, 1.0 / side as f64);
    // The number of patches is a tensor there, so that its inverse is one of f32.
    let step = f64::from(1.0 / count as f32);
    let fractions = arange(0.0, SHORT_OF_ONE, step);
    let cell = |fraction: &f32| bounds.partition_point(|bound| bound <= fraction);
    fractions.iter().map(cell).collect()
}

/// `torch.arange(start, end, step)` in f32: whole blocks from a beginning that was rounded to f32, the
/// rest from the start.
fn arange(start: f64, end: f64, step: f64) -> Vec<f32> {
    let count = ((end - start) / step).ceil() as usize;
    let in_blocks = count / BLOCK * BLOCK;
    let value = |at: usize| {
        if at >= in_blocks {
            return (start + step * at as f64) as f32;
        }
        let lane = at % LANES;
        let base = (start + step * (at - lane) as f64) as f32;
        (f64::from(base) + step * lane as f64) as f32
    };
    (0..count).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patches in a line, and those whose cell is not the whole part of their fraction times the side.
    type Case = (usize, Vec<(usize, usize)>);

    #[test]
    fn cells_are_those_of_the_reference() {
        let cases = include_str!("../../../tests/fixtures/vision/positions.json");
        let cases: Vec<Case> = serde_json::from_str(cases).expect("JSON");
        assert_eq!(cases.len(), 1100);
        let mut odd = 0;
        for (count, exceptions) in cases {
            let mut expected: Vec<usize> = (0..count).map(|at| at * 70 / count).collect();
            for (at, cell) in exceptions {
                expected[at] = cell;
                odd += 1;
            }
            assert_eq!(cells(count, 70), expected, "{count}");
        }
        assert!(odd > 100, "{odd}");
    }
}
