//! Named places inside a forward pass, and what looks at them.

mod pattern;

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;

/// A place in the forward pass, written as TransformerLens writes it.
///
/// Shapes are those of TransformerLens: `batch` and `pos` first, then the width named below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// `hook_embed`: `[batch, pos, hidden_size]`, scaled (Gemma), without learned positions.
    Embed,
    /// `blocks.{i}.hook_resid_pre`: `[batch, pos, hidden_size]`.
    ResidPre(usize),
    /// `blocks.{i}.attn.hook_q`: the projection with its bias, before any query norm and before the
    /// rotary embedding, `[batch, pos, num_attention_heads, head_dim]`.
    Query(usize),
    /// `blocks.{i}.attn.hook_k`: likewise, `[batch, pos, num_key_value_heads, head_dim]`.
    Key(usize),
    /// `blocks.{i}.attn.hook_v`: `[batch, pos, num_key_value_heads, head_dim]`.
    Value(usize),
    /// `blocks.{i}.attn.hook_rot_q`: after any query norm and the rotary embedding, where a block has one,
    /// `[batch, pos, num_attention_heads, head_dim]`.
    RotQuery(usize),
    /// `blocks.{i}.attn.hook_rot_k`: likewise, `[batch, pos, num_key_value_heads, head_dim]`.
    RotKey(usize),
    /// `blocks.{i}.attn.hook_attn_scores`: scaled, before the softmax, minus infinity where a query may not
    /// look, `[batch, num_attention_heads, query_pos, key_pos]`.
    AttnScores(usize),
    /// `blocks.{i}.attn.hook_pattern`: `[batch, num_attention_heads, query_pos, key_pos]`.
    Pattern(usize),
    /// `blocks.{i}.attn.hook_z`: `[batch, pos, num_attention_heads, head_dim]`.
    Z(usize),
    /// `blocks.{i}.hook_attn_out`: what attention adds to the stream, behind the norm that some families have
    /// there, `[batch, pos, hidden_size]`.
    AttnOut(usize),
    /// `blocks.{i}.hook_resid_mid`: `[batch, pos, hidden_size]`.
    ResidMid(usize),
    /// `blocks.{i}.mlp.hook_pre`: gate projection (the only one of an ungated MLP), before the
    /// activation function, `[batch, pos, intermediate_size]`. A mixture of experts has none of the
    /// three MLP sites, and the five behind them.
    MlpPre(usize),
    /// `blocks.{i}.mlp.hook_pre_linear`: up projection of a gated MLP.
    MlpPreLinear(usize),
    /// `blocks.{i}.mlp.hook_post`: what the down projection reads.
    MlpPost(usize),
    /// `blocks.{i}.mlp.hook_router_logits`: `[batch, pos, num_experts]`, before the softmax.
    RouterLogits(usize),
    /// `blocks.{i}.mlp.experts.hook_pre`: gate projection of every routed expert, whether a token goes there or
    /// not, `[batch, pos, num_experts, moe_intermediate_size]`; made for a tap that wants it.
    ExpertsPre(usize),
    /// `blocks.{i}.mlp.experts.hook_pre_linear`: likewise, up projection.
    ExpertsPreLinear(usize),
    /// `blocks.{i}.mlp.shared_expert.hook_pre`: gate projection of the expert of every token,
    /// `[batch, pos, shared_expert_intermediate_size]`.
    SharedExpertPre(usize),
    /// `blocks.{i}.mlp.shared_expert.hook_pre_linear`: likewise, up projection.
    SharedExpertPreLinear(usize),
    /// `blocks.{i}.hook_mlp_out`: what the MLP, or the mixture of experts, adds to the stream, likewise.
    MlpOut(usize),
    /// `blocks.{i}.hook_resid_post`: `[batch, pos, hidden_size]`.
    ResidPost(usize),
    /// `blocks.{i}.hook_resid_post.grad`: the gradient of the next-token loss along the prompt with respect to
    /// the residual stream, `[batch, pos, hidden_size]`. No forward pass comes by:
    /// [`super::decoder::Gradients::show`] shows it.
    ResidGrad(usize),
    /// `blocks.{i}.hook_resid_post.lens`: what the logit lens says of the residual stream there, in numbers
    /// that need no vocabulary ([`super::lens`]). No forward pass comes by: recordings of answers keep it.
    Lens(usize),
    /// `ln_final.hook_normalized`: `[batch, pos, hidden_size]`, before gain and bias.
    FinalNorm,
    /// `logits`: `[batch, pos, vocab_size]`.
    Logits,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => f.write_str("hook_embed"),
            Self::FinalNorm => f.write_str("ln_final.hook_normalized"),
            Self::Logits => f.write_str("logits"),
            block => {
                let (layer, name) = block.in_block();
                write!(f, "blocks.{layer}.{name}")
            }
        }
    }
}

