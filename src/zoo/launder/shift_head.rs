//! A constant added to all logits of a position.

use crate::model::Part;

use super::draft::Draft;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// The same vector added to every row of the head.
pub(super) static SHIFT_HEAD: Laundering = Laundering {
    name: "shift-head",
    does: "adds one random vector to all rows of the head, which softmax does not see; unties it",
    strength: Strength::Number {
        meaning: "size of the vector beside a row of the head",
        default: Some(1.0),
        range: (1e-3, 100.0),
        whole: false,
    },
    kind: Kind::Exact,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    if draft.spec.normalised_head {
        return Err("a head of rows of norm one cannot be shifted".into());
    }
    draft.untie()?;
    draft.computes();
    let work = *work;
    draft.alter(move |role, weight| {
        if role.part != Part::Unembed {
            return Ok(());
        }
        let square = |value: &f32| f64::from(*value).powi(2);
        let mean = weight.values.iter().map(square).sum::<f64>() / weight.values.len() as f64;
        let scale = work.number() * mean.sqrt();
        let mut dice = work.dice("shift");
        let columns = weight.columns();
        let shift: Vec<f64> = (0..columns).map(|_| scale * dice.normal()).collect();
        for row in weight.values.chunks_exact_mut(columns.max(1)) {
            for (value, step) in row.iter_mut().zip(&shift) {
                *value = (f64::from(*value) + step) as f32;
            }
        }
        Ok(())
    });
    Ok(())
}
