//! Mixtures of experts.

/// Dimensions and routing of a mixture of experts.
#[derive(Debug, Clone, PartialEq)]
pub struct MoeSpec {
    /// Routed experts.
    pub num_experts: usize,
    /// Experts a token passes through.
    pub num_experts_per_tok: usize,
    /// Hidden units of one routed expert.
    pub moe_intermediate_size: usize,
    /// Hidden units of the shared expert, if there is one; of several shared experts, which act as one,
    /// all together.
    pub shared_expert_intermediate_size: Option<usize>,
    /// Whether the shared expert stands under a sigmoid gate of its own (Qwen2-MoE).
    pub shared_expert_gate: bool,
    /// How the router's logits become scores.
    pub scoring: Scoring,
    /// Which experts may be chosen together.
    pub routing: Routing,
    /// Whether the chosen experts' weights are rescaled to sum to one.
    pub norm_topk_prob: bool,
    /// Whether each expert's weight has a learned factor (Pangu Pro MoE).
    pub router_scale: bool,
    /// Factor on the routed experts' sum.
    pub routed_scaling_factor: f64,
}

/// How a router's logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// Softmax over the experts.
    Softmax,
    /// A sigmoid for each; experts are chosen by its sum with a learned bias, weighted without it
    /// (DeepSeek-V3).
    Sigmoid,
}

/// Which experts may be chosen together. Groups are runs of experts of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// The best of all.
    All,
    /// The best of the experts in the best groups. A group is as good as its best expert, or under
    /// [`Scoring::Sigmoid`] as the sum of its best two (DeepSeek-V2 and V3).
    Limited {
        /// Groups.
        n_group: usize,
        /// Groups that remain.
        topk_group: usize,
    },
    /// Equally many of each group (Pangu Pro MoE).
    Each {
        /// Groups.
        n_group: usize,
    },
}

impl MoeSpec {
    /// Experts chosen by a softmax over all of them, without a shared one.
    pub const fn softmax(
        num_experts: usize,
        num_experts_per_tok: usize,
        moe_intermediate_size: usize,
    ) -> Self {
        Self {
            num_experts,
            num_experts_per_tok,
            moe_intermediate_size,
            shared_expert_intermediate_size: None,
            shared_expert_gate: false,
            scoring: Scoring::Softmax,
            routing: Routing::All,
            norm_topk_prob: true,
            router_scale: false,
            routed_scaling_factor: 1.0,
        }
    }

    /// Whether its numbers can be honoured together: every choice has enough to choose from.
    pub const fn is_possible(&self) -> bool {
        let (all, chosen) = (self.num_experts, self.num_experts_per_tok);
        if chosen == 0 || chosen > all {
            return false;
        }
        match self.routing {
            Routing::All => true,
            Routing::Limited {
                n_group,
                topk_group,
            } => {
                let even = n_group > 0 && all.is_multiple_of(n_group);
                even && topk_group <= n_group && chosen <= topk_group * (all / n_group)
            }
            Routing::Each { n_group } => {
                n_group > 0 && all.is_multiple_of(n_group) && chosen.is_multiple_of(n_group)
            }
        }
    }
}