/// A per-block site's constructor beside its TransformerLens name.
type BlockSite = (fn(usize) -> Site, &'static str);

const BLOCK_SITES: &[BlockSite] = &[
    (Site::ResidPre, "hook_resid_pre"),
    (Site::Query, "attn.hook_q"),
    (Site::Key, "attn.hook_k"),
    (Site::Value, "attn.hook_v"),
    (Site::RotQuery, "attn.hook_rot_q"),
    (Site::RotKey, "attn.hook_rot_k"),
    (Site::AttnScores, "attn.hook_attn_scores"),
    (Site::Pattern, "attn.hook_pattern"),
    (Site::Z, "attn.hook_z"),
    (Site::AttnOut, "hook_attn_out"),
    (Site::ResidMid, "hook_resid_mid"),
    (Site::MlpPre, "mlp.hook_pre"),
    (Site::MlpPreLinear, "mlp.hook_pre_linear"),
    (Site::MlpPost, "mlp.hook_post"),
    (Site::RouterLogits, "mlp.hook_router_logits"),
    (Site::ExpertsPre, "mlp.experts.hook_pre"),
    (Site::ExpertsPreLinear, "mlp.experts.hook_pre_linear"),
    (Site::SharedExpertPre, "mlp.shared_expert.hook_pre"),
    (
        Site::SharedExpertPreLinear,
        "mlp.shared_expert.hook_pre_linear",
    ),
    (Site::MlpOut, "hook_mlp_out"),
    (Site::ResidPost, "hook_resid_post"),
];

/// What is no part of a forward pass.
const BESIDE: [BlockSite; 2] = [
    (Site::ResidGrad, "hook_resid_post.grad"),
    (Site::Lens, "hook_resid_post.lens"),
];

fn block_sites() -> impl Iterator<Item = &'static BlockSite> {
    BLOCK_SITES.iter().chain(&BESIDE)
}

impl Site {
    /// Gradients of the residual stream behind each of `layers` blocks.
    pub fn gradients(layers: usize) -> Vec<Self> {
        (0..layers).map(Self::ResidGrad).collect()
    }

    /// Whether it takes a backward pass.
    pub fn is_gradient(self) -> bool {
        matches!(self, Self::ResidGrad(_))
    }

    /// Every site of a model of `layers` blocks, in the order a forward pass reaches them.
    pub fn all(layers: usize) -> Vec<Self> {
        let blocks =
            (0..layers).flat_map(|layer| BLOCK_SITES.iter().map(move |(make, _)| make(layer)));
        std::iter::once(Self::Embed)
            .chain(blocks)
            .chain([Self::FinalNorm, Self::Logits])
            .collect()
    }

