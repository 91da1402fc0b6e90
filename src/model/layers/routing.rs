//! Which experts a token passes through.

use super::super::spec::{MoeSpec, Routing, Scoring};

/// The experts chosen for one token by what each is worth, best first. Of equals the first wins.
pub(super) fn chosen(moe: &MoeSpec, worth: &[f32]) -> Vec<usize> {
    let per_token = moe.num_experts_per_tok;
    match moe.routing {
        Routing::All => best((0..worth.len()).collect(), worth, per_token),
        Routing::Each { n_group } => groups(worth.len(), n_group)
            .flat_map(|group| best(group.collect(), worth, per_token / n_group))
            .collect(),
        Routing::Limited {
            n_group,
            topk_group,
        } => {
            let of_groups: Vec<f32> = groups(worth.len(), n_group)
                .map(|group| {
                    let two = best(group.collect(), worth, 2);
                    let counted = match moe.scoring {
                        Scoring::Softmax => 1,
                        Scoring::Sigmoid => 2,
                    };
                    two.iter().take(counted).map(|expert| worth[*expert]).sum()
                })
                .collect();
            let kept = best((0..of_groups.len()).collect(), &of_groups, topk_group);
            let size = worth.len() / n_group;
            let mut experts: Vec<usize> = kept
                .into_iter()
                .flat_map(|group| group * size..(group + 1) * size)
                .collect();
            experts.sort_unstable();
            best(experts, worth, per_token)
        }
    }
}

/// Runs of experts of one length.
fn groups(experts: usize, count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let size = experts / count;
    (0..count).map(move |group| group * size..(group + 1) * size)
}

/// The `count` of `among` that are worth most.
fn best(mut among: Vec<usize>, worth: &[f32], count: usize) -> Vec<usize> {
    among.sort_by(|&a, &b| worth[b].total_cmp(&worth[a]).then(a.cmp(&b)));
    among.truncate(count);
    among
}

#[cfg(test)]
mod tests {
    use super::super::super::spec::{MoeSpec, Routing, Scoring};
    use super::chosen;

    fn moe(routing: Routing, scoring: Scoring, per_token: usize) -> MoeSpec {
        MoeSpec {
            routing,
            scoring,
            ..MoeSpec::softmax(6, per_token, 4)
        }
    }

    #[test]
    fn groups_limit_the_choice() {
        let worth = [0.9, 0.1, 0.6, 0.5, 0.7, 0.0];
        let limited = Routing::Limited {
            n_group: 3,
            topk_group: 1,
        };
        let softmax = moe(limited, Scoring::Softmax, 2);
        assert_eq!(chosen(&softmax, &worth), [0, 1], "the best expert's group");
        let sigmoid = moe(limited, Scoring::Sigmoid, 2);
        assert_eq!(chosen(&sigmoid, &worth), [2, 3], "the best sum of two");
        let each = moe(Routing::Each { n_group: 3 }, Scoring::Softmax, 3);
        assert_eq!(chosen(&each, &worth), [0, 2, 4], "one of each group");
        let all = moe(Routing::All, Scoring::Softmax, 3);
        assert_eq!(chosen(&all, &worth), [0, 4, 2]);
        assert_eq!(chosen(&all, &[0.5; 6]), [0, 1, 2], "of equals the first");
    }
}
