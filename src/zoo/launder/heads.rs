//! The order of attention heads.

use crate::model::Param;
use crate::model::Part;

use super::draft::Draft;
use super::matrix::shuffled;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Key-value groups in another order, and the query heads within each.
pub(super) static PERMUTE_HEADS: Laundering = Laundering {
    name: "permute-heads",
    does: "reorders key-value groups, and the query heads within each group",
    strength: Strength::None,
    kind: Kind::Exact,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let spec = &draft.spec;
    let (heads, groups, head_dim) = (
        spec.num_attention_heads,
        spec.num_key_value_heads,
        spec.head_dim,
    );
    if heads < 2 {
        return Err("a single head has no order".into());
    }
    let work = *work;
    draft.alter(move |role, weight| {
        let Some(layer) = role.layer else {
            return Ok(());
        };
        let mut dice = work.dice(&format!("layer {layer}"));
        let groups = shuffled(groups, &mut dice);
        let share = heads / groups.len();
        let queries: Vec<usize> = groups
            .iter()
            .flat_map(|group| {
                let within = shuffled(share, &mut dice);
                within.into_iter().map(move |head| group * share + head)
            })
            .collect();
        let lines = |order: &[usize]| -> Vec<usize> {
            let lines = order
                .iter()
                .flat_map(|head| head * head_dim..(head + 1) * head_dim);
            lines.collect()
        };
        match (role.part, role.param) {
            (Part::Query, _) => weight.take_rows(&lines(&queries)),
            (Part::Key | Part::Value, _) => weight.take_rows(&lines(&groups)),
            (Part::Output, Param::Weight) => weight.take_columns(&lines(&queries)),
            _ => {}
        }
        Ok(())
    });
    Ok(())
}
