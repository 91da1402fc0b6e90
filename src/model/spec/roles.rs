//! Which roles a spec asks for, and in what shapes.

use super::{DecoderSpec, Kind, LatentSpec, Norm, NormPlace, Position, QkNorm, Scoring};
use crate::model::role::{Expert, Part, Role};

/// One MLP of a block.
struct Mlp {
    expert: Option<Expert>,
    width: usize,
    gated: bool,
    bias: bool,
}

/// A role with its shape as `(rows, cols)`; a vector is `(n, 1)`.
pub type ShapedRole = (Role, (usize, usize));

impl DecoderSpec {
    /// Every role that the forward pass reads, with its canonical shape `(out, in)`, in role order.
    ///
    /// A tied head is not listed: it is the embedding.
    pub fn roles(&self) -> Vec<ShapedRole> {
        let hidden = self.hidden_size;
        let mut roles = Vec::new();
        self.embedding_roles(&mut roles);
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention_roles(index, &mut roles);
            self.norms_of(index, &mut roles);
            if layer.sparse {
                self.sparse_roles(index, &mut roles);
            } else {
                let dense = Mlp {
                    expert: None,
                    width: self.intermediate_size,
                    gated: self.gated_mlp,
                    bias: self.biases.mlp,
                };
                self.mlp_roles(index, &dense, &mut roles);
            }
        }
        if self.norm_place != NormPlace::Stream {
            self.norm_roles(Role::model(Part::FinalNorm), &mut roles);
        }
        if self.kind.has_head() && !self.tie_word_embeddings {
            let head = Role::model(Part::Unembed);
            push(
                &mut roles,
                head,
                (self.vocab_size, hidden),
                self.biases.head,
            );
        }
        roles.sort_unstable();
        roles
    }

    fn embedding_roles(&self, roles: &mut Vec<ShapedRole>) {
        let hidden = self.hidden_size;
        if !self.kind.attends() {
            return;
        }
        roles.push((Role::model(Part::Embed), (self.vocab_size, hidden)));
        if self.position == Position::Learned {
            let shape = (self.max_position_embeddings, hidden);
            roles.push((Role::model(Part::PositionEmbed), shape));
        }
        if let Some(types) = self.type_vocab_size {
            roles.push((Role::model(Part::TokenTypeEmbed), (types, hidden)));
        }
        if self.kind == Kind::Encoder {
            self.norm_roles(Role::model(Part::EmbedNorm), roles);
        }
    }

    fn attention_roles(&self, layer: usize, roles: &mut Vec<ShapedRole>) {
        if !self.kind.attends() {
            return;
        }
        let hidden = self.hidden_size;
        let at = |part| Role::layer(layer, part);
        let mixed = self.num_attention_heads * self.value_head_dim();
        push(roles, at(Part::Output), (hidden, mixed), self.biases.output);
        if let Some(latent) = &self.latent {
            return self.latent_roles(layer, latent, roles);
        }
        let query = self.num_attention_heads * self.head_dim;
        let key = self.num_key_value_heads * self.head_dim;
        for (part, rows) in [(Part::Query, query), (Part::Key, key), (Part::Value, key)] {
            push(roles, at(part), (rows, hidden), self.biases.qkv);
        }
        let (of_query, of_key) = match self.qk_norm {
            None => return,
            Some(QkNorm::Head) => (self.head_dim, self.head_dim),
            Some(QkNorm::Full) => (query, key),
        };
        roles.push((at(Part::QueryNorm), (of_query, 1)));
        roles.push((at(Part::KeyNorm), (of_key, 1)));
    }

    fn latent_roles(&self, layer: usize, latent: &LatentSpec, roles: &mut Vec<ShapedRole>) {
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        let at = |part| Role::layer(layer, part);
        let bias = self.biases.qkv;
        let query = heads * latent.qk_head_dim();
        match latent.q_lora_rank {
            None => roles.push((at(Part::Query), (query, hidden))),
            Some(rank) => {
                push(roles, at(Part::QueryDown), (rank, hidden), bias);
                roles.push((at(Part::QueryDownNorm), (rank, 1)));
                roles.push((at(Part::QueryUp), (query, rank)));
            }
        }
        let rank = latent.kv_lora_rank;
        push(roles, at(Part::KvDown), (rank, hidden), bias);
        let rotary = (latent.qk_rope_head_dim, hidden);
        push(roles, at(Part::KeyRotary), rotary, bias);
        roles.push((at(Part::KvDownNorm), (rank, 1)));
        roles.push((at(Part::KeyUp), (heads * latent.qk_nope_head_dim, rank)));
        roles.push((at(Part::ValueUp), (heads * latent.v_head_dim, rank)));
    }

    fn norms_of(&self, layer: usize, roles: &mut Vec<ShapedRole>) {
        let at = |part| Role::layer(layer, part);
        if self.norm_place.before() {
            self.norm_roles(at(Part::AttentionNorm), roles);
            self.norm_roles(at(Part::MlpNorm), roles);
        }
        let on_stream = self.norm_place == NormPlace::Stream;
        if on_stream || self.norm_place.behind() {
            self.norm_roles(at(Part::PostMlpNorm), roles);
        }
        if (on_stream && self.kind.attends()) || self.norm_place.behind() {
            self.norm_roles(at(Part::PostAttentionNorm), roles);
        }
    }

    fn sparse_roles(&self, layer: usize, roles: &mut Vec<ShapedRole>) {
        let Some(moe) = &self.moe else { return };
        let router = (moe.num_experts, self.hidden_size);
        let biased = moe.scoring == Scoring::Sigmoid;
        push(roles, Role::layer(layer, Part::Router), router, biased);
        if moe.router_scale {
            let scale = (1, moe.num_experts);
            roles.push((Role::layer(layer, Part::RouterScale), scale));
        }
        let of = |expert, width| Mlp {
            expert: Some(expert),
            width,
            gated: true,
            bias: false,
        };
        for expert in 0..moe.num_experts as u32 {
            let mlp = of(Expert::Routed(expert), moe.moe_intermediate_size);
            self.mlp_roles(layer, &mlp, roles);
        }
        if let Some(width) = moe.shared_expert_intermediate_size {
            self.mlp_roles(layer, &of(Expert::Shared, width), roles);
            if moe.shared_expert_gate {
                let gate = (1, self.hidden_size);
                roles.push((Role::layer(layer, Part::SharedExpertGate), gate));
            }
        }
    }

    fn mlp_roles(&self, layer: usize, mlp: &Mlp, roles: &mut Vec<ShapedRole>) {
        let inward = (mlp.width, self.hidden_size);
        let outward = (self.hidden_size, mlp.width);
        let parts = [
            (Part::Gate, inward),
            (Part::Up, inward),
            (Part::Down, outward),
        ];
        for (part, shape) in parts {
            if part == Part::Gate && !mlp.gated {
                continue;
            }
            let role = Role {
                expert: mlp.expert,
                ..Role::layer(layer, part)
            };
            push(roles, role, shape, mlp.bias);
        }
    }

    fn norm_roles(&self, role: Role, roles: &mut Vec<ShapedRole>) {
        push(roles, role, (self.hidden_size, 1), self.norm == Norm::Layer);
    }
}

fn push(roles: &mut Vec<ShapedRole>, role: Role, shape: (usize, usize), bias: bool) {
    roles.push((role, shape));
    if bias {
        roles.push((role.bias(), (shape.0, 1)));
    }
}
