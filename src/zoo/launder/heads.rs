//! The order of attention heads.

use crate::model::Param;
use crate::model::Part;
use crate::model::spec::QkNorm;

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
    let (heads, groups) = (spec.num_attention_heads, spec.num_key_value_heads);
    let (head_dim, value_dim) = (spec.head_dim, spec.value_head_dim());
    let unplaced = spec.latent.map_or(0, |latent| latent.qk_nope_head_dim);
    let full_norm = spec.qk_norm == Some(QkNorm::Full);
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
        let lines = |order: &[usize], width: usize| -> Vec<usize> {
            let lines = order
                .iter()
                .flat_map(|head| head * width..(head + 1) * width);
            lines.collect()
        };
        match (role.part, role.param) {
            (Part::Query | Part::QueryUp, _) => weight.take_rows(&lines(&queries, head_dim)),
            (Part::Key | Part::Value, _) => weight.take_rows(&lines(&groups, head_dim)),
            (Part::KeyUp, _) => weight.take_rows(&lines(&groups, unplaced)),
            (Part::ValueUp, _) => weight.take_rows(&lines(&groups, value_dim)),
            (Part::QueryNorm, _) if full_norm => weight.take_rows(&lines(&queries, head_dim)),
            (Part::KeyNorm, _) if full_norm => weight.take_rows(&lines(&groups, head_dim)),
            (Part::Output, Param::Weight) => weight.take_columns(&lines(&queries, value_dim)),
            _ => {}
        }
        Ok(())
    });
    Ok(())
}
