//! The inner coordinates of values.

use crate::model::Param;
use crate::model::Part;

use super::draft::Draft;
use super::square::Square;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Values through any invertible matrix, and back in the output projection.
pub(super) static RESCALE_VALUE_OUTPUT: Laundering = Laundering {
    name: "rescale-value-output",
    does: "puts a random invertible matrix behind each value head and its inverse before the output",
    strength: Strength::Number {
        meaning: "singular values lie between 1/x and x",
        default: Some(2.0),
        range: (1.0, 100.0),
        whole: false,
    },
    kind: Kind::Exact,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let spec = &draft.spec;
    let (groups, head_dim) = (spec.num_key_value_heads, spec.value_head_dim());
    let share = spec.num_attention_heads / groups;
    let work = *work;
    draft.computes();
    draft.alter(move |role, weight| {
        let value = matches!(role.part, Part::Value | Part::ValueUp);
        let output = role.part == Part::Output && role.param == Param::Weight;
        let (true, Some(layer)) = (value || output, role.layer) else {
            return Ok(());
        };
        for group in 0..groups {
            let mut dice = work.dice(&format!("layer {layer} group {group}"));
            let (matrix, inverse) = Square::invertible(head_dim, work.number(), &mut dice);
            if value {
                weight.times_block_of_rows(&matrix, group * head_dim)?;
                continue;
            }
            for head in group * share..(group + 1) * share {
                weight.times_block_of_columns(&inverse, head * head_dim)?;
            }
        }
        Ok(())
    });
    Ok(())
}
