//! Small weights set to zero.

use crate::model::Part;

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Magnitude pruning, matrix by matrix.
pub(super) static PRUNE: Laundering = Laundering {
    name: "prune",
    does: "sets the smallest numbers of every attention and MLP matrix to zero",
    strength: Strength::Number {
        meaning: "share of each matrix",
        default: None,
        range: (0.0, 1.0),
        whole: false,
    },
    kind: Kind::Lossy,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let share = work.number();
    draft.alter(move |role, weight| {
        let pruned = matches!(
            role.part,
            Part::Query
                | Part::Key
                | Part::Value
                | Part::Output
                | Part::Gate
                | Part::Up
                | Part::Down
        );
        if pruned && !role.is_vector() {
            let count = (share * weight.values.len() as f64).round() as usize;
            for index in smallest(&weight.values, count) {
                weight.values[index] = 0.0;
            }
        }
        Ok(())
    });
    Ok(())
}

/// Indices of the `count` numbers of smallest magnitude; of equal ones the first.
pub(super) fn smallest(values: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    if count < order.len() {
        order.select_nth_unstable_by(count, |&a, &b| {
            let size = |index: usize| values[index].abs();
            size(a).total_cmp(&size(b)).then(a.cmp(&b))
        });
        order.truncate(count);
    }
    order
}
