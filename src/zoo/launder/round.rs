//! Rounding to few levels, as integer formats do.

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Numbers that share a scale.
const BLOCK: usize = 32;

/// Matrices rounded to integers of a few bits with a scale per block.
pub(super) static ROUND: Laundering = Laundering {
    name: "round",
    does: "rounds matrices to integers of this many bits, each 32 numbers of a row scaled by their \
           largest, and back",
    strength: Strength::Number {
        meaning: "bits",
        default: Some(8.0),
        range: (2.0, 8.0),
        whole: true,
    },
    kind: Kind::Lossy,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let levels = 2f64.powi(work.number() as i32 - 1) - 1.0;
    draft.computes();
    draft.alter(move |role, weight| {
        if role.is_vector() {
            return Ok(());
        }
        let width = weight.columns().max(1);
        for row in weight.values.chunks_mut(width) {
            for block in row.chunks_mut(BLOCK) {
                let largest = block.iter().fold(0.0f32, |max, value| max.max(value.abs()));
                let step = f64::from(largest) / levels;
                if step > 0.0 {
                    for value in block {
                        *value = ((f64::from(*value) / step).round() * step) as f32;
                    }
                }
            }
        }
        Ok(())
    });
    Ok(())
}
