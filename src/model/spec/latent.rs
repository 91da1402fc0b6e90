//! Multi-head latent attention (DeepSeek-AI, "DeepSeek-V2", 2024).

/// Widths of attention whose queries, keys and values come through narrow matrices.
///
/// Of each head of queries and keys the first `qk_nope_head_dim` numbers know no position; the last
/// `qk_rope_head_dim` rotate, and those of the key are the same for all heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentSpec {
    /// Width that queries come through; `None` is a plain projection.
    pub q_lora_rank: Option<usize>,
    /// Width that keys and values come through.
    pub kv_lora_rank: usize,
    /// Numbers of a head that know no position.
    pub qk_nope_head_dim: usize,
    /// Numbers of a head that rotate.
    pub qk_rope_head_dim: usize,
    /// Width of a head's values.
    pub v_head_dim: usize,
}

impl LatentSpec {
    /// Width of a head of queries and keys.
    pub const fn qk_head_dim(&self) -> usize {
        self.qk_nope_head_dim + self.qk_rope_head_dim
    }
}
