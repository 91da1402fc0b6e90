//! The order of experts.

use crate::model::Expert;
use crate::model::Part;
use crate::model::Role;

use super::draft::Draft;
use super::matrix::shuffled;
use super::step::Kind;
use super::step::Laundering;
use super::step::Refusal;
use super::step::Strength;
use super::step::Work;

/// Routed experts in another order.
pub(super) static PERMUTE_EXPERTS: Laundering = Laundering {
    name: "permute-experts",
    does: "reorders the routed experts of every block, with the rows of its router",
    strength: Strength::None,
    kind: Kind::Exact,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let experts = match &draft.spec.moe {
        Some(moe) if moe.num_experts > 1 && draft.spec.layers.iter().any(|l| l.sparse) => {
            moe.num_experts
        }
        _ => return Err("the model has no experts to reorder".into()),
    };
    let work = *work;
    draft.wrap(move |inner, role| {
        let Some(layer) = role.layer else {
            return inner(role);
        };
        let order = || shuffled(experts, &mut work.dice(&format!("layer {layer}")));
        match (role.expert, role.part) {
            (Some(Expert::Routed(expert)), _) => {
                let old = order().get(expert as usize).copied().unwrap_or_default();
                inner(&Role {
                    expert: Some(Expert::Routed(old as u32)),
                    ..*role
                })
            }
            (None, Part::Router) => {
                let mut router = inner(role)?;
                router.take_rows(&order());
                Ok(router)
            }
            _ => inner(role),
        }
    });
    Ok(())
}
