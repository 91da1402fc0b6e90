//! The order of experts.

use crate::model::Expert;
use crate::model::Part;
use crate::model::Role;
use crate::model::spec::Routing;

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
    does: "reorders the routed experts of every block, with the rows of its router; groups stay together",
    strength: Strength::None,
    kind: Kind::Exact,
    apply,
};

fn apply<'a>(draft: &mut Draft<'a>, work: &Work<'a>) -> Result<(), Refusal> {
    let (experts, groups) = match &draft.spec.moe {
        Some(moe) if moe.num_experts > 1 && draft.spec.layers.iter().any(|l| l.sparse) => {
            let groups = match moe.routing {
                Routing::All => 1,
                Routing::Limited { n_group, .. } | Routing::Each { n_group } => n_group,
            };
            (moe.num_experts, groups)
        }
        _ => return Err("the model has no experts to reorder".into()),
    };
    let work = *work;
    draft.wrap(move |inner, role| {
        let Some(layer) = role.layer else {
            return inner(role);
        };
        // Experts of one group stay together.
        let order = || {
            let mut dice = work.dice(&format!("layer {layer}"));
            let size = experts / groups;
            let order = match groups {
                1 => vec![0],
                _ => shuffled(groups, &mut dice),
            };
            let of = |group: usize| {
                let within = shuffled(size, &mut dice).into_iter();
                within.map(move |expert| group * size + expert)
            };
            order.into_iter().flat_map(of).collect::<Vec<usize>>()
        };
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
            (None, Part::RouterScale) => {
                let mut scale = inner(role)?;
                scale.take_columns(&order());
                Ok(scale)
            }
            _ => inner(role),
        }
    });
    Ok(())
}