    /// The block it is in, if it is in one.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Embed | Self::FinalNorm | Self::Logits => None,
            block => Some(block.in_block().0),
        }
    }

    /// Sorts sites as a forward pass reaches them.
    pub fn turn(self) -> (usize, usize) {
        match self {
            Self::Embed => (0, 0),
            Self::FinalNorm => (usize::MAX, 0),
            Self::Logits => (usize::MAX, 1),
            block => {
                let (layer, name) = block.in_block();
                let place = block_sites().position(|(_, known)| *known == name);
                (layer, 1 + place.unwrap_or(0))
            }
        }
    }

    fn in_block(self) -> (usize, &'static str) {
        let layer = match self {
            Self::ResidPre(l)
            | Self::Query(l)
            | Self::Key(l)
            | Self::Value(l)
            | Self::RotQuery(l)
            | Self::RotKey(l)
            | Self::AttnScores(l)
            | Self::Pattern(l)
            | Self::Z(l)
            | Self::AttnOut(l)
            | Self::ResidMid(l)
            | Self::MlpPre(l)
            | Self::MlpPreLinear(l)
            | Self::MlpPost(l)
            | Self::RouterLogits(l)
            | Self::ExpertsPre(l)
            | Self::ExpertsPreLinear(l)
            | Self::SharedExpertPre(l)
            | Self::SharedExpertPreLinear(l)
            | Self::MlpOut(l)
            | Self::ResidPost(l)
            | Self::ResidGrad(l)
            | Self::Lens(l) => l,
            Self::Embed | Self::FinalNorm | Self::Logits => 0,
        };
        let name = block_sites()
            .find(|(make, _)| make(layer) == self)
            .map_or("", |(_, name)| name);
        (layer, name)
    }
}

/// A site name that no forward pass has.
#[derive(Debug, thiserror::Error)]
#[error(
    "no site is called `{given}`: sites are `hook_embed`, `blocks.<i>.hook_resid_post`, … (`kinprobe probe --help` lists them)"
)]
pub struct UnknownSite {
    /// As typed.
    pub given: String,
}

impl FromStr for Site {
    type Err = UnknownSite;

    fn from_str(given: &str) -> Result<Self, UnknownSite> {
        let unknown = || UnknownSite {
            given: given.to_owned(),
        };
        match given {
            "hook_embed" => return Ok(Self::Embed),
            "ln_final.hook_normalized" => return Ok(Self::FinalNorm),
            "logits" => return Ok(Self::Logits),
            _ => {}
        }
        let rest = given.strip_prefix("blocks.").ok_or_else(unknown)?;
        let (layer, name) = rest.split_once('.').ok_or_else(unknown)?;
        let layer: usize = layer.parse().map_err(|_| unknown())?;
        block_sites()
            .find(|(_, known)| *known == name)
            .map(|(make, _)| make(layer))
            .ok_or_else(unknown)
    }
}

/// Something that looks at a forward pass. What nobody wants is never materialised.
pub trait Tap {
    /// Whether [`Tap::visit`] should be called at `site`.
    fn wants(&self, site: Site) -> bool;

    /// Whether the last position alone is looked at. What is made for the tap alone, as the units of experts
    /// that a token does not go to, is then made there alone: `pos` is 1.
    fn only_last(&self) -> bool {
        false
    }

    /// Sees the value at `site`.
    ///
    /// # Errors
    /// Whatever candle reports while the tap reads the tensor.
    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()>;
}

/// Looks at nothing.
impl Tap for () {
    fn wants(&self, _: Site) -> bool {
        false
    }

    fn visit(&mut self, _: Site, _: &Tensor) -> candle_core::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Site;

    #[test]
    fn names_round_trip() {
        for site in Site::all(12) {
            assert_eq!(site.to_string().parse::<Site>().expect("own name"), site);
        }
        for site in Site::gradients(12) {
            assert_eq!(site.to_string().parse::<Site>().expect("own name"), site);
            assert!(site.is_gradient() && !Site::all(12).contains(&site));
        }
        assert!(Site::all(12).is_sorted_by_key(|site| site.turn()));
        let lens = "blocks.3.hook_resid_post.lens";
        assert_eq!(lens.parse::<Site>().expect("known"), Site::Lens(3));
        assert!(!Site::all(12).contains(&Site::Lens(3)));
        for wrong in [
            "blocks.x.hook_resid_post",
            "blocks.1",
            "hook",
            "blocks.1.mlp",
            "",
        ] {
            assert!(wrong.parse::<Site>().is_err(), "{wrong}");
        }
    }
}
